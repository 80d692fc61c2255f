//! Requests about the messages of a stream.

use super::api::{Answered, Request};
use super::streams::named;
use crate::streams::Hosted;
use dialtone_jetstream::api::{
    Bytes, MessageDeleteRequest, MessageGetRequest, MessageGetResponse, PurgeRequest, PurgeResponse,
    Response, StoredMessage, SuccessResponse,
};
use dialtone_jetstream::config::Storage;
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json;
use dialtone_jetstream::messages::{Messages, Selector};
use dialtone_jetstream::stream::{Purge, Refusal};
use dialtone_jetstream::time::Time;

pub(super) fn purge(request: &mut Request<'_>) -> Answered {
    let asked: PurgeRequest = request.body(PurgeRequest::GO)?;
    if asked.seq > 0 && asked.keep > 0 {
        return Err(error::BAD_REQUEST.error());
    }
    let hosted = named(request)?;
    let filter = Some(asked.filter.into_bytes()).filter(|filter| !filter.is_empty());
    let purge = Purge { filter: filter.map(Vec::into_boxed_slice), before: asked.seq, keep: asked.keep };
    let (_, turn) = request.executor.parts();
    let done = turn.within(|turn| hosted.purge(purge, turn));
    let (purged, upto) =
        done.ok_or_else(|| error::STREAM_NOT_FOUND.error())?.map_err(|why| ApiError::from(&why))?;
    request.wait_for(upto);
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&PurgeResponse { response, success: true, purged }))
}

pub(super) fn delete(request: &mut Request<'_>) -> Answered {
    let asked: MessageDeleteRequest = request.body(MessageDeleteRequest::GO)?;
    let seq = asked.seq;
    let hosted = named(request)?;
    let (_, turn) = request.executor.parts();
    let done = turn.within(|turn| hosted.delete_message(seq, !asked.no_erase, turn));
    let upto = done.ok_or_else(|| error::STREAM_NOT_FOUND.error())?.map_err(|why| match why {
        Refusal::NotFound => no_message(&hosted, seq),
        other => ApiError::from(&other),
    })?;
    request.wait_for(upto);
    Ok(json::to_vec(&SuccessResponse::ok(request.asked.endpoint)))
}

/// Why there is no message to delete. Official servers word it by the storage.
fn no_message(hosted: &Hosted, seq: u64) -> ApiError {
    let inner = hosted.lock();
    let is_file = inner.state.meta.config.storage == Storage::File;
    match seq {
        0 if is_file => error::STREAM_MSG_DELETE_FAILED.with("no message found"),
        seq if is_file && seq > inner.state.machine.totals().last => {
            error::STREAM_MSG_DELETE_FAILED.with("stream store EOF")
        }
        seq => error::SEQUENCE_NOT_FOUND.with(seq),
    }
}

pub(super) fn get(request: &mut Request<'_>) -> Answered {
    let asked: MessageGetRequest = request.body(MessageGetRequest::GO)?;
    check(&asked)?;
    let hosted = named(request)?;
    let (head, upto) = {
        let inner = hosted.lock();
        let messages = inner.state.machine.messages();
        let seq = wanted(&asked, messages);
        let head = seq.and_then(|seq| messages.head(seq));
        let head =
            head.map(|head| (head.seq, head.time, head.subject.to_vec(), usize::from(head.header_bytes)));
        // Figures tell of a message before it is on disk; who asks for it waits for that.
        let is_early = seq.is_some_and(|seq| seq > inner.state.visible());
        (head, if is_early { inner.unwritten() } else { None })
    };
    request.wait_for(upto);
    let Some((seq, time, subject, header_bytes)) = head else { return Err(error::NO_MESSAGE_FOUND.error()) };
    let mut headers = Vec::new();
    if !hosted.read_body(seq, &mut headers) {
        return Err(error::NO_MESSAGE_FOUND.error());
    }
    let data = headers.split_off(header_bytes.min(headers.len()));
    if asked.no_hdr {
        headers.clear();
    }
    let message = StoredMessage {
        subject: String::from_utf8_lossy(&subject).into_owned(),
        seq,
        hdrs: Bytes(headers),
        data: Bytes(data),
        time: Time::from_unix_nanos(time),
    };
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&MessageGetResponse { response, message: Some(message) }))
}

/// Whether it says one way to find one message.
fn check(asked: &MessageGetRequest) -> Result<(), ApiError> {
    let (has_last, has_next) = (!asked.last_by_subj.is_empty(), !asked.next_by_subj.is_empty());
    let is_many = asked.batch != 0
        || asked.max_bytes != 0
        || !asked.multi_last.is_empty()
        || asked.up_to_time.is_some();
    let has_start = asked.seq > 0 || asked.start_time.is_some();
    let is_twice = has_last && (has_next || has_start) || asked.seq > 0 && asked.start_time.is_some();
    match is_many || is_twice || !(has_last || has_next || has_start) {
        true => Err(error::BAD_REQUEST.error()),
        false => Ok(()),
    }
}

/// The sequence that is asked for.
fn wanted(asked: &MessageGetRequest, messages: &Messages) -> Option<u64> {
    let selector = |subject: &str| Selector::new([subject.as_bytes()]);
    if !asked.last_by_subj.is_empty() {
        return messages.last_of(&selector(&asked.last_by_subj));
    }
    let from = asked.start_time.map_or(asked.seq, |time| messages.seq_at(time.unix_nanos()));
    match &*asked.next_by_subj {
        "" if asked.start_time.is_some() => messages.next_live(from),
        "" => messages.head(from).map(|head| head.seq),
        next => messages.next(&selector(next), from.max(1)),
    }
}
