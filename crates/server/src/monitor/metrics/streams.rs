//! Figures of streams and consumers: those that are largest have series of their own.

use crate::node::Node;
use dialtone_jetstream::config::Storage;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Streams with series of their own, those with most bytes; all others are one.
const STREAMS_MAX: usize = 100;
/// Consumers with series of their own, those with most messages to deliver; all others are one.
const CONSUMERS_MAX: usize = 100;

/// A stream, or the sum of those that have no series of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamRow {
    pub(super) account: String,
    pub(super) stream: String,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) consumers: u64,
}

/// The same of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConsumerRow {
    pub(super) account: String,
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) pending: u64,
    pub(super) ack_pending: u64,
    pub(super) redelivered: u64,
    pub(super) waiting: u64,
}

/// What there is of JetStream.
#[derive(Debug, Default)]
pub(super) struct StreamRows {
    pub(super) count: u64,
    pub(super) consumers_count: u64,
    /// Bytes of messages: in memory, in files.
    pub(super) bytes: [u64; 2],
    pub(super) streams: Vec<StreamRow>,
    pub(super) consumers: Vec<ConsumerRow>,
    /// Consumers with messages and demand, by what holds them up.
    pub(super) held: BTreeMap<&'static str, u64>,
}

/// The rows, the largest first.
pub(super) fn rows(node: &Node) -> StreamRows {
    let mut out = StreamRows::default();
    for hosted in node.streams.all.all() {
        let account = hosted.account().map(|account| account.name.to_string()).unwrap_or_default();
        let stream = hosted.name.to_string();
        for (consumer, info) in hosted.consumer_figures() {
            if let Some(hold) = info.held_by.filter(|_| info.could_deliver()) {
                *out.held.entry(hold.name()).or_default() += 1;
            }
            out.consumers.push(ConsumerRow {
                account: account.clone(),
                stream: stream.clone(),
                consumer,
                pending: info.num_pending,
                ack_pending: info.num_ack_pending as u64,
                redelivered: info.num_redelivered as u64,
                waiting: info.num_waiting as u64,
            });
        }
        let inner = hosted.lock();
        let totals = inner.state.machine.totals();
        out.bytes[usize::from(inner.state.meta.config.storage == Storage::File)] += totals.bytes;
        let consumers = inner.state.consumers.len() as u64;
        out.streams.push(StreamRow {
            account,
            stream,
            messages: totals.count,
            bytes: totals.bytes,
            consumers,
        });
    }
    (out.count, out.consumers_count) = (out.streams.len() as u64, out.consumers.len() as u64);
    out.streams = bounded(out.streams, STREAMS_MAX, |row| row.bytes, StreamRow::add);
    out.consumers = bounded(out.consumers, CONSUMERS_MAX, |row| row.pending, ConsumerRow::add);
    out
}

impl StreamRow {
    fn add(&mut self, other: &Self) {
        (self.account, self.stream) = ("other".into(), "other".into());
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.consumers += other.consumers;
    }
}

impl ConsumerRow {
    fn add(&mut self, other: &Self) {
        (self.account, self.stream, self.consumer) = ("other".into(), "other".into(), "other".into());
        self.pending += other.pending;
        self.ack_pending += other.ack_pending;
        self.redelivered += other.redelivered;
        self.waiting += other.waiting;
    }
}

/// At most `max` rows, the largest, and the sum of all others.
fn bounded<T: Default>(
    mut rows: Vec<T>,
    max: usize,
    size: impl Fn(&T) -> u64,
    add: impl Fn(&mut T, &T),
) -> Vec<T> {
    rows.sort_by_key(|row| Reverse(size(row)));
    if rows.len() > max {
        let mut others = T::default();
        rows.drain(max..).for_each(|row| add(&mut others, &row));
        rows.push(others);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_have_rows_and_the_others_are_one() {
        let row = |stream: &str, bytes| StreamRow {
            account: "A".into(),
            stream: stream.into(),
            messages: 1,
            bytes,
            consumers: 2,
        };
        let all = vec![row("a", 1), row("b", 9), row("c", 5), row("d", 2)];
        let other = StreamRow { account: "other".into(), messages: 2, consumers: 4, ..row("other", 3) };
        assert_eq!(
            bounded(all.clone(), 2, |row| row.bytes, StreamRow::add),
            [row("b", 9), row("c", 5), other]
        );
        assert_eq!(bounded(all, 4, |row| row.bytes, StreamRow::add).len(), 4);
    }
}
