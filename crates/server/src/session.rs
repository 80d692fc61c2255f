//! A connection as the rest of the server sees it, on whatever thread.

use crate::policy::ListenerKind;
use crate::profile::{ClientDetails, Profile, Source};
use crate::rejection::Rejection;
use crate::tls::Judgement;
use crate::usage::{Checkpoint, ConnectionState, CountFrom, Usage, User};
use crate::verdict::Verdict;
use dialtone_broker::connection_info::{ConnectionInfo, ConnectionInfoSource};
use dialtone_broker::peer::Peer;
use dialtone_identity::authenticator::{Kept, Shown};
use dialtone_identity::operator::Claimed;
use dialtone_net::Secured;
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A connection as it is seen from outside its loop. No two of its locks are held together.
#[derive(Debug)]
pub struct Session {
    /// Its end.
    pub peer: Arc<Peer>,
    profile: Mutex<Arc<Profile>>,
    proof: Mutex<Proof>,
    answers: Mutex<Answers>,
    /// Work for those who came before is done first.
    waits: AtomicBool,
    /// This server dialled: nobody has to show it who the other end is.
    solicited: AtomicBool,
    ending: AtomicBool,
    /// Another connection has come with its client identifier of MQTT.
    displaced: AtomicBool,
    used: Mutex<Option<Box<Checkpoint>>>,
    /// Why it was not let in.
    pub(crate) rejection: OnceLock<Box<Rejection>>,
    /// Messages that its rate limits refused.
    pub refused_msgs: AtomicU64,
    /// Messages that its rate limits let wait.
    pub delayed_msgs: AtomicU64,
    /// Begins and ends of interest that the other end was told, if that is a server.
    interest_told: AtomicU64,
}

/// What a session came in with.
#[derive(Debug, Default)]
struct Proof {
    version: u32,
    shown: Option<Kept>,
}

/// What checks on other threads left for the connection's loop.
#[derive(Debug, Default)]
struct Answers {
    verdicts: Vec<Verdict>,
    /// What OCSP says of its certificate.
    judgement: Option<Box<Judgement>>,
}

impl Session {
    /// A connection that has just come.
    pub fn new(peer: Arc<Peer>, listener: ListenerKind, remote: Option<SocketAddr>) -> Self {
        let profile = Profile::new(peer.id, peer.kind(), listener, remote);
        Self {
            peer,
            profile: Mutex::new(profile.into()),
            proof: Mutex::default(),
            answers: Mutex::default(),
            waits: AtomicBool::new(false),
            solicited: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            displaced: AtomicBool::new(false),
            used: Mutex::default(),
            rejection: OnceLock::new(),
            refused_msgs: AtomicU64::new(0),
            delayed_msgs: AtomicU64::new(0),
            interest_told: AtomicU64::new(0),
        }
    }

    /// The other end was told of so many begins and ends of interest.
    pub(crate) fn count_interest_told(&self, changes: u64) {
        self.interest_told.fetch_add(changes, Ordering::Relaxed);
    }

    /// Begins and ends of interest that the other end was told.
    pub(crate) fn interest_told(&self) -> u64 {
        self.interest_told.load(Ordering::Relaxed)
    }

    /// Who it is by now.
    pub fn profile(&self) -> Arc<Profile> {
        self.profile.lock().clone()
    }

    /// More is known of it. Whoever has the profile from before keeps that.
    fn learn(&self, change: impl FnOnce(&mut Profile)) {
        change(Arc::make_mut(&mut self.profile.lock()));
    }

    /// Whether this server dialled.
    pub fn is_solicited(&self) -> bool {
        self.solicited.load(Ordering::Relaxed)
    }

    /// This server dialled.
    pub(crate) fn set_solicited(&self) {
        self.solicited.store(true, Ordering::Relaxed);
    }

    /// How it came.
    pub fn listener(&self) -> ListenerKind {
        self.profile.lock().listener
    }

    /// The other end's address, see [`Profile::remote`].
    pub fn remote(&self) -> Option<SocketAddr> {
        self.profile.lock().remote
    }

    /// How the log calls it.
    pub fn label(&self) -> Arc<str> {
        self.profile.lock().label.clone()
    }

    /// The user that it is in as.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        self.profile.lock().user.clone()
    }

    /// What its JWT gives it, if it came with one.
    pub fn claimed(&self) -> Option<Arc<Claimed>> {
        self.profile.lock().claimed.clone()
    }

    /// Whether its JWT is of the account with this key.
    pub fn is_of(&self, account: &str) -> bool {
        self.profile.lock().claimed.as_ref().is_some_and(|claimed| *claimed.account == *account)
    }

    /// Keeps what it calls itself, see [`Profile::set_details`].
    pub fn set_details(&self, source: Source, details: ClientDetails) {
        self.learn(|profile| profile.set_details(source, details));
    }

    /// It is an MQTT client with this identifier.
    pub(crate) fn set_mqtt_client(&self, id: &Arc<str>) {
        self.learn(|profile| profile.mqtt_client = Some(id.clone()));
    }

    /// Another connection has come with its client identifier: it is to leave when it has read what has come before.
    pub(crate) fn displace(&self) {
        self.displaced.store(true, Ordering::Release);
        self.peer.wake_owner();
    }

    /// Whether that is so.
    pub(crate) fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Acquire)
    }

    /// The other end is the server of this name.
    pub(crate) fn set_server(&self, name: &str) {
        self.learn(|profile| profile.server = Some(name.into()));
    }

    /// It is this user from now on, for its rates and in what is shown of it.
    pub(crate) fn set_user(&self, user: &Arc<str>) {
        self.learn(|profile| profile.set_user(user));
    }

    /// What its JWT gives it from now on; `None`: it is a user of the configuration.
    pub fn set_claimed(&self, claimed: Option<Arc<Claimed>>) {
        self.learn(|profile| profile.claimed = claimed);
    }

    /// A proxy's header names the other end.
    pub fn set_forwarded_for(&self, address: IpAddr) {
        self.learn(|profile| {
            profile.forwarded_for = Some(address);
            profile.relabel();
        });
    }

    /// A PROXY header names the other end.
    pub fn set_remote(&self, remote: SocketAddr) {
        self.learn(|profile| {
            profile.remote = Some(remote);
            profile.relabel();
        });
    }

    /// TLS is up.
    pub(crate) fn set_secured(&self, secured: Secured) {
        self.learn(|profile| profile.secured = Some(secured.into()));
    }

    /// A trusted proxy signed for it. The first counts.
    pub(crate) fn set_proxy(&self, key: &Arc<str>) {
        self.learn(|profile| {
            profile.proxy.get_or_insert_with(|| key.clone());
        });
    }

    /// The log calls it this from now on.
    pub(crate) fn set_label(&self, label: String) {
        self.learn(|profile| profile.label = label.into());
    }

    /// What it came in with; `None`: it is not in.
    pub fn shown(&self) -> Option<Shown> {
        self.shown_and_version().0
    }

    /// The same, and a number that is another one as soon as it has shown something else.
    pub(crate) fn shown_and_version(&self) -> (Option<Shown>, u32) {
        let proof = self.proof.lock();
        (proof.shown.as_ref().map(Kept::shown), proof.version)
    }

    /// It is in with this. By [`crate::registry::Registry::let_in`] only, which keeps whose service let it in.
    pub(crate) fn set_shown(&self, shown: Shown) {
        let mut proof = self.proof.lock();
        *proof = Proof { version: proof.version.wrapping_add(1), shown: Some(shown.into()) };
    }

    /// Keeps what was found out about what it came in with, unless it has shown something else than at `version`.
    pub(crate) fn remember(&self, version: u32, shown: Shown) {
        let mut proof = self.proof.lock();
        if proof.version == version {
            *proof = Proof { version: version.wrapping_add(1), shown: Some(shown.into()) };
        }
    }

    /// Leaves what OCSP says of its certificate.
    pub(crate) fn put_judgement(&self, judgement: Judgement) {
        self.answers.lock().judgement = Some(Box::new(judgement));
    }

    /// Takes that, if it is there.
    pub(crate) fn take_judgement(&self) -> Option<Box<Judgement>> {
        self.answers.lock().judgement.take()
    }

    /// Leaves the answer of a check that took long.
    pub fn put_verdict(&self, verdict: Verdict) {
        self.answers.lock().verdicts.push(verdict);
    }

    /// Leaves such an answer and wakes the loop, if the connection still waits for it.
    pub(crate) fn decide(&self, verdict: Verdict) {
        if self.peer.closing().is_none() {
            self.put_verdict(verdict);
            self.peer.wake_owner();
        }
    }

    /// Takes such an answer, if one is there.
    pub fn take_verdict(&self) -> Option<Verdict> {
        let verdicts = &mut self.answers.lock().verdicts;
        (!verdicts.is_empty()).then(|| verdicts.remove(0))
    }

    /// Whether others have to be asked about it, and work for those who came before is done first.
    pub(crate) fn waits_its_turn(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    /// It waits for its turn, or that has come.
    pub(crate) fn set_waiting(&self, waits: bool) {
        self.waits.store(waits, Ordering::Release);
    }

    /// Whether the caller is the first to end it from outside its loop.
    pub(crate) fn begins_to_end(&self) -> bool {
        !self.ending.swap(true, Ordering::AcqRel)
    }

    /// What it uses counts, if it is in an account and did not count before.
    pub(crate) fn begin_use(&self, now: Instant, since: CountFrom) {
        let Some(account) = self.peer.place().account else { return };
        let profile = self.profile();
        let id = profile.user.clone().unwrap_or_else(|| "".into());
        let name = profile.claimed.as_ref().map(|claimed| &claimed.name).filter(|name| ***name != *id);
        let user = User { id, name: name.map(|name| name.as_str().into()) };
        let refused_msgs = self.refused_msgs.load(Ordering::Relaxed);
        let mut checkpoint = Checkpoint::new(account, user, now);
        if since == CountFrom::Now {
            checkpoint.skip_earlier(self.peer.counters.read(), refused_msgs);
        }
        self.used.lock().get_or_insert_with(|| Box::new(checkpoint));
    }

    /// Adds to `usage` what it used since it was last settled.
    pub(crate) fn settle(&self, usage: &Usage, now: Instant, state: ConnectionState) {
        let refused_msgs = self.refused_msgs.load(Ordering::Relaxed);
        usage.settle(&self.used, now, self.peer.counters.read(), refused_msgs, state);
    }

    /// Sets the round-trip time.
    pub fn set_rtt(&self, rtt: Duration) {
        self.peer.set_rtt(rtt);
    }

    /// The last round-trip time; zero before the first.
    pub fn rtt(&self) -> Duration {
        self.peer.rtt()
    }
}

impl ConnectionInfoSource for Session {
    fn connection_info(&self) -> ConnectionInfo {
        self.profile().connection_info()
    }
}
