//! What accounts and users used, published at an interval: `$SYS.ACCOUNT.<id>.USAGE`, for billing. Dialtone's own.

use super::{about, publish_made};
use crate::connections::Connections;
use crate::documents::{EventHead, Sum, json, nanos};
use crate::internal::Timer;
use crate::node::{Executor, Node};
use crate::times::stamp;
use crate::usage::{AccountUsage, ConnectionState, CountFrom, Used, User};
use serde::Serialize;
use serde_json::Value;
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
        let span = executor.node.settings.policy().options.operation.usage.interval;
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
        publish_made(node, turn, &format!("$SYS.ACCOUNT.{account}.USAGE"), &record);
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
    json(&Record {
        head: EventHead::new(TYPE, end),
        server: about::server(node),
        account,
        start: stamp(start),
        end: stamp(end),
        last: then == Then::Last,
        figures: Figures::of(&used.total()),
        users: used.users.iter().map(UserFigures::of).collect(),
        other_users: used.others.as_ref().map(Figures::of),
    })
}

/// The type of the event.
const TYPE: &str = "io.dialtone.server.advisory.v1.usage";

/// What an account used in an interval.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    head: EventHead,
    server: Value,
    account: &'a str,
    start: String,
    end: String,
    last: bool,
    #[serde(flatten)]
    figures: Figures,
    users: Vec<UserFigures<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_users: Option<Figures>,
}

/// What a user used.
#[derive(Serialize)]
struct UserFigures<'a> {
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    figures: Figures,
}

impl<'a> UserFigures<'a> {
    fn of((user, used): (&'a User, &Used)) -> Self {
        Self { user: &user.id, name: user.name.as_deref(), figures: Figures::of(used) }
    }
}

#[derive(Serialize)]
struct Figures {
    connections: u64,
    connects: u64,
    disconnects: u64,
    connected_ns: u64,
    received: Sum,
    sent: Sum,
    refused_msgs: u64,
}

impl Figures {
    fn of(used: &Used) -> Self {
        let traffic = &used.traffic;
        Self {
            connections: used.connections,
            connects: used.connects,
            disconnects: used.disconnects,
            connected_ns: nanos(used.connected),
            received: Sum { msgs: traffic.in_msgs, bytes: traffic.in_bytes },
            sent: Sum { msgs: traffic.out_msgs, bytes: traffic.out_bytes },
            refused_msgs: used.refused_msgs,
        }
    }
}
