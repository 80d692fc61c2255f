//! Answers questions about a configuration that no server runs with.

use crate::builder::{StartError, identity};
use crate::explain::{LeftOut, Question, QuestionError, Report, answer_configured};
use crate::log::Logger;
use crate::policy::Policy;
use crate::shared::Shared;
use crate::trust::resolver::{Reach, Resolver, Source};
use dialtone_config::Partial;
use dialtone_net::Threads;
use std::sync::Arc;

/// Accounts of a folder of tokens that are looked at.
const ACCOUNTS_MAX: usize = 100_000;

/// What answers questions about a configuration that no server runs with.
pub struct Explainer {
    shared: Arc<Shared>,
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
        (options.tls, options.websocket, options.ocsp) = (None, None, Default::default());
        let log = Logger::silent();
        let identity = identity(&options, 0, 0);
        let policy = Policy::new(options, &identity)?;
        let resolver = Resolver::new(&policy.options, policy.authenticator.operators(), &log)?;
        let shared = Shared::new(identity, policy, log, Threads::default(), resolver);
        for key in known_accounts(&shared) {
            // What cannot be believed is not there for a server either.
            let _ = shared.look_up(&key, Reach::Anywhere);
        }
        shared.find_system();
        Ok(Self { shared, left_out })
    }

    /// The answer to a question.
    pub fn answer(&self, question: &Question) -> Result<Report, QuestionError> {
        answer_configured(&self.shared, &self.left_out, question)
    }
}

/// The accounts whose tokens are at hand.
fn known_accounts(shared: &Shared) -> Vec<String> {
    let policy = shared.policy();
    let preload = policy.options.operator_mode.preload.iter().map(|preload| preload.account.clone());
    let mut keys: Vec<String> = preload.collect();
    if let Source::Folder { store, .. } = shared.resolver.source() {
        keys.extend(store.list());
    }
    keys.truncate(ACCOUNTS_MAX);
    keys
}
