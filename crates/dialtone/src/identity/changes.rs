//! What options change in claims.

use super::args::Call;
use super::args::values::{bytes, limit, nanoseconds, now, percent, time, yes_no};
use super::session::Session;
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::jwt::account::{Account, JetStreamLimits, Trace};
use dialtone_identity::jwt::claims::{Limit, Permissions, ResponsePermission, TimeRange, UserLimits};
use dialtone_identity::jwt::encode::Draft;

/// The kinds of connections that a user may be bound to.
const CONNECTION_TYPES: [&str; 7] =
    ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];
/// Answers to a request, where only their time is said; nanoseconds to answer in, where only their number is. The defaults of `nsc`.
const RESPONSES_DEFAULT: ResponsePermission = ResponsePermission { max: 1, ttl: 0 };

/// Tags and times.
pub fn claims(call: &Call, draft: &mut Draft) -> Result<()> {
    for tag in call.list("--tag") {
        add(&mut draft.tags, tag.to_lowercase());
    }
    let removed = call.list("--remove-tag");
    draft.tags.retain(|tag| !removed.iter().any(|removed| removed.eq_ignore_ascii_case(tag)));
    set(&mut draft.expires, call.parsed("--expires", |text| time(text, now()))?);
    set(&mut draft.not_before, call.parsed("--starts", |text| time(text, now()))?);
    if let (Some(from), Some(until)) = (draft.not_before, draft.expires) {
        ensure!(from <= until, "--starts lies after --expires");
    }
    Ok(())
}

/// Adds to a list what is not in it.
pub fn add(list: &mut Vec<String>, value: String) {
    if !list.contains(&value) {
        list.push(value);
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// A text that `none` removes.
pub fn text(place: &mut String, value: Option<&str>) {
    if let Some(value) = value {
        *place = if value == "none" { String::new() } else { value.to_owned() };
    }
}

/// What may be published and subscribed to.
pub fn permissions(call: &Call, permissions: &mut Permissions) -> Result<()> {
    let Permissions { publish, subscribe, responses } = permissions;
    let lists = [
        ("--allow-pub", "--allow-pubsub", &mut publish.allow),
        ("--allow-sub", "--allow-pubsub", &mut subscribe.allow),
        ("--deny-pub", "--deny-pubsub", &mut publish.deny),
        ("--deny-sub", "--deny-pubsub", &mut subscribe.deny),
    ];
    let removed = call.list("--remove-subject");
    for (own, both, list) in lists {
        list.retain(|subject| !removed.contains(subject));
        for subject in call.list(own).into_iter().chain(call.list(both)) {
            add(list, subject);
        }
    }
    let max = call.parsed("--allow-responses", |text| match text {
        "none" => Ok(None),
        "unlimited" => Ok(Some(-1)),
        _ => text.parse::<u32>().map(|max| Some(i64::from(max))).context("a number, unlimited or none"),
    })?;
    match max {
        Some(None) => *responses = None,
        Some(Some(max)) => responses.get_or_insert(RESPONSES_DEFAULT).max = max,
        None => {}
    }
    if let Some(ttl) = call.parsed("--response-ttl", nanoseconds)? {
        responses.get_or_insert(RESPONSES_DEFAULT).ttl = ttl;
    }
    Ok(())
}

/// What a user may do.
pub fn user(call: &Call, user: &mut UserLimits) -> Result<()> {
    permissions(call, &mut user.permissions)?;
    set(&mut user.subs, call.parsed("--max-subscriptions", limit)?);
    set(&mut user.payload, call.parsed("--max-payload", bytes)?);
    set(&mut user.data, call.parsed("--max-data", bytes)?);
    set(&mut user.bearer_token, call.parsed("--bearer", yes_no)?);
    set(&mut user.proxy_required, call.parsed("--proxy-required", yes_no)?);
    list(call, "--connection-type", &mut user.allowed_connection_types, |kind| {
        let kind = kind.to_uppercase();
        ensure!(CONNECTION_TYPES.contains(&kind.as_str()), "the types are {}", CONNECTION_TYPES.join(", "));
        Ok(kind)
    })?;
    list(call, "--source", &mut user.src, |network| Ok(network.to_lowercase()))?;
    list(call, "--time", &mut user.times, |range| {
        let (start, end) = range.split_once('-').context("a range, such as 09:00:00-17:00:00")?;
        Ok(TimeRange { start: start.to_owned(), end: end.to_owned() })
    })?;
    text(&mut user.times_location, call.value("--locale"));
    Ok(())
}

/// Adds to a list; `none` empties it.
fn list<T: PartialEq>(
    call: &Call,
    name: &str,
    list: &mut Vec<T>,
    read: impl Fn(&str) -> Result<T>,
) -> Result<()> {
    for value in call.list(name) {
        if value == "none" {
            list.clear();
            continue;
        }
        let value = read(&value).with_context(|| format!("{name} {value}"))?;
        if !list.contains(&value) {
            list.push(value);
        }
    }
    Ok(())
}

/// What an account is and may do.
pub fn account(call: &Call, session: &Session, account: &mut Account) -> Result<()> {
    text(&mut account.description, call.value("--description"));
    text(&mut account.info_url, call.value("--info-url"));
    text(&mut account.cluster_traffic, call.value("--cluster-traffic"));
    let limits = &mut account.limits;
    set(&mut limits.conn, call.parsed("--max-connections", limit)?);
    set(&mut limits.leaf, call.parsed("--max-leaf-nodes", limit)?);
    set(&mut limits.subs, call.parsed("--max-subscriptions", limit)?);
    set(&mut limits.payload, call.parsed("--max-payload", bytes)?);
    set(&mut limits.data, call.parsed("--max-data", bytes)?);
    set(&mut limits.imports, call.parsed("--max-imports", limit)?);
    set(&mut limits.exports, call.parsed("--max-exports", limit)?);
    set(&mut limits.wildcards, call.parsed("--wildcard-exports", yes_no)?);
    set(&mut limits.disallow_bearer, call.parsed("--disallow-bearer", yes_no)?);
    streams(call, account)?;
    permissions(call, &mut account.default_permissions)?;
    trace(call, account)?;
    callout(call, session, account)
}

/// Streams: of a tier, or of none.
fn streams(call: &Call, account: &mut Account) -> Result<()> {
    let limits = &mut account.limits;
    let tier = call.value("--js-tier");
    if call.is_on("--js-remove") {
        match tier {
            Some(tier) => {
                limits.tiered_limits.remove(tier).with_context(|| format!("there is no tier {tier}"))?;
            }
            None => {
                limits.tiered_limits.clear();
                limits.jetstream = JetStreamLimits::default();
            }
        }
        return Ok(());
    }
    let asked = [
        "--js-memory",
        "--js-disk",
        "--js-streams",
        "--js-consumers",
        "--js-max-ack-pending",
        "--js-memory-stream",
        "--js-disk-stream",
        "--js-max-bytes-required",
    ];
    if !asked.iter().any(|name| call.is_on(name)) {
        return Ok(());
    }
    let place = match tier {
        // What nsc leaves beside tiers does not count.
        Some(tier) => {
            ensure!(
                !limits.tiered_limits.is_empty() || limits.jetstream == JetStreamLimits::default(),
                "the account has JetStream limits without a tier; remove them with --js-remove first"
            );
            limits.tiered_limits.entry(tier.to_owned()).or_default()
        }
        None => {
            let tiers: Vec<&str> = limits.tiered_limits.keys().map(String::as_str).collect();
            ensure!(tiers.is_empty(), "the account has JetStream tiers: {}; say --js-tier", tiers.join(", "));
            &mut limits.jetstream
        }
    };
    if *place == JetStreamLimits::default() {
        // What is not said of a first time is not limited.
        (place.streams, place.consumer) = (Limit::Unlimited, Limit::Unlimited);
    }
    set(&mut place.mem_storage, call.parsed("--js-memory", bytes)?);
    set(&mut place.disk_storage, call.parsed("--js-disk", bytes)?);
    set(&mut place.streams, call.parsed("--js-streams", limit)?);
    set(&mut place.consumer, call.parsed("--js-consumers", limit)?);
    set(&mut place.max_ack_pending, call.parsed("--js-max-ack-pending", limit)?);
    set(&mut place.mem_max_stream_bytes, call.parsed("--js-memory-stream", bytes)?);
    set(&mut place.disk_max_stream_bytes, call.parsed("--js-disk-stream", bytes)?);
    set(&mut place.max_bytes_required, call.parsed("--js-max-bytes-required", yes_no)?);
    Ok(())
}

fn trace(call: &Call, account: &mut Account) -> Result<()> {
    match call.value("--trace-subject") {
        Some("none") => account.trace = None,
        Some(subject) => account.trace.get_or_insert_with(Trace::default).dest = subject.to_owned(),
        None => {}
    }
    if let Some(sampling) = call.parsed("--trace-sampling", percent)? {
        let Some(trace) = &mut account.trace else { bail!("--trace-sampling needs --trace-subject") };
        trace.sampling = sampling;
    }
    Ok(())
}

fn callout(call: &Call, session: &Session, account: &mut Account) -> Result<()> {
    let authorization = &mut account.authorization;
    if call.list("--callout-user").iter().any(|user| user == "none") {
        *authorization = dialtone_identity::jwt::account::ExternalAuthorization::default();
        return Ok(());
    }
    list(call, "--callout-user", &mut authorization.auth_users, |user| Ok(user.to_owned()))?;
    list(call, "--callout-account", &mut authorization.allowed_accounts, |account| match account {
        "*" => Ok("*".to_owned()),
        _ => Ok(session.account_key(account)?.to_string()),
    })?;
    text(&mut authorization.xkey, call.value("--callout-xkey"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_of(line: &str) -> Result<UserLimits> {
        let mut limits = UserLimits::unlimited();
        user(&Call::test(&format!("edit user x {line}"))?, &mut limits)?;
        Ok(limits)
    }

    #[test]
    fn users_are_changed_by_options() {
        let limits = user_of(
            "--allow-pub a,b --allow-pubsub c --deny-sub d --remove-subject a --max-payload 1KB --bearer yes \
             --connection-type mqtt --source 10.0.0.0/8 --time 01:00:00-02:00:00 --locale UTC --response-ttl 5s",
        )
        .expect("changed");
        assert_eq!(limits.permissions.publish.allow, ["a", "b", "c"]);
        assert_eq!(limits.permissions.subscribe.allow, ["c"]);
        assert_eq!(limits.permissions.subscribe.deny, ["d"]);
        assert_eq!(limits.permissions.responses, Some(ResponsePermission { max: 1, ttl: 5_000_000_000 }));
        assert_eq!((limits.payload, limits.subs), (Limit::AtMost(1000), Limit::Unlimited));
        assert!(
            limits.bearer_token
                && limits.allowed_connection_types == ["MQTT"]
                && limits.src == ["10.0.0.0/8"]
        );
        assert_eq!(limits.times, [TimeRange { start: "01:00:00".into(), end: "02:00:00".into() }]);
        for line in
            ["--connection-type x", "--time 1", "--max-data x", "--bearer maybe", "--allow-responses x"]
        {
            assert!(user_of(line).is_err(), "{line}");
        }
    }

    #[test]
    fn tags_and_times_are_changed() {
        let subject =
            dialtone_identity::nkey::Seed::from_bytes(dialtone_identity::nkey::Kind::User, [1; 32]).public();
        let mut draft = Draft::new(subject, "x", dialtone_identity::jwt::claims::User::default());
        draft.tags = vec!["a".into(), "b".into()];
        let call = Call::test("edit user x --tag C,a --remove-tag B --expires 2100-01-01").expect("call");
        claims(&call, &mut draft).expect("changed");
        assert_eq!((draft.tags, draft.expires), (vec!["a".to_owned(), "c".to_owned()], Some(4_102_444_800)));
    }

    #[test]
    fn streams_have_tiers_or_none() {
        let mut account = Account::default();
        let call = |line: &str| Call::test(&format!("edit account x {line}")).expect("call");
        streams(&call("--js-tier R1 --js-disk 1GB"), &mut account).expect("changed");
        assert_eq!(account.limits.tiered_limits["R1"].disk_storage, Limit::AtMost(1_000_000_000));
        assert!(streams(&call("--js-disk 1GB"), &mut account).is_err());
        streams(&call("--js-remove"), &mut account).expect("removed");
        streams(&call("--js-disk unlimited"), &mut account).expect("changed");
        assert_eq!(account.limits.jetstream.streams, Limit::Unlimited);
        assert!(streams(&call("--js-tier R1 --js-disk 1"), &mut account).is_err());
    }
}
