//! What the API has that official servers do not have: `$JS.API.DIALTONE.…`, with the rights of the rest of it.

use super::api::on_disk;
use super::check_available;
use crate::internal::Message;
use crate::node::Executor;
use crate::streams::Hosted;
use dialtone_jetstream::api::{
    self, CancelRequest, CancelResponse, DelayedMessage, DelayedRequest, DelayedResponse, RedriveRequest,
    RedriveResponse,
};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json::{self, Field, Strictness};
use dialtone_jetstream::stream::{Delayed, Refusal};
use dialtone_jetstream::time::Time;
use dialtone_store::Lsn;
use serde::Serialize;
use std::sync::Arc;

/// What is subscribed to behind the prefix of the API.
pub(super) const FILTER: &str = "DIALTONE.>";
/// Delayed messages that one answer lists.
const LISTED_MAX: usize = 256;
/// Dead letters that one request puts back.
const REDRIVEN_MAX: usize = 256;

/// Answers a request.
pub(super) fn answer(executor: &mut Executor, message: &Message) {
    let node = executor.node.clone();
    // Where a reload switched JetStream off, nobody answers, as for the rest of the API; nor where the account imports it.
    if node.streams.shared().is_none() || super::is_elsewhere(&node, &message.account) {
        return;
    }
    let subject = message.subject.clone();
    let Some((_, asked)) = subject.split_once(".API.DIALTONE.") else { return };
    let Some((asked, stream)) = asked.rsplit_once('.') else { return };
    match asked {
        "REDRIVE" => reply(executor, message, stream, redrive),
        "DELAYED.LIST" => reply(executor, message, stream, list),
        "DELAYED.CANCEL" => reply(executor, message, stream, cancel),
        _ => {}
    }
}

/// What an endpoint answers, and where the log ends with what it did.
type Done<R> = Result<(R, Option<Lsn>), ApiError>;

/// Does what is asked, and answers once that is on disk.
fn reply<R: Response + Send + 'static>(
    executor: &mut Executor,
    message: &Message,
    stream: &str,
    act: impl FnOnce(&mut Executor, &Message, &str) -> Done<R>,
) {
    let node = executor.node.clone();
    let done = act(executor, message, stream);
    node.streams.asked(&message.account, done.is_err());
    let (account, reply) = (message.account.clone(), message.reply.clone());
    executor.at_last(move |executor| {
        let done = done.and_then(|(response, upto)| on_disk(&node, upto).map(|()| response));
        executor.answer(&account, &reply, &[], &*encode(done));
    });
}

/// The document of an answer.
trait Response: Default + Serialize {
    /// Its `type`.
    const KIND: &'static str;
    /// Where its type stands, and its error.
    fn head(&mut self) -> (&mut String, &mut Option<ApiError>);
}

fn encode<R: Response>(done: Result<R, ApiError>) -> Vec<u8> {
    let (mut response, error) = match done {
        Ok(response) => (response, None),
        Err(error) => (R::default(), Some(error)),
    };
    let (kind, place) = response.head();
    R::KIND.clone_into(kind);
    *place = error;
    json::to_vec(&response)
}

macro_rules! responses {
    ($($document:ty = $kind:literal;)*) => { $(
        impl Response for $document {
            const KIND: &'static str = concat!("io.dialtone.jetstream.v1.", $kind, "_response");

            fn head(&mut self) -> (&mut String, &mut Option<ApiError>) {
                (&mut self.kind, &mut self.error)
            }
        }
    )* };
}

responses! {
    RedriveResponse = "redrive";
    DelayedResponse = "delayed_list";
    CancelResponse = "delayed_cancel";
}

/// Lists the messages of a stream that are stored later.
fn list(executor: &mut Executor, message: &Message, stream: &str) -> Done<DelayedResponse> {
    let asked: DelayedRequest = read(message, DelayedRequest::GO)?;
    let hosted = named(executor, message, stream)?;
    let inner = hosted.lock();
    let machine = &inner.state.machine;
    let shown = |delayed: &Delayed<'_>| DelayedMessage {
        id: delayed.id,
        subject: String::from_utf8_lossy(&delayed.subject).into_owned(),
        at: Some(Time::from_unix_nanos(delayed.at)),
        bytes: (delayed.headers.len() + delayed.payload.len()) as u64,
    };
    let mut found = machine.delayed(asked.behind, &asked.subject);
    let delayed: Vec<_> = found.by_ref().take(LISTED_MAX).map(shown).collect();
    let complete = found.next().is_none();
    let total = machine.delayed_totals().0 as u64;
    Ok((DelayedResponse { total, delayed, complete, ..DelayedResponse::default() }, None))
}

/// Gives up a message that was to be stored later.
fn cancel(executor: &mut Executor, message: &Message, stream: &str) -> Done<CancelResponse> {
    let asked: CancelRequest = read(message, CancelRequest::GO)?;
    let hosted = named(executor, message, stream)?;
    let (_, turn) = executor.parts();
    let done = turn.within(|turn| hosted.cancel_delayed(asked.id, turn));
    let done = done.ok_or_else(|| error::STREAM_NOT_FOUND.error())?;
    let upto = done.map_err(|why| match why {
        Refusal::NotFound => error::NO_MESSAGE_FOUND.error(),
        other => ApiError::from(&other),
    })?;
    Ok((CancelResponse { success: true, ..CancelResponse::default() }, upto))
}

/// The body of a request, which may be empty.
fn read<T: Field + Default>(message: &Message, go: &str) -> Result<T, ApiError> {
    match api::is_empty(&message.payload) {
        true => Ok(T::default()),
        false => api::read_request(&message.payload, go, Strictness::Strict),
    }
}

/// The stream of a request, if it may be worked at.
fn named(executor: &Executor, message: &Message, stream: &str) -> Result<Arc<Hosted>, ApiError> {
    let node = &executor.node;
    check_available(node, &message.account)?;
    node.streams.all.find(&message.account, stream).ok_or_else(|| error::STREAM_NOT_FOUND.error())
}

/// Puts dead letters back into the streams that they came from, under their subjects there.
fn redrive(executor: &mut Executor, message: &Message, stream: &str) -> Done<RedriveResponse> {
    let asked: RedriveRequest = read(message, RedriveRequest::GO)?;
    let letters = named(executor, message, stream)?;
    if letters.lock().state.meta.config.deny_delete {
        return Err(ApiError::from(&Refusal::DeleteDenied));
    }
    let batch = usize::try_from(asked.batch).ok().filter(|batch| *batch > 0).unwrap_or(REDRIVEN_MAX);
    let mut response = RedriveResponse { next: asked.seq.max(1), ..RedriveResponse::default() };
    let (mut put, mut upto) = (Vec::new(), None);
    for _ in 0..batch.min(REDRIVEN_MAX) {
        let letter = match letters.dead_letter(response.next, &asked.consumer) {
            Ok(Some(letter)) => letter,
            Ok(None) => {
                response.complete = true;
                break;
            }
            Err(next) => {
                response.next = next;
                continue;
            }
        };
        response.next = letter.seq + 1;
        let (node, turn) = executor.parts();
        let origin = node.streams.all.find(&message.account, &letter.stream);
        let done = origin.and_then(|origin| turn.within(|turn| origin.put_back(&letter, turn)));
        let problem = match done {
            Some(Ok(lsn)) => {
                upto = upto.max(lsn);
                put.push(letter.seq);
                continue;
            }
            Some(Err(why)) => ApiError::from(&why).description.into_owned(),
            None => format!("stream {} does not have its subject", letter.stream),
        };
        response.kept += 1;
        if response.reason.is_empty() {
            response.reason = problem;
        }
    }
    // They are deleted here once they are on disk there.
    on_disk(&executor.node, upto)?;
    let mut upto = None;
    for seq in put {
        let (_, turn) = executor.parts();
        let deleted = turn.within(|turn| letters.delete_message(seq, false, turn));
        response.redriven += 1;
        if let Some(Ok(lsn)) = deleted {
            upto = upto.max(lsn);
        }
    }
    Ok((response, upto))
}
