//! Removes sessions that are over and whose clients do not come back: the records of an account are read one after the other, now and then, and
//! slowly. After `kill -9` that is how sessions go that nobody could end.

use super::conversation;
use super::ending::said;
use super::session::now_seconds;
use crate::internal::{Domain, Outgoing, Reply};
use crate::node::{Executor, Node};
use crate::share::Share;
use dialtone_broker::account::Account;
use dialtone_mqtt::record::Record;
use dialtone_mqtt::streams::{Settings, Stream};
use dialtone_mqtt::sweep::{Next, Verdict, rest};
use dialtone_mqtt::talk::{Saving, record_of};
use std::sync::Arc;
use std::time::Duration;

/// Records that are read without a pause, and the pause.
const AT_ONCE: u64 = 64;
const PAUSE: Duration = Duration::from_millis(50);

/// Begins to look through the records that are on this server. Those of other accounts are looked through once a client is there.
pub(crate) fn start(node: &Arc<Node>) {
    for account in node.accounts.all() {
        if node.streams.all.find(&account, Stream::Sessions.name()).is_some() {
            expect(node, &account, 0);
        }
    }
}

/// A session of an account may be over then, in seconds since 1970.
pub(super) fn expect(node: &Arc<Node>, account: &Arc<Account>, due: u64) {
    if node.connections.client_ids.expect_end(account.id, due) {
        let account = account.clone();
        node.internal.run_in(Domain::JetStream, move |executor| go_on(executor, account));
    }
}

fn go_on(executor: &mut Executor, account: Arc<Account>) {
    match executor.node.connections.client_ids.next_sweep(account.id, now_seconds()) {
        Next::Nothing => {}
        Next::Wait(span) => drop(executor.after(span, move |executor| go_on(executor, account))),
        Next::Walk => {
            let node = &executor.node;
            let policy = node.settings.policy();
            let Some(own) = &policy.options.mqtt else { return go_on(executor, account) };
            let settings = conversation::settings(own, &node.settings.identity.name);
            let settings = node.connections.client_ids.share_settings(settings);
            Walk { account, settings, next: 1, seen: 0 }.step(executor);
        }
    }
}

/// A walk through the records of an account.
struct Walk {
    account: Arc<Account>,
    settings: Arc<Settings>,
    /// The sequence from which on records have not been looked at.
    next: u64,
    seen: u64,
}

impl Walk {
    fn step(self, executor: &mut Executor) {
        let mut asked = said(self.settings.clone(), |talk, send| talk.next_record(self.next, send));
        let Some(request) = asked.pop() else { return self.end(executor) };
        let (account, timeout) = (self.account.clone(), self.settings.streams.api_timeout);
        let share = Share::account(&account);
        executor.ask(&account, request, timeout, share, move |executor, reply| self.take(executor, &reply));
    }

    fn take(mut self, executor: &mut Executor, reply: &Reply) {
        let found = match reply {
            Reply::Message(message) => record_of(&message.payload).ok().flatten(),
            // What cannot be read now is looked for when a client has come and gone.
            Reply::NoResponders | Reply::TimedOut | Reply::Overloaded => None,
        };
        let Some((sequence, record)) = found else { return self.end(executor) };
        if let Some(record) = record {
            self.judge(executor, record, sequence);
        }
        (self.next, self.seen) = (sequence.saturating_add(1), self.seen + 1);
        if self.seen.is_multiple_of(AT_ONCE) {
            executor.after(PAUSE, move |executor| self.step(executor));
        } else {
            self.step(executor);
        }
    }

    fn judge(&self, executor: &mut Executor, mut record: Record, sequence: u64) {
        let (account, settings, now) = (&self.account, self.settings.clone(), now_seconds());
        let client_ids = &executor.node.connections.client_ids;
        let is_connected = client_ids.is_connected(account.id, &record.id);
        let told: Vec<Outgoing> = match Verdict::of(&record, settings.server, is_connected, now) {
            Verdict::Stays => return,
            Verdict::Until(due) => {
                client_ids.expect_end(account.id, due);
                return;
            }
            // A record that was written meanwhile has another sequence, and stays.
            Verdict::Over => said(settings, |talk, send| talk.delete(&record, sequence, send)),
            Verdict::Left(due) => {
                record.ended = now;
                client_ids.expect_end(account.id, due);
                let at = executor.now();
                said(settings, |talk, send| talk.save(at, &record, sequence, Saving::End, send))
            }
        };
        for mut message in told {
            // Nobody waits for answers.
            message.reply.clear();
            executor.publish(account, &message);
        }
    }

    /// It has seen all: the next one comes after a rest.
    fn end(self, executor: &mut Executor) {
        let account = self.account;
        executor.after(rest(self.seen), move |executor| go_on(executor, account));
    }
}
