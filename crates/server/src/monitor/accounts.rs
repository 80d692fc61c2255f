//! `/accountz` and `/accstatz`: the tenants.

use super::general::figure;
use super::options::AccountStatzOptions;
use super::sharing;
use super::subscriptions;
use crate::clock::now;
use crate::shared::Shared;
use crate::times::stamp;
use crate::trust::resolver::Reach;
use dialtone_broker::account::Account;
use dialtone_identity::jwt::{self, Body};
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// The accounts' names, or one account in detail.
///
/// Errors: there is no such account.
pub(crate) fn accountz(shared: &Shared, account: &str) -> Result<Value, String> {
    let mut out = Map::new();
    out.insert("server_id".into(), shared.identity.id.as_str().into());
    out.insert("now".into(), stamp(SystemTime::now()).into());
    if let Some(system) = shared.system_account() {
        out.insert("system_account".into(), system.into());
    }
    match account {
        "" => {
            let names: Vec<_> = shared.accounts().iter().map(|a| a.name.to_string()).collect();
            out.insert("accounts".into(), names.into());
        }
        name => {
            out.insert("account_detail".into(), account_info(shared, name)?);
        }
    }
    Ok(out.into())
}

/// One account in detail. Others are not asked for one that is not at hand: whoever asks would have to wait for them.
///
/// Errors: there is no such account.
pub(crate) fn account_info(shared: &Shared, name: &str) -> Result<Value, String> {
    let account = shared.account(name).or_else(|| {
        shared.look_up(name, Reach::Here).ok()?;
        shared.account(name)
    });
    let account = account.ok_or_else(|| format!("Account {name} does not exist"))?;
    Ok(detail(shared, &account))
}

fn detail(shared: &Shared, account: &Account) -> Value {
    let stats = subscriptions::stats(account);
    let verified = shared.account_jwts.find(&account.name);
    let updated = verified.as_ref().map_or_else(|| shared.config_loaded(), |verified| verified.updated);
    let mut out = Map::new();
    let set = |out: &mut Map<String, Value>, name: &str, value: Value| {
        out.insert(name.into(), value);
    };
    set(&mut out, "account_name", (*account.name).into());
    set(&mut out, "update_time", stamp(updated).into());
    if shared.system_account().is_some_and(|system| *system == *account.name) {
        set(&mut out, "is_system", true.into());
    }
    let expired = verified.as_ref().is_some_and(|verified| verified.token.check_time(now()).is_err());
    set(&mut out, "expired", expired.into());
    set(&mut out, "complete", true.into());
    set(&mut out, "jetstream_enabled", false.into());
    set(&mut out, "leafnode_connections", 0.into());
    set(&mut out, "client_connections", account.connections().into());
    set(&mut out, "subscriptions", stats.entries.into());
    sharing::insert(shared, account, &mut out);
    if let Some(verified) = &verified {
        set(&mut out, "jwt", (*verified.jwt).into());
        set(&mut out, "issuer_key", verified.token.issuer.to_string().into());
    }
    set(&mut out, "name_tag", shared.name_of(&account.name).to_string().into());
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
pub(crate) fn accstatz(shared: &Shared, options: &AccountStatzOptions) -> (Value, usize) {
    let accounts = if options.accounts.is_empty() {
        shared.accounts()
    } else {
        options.accounts.iter().filter_map(|name| shared.account(name)).collect()
    };
    let rows: Vec<Value> = accounts
        .iter()
        .filter(|a| options.unused || a.connections() > 0)
        .map(|a| statistics(shared, a, a.connections()).into())
        .collect();
    let told = rows.len();
    let value = json!({
        "server_id": shared.identity.id,
        "now": stamp(SystemTime::now()),
        "account_statz": rows,
    });
    (value, told)
}

/// An account with so many connections: its traffic and its size.
pub(crate) fn statistics(shared: &Shared, account: &Account, connections: u32) -> Map<String, Value> {
    let traffic = account.counters.read();
    let side = |msgs: u64, bytes: u64| {
        let none = json!({ "msgs": 0, "bytes": 0 });
        json!({ "msgs": msgs, "bytes": bytes, "gateways": none, "routes": none, "leafs": none })
    };
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        out.insert(key.into(), value);
    };
    set("acc", (*account.name).into());
    set("name", shared.name_of(&account.name).to_string().into());
    set("conns", connections.into());
    set("leafnodes", 0.into());
    set("total_conns", connections.into());
    set("num_subscriptions", account.subscriptions().into());
    set("sent", side(traffic.out_msgs, traffic.out_bytes));
    set("received", side(traffic.in_msgs, traffic.in_bytes));
    set("slow_consumers", account.slow_consumers.load(Ordering::Relaxed).into());
    out
}
