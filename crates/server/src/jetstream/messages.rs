//! Requests about the messages of a stream.

use super::api::Request;
use super::documents::{Success, response};
use super::streams::{durable, named, optional};
use dialtone_jetstream::api::{self, MessageDeleteRequest, MessageGetRequest, PurgeRequest};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::messages::Selector;
use dialtone_jetstream::stream::{Purge, Refusal};
use dialtone_jetstream::time::Time;
use serde::Serialize;

#[derive(Serialize)]
struct Purged {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    success: bool,
    purged: u64,
}

pub(super) fn purge(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let done = try_purge(request);
    done.or_else(|error| Ok(request.failure(&error, Purged { success: false, purged: 0 })))
}

fn try_purge(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: PurgeRequest = optional(request, PurgeRequest::GO)?;
    if asked.seq > 0 && asked.keep > 0 {
        return Err(error::BAD_REQUEST.error());
    }
    let hosted = named(request, 2)?;
    let filter = Some(asked.filter.into_bytes()).filter(|filter| !filter.is_empty());
    let purge = Purge { filter: filter.map(Vec::into_boxed_slice), before: asked.seq, keep: asked.keep };
    let (_, turn) = request.executor.parts();
    let done = turn.within(|turn| hosted.purge(purge, turn));
    let (purged, upto) =
        done.ok_or_else(|| error::STREAM_NOT_FOUND.error())?.map_err(|why| ApiError::from(&why))?;
    durable(request, upto)?;
    Ok(response(request.kind, Purged { success: true, purged }))
}

pub(super) fn delete(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    if api::is_empty(&request.message.payload) {
        return Err(error::BAD_REQUEST.error());
    }
    let asked: MessageDeleteRequest = optional(request, MessageDeleteRequest::GO)?;
    let seq = asked.seq;
    let hosted = named(request, 3)?;
    let (_, turn) = request.executor.parts();
    let done = turn.within(|turn| hosted.delete_message(seq, !asked.no_erase, turn));
    let upto = done.ok_or_else(|| error::STREAM_NOT_FOUND.error())?.map_err(|why| match why {
        Refusal::NotFound => error::SEQUENCE_NOT_FOUND.with(seq),
        other => ApiError::from(&other),
    })?;
    durable(request, upto)?;
    Ok(response(request.kind, Success { success: true }))
}

#[derive(Serialize)]
struct Got {
    message: Stored,
}

#[derive(Serialize)]
struct Stored {
    subject: String,
    seq: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    hdrs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    time: Time,
}

pub(super) fn get(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    if api::is_empty(&request.message.payload) {
        return Err(error::BAD_REQUEST.error());
    }
    let asked: MessageGetRequest = optional(request, MessageGetRequest::GO)?;
    let hosted = named(request, 3)?;
    let (mut body, head) = (Vec::new(), {
        let inner = hosted.lock();
        let messages = inner.state.machine.messages();
        let seq = wanted(&asked, messages)?.filter(|&seq| seq <= inner.state.visible());
        let seq = seq.ok_or_else(|| error::NO_MESSAGE_FOUND.error())?;
        messages
            .head(seq)
            .map(|head| (head.seq, head.time, head.subject.to_vec(), usize::from(head.header_bytes)))
    });
    let Some((seq, time, subject, header_bytes)) = head else { return Err(error::NO_MESSAGE_FOUND.error()) };
    if !hosted.read_body(seq, &mut body) {
        return Err(error::NO_MESSAGE_FOUND.error());
    }
    let (headers, data) = body.split_at_checked(header_bytes).unwrap_or((b"", &body));
    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let message = Stored {
        subject: String::from_utf8_lossy(&subject).into_owned(),
        seq,
        hdrs: if asked.no_hdr { String::new() } else { base64(headers) },
        data: base64(data),
        time: Time::from_unix_nanos(time),
    };
    Ok(response(request.kind, Got { message }))
}

/// The sequence that is asked for.
fn wanted(
    asked: &MessageGetRequest,
    messages: &dialtone_jetstream::messages::Messages,
) -> Result<Option<u64>, ApiError> {
    let bad = || Err(error::BAD_REQUEST.error());
    if asked.batch != 0 || asked.max_bytes != 0 || !asked.multi_last.is_empty() || asked.up_to_time.is_some()
    {
        return bad();
    }
    let _ = asked.up_to_seq;
    let start = asked.start_time;
    let from = start.map_or(asked.seq, |time| messages.seq_at(time.unix_nanos()));
    let selector = |subject: &str| Selector::new([subject.as_bytes()]);
    match (&*asked.last_by_subj, &*asked.next_by_subj) {
        ("", "") if from == 0 => bad(),
        ("", "") if start.is_some() => Ok(messages.next_live(from)),
        ("", "") => Ok(messages.head(from).map(|head| head.seq)),
        (last, "") if from == 0 => Ok(messages.last_of(&selector(last))),
        ("", next) => Ok(messages.next(&selector(next), from.max(1))),
        _ => bad(),
    }
}
