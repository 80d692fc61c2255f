//! Permissions and limits as rows.

use crate::identity::table::Table;
use dialtone_identity::jwt::claims::{Limit, Permissions, UserLimits};
use std::time::Duration;

/// What may be published and subscribed to.
pub fn permissions(table: &mut Table, permissions: &Permissions) {
    let Permissions { publish, subscribe, responses } = permissions;
    let lists = [
        ("Pub Allow", &publish.allow),
        ("Pub Deny", &publish.deny),
        ("Sub Allow", &subscribe.allow),
        ("Sub Deny", &subscribe.deny),
    ];
    if lists.iter().any(|(_, list)| !list.is_empty()) {
        table.line();
    }
    for (name, list) in lists {
        table.list(name, list);
    }
    match responses {
        None => table.row(["Response Permissions", "Not Set"]),
        Some(responses) => {
            table.row(["Max Responses", &responses.max.to_string()]);
            let ttl = u64::try_from(responses.ttl).map_or_else(
                |_| "Unlimited".to_owned(),
                |nanoseconds| format!("{:?}", Duration::from_nanos(nanoseconds)),
            );
            table.row(["Response Permission TTL", &ttl]);
        }
    }
}

/// What a user is limited to. Here 0 is no limit, too.
pub fn limits(table: &mut Table, limits: &UserLimits) {
    let rows = [("Max Msg Payload", limits.payload), ("Max Data", limits.data)];
    for (name, limit) in rows {
        table.row([name, &above_zero(limit, |n| format!("{n} bytes (≈{})", size(n)))]);
    }
    table.row(["Max Subs", &above_zero(limits.subs, |n| n.to_string())]);
    let networks = if limits.src.is_empty() { "Any".to_owned() } else { limits.src.join(", ") };
    table.row(["Network Src", &networks]);
    if limits.times.is_empty() {
        table.row(["Time", "Any"]);
    }
    table.list("Time", limits.times.iter().map(|range| format!("{}-{}", range.start, range.end)));
    table.row_if("Locale", &limits.times_location);
}

/// A limit where 0 is none.
pub fn above_zero(limit: Limit, show: impl Fn(u64) -> String) -> String {
    match limit {
        Limit::Unlimited | Limit::AtMost(0) => "Unlimited".to_owned(),
        Limit::AtMost(limit) => show(limit),
    }
}

/// A limit.
pub fn number(limit: Limit) -> String {
    match limit {
        Limit::Unlimited => "Unlimited".to_owned(),
        Limit::AtMost(limit) => limit.to_string(),
    }
}

/// A limit of bytes.
pub fn bytes(limit: Limit) -> String {
    match limit {
        Limit::Unlimited => "Unlimited".to_owned(),
        Limit::AtMost(limit) => format!("{} ({limit} bytes)", size(limit)),
    }
}

/// `1.5 MB`, in powers of 1000.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while bytes / scale >= 1000 && unit + 1 < UNITS.len() {
        scale *= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    let whole = bytes / scale;
    // One decimal where there is one digit before it.
    let tenths = (bytes / (scale / 10).max(1)) % 10;
    if unit > 0 && whole < 10 { format!("{whole}.{tenths} {name}") } else { format!("{whole} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_550_000, "1.5 MB"),
            (10_000_000_000, "10 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
