//! All records of sessions, one after the other.

use super::sessions::message;
use super::{Failure, Send, Talk};
use crate::record::Record;
use crate::streams::Stream;
use dialtone_jetstream::api::MessageGetRequest;

impl Talk {
    /// Reads the first record of a session from this sequence on; its answer is for [`record_of`].
    pub fn next_record(&mut self, sequence: u64, send: &mut Send<'_>) {
        self.next_of(Stream::Sessions, ">", sequence, send);
    }

    /// Reads the first message of a stream from this sequence on whose subject ends so.
    pub(super) fn next_of(&mut self, stream: Stream, end: &str, sequence: u64, send: &mut Send<'_>) {
        let next_by_subj = format!("{}{end}", stream.prefix());
        let request = MessageGetRequest { seq: sequence, next_by_subj, ..MessageGetRequest::default() };
        self.draft_request("STREAM.MSG.GET.", stream.name(), &request);
        self.tell(send);
    }
}

/// The sequence and the record that an answer brings; `None`: there are no more. What is no record is passed over.
///
/// # Errors
/// The stream cannot be read.
pub fn record_of(answer: &[u8]) -> Result<Option<(u64, Option<Record>)>, Failure> {
    let message = message(answer)?;
    Ok(message.map(|message| (message.seq, Record::read(&message.data.0).ok())))
}
