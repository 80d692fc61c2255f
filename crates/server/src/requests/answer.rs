//! Requests of the system account: the endpoints of monitoring, asked by message.
//!
//! A body in JSON says which servers are meant, and holds the endpoint's own options. The answer is an envelope of
//! `server` and `data`, or `error`.

use super::filter::Filter;
use crate::documents;
use crate::internal::Message;
use crate::monitor::options::{
    AccountStatzOptions, AccountzOptions, ConnzOptions, GatewayzOptions, HealthzOptions, IpqueueszOptions,
    JszOptions, LeafzOptions, ProfilezOptions, RoutezOptions, SubszOptions,
};
use crate::monitor::source::{Bad, Body, Source as _, same};
use crate::monitor::{
    accounts, connections, gateways, general, health, jetstream, leafs, routes, subscriptions, varz,
};
use crate::node::{Node, Publisher};
use crate::system::{about, events, publish_made, statsz as figures};
use dialtone_broker::account::Account;
use dialtone_identity::base64;
use dialtone_subject::{is_valid_filter, set};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// Why there is no data.
pub(super) enum Failure {
    /// The body cannot be understood.
    Refused(String),
    /// What was asked for is not there.
    Failed(String),
    /// Nothing is answered.
    Silent,
}

impl From<Bad> for Failure {
    fn from(Bad(why): Bad) -> Self {
        Self::Refused(why)
    }
}

/// Something that servers can be asked.
pub(super) struct Ask {
    /// What the official server calls the options, all and the endpoint's own: its errors name them.
    all: &'static str,
    own: &'static str,
    data: fn(&Arc<Node>, &Body) -> Result<Value, Failure>,
}

macro_rules! asks {
    ($($name:ident $all:literal $own:literal $data:expr;)*) => {
        $(pub(super) const $name: Ask = Ask { all: $all, own: $own, data: $data };)*
    };
}

asks! {
    VARZ "VarzEventOptions" "VarzOptions" |node, _| Ok(varz::varz(node));
    SUBSZ "SubszEventOptions" "SubszOptions" |node, body| {
        let options = SubszOptions::read(body)?;
        subscriptions::subsz(node, &options).map_err(Failure::Failed)
    };
    CONNZ "ConnzEventOptions" "ConnzOptions" |node, body| connz(node, &ConnzOptions::read(body)?);
    ROUTEZ "RoutezEventOptions" "RoutezOptions" |node, body| {
        RoutezOptions::read(body).map(|options| routes::routez(node, &options)).map_err(Failure::from)
    };
    GATEWAYZ "GatewayzEventOptions" "GatewayzOptions" |node, body| {
        GatewayzOptions::read(body).map(|options| gateways::gatewayz(node, &options)).map_err(Failure::from)
    };
    LEAFZ "LeafzEventOptions" "LeafzOptions" |node, body| {
        LeafzOptions::read(body).map(|options| leafs::leafz(node, &options)).map_err(Failure::from)
    };
    ACCOUNTZ "AccountzEventOptions" "AccountzOptions" |node, body| {
        let options = AccountzOptions::read(body)?;
        accounts::accountz(node, &options.account).map_err(Failure::Failed)
    };
    JSZ "JszEventOptions" "JSzOptions" |node, body| {
        // Who does not lead leaves the answer to who does.
        jetstream::jsz(node, &JszOptions::read(body)?).map_err(|_| Failure::Silent)
    };
    HEALTHZ "HealthzEventOptions" "HealthzOptions" |node, body| {
        Ok(health::healthz(node, &HealthzOptions::read(body)?, Instant::now()).with_code())
    };
    PROFILEZ "ProfilezEventOptions" "ProfilezOptions" |_, body| Ok(general::profilez(&ProfilezOptions::read(body)?.name));
    EXPVARZ "ExpvarzEventOptions" "ExpvarzOptions" |node, _| Ok(general::expvarz(node));
    IPQUEUESZ "IpqueueszEventOptions" "IpqueueszOptions" |node, body| {
        // The request itself is being worked at.
        Ok(general::ipqueuesz(node, &IpqueueszOptions::read(body)?, 1))
    };
    RAFTZ "RaftzEventOptions" "RaftzOptions" |_, body| AccountzOptions::read(body).map(|_| json!({})).map_err(Failure::from);
}

fn connz(node: &Node, options: &ConnzOptions) -> Result<Value, Failure> {
    if !options.filter_subject.is_empty() && options.account.is_empty() {
        return Err(Failure::Failed("filter by subject only valid with account filtering".into()));
    }
    connections::connz(node, options).map_err(Failure::Failed)
}

/// Answers a request for one of these.
pub(super) fn answer(publisher: &mut Publisher, message: &Message, ask: &Ask) {
    answer_with(publisher, message, ask.all, ask.own, ask.data);
}

/// Answers a request with what `data` makes of it, if its filter admits this server.
pub(super) fn answer_with(
    publisher: &mut Publisher,
    message: &Message,
    all: &'static str,
    own: &'static str,
    data: impl FnOnce(&Arc<Node>, &Body) -> Result<Value, Failure>,
) {
    let result = admitted(&publisher.node, message, all, own).and_then(|body| data(&publisher.node, &body));
    let server = about::server(&publisher.node);
    let answer = match result {
        Ok(data) => json!({ "server": server, "data": data }),
        Err(Failure::Failed(why)) => {
            json!({ "server": server, "data": null, "error": { "code": 500, "description": why } })
        }
        Err(Failure::Refused(why)) => refusal(&server, &why),
        Err(Failure::Silent) => return,
    };
    publisher.reply(message, answer.to_string());
}

/// The body of a request that this server is to answer.
fn admitted(node: &Node, message: &Message, all: &'static str, own: &'static str) -> Result<Body, Failure> {
    let body = Body::read(&message.payload, all, own)?;
    if Filter::read(&body)?.admits(node) { Ok(body) } else { Err(Failure::Silent) }
}

pub(super) fn refusal(server: &Value, why: &str) -> Value {
    json!({ "server": server, "error": { "code": 400, "description": why } })
}

/// How the server is doing. Without a reply subject it is published to all.
pub(super) fn statsz(publisher: &mut Publisher, message: &Message) {
    let answer = match admitted(&publisher.node, message, "StatszEventOptions", "StatszOptions") {
        Ok(_) => figures::message(&publisher.node),
        Err(Failure::Refused(why) | Failure::Failed(why)) => refusal(&about::server(&publisher.node), &why),
        Err(Failure::Silent) => return,
    };
    if message.reply.is_empty() {
        let (node, turn) = publisher.parts();
        return publish_made(
            node,
            turn,
            &format!("$SYS.SERVER.{}.STATSZ", node.settings.identity.id),
            &answer,
        );
    }
    publisher.reply(message, answer.to_string());
}

/// Which server this is. Every one answers, whatever the body says; source: nats-server 2.15.0, asked.
pub(super) fn idz(publisher: &mut Publisher, message: &Message) {
    let host = publisher.node.settings.policy().clients().info.host.clone();
    let identity = &publisher.node.settings.identity;
    let answer = json!({ "name": identity.name, "host": host, "id": identity.id });
    publisher.reply(message, answer.to_string());
}

/// The account that a request to `$SYS.REQ.ACCOUNT.<account>.…` is about.
fn about_account(message: &Message) -> String {
    message.token(3).to_owned()
}

pub(super) fn account_subsz(publisher: &mut Publisher, message: &Message) {
    let account = about_account(message);
    answer_with(publisher, message, SUBSZ.all, SUBSZ.own, |node, body| {
        let options = SubszOptions { account, list: true, ..SubszOptions::read(body)? };
        subscriptions::subsz(node, &options).map_err(Failure::Failed)
    });
}

pub(super) fn account_connz(publisher: &mut Publisher, message: &Message) {
    connz_of(publisher, message, about_account(message));
}

/// The connections of one account, whatever the body says.
fn connz_of(publisher: &mut Publisher, message: &Message, account: String) {
    answer_with(publisher, message, CONNZ.all, CONNZ.own, |node, body| {
        connz(node, &ConnzOptions { account, ..ConnzOptions::read(body)? })
    });
}

pub(super) fn account_leafz(publisher: &mut Publisher, message: &Message) {
    answer(publisher, message, &LEAFZ);
}

pub(super) fn account_jsz(publisher: &mut Publisher, message: &Message) {
    let name = about_account(message);
    answer_with(publisher, message, JSZ.all, JSZ.own, |node, body| {
        let options = JszOptions::read(body)?;
        jetstream::account_jsz(node, &name, &options).map_err(Failure::Failed)
    });
}

pub(super) fn account_info(publisher: &mut Publisher, message: &Message) {
    let name = about_account(message);
    answer_with(publisher, message, "AccInfoEventOptions", "AccountzOptions", |node, _| {
        accounts::account_info(node, &name).map_err(Failure::Failed)
    });
}

/// What is published when an account's connections change; nothing of an account without any.
pub(super) fn account_conns(publisher: &mut Publisher, message: &Message) {
    let Ok(body) = Body::read(&message.payload, "", "") else { return };
    let name = about_account(message);
    // A body that names an account must mean the same.
    if !body.text(same("acc")).is_ok_and(|named| named.is_empty() || named == name) {
        return;
    }
    let Some(account) = publisher.node.accounts.find(&name) else { return };
    let connections = account.connections();
    if connections > 0 {
        let event = documents::json(&events::connections(&publisher.node, &account, connections));
        publisher.reply(message, event.to_string());
    }
}

pub(super) fn account_statz(publisher: &mut Publisher, message: &Message) {
    let account = about_account(message);
    // That is no account: all of them are meant, and answered elsewhere.
    if account != "PING" {
        statz_of(publisher, message, vec![account]);
    }
}

/// Of all accounts, or of those that the body names.
pub(super) fn accounts_statz(publisher: &mut Publisher, message: &Message) {
    statz_of(publisher, message, Vec::new());
}

/// The traffic of some accounts, whatever the body says; of none: of those that it says. An account that nobody is in
/// is shown only if that is asked for.
fn statz_of(publisher: &mut Publisher, message: &Message, only: Vec<String>) {
    answer_with(publisher, message, "AccountStatzEventOptions", "AccountStatzOptions", |node, body| {
        let mut options = AccountStatzOptions::read(body)?;
        if !only.is_empty() {
            options.accounts = only;
        }
        let (data, told) = accounts::accstatz(node, &options);
        if told == 0 && !options.unused { Err(Failure::Silent) } else { Ok(data) }
    });
}

/// How many subscriptions of an account would get a message: `{acc, subject, queue}`, the queue in base64.
pub(super) fn subscribers_of(publisher: &mut Publisher, message: &Message) {
    let Ok(asked) = serde_json::from_slice::<Value>(&message.payload) else { return };
    let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
    let Some(account) = publisher.node.accounts.find(text("acc")) else { return };
    let Some(queue) = base64::decode_standard(text("queue")) else { return };
    let count = count(&account, text("subject").as_bytes(), &queue);
    publisher.reply(message, count.to_string());
}

/// Subscriptions of clients whose filter lies in `filter`, in this queue group or, if it is empty, in any or none.
pub(super) fn count(account: &Account, filter: &[u8], queue: &[u8]) -> usize {
    if !is_valid_filter(filter) {
        return 0;
    }
    let interest = account.interest();
    let wanted = interest.iter().filter(|subscriber| {
        let subscription = &subscriber.0;
        set::overlap(filter, subscription.filter())
            && (queue.is_empty() || subscription.queue() == Some(queue))
            && !subscription.peer().kind().is_server()
            && !subscription.peer().kind().is_in_all_accounts()
    });
    wanted.count()
}
