//! Answers questions about a configuration that no server runs with.

use crate::builder::{StartError, identity};
use crate::explain::{LeftOut, Question, QuestionError, Report, answer_configured};
use crate::log::Logger;
use crate::node::Node;
use crate::policy::Policy;
use crate::resolver::{Reach, Resolver, Source};
use dialtone_config::Partial;
use dialtone_net::Threads;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Accounts of a folder of tokens that are looked at.
const ACCOUNTS_MAX: usize = 100_000;

/// What answers questions about a configuration that no server runs with.
pub struct Explainer {
    node: Arc<Node>,
    left_out: LeftOut,
}

impl Explainer {
    /// Makes the accounts of a configuration, with all that they share. Nothing is listened on.
    ///
    /// Errors: see [`StartError`]. A folder of tokens is made if it is not there, as it is at start.
    pub fn new(partial: Partial) -> Result<Self, StartError> {
        let Partial { mut options, not_supported, imports } = partial;
        let left_out = LeftOut::new(not_supported, imports);
        // Nobody connects, so certificates need not be at hand.
        (options.clients.tls, options.websocket, options.operation.staples.own) =
            (None, None, Default::default());
        let log = Logger::silent();
        let identity = identity(&options, BTreeMap::new());
        let policy = Policy::new(options, &identity)?;
        let resolver = Resolver::new(&policy.options, policy.authenticator.operators(), &log)?;
        let node = Node::new(identity, policy, log, Threads::default(), resolver);
        for key in known_accounts(&node) {
            // What cannot be believed is not there for a server either.
            let _ = node.look_up(&key, Reach::Anywhere);
        }
        node.accounts.begin_system(&node.settings.policy(), Box::new(|_, _, _| {}));
        Ok(Self { node, left_out })
    }

    /// The answer to a question.
    pub fn answer(&self, question: &Question) -> Result<Report, QuestionError> {
        answer_configured(&self.node, &self.left_out, question)
    }
}

/// The accounts whose tokens are at hand.
fn known_accounts(node: &Node) -> Vec<String> {
    let policy = node.settings.policy();
    let preload = policy.options.access.operator_mode.preload.iter().map(|preload| preload.account.clone());
    let mut keys: Vec<String> = preload.collect();
    if let Source::Folder { store, .. } = node.resolver.source() {
        keys.extend(store.list());
    }
    keys.truncate(ACCOUNTS_MAX);
    keys
}
