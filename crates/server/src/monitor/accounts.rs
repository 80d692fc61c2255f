//! `/accountz` and `/accstatz`: the tenants.

use super::times::stamp;
use super::{Answer, BadQuery, Query, sharing};
use crate::shared::Shared;
use crate::tokens::clock::now;
use dialtone_broker::account::Account;
use dialtone_identity::jwt;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// The accounts' names, or one account in detail.
pub(super) fn accountz(shared: &Arc<Shared>, query: &Query) -> Result<Answer, BadQuery> {
    let mut out = json!({ "server_id": shared.identity.id, "now": stamp(SystemTime::now()) });
    let Some(object) = out.as_object_mut() else { return Ok(Answer::json(&out)) };
    if let Some(system) = shared.system_account() {
        object.insert("system_account".into(), system.into());
    }
    match query.text("acc") {
        "" => {
            let names: Vec<_> = shared.accounts().iter().map(|a| a.name.to_string()).collect();
            object.insert("accounts".into(), names.into());
        }
        name => {
            let account = shared.account(name).or_else(|| {
                shared.look_up(name).ok()?;
                shared.account(name)
            });
            let account = account.ok_or_else(|| BadQuery(format!("Account {name} does not exist")))?;
            object.insert("account_detail".into(), detail(shared, &account));
        }
    }
    Ok(Answer::json(&out))
}

fn detail(shared: &Shared, account: &Account) -> Value {
    let stats = account.interest().stats();
    let believed = shared.tokens.find(&account.name);
    let updated = believed.as_ref().map_or_else(|| shared.config_loaded(), |believed| believed.updated);
    let mut out = Map::new();
    let set = |out: &mut Map<String, Value>, name: &str, value: Value| {
        out.insert(name.into(), value);
    };
    set(&mut out, "account_name", (*account.name).into());
    set(&mut out, "update_time", stamp(updated).into());
    if shared.system_account().is_some_and(|system| *system == *account.name) {
        set(&mut out, "is_system", true.into());
    }
    let expired = believed.as_ref().is_some_and(|believed| believed.token.check_time(now()).is_err());
    set(&mut out, "expired", expired.into());
    set(&mut out, "complete", true.into());
    set(&mut out, "jetstream_enabled", false.into());
    set(&mut out, "leafnode_connections", 0.into());
    set(&mut out, "client_connections", account.connections().into());
    set(&mut out, "subscriptions", stats.entries.into());
    sharing::insert(shared, account, &mut out);
    if let Some(believed) = &believed {
        set(&mut out, "jwt", (*believed.jwt).into());
        set(&mut out, "issuer_key", believed.token.issuer.to_string().into());
    }
    set(&mut out, "name_tag", shared.name_of(&account.name).to_string().into());
    if let Some(believed) = &believed {
        if !believed.token.tags.is_empty() {
            set(&mut out, "tags", believed.token.tags.clone().into());
        }
        set(&mut out, "decoded_jwt", jwt::payload(&believed.jwt).unwrap_or_default());
    }
    let sublist = json!({
        "num_subscriptions": stats.entries, "num_cache": 0, "num_inserts": stats.inserts,
        "num_removes": stats.removes, "num_matches": 0, "cache_hit_rate": 0,
        "max_fanout": stats.fanout_max, "avg_fanout": stats.fanout_average(),
    });
    set(&mut out, "sublist_stats", sublist);
    sharing::insert_responses(account, &mut out);
    out.into()
}

/// Traffic by account; with `unused`, of those that nobody is in too.
pub(super) fn accstatz(shared: &Arc<Shared>, query: &Query) -> Result<Answer, BadQuery> {
    let unused = query.flag("unused")?;
    let accounts = shared.accounts();
    let rows: Vec<Value> = accounts
        .iter()
        .filter(|a| unused || a.connections() > 0)
        .map(|a| statistics(a, &shared.name_of(&a.name)))
        .collect();
    Ok(Answer::json(&json!({
        "server_id": shared.identity.id,
        "now": stamp(SystemTime::now()),
        "account_statz": rows,
    })))
}

fn statistics(account: &Account, name: &str) -> Value {
    let traffic = account.counters.read();
    let side = |msgs: u64, bytes: u64| {
        let none = json!({ "msgs": 0, "bytes": 0 });
        json!({ "msgs": msgs, "bytes": bytes, "gateways": none, "routes": none, "leafs": none })
    };
    json!({
        "acc": account.name,
        "name": name,
        "conns": account.connections(),
        "leafnodes": 0,
        "total_conns": account.connections(),
        "num_subscriptions": account.interest().len(),
        "sent": side(traffic.out_msgs, traffic.out_bytes),
        "received": side(traffic.in_msgs, traffic.in_bytes),
        "slow_consumers": 0,
    })
}
