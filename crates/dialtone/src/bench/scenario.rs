//! The kinds of load there are.

use super::churn::Churn;
use super::connect::Connect;
use super::flow::Flow;
use super::idle::Idle;
use super::listen::{Listen, Reply};
use super::load::{Carried, Load};
use super::mqtt::Mqtt;
use super::progress::Progress;
use super::request::{Request, Responder};
use super::shape::{self, Pace, SIZE_BYTES_MAX, Shape};
use super::stop::Stop;
use super::stored::Stored;
use super::target::Target;
use anyhow::{Result, anyhow, ensure};

/// Most subscriptions of [`Scenario::Spread`]: its subjects have one length.
const SUBSCRIPTIONS_MAX: usize = 5_000_000;

/// A load, described.
#[derive(Clone, Debug)]
pub enum Scenario {
    /// Publishers and subscribers.
    Flow(Shape),
    /// One flow is measured while another one runs beside it, on a thread of its own.
    Beside {
        /// The one whose latency is told.
        measured: Shape,
        /// The other one.
        beside: Shape,
    },
    /// Requests and answers.
    Request {
        /// Where to.
        subject: String,
        /// Connections with one request under way each.
        requesters: usize,
        /// Payload bytes, of requests and answers.
        size: usize,
        /// Answer them too.
        respond: bool,
    },
    /// Subscribe, publish, unsubscribe.
    Churn {
        /// Connections that do so.
        connections: usize,
        /// Payload bytes.
        size: usize,
    },
    /// Connections that come and leave.
    Connect,
    /// Connections with a subscription each, and nothing else.
    Idle {
        /// How many.
        connections: usize,
    },
    /// One publisher over many different subscriptions.
    Spread {
        /// How many, a third of them with wildcards.
        subscriptions: usize,
        /// Payload bytes.
        size: usize,
    },
    /// A stream that stores, or delivers.
    Stored(Stored),
    /// Clients of MQTT.
    Mqtt(Mqtt),
    /// Receives what another program publishes.
    Listen {
        /// What to subscribe to.
        subject: String,
        /// The queue group to join.
        queue: Option<String>,
        /// Connections.
        subscribers: usize,
    },
    /// Answers what another program asks.
    Reply {
        /// What to subscribe to.
        subject: String,
        /// The queue group to join.
        queue: Option<String>,
        /// Payload bytes of an answer.
        size: usize,
    },
}

impl Scenario {
    /// Opens all connections.
    pub fn open(&self, target: &Target) -> Result<Box<dyn Load>> {
        Ok(match self {
            Scenario::Flow(shape) => Box::new(open_flow(target, shape)?),
            Scenario::Beside { measured, beside } => Box::new(Beside {
                measured: open_flow(target, measured)?,
                beside: open_flow(target, beside)?,
            }),
            Scenario::Request { subject, requesters, size, respond } => {
                let responder = respond
                    .then(|| Responder::open(target.for_receivers(), subject, None, *size))
                    .transpose()?;
                Box::new(Request::open(target, subject, *requesters, *size, responder)?)
            }
            Scenario::Churn { connections, size } => Box::new(Churn::open(target, *connections, *size)?),
            Scenario::Connect => Box::new(Connect::new(target)),
            Scenario::Idle { connections } => Box::new(Idle::open(target, *connections)?),
            Scenario::Spread { subscriptions, size } => {
                ensure!(*size <= SIZE_BYTES_MAX, "--size: at most {SIZE_BYTES_MAX} bytes");
                ensure!(
                    (1..=SUBSCRIPTIONS_MAX).contains(subscriptions),
                    "--subscriptions: from 1 to {SUBSCRIPTIONS_MAX}"
                );
                Box::new(Flow::open(target, vec![shape::spread(*subscriptions, *size)], Pace::Full, *size)?)
            }
            Scenario::Stored(stored) => stored.open(target)?,
            Scenario::Mqtt(mqtt) => mqtt.open(target)?,
            Scenario::Listen { subject, queue, subscribers } => {
                Box::new(Listen::open(target, subject, queue.as_deref(), *subscribers)?)
            }
            Scenario::Reply { subject, queue, size } => {
                Box::new(Reply::open(target, subject, queue.as_deref(), *size)?)
            }
        })
    }
}

fn open_flow(target: &Target, shape: &Shape) -> Result<Flow> {
    Flow::open(target, shape.channels()?, shape.pace, shape.size)
}

struct Beside {
    measured: Flow,
    beside: Flow,
}

impl Load for Beside {
    /// Counts the messages of both, and tells the latency of the measured one.
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let (measured, beside) = std::thread::scope(|scope| {
            let other = scope.spawn(|| self.beside.run(stop, &mut Progress::silent()));
            let measured = self.measured.run(stop, progress);
            (measured, other.join().map_err(|_| anyhow!("the flow beside the measured one failed")))
        });
        let (measured, beside) = (measured?, beside??);
        Ok(Carried {
            published: measured.published + beside.published,
            delivered: measured.delivered + beside.delivered,
            messages: measured.messages + beside.messages,
            payload_bytes: measured.payload_bytes + beside.payload_bytes,
            idle: 0,
            elapsed: measured.elapsed.max(beside.elapsed),
            latency: measured.latency,
        })
    }
}
