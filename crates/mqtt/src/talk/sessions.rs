//! Records of sessions, and their consumers.

use super::{Asked, Failure, For, Saving, Send, Talk, read};
use crate::record::Record;
use crate::streams::{Hash, Stream};
use dialtone_jetstream::api::{MessageDeleteRequest, MessageGetRequest, MessageGetResponse, StoredMessage};
use dialtone_jetstream::config::{ConsumerConfig, ConsumerRequest};
use dialtone_jetstream::error;
use std::time::Instant;

impl Talk {
    /// Reads the record of a client; [`super::Answer::Loaded`] follows.
    pub fn load(&mut self, now: Instant, client_id: &str, send: &mut Send<'_>) {
        let subject = session_subject(client_id);
        self.draft_last(Stream::Sessions, subject);
        self.ask(now, Asked::Session(client_id.into()), send);
    }

    /// Stores the record of a session, if the last one has this sequence; 0: there is none. [`super::Answer::Saved`] follows.
    pub fn save(
        &mut self,
        now: Instant,
        record: &Record,
        sequence: u64,
        saving: Saving,
        send: &mut Send<'_>,
    ) {
        self.draft.begin(&[session_subject(&record.id).as_bytes()]);
        self.draft.headers(|out| {
            let header = format!("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence:{sequence}\r\n\r\n");
            out.extend_from_slice(header.as_bytes());
        });
        self.draft.payload(&record.write());
        self.ask(now, Asked::Save(saving), send);
    }

    /// Deletes the record of a session, which has this sequence, and its consumers. Nobody waits for it.
    pub fn delete(&mut self, record: &Record, sequence: u64, send: &mut Send<'_>) {
        for consumer in record.consumers.values() {
            self.delete_consumer(Stream::Messages, &consumer.durable_name, send);
        }
        if let Some(consumer) = &record.pubrel {
            self.delete_consumer(Stream::Released, &consumer.durable_name, send);
        }
        if sequence > 0 {
            self.draft_delete(Stream::Sessions, sequence);
            self.tell(send);
        }
    }

    /// Makes a consumer, or lets it be if it is there; [`super::Answer::Consumer`] follows.
    pub fn create_consumer(&mut self, now: Instant, config: &ConsumerConfig, of: For, send: &mut Send<'_>) {
        let stream = if of == For::Releases { Stream::Released } else { Stream::Messages };
        let request = ConsumerRequest {
            stream_name: stream.name().to_owned(),
            config: config.clone(),
            ..ConsumerRequest::default()
        };
        let name = format!("{}.{}", stream.name(), config.durable_name);
        self.draft_request("CONSUMER.DURABLE.CREATE.", &name, &request);
        self.ask(now, Asked::Consumer(of), send);
    }

    /// Deletes a consumer. Nobody waits for it. A name that cannot be one of MQTT's is left alone.
    pub fn delete_consumer(&mut self, stream: Stream, name: &str, send: &mut Send<'_>) {
        if name.is_empty() || name.contains(['.', '*', '>', ' ', '\t', '\r', '\n', '\0']) {
            return;
        }
        let of = format!("{}.{name}", stream.name());
        self.draft.begin(&[crate::streams::api_subject(&self.settings, "CONSUMER.DELETE.", &of).as_bytes()]);
        self.tell(send);
    }

    /// Drafts a request for the last message of a subject.
    pub(super) fn draft_last(&mut self, stream: Stream, subject: String) {
        let request = MessageGetRequest { last_by_subj: subject, ..MessageGetRequest::default() };
        self.draft_request("STREAM.MSG.GET.", stream.name(), &request);
    }

    /// Drafts that a message be deleted.
    pub(super) fn draft_delete(&mut self, stream: Stream, seq: u64) {
        let request = MessageDeleteRequest { seq, no_erase: true };
        self.draft_request("STREAM.MSG.DELETE.", stream.name(), &request);
    }
}

fn session_subject(client_id: &str) -> String {
    format!("{}{}", Stream::Sessions.prefix(), Hash::of(client_id).as_str())
}

/// The message of an answer; `None`: there is none.
pub(super) fn message(answer: &[u8]) -> Result<Option<StoredMessage>, Failure> {
    let response: MessageGetResponse = read(answer, MessageGetResponse::GO)?;
    match response.response.error {
        Some(error) if error.err_code == error::NO_MESSAGE_FOUND.err_code => Ok(None),
        Some(error) => Err(Failure::Refused(error)),
        None => response.message.map(Some).ok_or_else(|| Failure::Bad("an answer without a message".into())),
    }
}

/// The session of a client. Its hash may be that of another one's identifier, too.
pub(super) fn loaded(client_id: &str, answer: &[u8]) -> Result<Option<Box<(Record, u64)>>, Failure> {
    let Some(message) = message(answer)? else { return Ok(None) };
    let record = Record::read(&message.data.0).map_err(|bad| Failure::Bad(bad.to_string()))?;
    if record.id != client_id {
        return Err(Failure::Bad(format!("the record of {client_id:?} is that of {:?}", record.id)));
    }
    Ok(Some(Box::new((record, message.seq))))
}
