//! Retained messages for a subscription: the stream's index says which topics there are, and then each is read.
//!
//! One subscription after the other, and few messages at a time, so that a client that subscribes to everything holds little.

use super::messages::is_literal;
use super::{Answer, Asked, Failure, Send, Talk, read, sessions};
use crate::headers;
use crate::streams::Stream;
use dialtone_jetstream::api::{Bytes, PageRequest, StreamInfoRequest, StreamInfoResponse};
use dialtone_jetstream::document;
use dialtone_wire::mqtt::Qos;
use std::collections::VecDeque;
use std::time::Instant;

/// Messages that are being read at a time.
const READING_MAX: usize = 16;

/// A retained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The subject of its topic.
    pub subject: String,
    /// Its topic.
    pub topic: String,
    /// The quality of service that it was published with.
    pub qos: Qos,
    /// Its headers: properties are among them.
    pub headers: Vec<u8>,
    /// The message.
    pub payload: Vec<u8>,
    /// When it was published, in seconds since 1970.
    pub published: u64,
}

/// What is being looked for.
#[derive(Debug, Default)]
pub(super) struct Finding {
    queue: VecDeque<(u32, Vec<String>)>,
    /// Nothing more is read.
    is_paused: bool,
    current: Option<Current>,
}

#[derive(Debug, Default)]
struct Current {
    subscription: u32,
    /// Filters whose subjects have not been listed.
    filters: Vec<String>,
    /// The filter whose subjects are being listed, and how many were.
    listing: Option<(String, i64)>,
    /// Subjects that are still to be read.
    subjects: VecDeque<String>,
    reading: usize,
}

impl Finding {
    /// Gives back room that nothing needs.
    pub(super) fn rest(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }
}

impl Talk {
    /// Looks for the retained messages of a subscription by its filters of NATS; [`Answer::Retained`] follows for each, and [`Answer::RetainedEnd`].
    /// The same message comes once for each filter that matches it.
    pub fn retained(&mut self, now: Instant, subscription: u32, filters: &[&[u8]], send: &mut Send<'_>) {
        let text = |filter: &&[u8]| std::str::from_utf8(filter).ok().map(str::to_owned);
        self.finding.queue.push_back((subscription, filters.iter().filter_map(text).collect()));
        if self.finding.current.is_none() {
            self.go_on(now, send, &mut |_| {});
        }
    }

    /// The subscription is gone: nothing more is looked for.
    pub fn forget_retained(&mut self, subscription: u32) {
        self.finding.queue.retain(|(of, _)| *of != subscription);
        if let Some(current) =
            self.finding.current.as_mut().filter(|current| current.subscription == subscription)
        {
            current.filters.clear();
            current.subjects.clear();
        }
    }

    /// Reads no more messages until [`Self::resume_retained`]: the client has no room. Those that have been asked for still come.
    pub fn pause_retained(&mut self) {
        self.finding.is_paused = true;
    }

    /// Goes on after [`Self::pause_retained`].
    pub fn resume_retained(&mut self, now: Instant, send: &mut Send<'_>, out: &mut dyn FnMut(Answer)) {
        if std::mem::take(&mut self.finding.is_paused) {
            self.go_on(now, send, out);
        }
    }

    /// The subjects of a filter.
    pub(super) fn listed(
        &mut self,
        now: Instant,
        answer: Result<&[u8], Failure>,
        send: &mut Send<'_>,
        out: &mut dyn FnMut(Answer),
    ) {
        let Some(current) = &mut self.finding.current else { return };
        let Some((filter, before)) = current.listing.take() else { return };
        // What cannot be listed is as if it were not there; the subscription lives without it.
        if let Some((subjects, total)) = answer.ok().and_then(|answer| subjects_of(answer).ok()) {
            let listed = before + i64::try_from(subjects.len()).unwrap_or(i64::MAX);
            let has_more = listed < total && !subjects.is_empty();
            current.subjects.extend(subjects);
            if has_more {
                current.listing = Some((filter.clone(), listed));
                self.list(now, &filter, listed, send);
            }
        }
        self.go_on(now, send, out);
    }

    /// A message that was read.
    pub(super) fn found(
        &mut self,
        now: Instant,
        subject: &str,
        answer: Result<&[u8], Failure>,
        send: &mut Send<'_>,
        out: &mut dyn FnMut(Answer),
    ) {
        let Some(current) = &mut self.finding.current else { return };
        current.reading -= 1;
        let subscription = current.subscription;
        if let Ok(Some(retained)) = answer.and_then(|answer| retained(subject, answer)) {
            out(Answer::Retained(subscription, Box::new(retained)));
        }
        self.go_on(now, send, out);
    }

    /// Asks for what is next.
    fn go_on(&mut self, now: Instant, send: &mut Send<'_>, out: &mut dyn FnMut(Answer)) {
        loop {
            let Some(mut current) = self.finding.current.take() else {
                let Some((subscription, filters)) = self.finding.queue.pop_front() else { return };
                self.finding.current = Some(Current { subscription, filters, ..Current::default() });
                continue;
            };
            while current.listing.is_none()
                && current.subjects.is_empty()
                && let Some(filter) = current.filters.pop()
            {
                let subject = format!("{}{filter}", Stream::Retained.prefix());
                if is_literal(&filter) {
                    current.subjects.push_back(subject);
                } else {
                    self.list(now, &subject, 0, send);
                    current.listing = Some((subject, 0));
                }
            }
            while current.reading < READING_MAX
                && !self.finding.is_paused
                && let Some(subject) = current.subjects.pop_front()
            {
                current.reading += 1;
                self.draft_last(Stream::Retained, subject.clone());
                self.ask(now, Asked::Retained(subject.into()), send);
            }
            if current.reading > 0
                || current.listing.is_some()
                || !current.subjects.is_empty()
                || !current.filters.is_empty()
            {
                self.finding.current = Some(current);
                return;
            }
            out(Answer::RetainedEnd(current.subscription));
        }
    }

    fn list(&mut self, now: Instant, filter: &str, offset: i64, send: &mut Send<'_>) {
        let request = StreamInfoRequest {
            page: PageRequest { offset },
            subjects_filter: filter.to_owned(),
            ..StreamInfoRequest::default()
        };
        self.draft_request("STREAM.INFO.", Stream::Retained.name(), &request);
        self.ask(now, Asked::Subjects, send);
    }
}

/// Subjects of an answer, and how many there are in all.
fn subjects_of(answer: &[u8]) -> Result<(Vec<String>, i64), Failure> {
    let response: StreamInfoResponse = read(answer, StreamInfoResponse::GO)?;
    if let Some(error) = response.response.error {
        return Err(Failure::Refused(error));
    }
    let subjects = response.info.map(|info| info.state.subjects).unwrap_or_default();
    Ok((subjects.into_keys().collect(), response.paged.total))
}

document! {
    /// A retained message as older servers wrote them: all of it in the payload.
    pub struct OlderRetained = "mqttRetainedMsg" {
        /// The topic.
        pub topic: String, "topic" omitempty "string";
        /// The message.
        pub msg: Bytes, "msg" omitempty "[]uint8";
        /// The flags of its PUBLISH.
        pub flags: u8, "flags" always "uint8";
    }
}

/// The retained message of a subject; `None`: what is there is none.
fn retained(subject: &str, answer: &[u8]) -> Result<Option<Retained>, Failure> {
    let Some(message) = sessions::message(answer)?.filter(|message| message.subject == subject) else {
        return Ok(None);
    };
    let (headers, payload) = (message.hdrs.0, message.data.0);
    let older =
        || read::<OlderRetained>(&payload, OlderRetained::GO).ok().filter(|older| !older.topic.is_empty());
    let (topic, qos, payload) = match headers::retained(&headers) {
        Some((topic, qos)) => (topic.to_owned(), qos, payload),
        None => match older().filter(|_| headers.is_empty()) {
            Some(older) => (older.topic, headers::flags_qos(older.flags), older.msg.0),
            None => return Ok(None),
        },
    };
    let published = u64::try_from(message.time.unix_nanos() / 1_000_000_000).unwrap_or_default();
    let subject = subject.strip_prefix(Stream::Retained.prefix()).unwrap_or_default().to_owned();
    Ok(Some(Retained { subject, topic, qos, headers, payload, published }))
}
