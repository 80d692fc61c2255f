//! Loads of JetStream: messages that a stream stores, and those it has, for consumers and gets.
//!
//! The stream is made anew when a load is opened. [`publish`] keeps a number of messages under way to it, [`consume`] has consumers deliver
//! what was stored before; single publishes and gets are requests, which [`super::request`] sends.

mod api;
mod consume;
mod publish;

use super::load::Load;
use super::request::Request;
use super::target::Target;
use anyhow::{Result, ensure};
use api::Api;
use consume::Consuming;
use publish::Publishing;
use serde_json::json;

/// The stream of all these loads, a key-value bucket: one message a subject.
const STREAM: &str = "KV_BENCH";
/// A message of a flow is published to it.
const FLOW: &str = "bench.load";
/// A key that is put and got.
const KEY: &str = "$KV.BENCH.key";
/// Messages that are there before consumers ask for them.
const FILLED: u64 = 300_000;
/// Messages under way while the stream is filled.
const FILL_WINDOW: u64 = 4_096;

/// A load of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Whether the stream is in memory.
    pub in_memory: bool,
    /// Payload bytes of each message.
    pub size: usize,
    /// What is done with it.
    pub work: Work,
}

/// What is done with a stream.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Publishers with so many messages under way each.
    Publish {
        /// Connections.
        publishers: usize,
        /// Messages without an answer, of each.
        window: u64,
    },
    /// Publishers that wait for each answer.
    Put {
        /// Connections.
        publishers: usize,
    },
    /// Direct gets of one key.
    Get {
        /// Connections with one request under way each.
        requesters: usize,
    },
    /// A consumer delivers what is there.
    Consume(How),
}

/// How a consumer delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By requests for batches; nothing is acknowledged.
    Pull,
    /// By requests for batches; each message is acknowledged.
    PullAndAcknowledge,
    /// To a subject, nothing is acknowledged.
    Push,
    /// To a subject, with flow control, as clients do it that need the order.
    Ordered,
}

impl Stored {
    /// Makes the stream, and opens all connections.
    pub fn open(&self, target: &Target) -> Result<Box<dyn Load>> {
        let mut api = Api::open(target)?;
        let storage = if self.in_memory { "memory" } else { "file" };
        api.request(
            &format!("STREAM.CREATE.{STREAM}"),
            &json!({
                "name": STREAM, "subjects": [FLOW, "$KV.BENCH.>"], "storage": storage, "allow_direct": true, "num_replicas": 1,
                "retention": "limits", "discard": "old", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1,
            }),
        )?;
        Ok(match self.work {
            Work::Publish { publishers, window } => {
                ensure!(publishers > 0 && window > 0, "a flow needs a publisher");
                Box::new(Publishing::open(target, FLOW, (publishers, window), self.size)?)
            }
            Work::Put { publishers } => Box::new(Request::open(target, KEY, publishers, self.size, None)?),
            Work::Get { requesters } => {
                Publishing::open(target, KEY, (1, 1), self.size)?.fill(1)?;
                let subject = format!("$JS.API.DIRECT.GET.{STREAM}.{KEY}");
                Box::new(Request::open(target, &subject, requesters, 0, None)?)
            }
            Work::Consume(how) => {
                Publishing::open(target, FLOW, (1, FILL_WINDOW), self.size)?.fill(FILLED)?;
                Box::new(Consuming::open(target, api, how, self.size)?)
            }
        })
    }
}
