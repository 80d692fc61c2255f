//! Removes sessions that are over and whose clients do not come back: the records of an account are read one after the other, now and then, and
//! slowly. After `kill -9` that is how sessions go that nobody could end, and how wills are found that waited when a server ended.

use super::conversation;
use super::ending::said;
use super::session::now_seconds;
use super::will::wait_again;
use crate::clock;
use crate::internal::{Domain, Outgoing, Reply};
use crate::node::{Executor, Node};
use crate::share::Share;
use dialtone_broker::account::Account;
use dialtone_mqtt::record::Record;
use dialtone_mqtt::streams::{Settings, Stream};
use dialtone_mqtt::sweep::{Next, Verdict, rest};
use dialtone_mqtt::talk::{KeptWill, Saving, record_of, will_of};
use std::sync::Arc;
use std::time::Duration;

/// Records that are read without a pause, and the pause.
const AT_ONCE: u64 = 64;
const PAUSE: Duration = Duration::from_millis(50);
/// When a record that could not be read in time is asked for again.
const AGAIN: Duration = Duration::from_secs(5);

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
        Next::Walk { is_first } => {
            let node = &executor.node;
            let policy = node.settings.policy();
            let Some(own) = &policy.options.mqtt else { return go_on(executor, account) };
            let settings = conversation::settings(own, &node.settings.identity.name);
            let settings = node.connections.client_ids.share_settings(settings);
            // Wills that waited when the server ended come first: they have waited long enough.
            Walk { account, settings, of_wills: is_first, next: 1, seen: 0 }.step(executor);
        }
    }
}

/// A walk through the records of an account, or the wills that are kept.
struct Walk {
    account: Arc<Account>,
    settings: Arc<Settings>,
    of_wills: bool,
    /// The sequence from which on records have not been looked at.
    next: u64,
    seen: u64,
}

impl Walk {
    fn step(self, executor: &mut Executor) {
        let mut asked = said(self.settings.clone(), |talk, send| match self.of_wills {
            true => talk.next_will(self.next, send),
            false => talk.next_record(self.next, send),
        });
        let Some(request) = asked.pop() else { return self.end(executor) };
        let (account, timeout) = (self.account.clone(), self.settings.streams.api_timeout);
        let share = Share::account(&account);
        executor.ask(&account, request, timeout, share, move |executor, reply| self.take(executor, &reply));
    }

    fn take(mut self, executor: &mut Executor, reply: &Reply) {
        let message = match reply {
            Reply::Message(message) => message,
            Reply::TimedOut | Reply::Overloaded => {
                executor.after(AGAIN, move |executor| self.step(executor));
                return;
            }
            // There are no streams.
            Reply::NoResponders => return self.end(executor),
        };
        let sequence = match self.of_wills {
            true => self.take_will(executor, &message.payload),
            false => self.take_record(executor, &message.payload),
        };
        let Some(sequence) = sequence else { return self.end(executor) };
        (self.next, self.seen) = (sequence.saturating_add(1), self.seen + 1);
        if self.seen.is_multiple_of(AT_ONCE) {
            executor.after(PAUSE, move |executor| self.step(executor));
        } else {
            self.step(executor);
        }
    }

    /// The sequence of the will that has come.
    fn take_will(&self, executor: &mut Executor, answer: &[u8]) -> Option<u64> {
        let (sequence, will) = will_of(answer).ok().flatten()?;
        let running = executor.node.monitoring.start_instant.elapsed().as_nanos();
        let start = clock::wall().saturating_sub(i64::try_from(running).unwrap_or(i64::MAX));
        // Those that were left in this process wait here already.
        let is_ours = |will: &KeptWill| will.origin == self.settings.server.as_str() && will.kept < start;
        if let Some(will) = will.filter(is_ours) {
            wait_again(executor, (&self.account, &self.settings), (sequence, will));
        }
        Some(sequence)
    }

    /// The sequence of the record that has come.
    fn take_record(&self, executor: &mut Executor, answer: &[u8]) -> Option<u64> {
        let (sequence, record) = record_of(answer).ok().flatten()?;
        if let Some(record) = record {
            self.judge(executor, record, sequence);
        }
        Some(sequence)
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

    /// It has seen all: behind wills come the records, and the next one comes after a rest.
    fn end(self, executor: &mut Executor) {
        if self.of_wills {
            return Self { of_wills: false, next: 1, seen: 0, ..self }.step(executor);
        }
        let account = self.account;
        executor.after(rest(self.seen), move |executor| go_on(executor, account));
    }
}
