//! Why a message arrives, or does not, asked of a running server, which knows who listens, too.

use super::answer::{Failure, answer_with};
use crate::explain::{Question, answer_living};
use crate::internal::{Message, Outgoing};
use crate::node::{Executor, Publisher};
use crate::share::Share;
use dialtone_identity::nkey::{Kind, Public};
use serde_json::to_value;

/// Bytes of a question that is passed on: a user's JWT is the largest part of it.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

/// Answers a request whose body is a [`Question`], or passes it on to the server that is to answer.
///
/// Nothing is kept of what is passed on: the answer goes to who asked. So one request costs one answer, of whatever server, and who
/// follows a message over many servers asks each.
pub(super) fn answer(publisher: &mut Publisher, message: &Message) {
    let question = serde_json::from_slice::<Question>(&message.payload);
    if let Ok(Question { server: Some(server), .. }) = &question
        && *server != publisher.node.settings.identity.id
    {
        return pass_on(publisher, message, server);
    }
    answer_here(publisher, message, question);
}

/// `$SYS._INBOX_.<id>`: another server passes a question on. A server's inbox is told to all others already; a subject of its own would be
/// interest that official servers do not have, and in the figures of those that are told.
pub(super) fn passed_on(executor: &Executor, message: &Message) {
    let question = serde_json::from_slice::<Question>(&message.payload);
    let is_own = question.as_ref().is_ok_and(|question| {
        question.server.as_deref() == Some(executor.node.settings.identity.id.as_str())
    });
    if !is_own || message.reply.is_empty() {
        return;
    }
    let (share, bytes) = (Share::account(&message.account), message.payload.len());
    let message = message.clone();
    executor.node.internal.ask_server(share, bytes, move |publisher| {
        answer_here(publisher, &message, question);
    });
}

fn pass_on(publisher: &mut Publisher, message: &Message, server: &str) {
    let is_server = Public::parse(server).is_ok_and(|key| key.kind == Kind::Server);
    let subject = format!("$SYS._INBOX_.{server}");
    let mut outgoing = Outgoing::new(subject, message.payload.to_vec());
    outgoing.reply = message.reply.to_string();
    let is_sent = is_server
        && message.payload.len() <= QUESTION_BYTES_MAX
        && publisher.publish(&message.account, &outgoing) > 0;
    if !is_sent {
        let why = format!("server {server} is not reached from here");
        answer_with(publisher, message, OPTIONS.0, OPTIONS.1, |_, _| Err(Failure::Failed(why)));
    }
}

/// What errors call the options.
const OPTIONS: (&str, &str) = ("ExplainEventOptions", "ExplainOptions");

fn answer_here(publisher: &mut Publisher, message: &Message, question: Result<Question, serde_json::Error>) {
    answer_with(publisher, message, OPTIONS.0, OPTIONS.1, |node, _| {
        let question = question.map_err(|problem| Failure::Refused(problem.to_string()))?;
        let report = answer_living(node, &question);
        let report = report.map_err(|problem| Failure::Refused(problem.to_string()))?;
        to_value(report).map_err(|problem| Failure::Failed(problem.to_string()))
    });
}
