//! What the API has that official servers do not have: `$JS.API.DIALTONE.…`, with the rights of the rest of it.

use super::has_jetstream;
use crate::internal::Message;
use crate::node::Executor;
use crate::streams::Hosted;
use dialtone_jetstream::api::{self, RedriveRequest, RedriveResponse};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json::{self, Strictness};
use dialtone_jetstream::stream::Refusal;
use std::sync::Arc;

/// What is subscribed to behind the prefix of the API.
pub(super) const FILTER: &str = "DIALTONE.>";
/// Dead letters that one request puts back.
const REDRIVEN_MAX: usize = 256;

/// Answers a request.
pub(super) fn answer(executor: &mut Executor, message: &Message) {
    let node = executor.node.clone();
    // Where a reload switched JetStream off, nobody answers, as for the rest of the API.
    if node.streams.shared().is_none() {
        return;
    }
    let subject = message.subject.clone();
    let Some((_, asked)) = subject.split_once(".API.DIALTONE.") else { return };
    let done = match asked.split_once('.') {
        Some(("REDRIVE", stream)) if !stream.contains('.') => redrive(executor, message, stream),
        _ => return,
    };
    node.streams.asked(&message.account, done.is_err());
    let response =
        done.unwrap_or_else(|error| RedriveResponse { error: Some(error), ..RedriveResponse::default() });
    let kind = "io.dialtone.jetstream.v1.redrive_response".to_owned();
    executor.reply(message, json::to_vec(&RedriveResponse { kind, ..response }));
}

/// The stream of a request, if it may be worked at.
fn named(executor: &Executor, message: &Message, stream: &str) -> Result<Arc<Hosted>, ApiError> {
    let node = &executor.node;
    if !has_jetstream(node, &message.account) {
        return Err(error::NOT_ENABLED_FOR_ACCOUNT.error());
    }
    if node.streams.shared().is_none_or(|shared| shared.failure().is_some()) {
        return Err(error::CLUSTER_NOT_AVAIL.error());
    }
    node.streams.all.find(&message.account, stream).ok_or_else(|| error::STREAM_NOT_FOUND.error())
}

/// Puts dead letters back into the streams that they came from, under their subjects there.
fn redrive(executor: &mut Executor, message: &Message, stream: &str) -> Result<RedriveResponse, ApiError> {
    let asked: RedriveRequest = match api::is_empty(&message.payload) {
        true => RedriveRequest::default(),
        false => api::read_request(&message.payload, RedriveRequest::GO, Strictness::Strict)?,
    };
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
    durable(executor, upto)?;
    let mut upto = None;
    for seq in put {
        let (_, turn) = executor.parts();
        let deleted = turn.within(|turn| letters.delete_message(seq, false, turn));
        response.redriven += 1;
        if let Some(Ok(lsn)) = deleted {
            upto = upto.max(lsn);
        }
    }
    durable(executor, upto)?;
    Ok(response)
}

/// Waits until the log has something on disk.
fn durable(executor: &Executor, upto: Option<dialtone_store::Lsn>) -> Result<(), ApiError> {
    let Some((upto, shared)) = upto.zip(executor.node.streams.shared()) else { return Ok(()) };
    match shared.store().map(|store| store.wait(upto)) {
        None | Some(Ok(())) => Ok(()),
        Some(Err(failure)) => Err(error::STREAM_STORE_FAILED.with(failure)),
    }
}
