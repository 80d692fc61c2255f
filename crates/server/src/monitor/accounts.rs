//! `/accountz` and `/accstatz`: the tenants.

use super::general::figure;
use super::options::AccountStatzOptions;
use super::sharing;
use super::subscriptions;
use crate::clock::now;
use crate::figures::statistics;
use crate::node::Node;
use crate::resolver::Reach;
use crate::times::stamp;
use dialtone_broker::account::Account;
use dialtone_identity::jwt::{self, Body};
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// The accounts' names, or one account in detail.
///
/// Errors: there is no such account.
pub(crate) fn accountz(node: &Node, account: &str) -> Result<Value, String> {
    let mut out = Map::new();
    out.insert("server_id".into(), node.settings.identity.id.as_str().into());
    out.insert("now".into(), stamp(SystemTime::now()).into());
    if let Some(system) = node.settings.policy().system_account() {
        out.insert("system_account".into(), system.into());
    }
    match account {
        "" => {
            let names: Vec<_> = node.accounts.all().iter().map(|a| a.name.to_string()).collect();
            out.insert("accounts".into(), names.into());
        }
        name => {
            out.insert("account_detail".into(), account_info(node, name)?);
        }
    }
    Ok(out.into())
}

/// One account in detail. Others are not asked for one that is not at hand: whoever asks would have to wait for them.
///
/// Errors: there is no such account.
pub(crate) fn account_info(node: &Node, name: &str) -> Result<Value, String> {
    let account = node.accounts.find(name).or_else(|| {
        node.look_up(name, Reach::Here).ok()?;
        node.accounts.find(name)
    });
    let account = account.ok_or_else(|| format!("Account {name} does not exist"))?;
    Ok(detail(node, &account))
}

fn detail(node: &Node, account: &Account) -> Value {
    let stats = subscriptions::stats(account);
    let verified = node.accounts.jwts.find(&account.name);
    let updated =
        verified.as_ref().map_or_else(|| node.settings.config_loaded(), |verified| verified.updated);
    let mut out = Map::new();
    let set = |out: &mut Map<String, Value>, name: &str, value: Value| {
        out.insert(name.into(), value);
    };
    set(&mut out, "account_name", (*account.name).into());
    set(&mut out, "update_time", stamp(updated).into());
    if node.settings.policy().system_account().is_some_and(|system| *system == *account.name) {
        set(&mut out, "is_system", true.into());
    }
    let expired = verified.as_ref().is_some_and(|verified| verified.token.check_time(now()).is_err());
    set(&mut out, "expired", expired.into());
    set(&mut out, "complete", true.into());
    set(&mut out, "jetstream_enabled", false.into());
    set(&mut out, "leafnode_connections", 0.into());
    set(&mut out, "client_connections", account.connections().into());
    set(&mut out, "subscriptions", stats.entries.into());
    sharing::insert(node, account, &mut out);
    if let Some(verified) = &verified {
        set(&mut out, "jwt", (*verified.jwt).into());
        set(&mut out, "issuer_key", verified.token.issuer.to_string().into());
    }
    set(&mut out, "name_tag", node.accounts.name_of(&account.name).to_string().into());
    if let Some(verified) = &verified {
        if !verified.token.tags.is_empty() {
            set(&mut out, "tags", verified.token.tags.clone().into());
        }
        set(&mut out, "decoded_jwt", jwt::payload(&verified.jwt).unwrap_or_default());
        if let Body::Account(body) = &verified.token.body
            && !body.revocations.is_empty()
        {
            set(&mut out, "revoked_user", sharing::revoked(&body.revocations));
        }
    }
    let sublist = json!({
    "num_subscriptions": stats.entries, "num_cache": 0, "num_inserts": stats.inserts,
    "num_removes": stats.removes, "num_matches": 0, "cache_hit_rate": 0,
        "max_fanout": stats.fanout_max, "avg_fanout": figure(stats.fanout_average()),
    });
    set(&mut out, "sublist_stats", sublist);
    sharing::insert_responses(account, &mut out);
    out.into()
}

/// Traffic by account, and of how many accounts it is shown.
pub(crate) fn accstatz(node: &Node, options: &AccountStatzOptions) -> (Value, usize) {
    let accounts = if options.accounts.is_empty() {
        node.accounts.all()
    } else {
        options.accounts.iter().filter_map(|name| node.accounts.find(name)).collect()
    };
    let rows: Vec<Value> = accounts
        .iter()
        .filter(|a| options.unused || a.connections() > 0)
        .map(|a| statistics(&node.accounts, a, a.connections()).into())
        .collect();
    let told = rows.len();
    let value = json!({
        "server_id": node.settings.identity.id,
        "now": stamp(SystemTime::now()),
        "account_statz": rows,
    });
    (value, told)
}
