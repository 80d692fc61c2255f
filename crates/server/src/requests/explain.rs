//! Why a message arrives, or does not, asked of a running server, which knows who listens, too.

use super::answer::{Failure, answer_with};
use crate::explain::{Question, answer_living};
use crate::internal::Message;
use crate::node::Publisher;
use serde_json::to_value;

/// Answers a request whose body is a [`Question`].
pub(super) fn answer(publisher: &mut Publisher, message: &Message) {
    let question = serde_json::from_slice::<Question>(&message.payload);
    answer_with(publisher, message, "ExplainEventOptions", "ExplainOptions", |node, _| {
        let question = question.map_err(|problem| Failure::Refused(problem.to_string()))?;
        let report = answer_living(node, &question);
        let report = report.map_err(|problem| Failure::Refused(problem.to_string()))?;
        to_value(report).map_err(|problem| Failure::Failed(problem.to_string()))
    });
}
