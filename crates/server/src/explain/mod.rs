//! Why a message arrives, or does not: the whole path of a subject, as values.
//!
//! A [`Question`] is answered with a [`Report`], from the configuration alone by an [`Explainer`](crate::Explainer), or by a running
//! server, which adds who listens. `publish` and `subscribe` walk with [`dialtone_broker::explain`], which asks the
//! functions that decide for messages; `context` finds where things stand in files; `missing` lists agreements
//! that are nearly there.

mod context;
mod missing;
mod onward;
mod publish;
mod report;
mod stored;
mod subscribe;
mod upstream;
mod users;

pub use report::{
    Action, Answering, Arrival, Departure, Kind, Link, Live, Neighbor, Question, Report, Rule, Step,
    StreamConsumer, Verdict, What, Who,
};

use crate::node::Node;
use context::ExplainContext;
use dialtone_config::ConfigError;
use dialtone_config::sharing::Import;
use dialtone_subject::{is_valid_filter, is_valid_literal};
use std::collections::HashMap;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// There is no such account.
    #[error("there is no account {0:?}")]
    Account(String),
    /// There is no such user in the account.
    #[error("account {1:?} has no user {0:?}")]
    User(String, String),
    /// The user's JWT lets it in nowhere, for this reason.
    #[error("the user's JWT is not believed: {0}")]
    Jwt(String),
    /// Nothing can be published to this.
    #[error("{0:?} is no subject to publish to: it must have no wildcards and no empty tokens")]
    Subject(String),
    /// Nothing can be subscribed to like this.
    #[error("{0:?} is no subject to subscribe to")]
    Filter(String),
}

/// What a server would refuse of a configuration, and the answers go without.
#[derive(Default)]
pub(crate) struct LeftOut {
    not_supported: Vec<ConfigError>,
    /// By account: of what, why, and where.
    imports: HashMap<String, Vec<(String, String, Option<String>)>>,
}

impl LeftOut {
    /// Of keys that are not supported, and of imports that do not hold, by account.
    pub(crate) fn new(not_supported: Vec<ConfigError>, imports: Vec<(String, Import, ConfigError)>) -> Self {
        let mut out = Self { not_supported, imports: HashMap::new() };
        for (account, import, error) in imports {
            let why = if error.help.is_empty() { error.problem } else { error.help };
            let import = (import.subject, why, context::place(&error.at));
            out.imports.entry(account).or_default().push(import);
        }
        out
    }

    fn imports_of(&self, account: &str) -> Vec<(String, String, Option<String>)> {
        self.imports.get(account).cloned().unwrap_or_default()
    }

    /// The keys that are not supported.
    fn note(&self) -> Option<String> {
        users::left_out(&self.not_supported)
    }
}

/// What there is to tell of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Facts {
    /// Agreements and rights.
    Configured,
    /// And who listens.
    Living,
}

/// The answer about a configuration.
pub(crate) fn answer_configured(
    node: &Node,
    left_out: &LeftOut,
    question: &Question,
) -> Result<Report, QuestionError> {
    answer(node, left_out, question, Facts::Configured)
}

/// The answer of a running server.
pub(crate) fn answer_living(node: &Node, question: &Question) -> Result<Report, QuestionError> {
    answer(node, &LeftOut::default(), question, Facts::Living)
}

fn answer(
    node: &Node,
    left_out: &LeftOut,
    question: &Question,
    facts: Facts,
) -> Result<Report, QuestionError> {
    let valid = match question.action {
        Action::Publish if !is_valid_literal(question.subject.as_bytes()) => {
            Err(QuestionError::Subject(question.subject.clone()))
        }
        Action::Subscribe if !is_valid_filter(question.subject.as_bytes()) => {
            Err(QuestionError::Filter(question.subject.clone()))
        }
        _ => Ok(()),
    };
    valid?;
    let context = ExplainContext::new(node, left_out, facts);
    let account = context.account(&question.account)?;
    if let Some(arrival) = &question.arrives {
        return Ok(publish::report_arrival(&context, question, &account, arrival));
    }
    if let Some(departure) = &question.leaves {
        return Ok(upstream::report_departure(&context, question, &account, departure));
    }
    let users = context.users(&account, question.user.as_deref())?;
    if let Some(other) = &question.other {
        context.account(other)?;
    }
    Ok(match question.action {
        Action::Publish => publish::report(&context, question, &account, &users),
        Action::Subscribe => subscribe::report(&context, question, &account, &users),
    })
}
