//! The naive twin of a stream: a map of messages and the rules as they are written down.

use super::{SECOND, SUBJECTS};
use crate::stream::*;
use dialtone_subject::set;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) time: i64,
    pub(super) subject: String,
    pub(super) headers: String,
    pub(super) payload: Vec<u8>,
    pub(super) deadline: Option<i64>,
    pub(super) never: bool,
    pub(super) marker: bool,
}

/// What a publish asks for, from which its headers are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) msg_id: Option<u64>,
    pub(super) last_seq: Option<u64>,
    pub(super) subject_seq: Option<u64>,
    pub(super) other_subject: Option<&'static str>,
    pub(super) last_id: Option<u64>,
    pub(super) rollup: Option<&'static str>,
    pub(super) ttl: Option<&'static str>,
    pub(super) stream: Option<&'static str>,
}

impl Asked {
    /// Seconds, -1 for never; the outer `None`: it is none.
    pub(super) fn ttl(&self) -> Option<Option<i64>> {
        match self.ttl {
            None => Some(None),
            Some("never") => Some(Some(-1)),
            Some("2s") => Some(Some(2)),
            Some("30") => Some(Some(30)),
            Some(_) => None,
        }
    }

    pub(super) fn headers(&self) -> String {
        let mut lines = String::new();
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                lines += &format!("Nats-{name}: {value}\r\n");
            }
        };
        line("Msg-Id", self.msg_id.map(|id| id.to_string()));
        line("Expected-Last-Sequence", self.last_seq.map(|seq| seq.to_string()));
        line("Expected-Last-Subject-Sequence", self.subject_seq.map(|seq| seq.to_string()));
        line("Expected-Last-Subject-Sequence-Subject", self.other_subject.map(String::from));
        line("Expected-Last-Msg-Id", self.last_id.map(|id| id.to_string()));
        line("Rollup", self.rollup.map(String::from));
        line("TTL", self.ttl.map(String::from));
        line("Expected-Stream", self.stream.map(String::from));
        if lines.is_empty() { lines } else { format!("NATS/1.0\r\n{lines}\r\n") }
    }
}

/// The twin.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) settings: Settings,
    pub(super) messages: BTreeMap<u64, Message>,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) ids: Vec<(u64, u64, i64)>,
    pub(super) last_id: String,
    pub(super) last_time: i64,
}

impl Model {
    pub(super) fn size(&self, message: &Message) -> u64 {
        let own = match (self.settings.storage, message.headers.is_empty()) {
            (Storage::Memory, _) => 16,
            (Storage::File, true) => 30,
            (Storage::File, false) => 34,
        };
        own + (message.subject.len() + message.headers.len() + message.payload.len()) as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.messages.values().map(|message| self.size(message)).sum()
    }

    pub(super) fn of_subject(&self, subject: &str) -> Vec<u64> {
        self.selected(subject).into_iter().filter(|seq| self.messages[seq].subject == subject).collect()
    }

    pub(super) fn selected(&self, filter: &str) -> Vec<u64> {
        let all = self.messages.iter();
        all.filter(|(_, message)| set::matches(filter.as_bytes(), message.subject.as_bytes()))
            .map(|(&seq, _)| seq)
            .collect()
    }

    pub(super) fn tidy(&mut self) {
        // A stream that never had anything says 0, until it is purged.
        let none = if self.last == 0 && self.first == 0 { 0 } else { self.last + 1 };
        self.first = self.messages.keys().next().copied().unwrap_or(none);
    }

    /// The answer to a publish: a sequence, a duplicate or a code.
    pub(super) fn publish(
        &mut self,
        asked: &Asked,
        mut message: Message,
        wanted: bool,
    ) -> Result<(u64, bool), u16> {
        let settings = self.settings.clone();
        if settings.features.sealed {
            return Err(10109);
        }
        if asked.stream.is_some_and(|name| name != "S") {
            return Err(10060);
        }
        let ttl = asked.ttl();
        if !settings.features.ttl && ttl.is_some_and(|ttl| ttl.is_some()) {
            return Err(10166);
        }
        self.expect(asked, &message.subject)?;
        if let Some(id) = asked.msg_id {
            let known = self
                .ids
                .iter()
                .rev()
                .find(|known| known.0 == id && message.time - known.2 < settings.duplicate_window);
            if let Some(known) = known {
                return Ok((known.1, true));
            }
        }
        if asked.last_id.is_some_and(|id| id.to_string() != self.last_id) {
            return Err(10070);
        }
        if asked.rollup.is_some_and(|rollup| !settings.allows_rollup() || !["sub", "all"].contains(&rollup)) {
            return Err(10111);
        }
        let ttl = ttl.ok_or(10165u16)?;
        if settings
            .limits
            .message_bytes
            .is_some_and(|max| message.headers.len() + message.payload.len() > max as usize)
        {
            return Err(10054);
        }
        if let Some(seconds) = ttl.filter(|&seconds| seconds > 0) {
            let mut seconds = seconds;
            if seconds < settings.marker_ttl && settings.limits.per_subject != Some(1) {
                seconds = settings.marker_ttl;
                let given = format!("Nats-TTL: {}\r\n", asked.ttl.unwrap_or_default());
                let lines = message.headers.replace(&given, "");
                message.headers =
                    format!("{}Nats-TTL: {seconds}\r\n\r\n", lines.strip_suffix("\r\n").unwrap_or_default());
            }
            message.deadline = Some(message.time + seconds * SECOND);
        }
        message.never = ttl == Some(-1);
        if settings.retention == Retention::Interest && !wanted {
            self.last += 1;
            self.note(asked, message.time);
            self.roll_up(asked.rollup, &message.subject, 0);
            self.last_time = message.time;
            self.tidy();
            return Ok((self.last, false));
        }
        self.check_new(&message, asked.rollup.is_some())?;
        let subject = message.subject.clone();
        self.store(message);
        self.note(asked, self.last_time);
        self.roll_up(asked.rollup, &subject, 1);
        self.tidy();
        Ok((self.last, false))
    }

    pub(super) fn expect(&self, asked: &Asked, subject: &str) -> Result<(), u16> {
        let last_of = |model: &Self, subject: &str| model.of_subject(subject).last().copied().unwrap_or(0);
        match (asked.subject_seq, asked.other_subject) {
            (Some(seq), other) if seq != last_of(self, other.unwrap_or(subject)) => {
                return Err(10071);
            }
            (None, Some(_)) => return Err(10193),
            _ => {}
        }
        if asked.last_seq.is_some_and(|seq| seq != self.last) {
            return Err(10071);
        }
        Ok(())
    }

    pub(super) fn check_new(&self, message: &Message, is_rollup: bool) -> Result<(), u16> {
        let Discard::New { per_subject } = self.settings.discard else { return Ok(()) };
        let limits = &self.settings.limits;
        let known = self.of_subject(&message.subject);
        let is_full = limits.per_subject.is_some_and(|max| !known.is_empty() && known.len() as u64 >= max);
        if is_full && per_subject && !is_rollup {
            return Err(10077);
        }
        if limits.messages.is_some_and(|max| self.messages.len() as u64 >= max) && !is_full {
            return Err(10077);
        }
        let fits = is_full && self.size(&self.messages[&known[0]]) >= self.size(message);
        if limits.bytes.is_some_and(|max| self.bytes() + self.size(message) > max) && !fits {
            return Err(10077);
        }
        Ok(())
    }

    pub(super) fn store(&mut self, message: Message) {
        self.last += 1;
        self.last_time = message.time;
        self.messages.insert(self.last, message);
        self.enforce();
    }

    pub(super) fn enforce(&mut self) {
        let limits = self.settings.limits.clone();
        if let Some(max) = limits.per_subject {
            for subject in SUBJECTS {
                let known = self.of_subject(subject);
                known
                    .iter()
                    .take(known.len().saturating_sub(max as usize))
                    .for_each(|seq| drop(self.messages.remove(seq)));
            }
        }
        if self.settings.discard == Discard::Old {
            let is_over = |model: &Self| {
                limits.messages.is_some_and(|max| model.messages.len() as u64 > max)
                    || limits.bytes.is_some_and(|max| model.bytes() > max)
            };
            while is_over(self) && self.messages.pop_first().is_some() {}
        }
        self.tidy();
    }

    pub(super) fn note(&mut self, asked: &Asked, time: i64) {
        self.last_id = asked.msg_id.map(|id| id.to_string()).unwrap_or_default();
        self.ids.extend(asked.msg_id.map(|id| (id, self.last, time)));
    }

    pub(super) fn roll_up(&mut self, rollup: Option<&str>, subject: &str, keep: u64) {
        match rollup {
            Some("sub") => self.purge(Some(subject), 0, keep),
            Some("all") => self.purge(None, 0, keep),
            _ => {}
        }
    }

    pub(super) fn purge(&mut self, filter: Option<&str>, before: u64, keep: u64) {
        let filter = filter.filter(|&filter| filter != ">");
        if before == 1 {
            return;
        }
        if filter.is_none() && (before > self.last || before == 0 && keep == 0) {
            self.first = self.first.max(1);
        }
        if filter.is_none() && before > 1 {
            self.last = self.last.max(before - 1);
            self.messages.retain(|&seq, _| seq >= before);
            return self.tidy();
        }
        let selected = self.selected(filter.unwrap_or(">"));
        let oldest = selected.iter().take(selected.len().saturating_sub(keep as usize));
        oldest.filter(|&&seq| before == 0 || seq < before).for_each(|seq| drop(self.messages.remove(seq)));
        self.tidy();
    }

    pub(super) fn expire(&mut self, now: i64) {
        let due = |model: &Self| {
            let age = model.settings.limits.age;
            let first_young = age.and_then(|age| {
                model.messages.iter().find(|(_, message)| message.time + age > now).map(|(&seq, _)| seq)
            });
            let is_due = |&(&seq, message): &(&u64, &Message)| {
                let is_old = age.is_some() && !message.never && first_young.is_none_or(|young| seq < young);
                is_old || message.deadline.is_some_and(|deadline| deadline <= now)
            };
            model.messages.iter().find(is_due).map(|(&seq, _)| seq)
        };
        while let Some(seq) = due(self) {
            let message = self.messages[&seq].clone();
            let ttl = self.settings.marker_ttl;
            if ttl > 0 && !message.marker && self.of_subject(&message.subject).len() == 1 {
                let lived = crate::time::Nanos(ttl * SECOND);
                let headers = format!(
                    "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {lived}\r\nNats-Rollup: sub\r\n\r\n"
                );
                let (subject, deadline) = (message.subject, Some(now + ttl * SECOND));
                let marker = Message {
                    time: now,
                    subject: subject.clone(),
                    headers,
                    payload: vec![],
                    deadline,
                    never: false,
                    marker: true,
                };
                self.store(marker);
                self.last_id = String::new();
                self.purge(Some(&subject), 0, 1);
            } else {
                self.messages.remove(&seq);
            }
            self.tidy();
        }
    }
}
