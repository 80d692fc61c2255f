//! `/metrics`: Prometheus. The number of series depends on the number of accounts, and is bounded: those with the most
//! messages have series of their own.

use crate::process;
use crate::shared::Shared;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

/// Accounts with series of their own; the others are summed up as `other`.
const ACCOUNTS_MAX: usize = 1000;

/// A metric: name, type, help.
struct Metric(&'static str, &'static str, &'static str);

const ACCOUNT_METRICS: [Metric; 8] = [
    Metric("dialtone_account_connections", "gauge", "Connections of the account."),
    Metric("dialtone_account_subscriptions", "gauge", "Subscriptions of the account."),
    Metric("dialtone_account_received_messages_total", "counter", "Messages from the account's connections."),
    Metric("dialtone_account_received_bytes_total", "counter", "Bytes of those messages."),
    Metric(
        "dialtone_account_refused_messages_total",
        "counter",
        "Messages from the account's connections that were refused by its rate limits.",
    ),
    Metric(
        "dialtone_account_delayed_messages_total",
        "counter",
        "Messages from the account's connections that its rate limits let wait.",
    ),
    Metric("dialtone_account_sent_messages_total", "counter", "Messages to the account's connections."),
    Metric("dialtone_account_sent_bytes_total", "counter", "Bytes of those messages."),
];

pub(super) fn metrics(shared: &Shared) -> String {
    let mut out = String::new();
    let mut put = |metric: Metric, value: f64| {
        let Metric(name, kind, help) = metric;
        // Writing to a String has no way to fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let traffic = shared.counters.read();
    let count = |n: u64| n as f64;
    put(
        Metric("dialtone_uptime_seconds", "gauge", "Seconds since the start."),
        shared.start_instant.elapsed().as_secs_f64(),
    );
    put(Metric("dialtone_connections", "gauge", "Connections."), shared.registry.len() as f64);
    put(
        Metric("dialtone_connections_total", "counter", "Connections since the start."),
        count(shared.registry.total()),
    );
    put(
        Metric("dialtone_received_messages_total", "counter", "Messages from clients."),
        count(traffic.in_msgs),
    );
    put(
        Metric("dialtone_received_bytes_total", "counter", "Bytes of those messages."),
        count(traffic.in_bytes),
    );
    put(Metric("dialtone_sent_messages_total", "counter", "Messages to clients."), count(traffic.out_msgs));
    put(Metric("dialtone_sent_bytes_total", "counter", "Bytes of those messages."), count(traffic.out_bytes));
    put(
        Metric(
            "dialtone_slow_consumers_total",
            "counter",
            "Connections closed because they read too slowly.",
        ),
        count(shared.troubles.slow.load(Relaxed)),
    );
    put(
        Metric(
            "dialtone_stale_connections_total",
            "counter",
            "Connections closed because they did not answer.",
        ),
        count(shared.troubles.stale.load(Relaxed)),
    );
    put(
        Metric(
            "dialtone_stalled_producers_total",
            "counter",
            "Times a producer was held back for a slow reader.",
        ),
        count(shared.troubles.stalled.load(Relaxed)),
    );
    put(
        Metric("process_resident_memory_bytes", "gauge", "Resident memory."),
        count(process::resident_bytes()),
    );
    put(Metric("process_cpu_seconds_total", "counter", "Processor time used."), process::cpu_seconds());
    accounts(shared, &mut out);
    out
}

fn accounts(shared: &Shared, out: &mut String) {
    let row = |account: &dialtone_broker::account::Account| {
        let traffic = account.counters.read();
        [
            u64::from(account.connections()),
            account.subscriptions() as u64,
            traffic.in_msgs,
            traffic.in_bytes,
            account.refused_msgs.load(Relaxed),
            account.delayed_msgs.load(Relaxed),
            traffic.out_msgs,
            traffic.out_bytes,
        ]
    };
    let all = shared.accounts();
    let rows = bounded(all.iter().map(|a| (label(&a.name), row(a))).collect(), ACCOUNTS_MAX);
    for (at, Metric(name, kind, help)) in ACCOUNT_METRICS.iter().enumerate() {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (account, values) in &rows {
            let _ = writeln!(out, "{name}{{account=\"{account}\"}} {}", values.get(at).copied().unwrap_or(0));
        }
    }
}

/// An account, and its values in the order of [`ACCOUNT_METRICS`].
type Row = (String, [u64; 8]);

/// At most `max` rows: those with the most messages, by name, and the sum of all others.
fn bounded(mut rows: Vec<Row>, max: usize) -> Vec<Row> {
    if rows.len() <= max {
        return rows;
    }
    rows.sort_by_key(|(_, [_, _, received, _, _, _, sent, _])| {
        std::cmp::Reverse(received.saturating_add(*sent))
    });
    let mut others = [0u64; 8];
    for (_, row) in rows.drain(max..) {
        others.iter_mut().zip(row).for_each(|(sum, n)| *sum = sum.saturating_add(n));
    }
    rows.sort_unstable();
    rows.push(("other".into(), others));
    rows
}

/// A label's value, escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_accounts_have_series_and_the_others_are_one() {
        let row = |name: &str, received, sent| (name.to_owned(), [1, 2, received, 0, 0, 0, sent, 0]);
        let all = vec![row("a", 1, 0), row("b", 0, 9), row("c", 5, 5), row("d", 2, 0)];
        let other = ("other".to_owned(), [2, 4, 3, 0, 0, 0, 0, 0]);
        assert_eq!(bounded(all.clone(), 2), [row("b", 0, 9), row("c", 5, 5), other]);
        assert_eq!(bounded(all.clone(), 4), all);
    }
}
