//! `/subsz`: who subscribed to what.

use super::general::figure;
use super::options::SubszOptions;
use crate::internal::OWN_ID;
use crate::node::Node;
use crate::system;
use crate::times::stamp;
use dialtone_broker::account::Account;
use dialtone_broker::sharing::ServiceImport;
use dialtone_broker::subscription::Subscription;
use dialtone_subject::{Stats, is_valid_literal, set};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// Subscriptions of all accounts or of one, and a list of them.
///
/// Errors: the subject to test is invalid.
pub(crate) fn subsz(node: &Node, options: &SubszOptions) -> Result<Value, String> {
    let SubszOptions { list, window, account, test } = options;
    if !test.is_empty() && !is_valid_literal(test.as_bytes()) {
        return Err(format!("invalid test subject, must be valid publish subject: {test}"));
    }
    let accounts: Vec<_> =
        node.accounts.all().into_iter().filter(|a| account.is_empty() || *a.name == **account).collect();
    let stats =
        accounts.iter().map(|account| stats(account)).fold(Default::default(), |sum: Stats, s| sum + s);
    let mut rows = Vec::new();
    if *list {
        for account in &accounts {
            let interest = account.interest();
            let wanted = interest
                .iter()
                .filter(|s| !system::is_unlisted(&s.0))
                .filter(|s| test.is_empty() || set::matches(s.0.filter(), test.as_bytes()));
            rows.extend(wanted.map(|s| detail(&s.0, Some(&account.name))));
            drop(interest);
            rows.extend(services(account, test));
        }
    }
    let mut out = json!({
        "server_id": node.settings.identity.id,
        "now": stamp(SystemTime::now()),
        "num_subscriptions": stats.entries,
        "num_cache": 0,
        "num_inserts": stats.inserts,
        "num_removes": stats.removes,
        "num_matches": 0,
        "cache_hit_rate": 0,
        "max_fanout": stats.fanout_max,
            "avg_fanout": figure(stats.fanout_average()),
            "total": rows.len(),
        "offset": window.offset,
        "limit": window.limit,
    });
    let shown = window.of(rows);
    if let Some(object) = out.as_object_mut()
        && !shown.is_empty()
    {
        object.insert("subscriptions_list".into(), shown.into());
    }
    Ok(out)
}

/// Figures of an account's subscriptions; a service that it takes counts as one.
pub(super) fn stats(account: &Account) -> Stats {
    let stats = account.interest().stats();
    let services = account.sharing().services_len();
    let unlisted = account.unlisted();
    Stats {
        entries: (stats.entries + services).saturating_sub(unlisted),
        filters: (stats.filters + services).saturating_sub(unlisted),
        inserts: (stats.inserts + services as u64).saturating_sub(unlisted as u64),
        fanout_max: stats.fanout_max.max(services.min(1)),
        ..stats
    }
}

/// The services that an account takes, as subscriptions of the server in it.
fn services(account: &Account, test: &str) -> Vec<Value> {
    let sharing = account.sharing();
    let numbered = (1..).zip(sharing.services());
    let wanted =
        numbered.filter(|(_, s)| test.is_empty() || set::matches(s.local.as_bytes(), test.as_bytes()));
    let row = |(sid, service): (u64, &Arc<ServiceImport>)| {
        json!({
            "account": account.name, "account_tag": account.name, "subject": *service.local,
            "sid": sid.to_string(), "msgs": 0, "cid": OWN_ID.0,
        })
    };
    wanted.map(row).collect()
}

/// A subscription, with its account where the list is not one connection's.
pub(super) fn detail(subscription: &Subscription, account: Option<&str>) -> Value {
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
    let mut out = Map::new();
    if let Some(account) = account {
        out.insert("account".into(), account.into());
        out.insert("account_tag".into(), account.into());
    }
    out.insert("subject".into(), text(subscription.filter()));
    if let Some(queue) = subscription.queue() {
        out.insert("qgroup".into(), text(queue));
    }
    out.insert("sid".into(), text(subscription.sid()));
    out.insert("msgs".into(), subscription.delivered().into());
    if let Some(max) = subscription.max() {
        out.insert("max".into(), max.into());
    }
    out.insert("cid".into(), subscription.peer().id.0.into());
    Value::Object(out)
}
