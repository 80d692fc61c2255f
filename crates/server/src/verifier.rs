//! What takes long, on threads of its own: no event loop waits for bcrypt, the disk, or an answer from elsewhere.
//!
//! Each kind has a line of its own, so that a slow one does not hold up the others. Lines are shared by lanes and by
//! address or account ([`crate::share`]); what a reload or the clock asks for is a flag, which no queue is too full for.

use crate::registry::Session;
use crate::share::line::{Line, Next};
use crate::share::{Lane, LaneFigures, Share};
use crate::tls::Judgement;
use crate::verdict::Verdict;
use dialtone_broker::peer::Peer;
use dialtone_identity::authenticator::SlowCheck;
use dialtone_net::Threads;
use dialtone_net::threads::{Progress, Watch};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Items that wait in each lane of a line. Each waits for a connection or was sent by one, so there are seldom more than
/// connections.
const LANE_MAX: usize = 64 * 1024;
/// How long one piece of work may take before its thread is said to stand still: bcrypt has any cost, and disks and others'
/// servers take their time.
const STALL: Duration = Duration::from_secs(60);
/// How many certificates are asked about by OCSP at a time: a responder that does not answer takes seconds.
const CERTIFICATE_THREADS: usize = 4;
/// How many accounts are asked for at others at a time: one that gets no answer takes seconds.
const LOOKUP_THREADS: usize = 4;

/// Something that takes long, and that a connection waits for.
pub enum Check {
    /// Whether a password is the one.
    Password(SlowCheck),
    /// The token of the account with this key; what was presented is then looked at again.
    Account(String),
}

/// What is done once, however often it is asked for while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Chore {
    /// Tokens and connections are looked at again, since a reload changed what they are judged by.
    RenewTokens = 1,
    /// Imports end whose activations are over.
    EndActivations = 2,
}

impl Chore {
    /// All, in the order in which they are done.
    const ALL: [Self; 2] = [Self::RenewTokens, Self::EndActivations];
}

/// The server that checks are for.
pub trait Host: Send + Sync + Sized + 'static {
    /// Its verifier.
    fn verifier(&self) -> &Verifier<Self>;
    /// What it runs on.
    fn threads(&self) -> &Threads;
    /// Whether it may take long to look up an account: others have it.
    fn asks_others(&self) -> bool;
    /// Makes sure that the JWT of the account with this key is at hand.
    fn look_up(&self, key: &str);
    /// Does what is due.
    fn do_chore(&self, chore: Chore);
}

type Run<N> = Box<dyn FnOnce(&Arc<N>) + Send>;

/// Work that waits for its thread.
struct Work<N> {
    run: Run<N>,
    /// The connection that waits for it. When it is gone nothing is done.
    waiter: Option<Arc<Session>>,
}

impl<N> Work<N> {
    fn is_wanted(&self) -> bool {
        self.waiter.as_ref().is_none_or(|session| session.peer.closing().is_none())
    }
}

/// The lines.
pub struct Verifier<N> {
    passwords: Arc<Line<Work<N>>>,
    /// Where accounts are asked for at others. Elsewhere looking one up is quick, and is work like any other.
    lookups: Arc<Line<Work<N>>>,
    has_lookups: AtomicBool,
    work: Arc<Line<Work<N>>>,
    /// Where clients' certificates are checked by OCSP; its threads begin with the first.
    certificates: Arc<Line<Work<N>>>,
    has_certificates: Mutex<bool>,
}

impl<N> Default for Verifier<N> {
    fn default() -> Self {
        Self {
            passwords: Line::new(LANE_MAX),
            lookups: Line::new(LANE_MAX),
            has_lookups: AtomicBool::new(false),
            work: Line::new(LANE_MAX),
            certificates: Line::new(LANE_MAX),
            has_certificates: Mutex::new(false),
        }
    }
}

/// The threads end with the server's state.
impl<N> Drop for Verifier<N> {
    fn drop(&mut self) {
        [&self.passwords, &self.lookups, &self.work, &self.certificates]
            .into_iter()
            .for_each(|line| line.end());
    }
}

impl<N: Host> Verifier<N> {
    /// Starts the threads.
    ///
    /// Errors: the system refuses them.
    pub(crate) fn start(node: &Arc<N>) -> io::Result<()> {
        let verifier = node.verifier();
        start(node, &verifier.passwords, "passwords")?;
        start(node, &verifier.work, "work")?;
        if node.asks_others() {
            verifier.has_lookups.store(true, Ordering::Release);
            for _ in 0..LOOKUP_THREADS {
                start(node, &verifier.lookups, "lookups")?;
            }
        }
        Ok(())
    }

    /// Takes a check; its verdict will be in the session. It waits for its turn among those of other addresses.
    pub fn take(&self, check: Check, session: Arc<Session>) {
        match check {
            Check::Password(check) => {
                self.check_password(check, session, Lane::Login);
            }
            Check::Account(key) => {
                let checked = session.clone();
                self.take_lookup(session, move |node| {
                    node.look_up(&key);
                    checked.decide(Verdict::LookAgain);
                });
            }
        }
    }

    /// Takes the check of a session that is in, and of which a reload wants to know whether its password is the one. It
    /// comes before all logins.
    pub fn take_review(&self, check: SlowCheck, session: Arc<Session>) {
        self.check_password(check, session, Lane::Control);
    }

    fn check_password(&self, check: SlowCheck, session: Arc<Session>, lane: Lane) {
        let share = match session.peer.place().account {
            Some(account) if lane == Lane::Control => Share::account(&account),
            _ => Share::stranger(&session),
        };
        let checked = session.clone();
        let run = move |_: &Arc<N>| checked.decide(Verdict::Checked(check.run()));
        put(&self.passwords, lane, share, Some(session), Box::new(run));
    }

    /// Takes the check of a client's certificate, which waits for its turn among those of other addresses.
    ///
    /// Errors: the system refuses threads for it.
    pub(crate) fn take_certificate(
        &self,
        node: &Arc<N>,
        waiter: &Arc<Session>,
        work: impl FnOnce(&Arc<N>) + Send + 'static,
    ) -> io::Result<()> {
        {
            let mut has_threads = self.has_certificates.lock();
            if !*has_threads {
                for _ in 0..CERTIFICATE_THREADS {
                    start(node, &self.certificates, "ocsp")?;
                }
                *has_threads = true;
            }
        }
        let work = Work { run: Box::new(work), waiter: Some(waiter.clone()) };
        for dropped in self.certificates.push(Lane::Login, Share::stranger(waiter), 1, work) {
            if let Some(session) = dropped.waiter {
                session.put_judgement(Judgement::not_asked("too many certificates wait for OCSP"));
                Peer::wake_owner(&session.peer);
            }
        }
        Ok(())
    }

    /// Takes work for which accounts may have to be looked up, and that a connection waits for: until its authorization
    /// timeout, if its turn does not come before. Passwords wait for their turn however long that takes, as officially.
    pub fn take_lookup(&self, waiter: Arc<Session>, work: impl FnOnce(&Arc<N>) + Send + 'static) {
        let share = Share::stranger(&waiter);
        waiter.set_waiting(true);
        put(self.lookup_line(), Lane::Login, share, Some(waiter), Box::new(work));
    }

    /// Takes work for which accounts have to be looked up that others import from. It is dropped if the account has too
    /// much of it.
    pub fn take_import_lookup(&self, account: &str, work: impl FnOnce(&Arc<N>) + Send + 'static) {
        put(self.lookup_line(), Lane::Question, Share::Account(account.into()), None, Box::new(work));
    }

    fn lookup_line(&self) -> &Line<Work<N>> {
        if self.has_lookups.load(Ordering::Acquire) { &self.lookups } else { &self.work }
    }

    /// Takes work that no connection waits for, such as writing to the disk. It is dropped if its share has most of what
    /// waits, and that is too much.
    pub fn take_work(&self, lane: Lane, share: Share, work: impl FnOnce(&Arc<N>) + Send + 'static) {
        put(&self.work, lane, share, None, Box::new(work));
    }

    /// Has something done, before all other work.
    pub fn raise(&self, chore: Chore) {
        self.work.raise(chore as u32);
    }

    /// What waits, by line and lane, and what was dropped.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, Lane, LaneFigures)> {
        let lines = [
            ("passwords", &self.passwords),
            ("lookups", &self.lookups),
            ("work", &self.work),
            ("certificates", &self.certificates),
        ];
        lines.into_iter().flat_map(|(name, line)| {
            line.figures().into_iter().map(move |(lane, figures)| (name, lane, figures))
        })
    }
}

/// Puts work into a line. Whoever waits for what was dropped learns that, and not that it was refused.
fn put<N>(line: &Line<Work<N>>, lane: Lane, share: Share, waiter: Option<Arc<Session>>, run: Run<N>) {
    for dropped in line.push(lane, share, 1, Work { run, waiter }) {
        if let Some(session) = dropped.waiter {
            session.decide(Verdict::Overloaded);
        }
    }
}

fn start<N: Host>(node: &Arc<N>, line: &Arc<Line<Work<N>>>, name: &str) -> io::Result<()> {
    let (line, server) = (line.clone(), Arc::downgrade(node));
    let run = move |progress: &Progress| {
        loop {
            let next = line.next(None);
            let Some(server) = server.upgrade() else { return };
            progress.begin();
            match next {
                Next::Flags(flags) => do_chores(&*server, flags),
                Next::Item(job, work) => {
                    // What others of its share wait for can be done beside it.
                    line.done(job);
                    if work.is_wanted() {
                        if let Some(waiter) = &work.waiter {
                            waiter.set_waiting(false);
                        }
                        (work.run)(&server);
                    }
                }
                Next::TimedOut => {}
                Next::Closed => return,
            }
            progress.end();
        }
    };
    node.threads().spawn_watched(name, Watch::new(STALL), run)?;
    Ok(())
}

fn do_chores<N: Host>(node: &N, flags: u32) {
    let due = Chore::ALL.into_iter().filter(|chore| flags & *chore as u32 != 0);
    due.for_each(|chore| node.do_chore(chore));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Server;
    use crate::node::Node;
    use crate::waiting::{Bounded as _, NextLine as _, receive, wait_until};
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Sender, channel};

    fn options(timeout: &str) -> dialtone_config::Options {
        let config = format!(
            "authorization {{ timeout: {timeout}, users: [
                {{ user: u, password: \"$2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC\" }}
            ] }}"
        );
        let mut no_files = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
        dialtone_config::load_text(&config, "t.conf", &mut no_files, &|_| None).expect("options")
    }

    fn server() -> Server {
        Server::builder().options(options("600")).in_process_only().quiet().start().expect("started")
    }

    /// Says who it is, and returns the lines that follow.
    fn log_in(server: &Server) -> impl Iterator<Item = String> {
        let mut stream = server.connect_in_process().expect("connected").bounded();
        stream
            .write_all(b"CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"right\"}\r\nPING\r\n")
            .expect("sent");
        let lines = BufReader::<UnixStream>::new(stream).lines().map(|line| line.expect("a line"));
        lines.filter(|line| !line.starts_with("INFO") && line != "PING")
    }

    /// Holds the only thread of a line, from when this returns until something is sent.
    fn hold(line: &Arc<Line<Work<Node>>>) -> Sender<()> {
        let (begun, at_work) = channel();
        let (go, held) = channel::<()>();
        let work = Box::new(move |_: &Arc<Node>| {
            begun.send(()).expect("the test waits");
            let _ = held.recv();
        });
        put(line, Lane::Control, Share::Server, None, work);
        receive(&at_work, "the thread is not held");
        go
    }

    /// The bound falls on who comes last of those who have most; it gets that error, and the others get in.
    #[test]
    fn a_login_beyond_the_bound_is_not_called_wrong() {
        let server = server();
        let line = &server.node().verifier.passwords;
        let go = hold(line);
        let filler = Work { run: Box::new(|_| {}), waiter: None };
        assert!(line.push(Lane::Login, Share::Local, LANE_MAX - 1, filler).is_empty());
        let waiting = || line.figures()[Lane::Login as usize].1;
        let mut first = log_in(&server);
        wait_until("two wait", || waiting().waiting >= 2);
        let mut second = log_in(&server);
        let expected = "-ERR 'Connection throttling is active. Please try again later.'";
        assert_eq!(second.next().as_deref(), Some(expected));
        assert_eq!(second.next(), None);
        assert_eq!((waiting().waiting, waiting().dropped), (2, 1));
        go.send(()).expect("the thread is held");
        assert_eq!(first.next().as_deref(), Some("PONG"));
    }

    /// Others of which no check is begun go at the authorization timeout.
    #[test]
    fn a_password_waits_for_its_turn_beyond_the_authorization_timeout() {
        let server = server();
        let line = &server.node().verifier.passwords;
        let go = hold(line);
        let stream = server.connect_in_process().expect("connected").bounded();
        let mut client = BufReader::new(stream);
        client.next_line();
        server.reload(Ok(options("0.01")));
        let hello = b"CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"right\"}\r\nPING\r\n";
        client.get_mut().write_all(hello).expect("sent");
        wait_until("a login waits", || line.figures()[Lane::Login as usize].1.waiting > 0);
        // One that came later, whose time is over: so is that of the first.
        let later = server.connect_in_process().expect("connected").bounded();
        let lines: Vec<String> = BufReader::new(later).lines().map(|line| line.expect("a line")).collect();
        assert_eq!(lines.last().map(String::as_str), Some("-ERR 'Authentication Timeout'"));
        go.send(()).expect("the thread is held");
        let mut lines = client.lines().map(|line| line.expect("a line")).filter(|line| line != "PING");
        assert_eq!(lines.next().as_deref(), Some("PONG"));
    }
}
