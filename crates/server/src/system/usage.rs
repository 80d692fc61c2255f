//! What accounts and users used, told again and again: `$SYS.ACCOUNT.<id>.USAGE`, for billing. Dialtone's own.

use super::{about, publish_event};
use crate::connections::Connections;
use crate::internal::Timer;
use crate::node::{Executor, Node};
use crate::times::stamp;
use crate::usage::{AccountUsage, ConnectionState, CountFrom, Used};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The interval that is under way.
pub(crate) struct Interval {
    start: SystemTime,
    span: Duration,
    timer: Timer,
}

/// Whether another record comes after one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Next,
    Last,
}

/// Takes over the interval of the configuration, at once. What was used until then is published, if there was an interval.
pub(crate) fn renew(node: &Arc<Node>) {
    node.internal.run(|executor| {
        let span = executor.node.settings.policy().options.usage_interval;
        if span != executor.state.usage.as_ref().map(|interval| interval.span) {
            let ended = end(executor, if span.is_some() { Then::Next } else { Then::Last });
            begin(executor, span, ended);
        }
    });
}

/// Publishes what was used since the last record, and ends it.
pub(super) fn finish(executor: &mut Executor) {
    end(executor, Then::Last);
}

/// Begins an interval, where another one ended or at once.
fn begin(executor: &mut Executor, span: Option<Duration>, ended: Option<SystemTime>) {
    let Some(span) = span else { return };
    if !executor.node.connections.usage.is_on() {
        executor.node.connections.usage.switch(true);
        for session in executor.node.connections.registry.open() {
            session.begin_use(executor.now(), CountFrom::Now);
        }
        // Of connections that counted some time ago, what they used since does not count.
        settle(&executor.node.connections);
        executor.node.connections.usage.take();
    }
    wait(executor, span, ended.unwrap_or_else(SystemTime::now));
}

fn wait(executor: &mut Executor, span: Duration, start: SystemTime) {
    let timer = executor.after(span, move |executor| {
        executor.state.usage = None;
        let end = broadcast(executor, start, Then::Next);
        wait(executor, span, end);
    });
    executor.state.usage = Some(Interval { start, span, timer });
}

/// Ends the interval before its time. When that was, if there is one.
fn end(executor: &mut Executor, then: Then) -> Option<SystemTime> {
    let interval = executor.state.usage.take()?;
    executor.cancel(interval.timer);
    let ended = broadcast(executor, interval.start, then);
    if then == Then::Last {
        // Not before: who left meanwhile would be in no record.
        executor.node.connections.usage.switch(false);
    }
    Some(ended)
}

/// Publishes what was used since `start`, a record for each account. When that was.
fn broadcast(executor: &mut Executor, start: SystemTime, then: Then) -> SystemTime {
    settle(&executor.node.connections);
    let end = SystemTime::now();
    let (node, turn) = executor.parts();
    for (account, used) in node.connections.usage.take() {
        let record = record(node, &account, &used, (start, end), then);
        publish_event(&node.accounts, turn, &format!("$SYS.ACCOUNT.{account}.USAGE"), &record);
    }
    end
}

/// Adds up what all connections used until now.
fn settle(connections: &Connections) {
    let now = Instant::now();
    for session in connections.registry.open() {
        session.settle(&connections.usage, now, ConnectionState::Connected);
    }
}

fn record(
    node: &Node,
    account: &str,
    used: &AccountUsage,
    (start, end): (SystemTime, SystemTime),
    then: Then,
) -> Value {
    let mut record = about::event("usage", end);
    record.insert("type".into(), "io.dialtone.server.advisory.v1.usage".into());
    record.insert("server".into(), about::server(&node.settings, &node.monitoring));
    record.insert("account".into(), account.into());
    record.insert("start".into(), stamp(start).into());
    record.insert("end".into(), stamp(end).into());
    record.insert("last".into(), (then == Then::Last).into());
    record.extend(figures(&used.total()));
    let users = used.users.iter().map(|(user, used)| {
        let mut row = Map::new();
        row.insert("user".into(), (*user.id).into());
        if let Some(name) = &user.name {
            row.insert("name".into(), (**name).into());
        }
        row.extend(figures(used));
        Value::Object(row)
    });
    record.insert("users".into(), users.collect());
    if let Some(others) = &used.others {
        record.insert("other_users".into(), Value::Object(figures(others)));
    }
    record.into()
}

fn figures(used: &Used) -> Map<String, Value> {
    let traffic = &used.traffic;
    let mut out = Map::new();
    out.insert("connections".into(), used.connections.into());
    out.insert("connects".into(), used.connects.into());
    out.insert("disconnects".into(), used.disconnects.into());
    out.insert("connected_ns".into(), (used.connected.as_nanos() as u64).into());
    out.insert("received".into(), json!({ "msgs": traffic.in_msgs, "bytes": traffic.in_bytes }));
    out.insert("sent".into(), json!({ "msgs": traffic.out_msgs, "bytes": traffic.out_bytes }));
    out.insert("refused_msgs".into(), used.refused_msgs.into());
    out
}
