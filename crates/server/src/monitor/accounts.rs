//! `/accountz` and `/accstatz`: the tenants, in the official fields and their order.

use super::options::AccountStatzOptions;
use super::sharing::{self, Shared};
use super::subscriptions::SublistStats;
use crate::account_jwts::VerifiedAccount;
use crate::clock::now;
use crate::documents::{Head, Statistics, is_default, json};
use crate::jetstream::has_jetstream;
use crate::node::Node;
use crate::resolver::Reach;
use crate::times::stamp;
use dialtone_broker::account::Account;
use dialtone_identity::jwt::{self, Body};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Accountz {
    #[serde(flatten)]
    head: Head,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<Value>,
}

/// The accounts' names, or one account in detail.
///
/// # Errors
///
/// There is no such account.
pub(crate) fn accountz(node: &Node, account: &str) -> Result<Value, String> {
    let names = || node.accounts.all().iter().map(|account| account.name.to_string()).collect();
    Ok(json(&Accountz {
        head: Head::new(&node.settings),
        system_account: node.settings.policy().system_account().map(str::to_owned),
        accounts: account.is_empty().then(names),
        account_detail: if account.is_empty() { None } else { Some(account_info(node, account)?) },
    }))
}

/// One account in detail. Others are not asked for one that is not at hand: whoever asks would have to wait for them.
///
/// # Errors
///
/// There is no such account.
pub(crate) fn account_info(node: &Node, name: &str) -> Result<Value, String> {
    let account = node.accounts.find(name).or_else(|| {
        node.look_up(name, Reach::Here).ok()?;
        node.accounts.find(name)
    });
    let account = account.ok_or_else(|| format!("Account {name} does not exist"))?;
    Ok(json(&detail(node, &account)))
}

#[derive(Serialize)]
struct Detail {
    account_name: String,
    update_time: String,
    #[serde(skip_serializing_if = "is_default")]
    is_system: bool,
    expired: bool,
    complete: bool,
    #[serde(flatten)]
    connected: Connected,
    #[serde(flatten)]
    shared: Shared,
    #[serde(flatten)]
    issued: Issued,
    name_tag: String,
    #[serde(flatten)]
    claimed: Claimed,
    sublist_stats: SublistStats,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    responses: BTreeMap<String, sharing::Response>,
}

/// What uses the account.
#[derive(Serialize)]
struct Connected {
    jetstream_enabled: bool,
    leafnode_connections: u32,
    client_connections: u32,
    subscriptions: usize,
}

/// The token of an account, as it was issued.
#[derive(Default, Serialize)]
struct Issued {
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_key: Option<String>,
}

/// What the token of an account claims.
#[derive(Default, Serialize)]
struct Claimed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded_jwt: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    revoked_user: BTreeMap<String, String>,
}

fn detail(node: &Node, account: &Account) -> Detail {
    let policy = node.settings.policy();
    let stats = account.stats();
    let verified = node.accounts.jwts.find(&account.name);
    let verified = verified.as_deref();
    Detail {
        account_name: account.name.to_string(),
        update_time: stamp(
            verified.map_or_else(|| node.settings.config_loaded(), |verified| verified.updated),
        ),
        is_system: policy.system_account().is_some_and(|system| *system == *account.name),
        expired: verified.is_some_and(|verified| verified.token.check_time(now()).is_err()),
        complete: true,
        connected: Connected {
            jetstream_enabled: node.streams.shared().is_some() && has_jetstream(node, account),
            leafnode_connections: account.leaf_nodes.connections(),
            client_connections: account.connections(),
            subscriptions: stats.entries,
        },
        shared: sharing::shared(node, account, verified),
        issued: verified.map(issued).unwrap_or_default(),
        name_tag: node.accounts.name_of(&account.name),
        claimed: verified.map(claimed).unwrap_or_default(),
        sublist_stats: stats.into(),
        responses: sharing::responses(account),
    }
}

fn issued(verified: &VerifiedAccount) -> Issued {
    Issued { jwt: Some(verified.jwt.to_string()), issuer_key: Some(verified.token.issuer.to_string()) }
}

fn claimed(verified: &VerifiedAccount) -> Claimed {
    Claimed {
        tags: verified.token.tags.clone(),
        decoded_jwt: Some(jwt::payload(&verified.jwt).unwrap_or_default()),
        revoked_user: match &verified.token.body {
            Body::Account(body) => sharing::revoked(&body.revocations),
            _ => BTreeMap::new(),
        },
    }
}

#[derive(Serialize)]
struct Accstatz {
    #[serde(flatten)]
    head: Head,
    account_statz: Vec<Statistics>,
}

/// Traffic by account, and of how many accounts it is shown.
pub(crate) fn accstatz(node: &Node, options: &AccountStatzOptions) -> (Value, usize) {
    let accounts = if options.accounts.is_empty() {
        node.accounts.all()
    } else {
        options.accounts.iter().filter_map(|name| node.accounts.find(name)).collect()
    };
    let rows: Vec<_> = accounts
        .iter()
        .filter(|a| options.unused || a.connections() > 0)
        .map(|a| Statistics::of(&node.accounts, a, a.connections()))
        .collect();
    let shown = rows.len();
    (json(&Accstatz { head: Head::new(&node.settings), account_statz: rows }), shown)
}
