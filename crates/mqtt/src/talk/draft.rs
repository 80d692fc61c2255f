//! A message that is put together: one for all of a conversation, so that none is allocated for each.

use dialtone_wire::message::Message;
use std::io::Write as _;

/// Bytes that are kept for the next message.
const KEPT_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct Draft {
    subject: Vec<u8>,
    header_bytes: usize,
    framed: Vec<u8>,
    /// What the subjects of answers begin with, and behind it the last token.
    reply: Vec<u8>,
    answers_bytes: usize,
}

impl Draft {
    pub(super) fn new(answers: Vec<u8>) -> Self {
        let answers_bytes = answers.len();
        Self { subject: Vec::new(), header_bytes: 0, framed: Vec::new(), reply: answers, answers_bytes }
    }

    /// Gives back the room of the last message.
    pub(super) fn rest(&mut self) {
        (self.subject, self.framed) = (Vec::new(), Vec::new());
        self.reply.truncate(self.answers_bytes);
        self.reply.shrink_to_fit();
    }

    /// What the subjects of answers begin with.
    pub(super) fn answers(&self) -> &[u8] {
        self.reply.get(..self.answers_bytes).unwrap_or_default()
    }

    /// Begins with the subject that these parts are.
    pub(super) fn begin(&mut self, subject: &[&[u8]]) {
        self.subject.clear();
        subject.iter().for_each(|part| self.subject.extend_from_slice(part));
        self.header_bytes = 0;
        self.framed.clear();
        self.framed.shrink_to(KEPT_BYTES_MAX);
    }

    pub(super) fn headers(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.framed);
        self.header_bytes = self.framed.len();
    }

    pub(super) fn payload(&mut self, payload: &[u8]) {
        self.framed.extend_from_slice(payload);
    }

    /// The message, with the subject of the answer to this token.
    pub(super) fn message(&mut self, token: Option<u64>) -> Message<'_> {
        self.framed.extend_from_slice(b"\r\n");
        self.reply.truncate(self.answers_bytes);
        if let Some(token) = token {
            // Memory takes all.
            let _ = write!(self.reply, "{token}");
        }
        Message {
            subject: &self.subject,
            reply: token.is_some().then_some(&*self.reply),
            header_bytes: self.header_bytes,
            framed: &self.framed,
        }
    }
}
