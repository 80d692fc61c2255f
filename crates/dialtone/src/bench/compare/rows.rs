//! The table of rows: what is measured and what our server is to reach.

use super::super::mqtt::Mqtt;
use super::super::scenario::Scenario;
use super::super::shape::{Pace, Shape};
use super::super::stored::{How, Stored, Work as StreamWork};
use super::network::Link;
use super::server::Setup;

/// Payload where a row names none, in bytes.
const SIZE: usize = 128;
/// Connections of the idle row.
const IDLE_CONNECTIONS: usize = 4_000;
/// Subscriptions of the routing row: a few, then many.
const FEW_SUBSCRIPTIONS: usize = 1_000;
const MANY_SUBSCRIPTIONS: usize = 1_000_000;

/// How much longer rows are measured whose highest latencies count.
pub const LONG: u32 = 4;

/// One row.
pub struct Row {
    /// What `--rows` calls it.
    pub name: &'static str,
    /// What the tables call it.
    pub title: &'static str,
    /// What is done.
    pub work: Work,
    /// What is to be reached.
    pub goals: &'static [Goal],
}

/// How a row's sample is taken.
pub enum Work {
    /// A load, and the CPU time each message costs the server.
    Load(fn() -> Scenario),
    /// The same, measured [`LONG`] times as long: one late wake-up in a thousand makes the highest latencies.
    LongLoad(fn() -> Scenario),
    /// The same over TLS.
    LoadOverTls(fn() -> Scenario),
    /// The same over WebSocket.
    LoadOverWebSocket {
        /// What is done.
        scenario: fn() -> Scenario,
        /// Both sides compress.
        compression: bool,
    },
    /// The same with those who receive in another account, which imports it. Beside the same load within one account it
    /// shows what the border costs.
    Imported(fn() -> Scenario),
    /// The same with a user who is known by a JWT.
    Signed(fn() -> Scenario),
    /// The same with a stream.
    Stored {
        /// What is done.
        scenario: fn() -> Scenario,
        /// The official server, too, acknowledges only what it has synced.
        synced: bool,
    },
    /// The same with clients of MQTT.
    Mqtt(fn() -> Scenario),
    /// Connections of MQTT that only wait: memory.
    IdleMqtt {
        /// How many.
        connections: usize,
    },
    /// The publishers of a load at one server, its subscribers at another; the CPU time is that of all servers.
    Across {
        /// What is between them.
        link: Link,
        /// What is done.
        scenario: fn() -> Scenario,
        /// Measured [`LONG`] times as long.
        long: bool,
    },
    /// Many subscriptions at a server, then another one that joins it in a cluster: how long it takes until that knows them.
    Joining {
        /// How many.
        subscriptions: usize,
    },
    /// Nothing but to start with such a configuration: CPU time and memory.
    Loading(Setup),
    /// Connections that only wait: memory.
    Idle {
        /// How many.
        connections: usize,
    },
    /// The same over WebSocket.
    IdleWebSocket {
        /// How many.
        connections: usize,
    },
    /// Few subscriptions, then many: memory, and the cost of a message with each.
    Subscriptions {
        /// How many first.
        few: usize,
        /// How many then.
        many: usize,
    },
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Server CPU time a message, in nanoseconds.
    Cpu,
    /// The same with few subscriptions.
    CpuFew,
    /// [`Figure::Cpu`] over [`Figure::CpuFew`].
    Growth,
    /// Messages a second.
    Rate,
    /// Latencies, in nanoseconds.
    P50,
    /// See [`Figure::P50`].
    P99,
    /// See [`Figure::P50`].
    P999,
    /// From the start of a server until it knows what clients of another one want, in nanoseconds.
    Joined,
    /// CPU time from start to listening, in nanoseconds.
    StartTime,
    /// Resident memory at start, in bytes.
    StartMemory,
    /// Resident memory at the end of the load, in bytes.
    Memory,
    /// Memory of each connection or subscription, in bytes.
    MemoryEach,
    /// Cores that others kept busy meanwhile: where it is not near zero, latencies say little.
    OtherLoad,
}

/// A bound on a figure.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Ours over the official server's, at most.
    Ratio(Figure, f64),
    /// Ours over the official server's, at least.
    AtLeast(Figure, f64),
    /// Ours, at most.
    AtMost(Figure, f64),
}

impl Goal {
    /// What is bounded.
    pub fn figure(self) -> Figure {
        match self {
            Goal::Ratio(figure, _) | Goal::AtLeast(figure, _) | Goal::AtMost(figure, _) => figure,
        }
    }
}

/// Latencies better than the official server's.
const CALM: &[Goal] = &[
    Goal::Ratio(Figure::Cpu, 0.50),
    Goal::Ratio(Figure::P50, 1.0),
    Goal::Ratio(Figure::P99, 1.0),
    Goal::Ratio(Figure::P999, 1.0),
];

/// A configuration takes half of what it takes the official server.
const LIGHT: &[Goal] = &[Goal::Ratio(Figure::StartTime, 0.5), Goal::Ratio(Figure::StartMemory, 0.5)];

/// All rows.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { name: "pub-16", title: "publish, 16 B", work: Work::Load(|| publish(16)), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "pub-128", title: "publish", work: Work::Load(|| publish(SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "1:1-16", title: "1:1, 16 B", work: Work::Load(|| fan_out(1, 16)), goals: &[Goal::Ratio(Figure::Cpu, 0.25)] },
    Row { name: "1:1-128", title: "1:1", work: Work::Load(|| fan_out(1, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.35)] },
    Row { name: "fanout-10", title: "fan-out 1:10", work: Work::Load(|| fan_out(10, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "fanout-100", title: "fan-out 1:100", work: Work::Load(|| fan_out(100, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "fanout-1000", title: "fan-out 1:1000", work: Work::Load(|| fan_out(1000, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "steady-alone", title: "steady 20 k msg/s, 1:1", work: Work::LongLoad(|| Scenario::Flow(steady())), goals: CALM },
    Row { name: "steady-beside", title: "the same beside a fan-out", work: Work::LongLoad(steady_beside_fan_out), goals: &CALM_BESIDE },
    Row { name: "fanin", title: "fan-in 8:1", work: Work::Load(|| Scenario::Flow(Shape { publishers: 8, ..Shape::fan_out(1, SIZE) })), goals: &[Goal::Ratio(Figure::Cpu, 0.35)] },
    Row { name: "pairs", title: "8 pairs", work: Work::Load(|| Scenario::Flow(Shape { channels: 8, ..Shape::fan_out(1, SIZE) })), goals: &[Goal::Ratio(Figure::Cpu, 0.35)] },
    Row { name: "queue", title: "queue 1:8", work: Work::Load(queue), goals: &[Goal::Ratio(Figure::Cpu, 0.35)] },
    Row { name: "chatty", title: "100 chatty pairs, 100 k msg/s", work: Work::Load(chatty), goals: &[Goal::Ratio(Figure::Cpu, 0.70)] },
    Row { name: "request-1", title: "request/reply, 1 requester", work: Work::Load(|| request(1)), goals: &[Goal::Ratio(Figure::Cpu, 0.65)] },
    Row { name: "request-64", title: "request/reply, 64 requesters", work: Work::Load(|| request(64)), goals: &[Goal::Ratio(Figure::Cpu, 0.65)] },
    Row { name: "request-256", title: "request/reply, 256 requesters", work: Work::Load(|| request(256)), goals: &[Goal::Ratio(Figure::Cpu, 0.65)] },
    Row { name: "churn", title: "subscribe, publish, unsubscribe", work: Work::Load(|| Scenario::Churn { connections: 4, size: SIZE }), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "import-1:1", title: "1:1 over a stream import", work: Work::Imported(|| fan_out(1, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "import-request", title: "request/reply over a service import, 64 requesters", work: Work::Imported(|| request(64)), goals: &[Goal::Ratio(Figure::Cpu, 0.65)] },
    Row { name: "load-imports", title: "start with 10 k streams and 10 k services imported", work: Work::Loading(Setup::Imports(10_000)), goals: LIGHT },
    Row { name: "load-accounts", title: "start with 10 k accounts of 10 users", work: Work::Loading(Setup::ManyAccounts(10_000)), goals: LIGHT },
    Row { name: "connect-jwt", title: "connect with a JWT, and leave: a connection counts as a message", work: Work::Signed(|| Scenario::Connect), goals: &[Goal::Ratio(Figure::Cpu, 0.50)] },
    Row { name: "tls", title: "1:1 over TLS", work: Work::LoadOverTls(|| fan_out(1, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.60)] },
    Row { name: "idle", title: "idle connections", work: Work::Idle { connections: IDLE_CONNECTIONS }, goals: &[
        Goal::AtMost(Figure::MemoryEach, 4096.0), Goal::AtMost(Figure::StartMemory, 8.0 * 1024.0 * 1024.0)] },
    Row { name: "ws-pub", title: "publish over WebSocket", work: web_socket(|| publish(SIZE), false), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "ws-1:1", title: "1:1 over WebSocket", work: web_socket(|| fan_out(1, SIZE), false), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "ws-steady", title: "the same, each message by itself", work: web_socket(|| Scenario::Flow(steady()), false), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "ws-deflate", title: "1:1 over WebSocket, compressed", work: web_socket(|| fan_out(1, SIZE), true), goals: &[Goal::Ratio(Figure::Cpu, 0.80)] },
    Row { name: "ws-deflate-steady", title: "the same, each message by itself", work: web_socket(|| Scenario::Flow(steady()), true), goals: &[Goal::Ratio(Figure::Cpu, 0.80)] },
    Row { name: "ws-idle", title: "idle WebSocket connections", work: Work::IdleWebSocket { connections: IDLE_CONNECTIONS }, goals: &[Goal::AtMost(Figure::MemoryEach, 6144.0)] },
    Row { name: "route-1:1-16", title: "1:1 over a route, 16 B", work: across(Link::Route, || fan_out(1, 16)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "route-1:1-128", title: "1:1 over a route", work: across(Link::Route, || fan_out(1, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "route-fanout", title: "fan-out 1:100 behind a route", work: across(Link::Route, || fan_out(100, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "route-request", title: "request/reply over a route, 64 requesters", work: across(Link::Route, || request(64)), goals: &[Goal::Ratio(Figure::Cpu, 0.65)] },
    Row { name: "route-steady", title: "steady 20 k msg/s over a route", work: Work::Across { link: Link::Route, scenario: || Scenario::Flow(steady()), long: true }, goals: &[
        Goal::Ratio(Figure::P50, 1.0), Goal::Ratio(Figure::P99, 1.0)] },
    Row { name: "route-churn", title: "subscribe, publish, unsubscribe with two routes", work: across(Link::TwoRoutes, || Scenario::Churn { connections: 4, size: SIZE }), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "route-s2-1:1", title: "1:1 over a route with s2_fast", work: across(Link::CompressedRoute, || fan_out(1, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.60)] },
    Row { name: "route-s2-fanout", title: "fan-out 1:100 behind a route with s2_fast", work: across(Link::CompressedRoute, || fan_out(100, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.60)] },
    Row { name: "route-join", title: "a server joins one with 1 M subscriptions", work: Work::Joining { subscriptions: MANY_SUBSCRIPTIONS }, goals: &[
        Goal::Ratio(Figure::Joined, 0.5), Goal::Ratio(Figure::Memory, 0.5)] },
    Row { name: "leaf-1:1-16", title: "1:1 over a leaf connection, 16 B", work: across(Link::Leaf, || fan_out(1, 16)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "leaf-1:1-128", title: "1:1 over a leaf connection", work: across(Link::Leaf, || fan_out(1, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "leaf-fanout", title: "fan-out 1:100 behind a leaf connection", work: across(Link::Leaf, || fan_out(100, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "leaf-request", title: "request/reply over a leaf connection, 64 requesters", work: across(Link::Leaf, || request(64)), goals: &[Goal::Ratio(Figure::Cpu, 0.65)] },
    Row { name: "leaf-steady", title: "steady 20 k msg/s over a leaf connection", work: Work::Across { link: Link::Leaf, scenario: || Scenario::Flow(steady()), long: true }, goals: &[
        Goal::Ratio(Figure::P50, 1.0), Goal::Ratio(Figure::P99, 1.0)] },
    Row { name: "gateway-1:1-16", title: "1:1 over a gateway, 16 B", work: across(Link::Gateway, || fan_out(1, 16)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "gateway-1:1-128", title: "1:1 over a gateway", work: across(Link::Gateway, || fan_out(1, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "gateway-fanout", title: "fan-out 1:100 behind a gateway", work: across(Link::Gateway, || fan_out(100, SIZE)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "gateway-request", title: "request/reply over a gateway, 64 requesters", work: across(Link::Gateway, || request(64)), goals: &[Goal::Ratio(Figure::Cpu, 0.65)] },
    Row { name: "gateway-steady", title: "steady 20 k msg/s over a gateway", work: Work::Across { link: Link::Gateway, scenario: || Scenario::Flow(steady()), long: true }, goals: &[
        Goal::Ratio(Figure::P50, 1.0), Goal::Ratio(Figure::P99, 1.0)] },
    Row { name: "js-file", title: "publish to a file stream, many under way", work: stored(|| publish_stored(false, SIZE, 1)), goals: &[Goal::Ratio(Figure::Cpu, 0.40), Goal::AtLeast(Figure::Rate, 1.5)] },
    Row { name: "js-file-64k", title: "the same, 64 KiB", work: stored(|| publish_stored(false, 64 * 1024, 1)), goals: &[Goal::Ratio(Figure::Cpu, 1.0)] },
    Row { name: "js-memory", title: "publish to a stream in memory", work: stored(|| publish_stored(true, SIZE, 1)), goals: &[Goal::Ratio(Figure::Cpu, 0.35)] },
    Row { name: "js-sync-1", title: "publish and wait, 1 publisher, both synced", work: synced(|| put(1)), goals: SYNCED },
    Row { name: "js-sync-16", title: "the same, 16 publishers", work: synced(|| put(16)), goals: SYNCED },
    Row { name: "js-sync-256", title: "the same, 256 publishers", work: synced(|| put(256)), goals: &[
        Goal::Ratio(Figure::P50, 1.0), Goal::Ratio(Figure::P99, 1.5), Goal::AtLeast(Figure::Rate, 8.0)] },
    Row { name: "js-pull", title: "consume by pull", work: stored(|| consume(How::Pull)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "js-pull-ack", title: "the same, each message acknowledged", work: stored(|| consume(How::PullAndAcknowledge)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "js-push", title: "consume by push", work: stored(|| consume(How::Push)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "js-ordered", title: "consume in order", work: stored(|| consume(How::Ordered)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "js-get", title: "direct get, 64 requesters", work: stored(|| Scenario::Stored(Stored { in_memory: false, size: SIZE, work: StreamWork::Get { requesters: 64 } })), goals: &[Goal::Ratio(Figure::Cpu, 0.45)] },
    Row { name: "js-put", title: "put a key and wait, 64 publishers", work: stored(|| put(64)), goals: &[Goal::Ratio(Figure::Cpu, 0.45)] },
    Row { name: "mqtt-1:1", title: "MQTT of QoS 0, 1:1", work: mqtt(|| mqtt_flow(1, 0)), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "mqtt-fanout", title: "MQTT of QoS 0, fan-out 1:100", work: mqtt(|| mqtt_flow(100, 0)), goals: &[Goal::Ratio(Figure::Cpu, 0.30)] },
    Row { name: "mqtt-qos1", title: "MQTT of QoS 1, 1:1, sessions that last", work: mqtt(|| mqtt_flow(1, 1)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "mqtt-connect", title: "connect by MQTT, and leave: a connection counts as a message", work: mqtt(|| Scenario::Mqtt(Mqtt::Storm)), goals: &[Goal::Ratio(Figure::Cpu, 0.40)] },
    Row { name: "mqtt-idle", title: "idle MQTT connections with a subscription", work: Work::IdleMqtt { connections: IDLE_CONNECTIONS }, goals: &[Goal::AtMost(Figure::MemoryEach, 6144.0)] },
    Row { name: "subs", title: "routing, 1 M subscriptions", work: Work::Subscriptions { few: FEW_SUBSCRIPTIONS, many: MANY_SUBSCRIPTIONS }, goals: &[
        Goal::Ratio(Figure::MemoryEach, 0.5), Goal::Ratio(Figure::Cpu, 0.5), Goal::AtMost(Figure::Growth, 2.0)] },
];

/// The official server waits for each sync, ours shares them.
const SYNCED: &[Goal] = &[Goal::Ratio(Figure::P50, 1.0), Goal::Ratio(Figure::P99, 1.5)];

/// Messages under way from each publisher.
const WINDOW: u64 = 1_000;

const fn stored(scenario: fn() -> Scenario) -> Work {
    Work::Stored { scenario, synced: false }
}

const fn synced(scenario: fn() -> Scenario) -> Work {
    Work::Stored { scenario, synced: true }
}

const fn mqtt(scenario: fn() -> Scenario) -> Work {
    Work::Mqtt(scenario)
}

fn mqtt_flow(subscribers: usize, qos: u8) -> Scenario {
    Scenario::Mqtt(Mqtt::Flow { subscribers, qos, size: SIZE })
}

fn publish_stored(in_memory: bool, size: usize, publishers: usize) -> Scenario {
    let window = WINDOW.min(((8 << 20) / size.max(1)) as u64);
    Scenario::Stored(Stored { in_memory, size, work: StreamWork::Publish { publishers, window } })
}

fn put(publishers: usize) -> Scenario {
    Scenario::Stored(Stored { in_memory: false, size: SIZE, work: StreamWork::Put { publishers } })
}

fn consume(how: How) -> Scenario {
    Scenario::Stored(Stored { in_memory: false, size: SIZE, work: StreamWork::Consume(how) })
}

/// The CPU time of the flow beside it hides what the measured one costs, so only latency counts.
const CALM_BESIDE: [Goal; 3] =
    [Goal::Ratio(Figure::P50, 1.0), Goal::Ratio(Figure::P99, 1.0), Goal::Ratio(Figure::P999, 1.0)];

const fn web_socket(scenario: fn() -> Scenario, compression: bool) -> Work {
    Work::LoadOverWebSocket { scenario, compression }
}

const fn across(link: Link, scenario: fn() -> Scenario) -> Work {
    Work::Across { link, scenario, long: false }
}

fn publish(size: usize) -> Scenario {
    Scenario::Flow(Shape::publish(size))
}

fn fan_out(subscribers: usize, size: usize) -> Scenario {
    Scenario::Flow(Shape::fan_out(subscribers, size))
}

fn steady() -> Shape {
    Shape { pace: Pace::Rate { per_second: 20_000, burst: 1 }, ..Shape::fan_out(1, SIZE) }
}

/// The other flow has a rate too, so that both servers have the same to do: 100 subscribers, 100 k deliveries a second.
fn steady_beside_fan_out() -> Scenario {
    let pace = Pace::Rate { per_second: 1_000, burst: 1 };
    let beside = Shape { pace, subject: "bench.beside".to_owned(), ..Shape::fan_out(100, SIZE) };
    Scenario::Beside { measured: steady(), beside }
}

fn queue() -> Scenario {
    Scenario::Flow(Shape { queue: Some("workers".to_owned()), ..Shape::fan_out(8, SIZE) })
}

fn chatty() -> Scenario {
    let pace = Pace::Rate { per_second: 100_000, burst: 2 };
    Scenario::Flow(Shape { channels: 100, pace, ..Shape::fan_out(1, SIZE) })
}

fn request(requesters: usize) -> Scenario {
    Scenario::Request { subject: "bench.service".to_owned(), requesters, size: SIZE, respond: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_row_has_a_goal() {
        for (number, row) in ROWS.iter().enumerate() {
            assert!(!row.goals.is_empty(), "{}", row.name);
            assert!(ROWS.iter().skip(number + 1).all(|other| other.name != row.name), "{}", row.name);
        }
    }
}
