//! A session of which nothing is kept: who comes with its client identifier waits until its record and its consumers are gone.

use super::effects::Effects;
use crate::internal::{Domain, Outgoing};
use crate::node::{Executor, Node};
use crate::share::Share;
use dialtone_broker::account::Account;
use dialtone_mqtt::record::Record;
use dialtone_mqtt::streams::Settings;
use dialtone_mqtt::talk::{Send, Talk};
use std::sync::Arc;

/// What is being deleted, in the hands of everything that is asked for that. When the last has let go it is done, or has failed.
struct Ending {
    node: Arc<Node>,
    account: Arc<Account>,
    client_id: Arc<str>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.node.connections.client_ids.ended(self.account.id, &self.client_id);
    }
}

impl Effects {
    /// Deletes the record of its session, which has this sequence, and its consumers.
    pub(super) fn delete_session(&self, record: Record, sequence: u64) {
        let Some(conversation) = &self.conversation else { return };
        if sequence == 0 && record.consumers.is_empty() && record.pubrel.is_none() {
            return;
        }
        let (node, account) = (self.conduct.node.clone(), conversation.account.clone());
        let settings = conversation.settings.clone();
        node.connections.client_ids.begin_end(account.id, &self.client_id, &self.conduct.session);
        let ending = Ending { node: node.clone(), account, client_id: self.client_id.clone() };
        let task = move |executor: &mut Executor| delete(executor, settings, &record, sequence, ending);
        node.internal.run_in(Domain::JetStream, task);
    }
}

/// What is to be said to streams, apart from a connection.
pub(super) fn said(settings: Arc<Settings>, say: impl FnOnce(&mut Talk, &mut Send<'_>)) -> Vec<Outgoing> {
    let mut out = Vec::new();
    say(&mut Talk::new(settings, 0), &mut |message| {
        let subject = String::from_utf8_lossy(message.subject);
        let headers = message.headers().to_vec();
        out.push(Outgoing { headers, ..Outgoing::new(subject, message.payload()) });
        1
    });
    out
}

fn delete(executor: &mut Executor, settings: Arc<Settings>, record: &Record, sequence: u64, ending: Ending) {
    let (timeout, account) = (settings.streams.api_timeout, ending.account.clone());
    let requests = said(settings, |talk, send| talk.delete(record, sequence, send));
    let ending = Arc::new(ending);
    for request in requests {
        let (ending, share) = (ending.clone(), Share::account(&account));
        executor.ask(&account, request, timeout, share, move |_, _| drop(ending));
    }
}
