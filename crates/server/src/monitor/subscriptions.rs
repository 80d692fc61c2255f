//! `/subsz`: who subscribed to what, in the official fields and their order.

use super::options::SubszOptions;
use crate::asked_here::is_unlisted;
use crate::documents::{Head, figure, is_default, json};
use crate::internal::OWN_ID;
use crate::node::Node;
use dialtone_broker::account::Account;
use dialtone_broker::sharing::ServiceImport;
use dialtone_broker::subscription::Subscription;
use dialtone_subject::{Stats, is_valid_literal, set};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

#[derive(Serialize)]
struct Subsz {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    stats: SublistStats,
    total: usize,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<Detail>,
}

/// Figures of subscriptions. Nothing is cached, so matches are not counted.
#[derive(Serialize)]
pub(super) struct SublistStats {
    num_subscriptions: usize,
    num_cache: usize,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: u64,
    max_fanout: usize,
    avg_fanout: Value,
}

impl From<Stats> for SublistStats {
    fn from(stats: Stats) -> Self {
        Self {
            num_subscriptions: stats.entries,
            num_cache: 0,
            num_inserts: stats.inserts,
            num_removes: stats.removes,
            num_matches: 0,
            cache_hit_rate: 0,
            max_fanout: stats.fanout_max,
            avg_fanout: figure(stats.fanout_average()),
        }
    }
}

/// Subscriptions of all accounts or of one, and a list of them.
///
/// # Errors
///
/// The subject to test is invalid.
pub(crate) fn subsz(node: &Node, options: &SubszOptions) -> Result<Value, String> {
    let SubszOptions { list, window, account, test } = options;
    if !test.is_empty() && !is_valid_literal(test.as_bytes()) {
        return Err(format!("invalid test subject, must be valid publish subject: {test}"));
    }
    let accounts: Vec<_> =
        node.accounts.all().into_iter().filter(|a| account.is_empty() || *a.name == **account).collect();
    let stats = accounts.iter().map(|account| account.stats()).fold(Stats::default(), |sum, s| sum + s);
    let mut rows = Vec::new();
    if *list {
        for account in &accounts {
            let interest = account.interest();
            let wanted = interest
                .iter()
                .filter(|s| !is_unlisted(&s.0) && !s.0.peer().kind().is_relay())
                .filter(|s| test.is_empty() || set::matches(s.0.filter(), test.as_bytes()));
            rows.extend(wanted.map(|s| Detail::of(&s.0, Some(&account.name))));
            drop(interest);
            rows.extend(services(account, test));
        }
    }
    Ok(json(&Subsz {
        head: Head::new(&node.settings),
        stats: stats.into(),
        total: rows.len(),
        offset: window.offset,
        limit: window.limit,
        subscriptions_list: window.of(rows),
    }))
}

/// The services that an account takes, as subscriptions of the server in it.
fn services(account: &Account, test: &str) -> Vec<Detail> {
    let sharing = account.sharing();
    let numbered = (1..).zip(sharing.services());
    let wanted =
        numbered.filter(|(_, s)| test.is_empty() || set::matches(s.local.as_bytes(), test.as_bytes()));
    let row = |(sid, service): (u64, &Arc<ServiceImport>)| Detail {
        account: Some(account.name.to_string()),
        account_tag: Some(account.name.to_string()),
        subject: service.local.to_string(),
        qgroup: None,
        sid: sid.to_string(),
        msgs: 0,
        max: 0,
        cid: OWN_ID.0,
    };
    wanted.map(row).collect()
}

/// One subscription.
#[derive(Serialize)]
pub(super) struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_tag: Option<String>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qgroup: Option<String>,
    sid: String,
    msgs: u64,
    #[serde(skip_serializing_if = "is_default")]
    max: u64,
    cid: u64,
}

impl Detail {
    /// A subscription, with its account where the list is not one connection's.
    pub(super) fn of(subscription: &Subscription, account: Option<&str>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (subject, qgroup) = (text(subscription.filter()), subscription.queue().map(text));
        // Interest that another server announced has no number. It is told apart by what it is.
        let sid = match &qgroup {
            _ if !subscription.peer().kind().is_relay() => text(subscription.sid()),
            Some(queue) => format!("{subject} {queue}"),
            None => subject.clone(),
        };
        Self {
            account: account.map(str::to_owned),
            account_tag: account.map(str::to_owned),
            subject,
            qgroup,
            sid,
            msgs: subscription.delivered(),
            max: subscription.max().unwrap_or(0),
            cid: subscription.peer().id.0,
        }
    }

    /// One that another server has announced; `account`: unless its route is for one account alone.
    pub(super) fn of_route(subscription: &Subscription, account: Option<&str>) -> Self {
        let plain = Self::of(subscription, None);
        let words: Vec<_> = [Some("R"), account, Some(&plain.sid)].into_iter().flatten().collect();
        Self { sid: words.join(" "), ..plain }
    }

    /// The same without its maximum.
    pub(super) fn without_max(self) -> Self {
        Self { max: 0, ..self }
    }
}
