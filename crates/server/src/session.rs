//! A connection as others see it: who it is, where it comes from, what it came in with, what waits for its loop.

use crate::policy::Policy;
use crate::rejection::Rejection;
use crate::tls::Judgement;
use crate::transport::ClientTransport;
use crate::usage::{Checkpoint, ConnectionState, CountFrom, Usage, User};
use crate::verdict::Verdict;
use dialtone_broker::connection_info::{ConnectionInfo, ConnectionInfoSource};
use dialtone_broker::peer::Peer;
use dialtone_identity::authenticator::{Kept, Shown};
use dialtone_identity::operator::Claimed;
use dialtone_net::Secured;
use dialtone_wire::Info;
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// What a client said of itself, and what the server made of it. No secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientDetails {
    /// The connection's name.
    pub name: Box<str>,
    /// The library's language.
    pub lang: Box<str>,
    /// The library's version.
    pub version: Box<str>,
    /// The user, as it may be shown.
    pub user: Arc<str>,
    /// The account.
    pub account: Box<str>,
    /// It showed that it has an NKey of the configuration.
    pub by_nkey: bool,
}

/// A connection as it is watched from outside its loop.
#[derive(Debug)]
pub struct Session {
    /// Its end.
    pub peer: Arc<Peer>,
    /// By which way it came.
    pub transport: ClientTransport,
    /// When it came. To measure by, its peer has the same.
    pub start: SystemTime,
    address: Address,
    profile: Mutex<Profile>,
    /// What the TLS handshake agreed on.
    pub secured: OnceLock<Secured>,
    /// The trusted proxy that signed for it, by its public NKey.
    pub proxy: OnceLock<Arc<str>>,
    answers: Answers,
    kept: Mutex<Remembered>,
    ending: AtomicBool,
    used: Mutex<Option<Box<Checkpoint>>>,
    /// Why it was not let in.
    pub(crate) rejection: OnceLock<Box<Rejection>>,
    /// Messages that its rate limits refused.
    pub refused_msgs: AtomicU64,
    /// Messages that its rate limits let wait.
    pub delayed_msgs: AtomicU64,
}

/// Where the other end is, and how the log calls it.
#[derive(Debug)]
struct Address {
    remote: Mutex<Option<SocketAddr>>,
    /// Whom a proxy's header of the upgrade names as the other end. Anybody can send one.
    forwarded_for: OnceLock<IpAddr>,
    who: Mutex<Arc<str>>,
}

/// Who it is.
#[derive(Debug, Default)]
struct Profile {
    /// What its first CONNECT said.
    said: Option<Arc<ClientDetails>>,
    /// What the server made of it when it came in without a CONNECT.
    assumed: Option<Arc<ClientDetails>>,
    /// A name in the configuration, the NKey of a JWT, or the name that an authorization service gave it; empty for nobody,
    /// `None`: it is not in.
    user: Option<Arc<str>>,
    /// What its JWT gives it, if it came by one.
    claimed: Option<Arc<Claimed>>,
}

impl Profile {
    fn known(&self) -> Option<&Arc<ClientDetails>> {
        self.said.as_ref().or(self.assumed.as_ref())
    }
}

/// Answers from other threads, for the connection's loop to take.
#[derive(Debug, Default)]
struct Answers {
    verdicts: Mutex<Vec<Verdict>>,
    /// Others have to be asked about it, and work for those who came before is done first.
    waits: AtomicBool,
    judgement: Mutex<Option<Box<Judgement>>>,
}

/// What a session came in with.
#[derive(Debug, Default)]
struct Remembered {
    version: u32,
    shown: Option<Kept>,
}

impl Session {
    /// A connection that has just come.
    pub fn new(peer: Arc<Peer>, transport: ClientTransport, remote: Option<SocketAddr>) -> Self {
        let from = remote.map_or_else(|| "local".to_owned(), |r| r.to_string());
        let who = format!("{from} - {}:{}", transport.number_label(), peer.id.0);
        Self {
            peer,
            transport,
            start: SystemTime::now(),
            address: Address {
                remote: Mutex::new(remote),
                forwarded_for: OnceLock::new(),
                who: Mutex::new(who.into()),
            },
            profile: Mutex::default(),
            secured: OnceLock::new(),
            proxy: OnceLock::new(),
            answers: Answers::default(),
            kept: Mutex::default(),
            ending: AtomicBool::new(false),
            used: Mutex::new(None),
            rejection: OnceLock::new(),
            refused_msgs: AtomicU64::new(0),
            delayed_msgs: AtomicU64::new(0),
        }
    }

    /// Who it is, as far as it is known: by its CONNECT, or without one.
    pub fn known(&self) -> Option<Arc<ClientDetails>> {
        self.profile.lock().known().cloned()
    }

    /// What CONNECT said.
    pub fn client_details(&self) -> Option<Arc<ClientDetails>> {
        self.profile.lock().said.clone()
    }

    /// Keeps what its first CONNECT said.
    pub fn set_client_details(&self, client_details: ClientDetails) {
        self.profile.lock().said.get_or_insert_with(|| client_details.into());
    }

    /// Keeps what the server made of it when it came in without a CONNECT.
    pub fn assume(&self, client_details: ClientDetails) {
        self.profile.lock().assumed.get_or_insert_with(|| client_details.into());
    }

    /// Who it is, if it is in.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        self.profile.lock().user.clone()
    }

    /// It is this user from now on, for its rates and in what is shown of it.
    pub(crate) fn set_user(&self, user: &Arc<str>) {
        let mut profile = self.profile.lock();
        profile.user = Some(user.clone());
        let Profile { said, assumed, .. } = &mut *profile;
        for known in [said, assumed].into_iter().flatten().filter(|known| *known.user != **user) {
            Arc::make_mut(known).user = user.clone();
        }
    }

    /// What it came in with; `None`: it is not in.
    pub fn shown(&self) -> Option<Shown> {
        self.shown_and_version().0
    }

    /// The same, and a number that is another one as soon as it has shown something else.
    pub(crate) fn shown_and_version(&self) -> (Option<Shown>, u32) {
        let kept = self.kept.lock();
        (kept.shown.as_ref().map(Kept::shown), kept.version)
    }

    /// It is in with this. By [`Registry::let_in`] only, which keeps whose service let it in.
    pub(crate) fn set_shown(&self, shown: Shown) {
        let mut kept = self.kept.lock();
        *kept = Remembered { version: kept.version.wrapping_add(1), shown: Some(shown.into()) };
    }

    /// Keeps what was found out about what it came in with, unless it has shown something else than at `version`.
    pub(crate) fn remember(&self, version: u32, shown: Shown) {
        let mut kept = self.kept.lock();
        if kept.version == version {
            *kept = Remembered { version: version.wrapping_add(1), shown: Some(shown.into()) };
        }
    }

    /// The key that issued the token that it is in with. With an NKey of the configuration the official server tells the
    /// account.
    pub fn issuer_key(&self) -> Option<String> {
        self.user()?;
        match self.claimed() {
            Some(claimed) => Some(claimed.token.issuer.to_string()),
            None => self.known().filter(|known| known.by_nkey).map(|known| known.account.to_string()),
        }
    }

    /// The other end's address, as far as it is known. By this address rights and shares go.
    pub fn remote(&self) -> Option<SocketAddr> {
        *self.address.remote.lock()
    }

    /// The other end's address as it is shown: behind an HTTP proxy, the one that the proxy names.
    pub fn shown_remote(&self) -> Option<SocketAddr> {
        let remote = self.remote()?;
        Some(SocketAddr::new(self.address.forwarded_for.get().copied().unwrap_or(remote.ip()), remote.port()))
    }

    /// A proxy's header names the other end.
    pub fn set_forwarded_for(&self, address: IpAddr) {
        let from = self.remote().map(|remote| remote.to_string()).unwrap_or_default();
        // Set once, by the upgrade.
        let _ = self.address.forwarded_for.set(address);
        self.set_who(format!("{address}/{from} - {}:{}", self.transport.number_label(), self.peer.id.0));
    }

    /// A proxy has said who the other end is.
    pub fn set_remote(&self, remote: SocketAddr) {
        *self.address.remote.lock() = Some(remote);
        self.set_who(format!("{remote} - {}:{}", self.transport.number_label(), self.peer.id.0));
    }

    /// How the log calls it: address, number, and once it is known, library and user.
    pub fn who(&self) -> Arc<str> {
        self.address.who.lock().clone()
    }

    /// Says how the log calls it from now on.
    pub fn set_who(&self, who: String) {
        *self.address.who.lock() = who.into();
    }

    /// Leaves what OCSP says of its certificate.
    pub(crate) fn put_judgement(&self, judgement: Judgement) {
        *self.answers.judgement.lock() = Some(Box::new(judgement));
    }

    /// Takes that, if it is there.
    pub(crate) fn take_judgement(&self) -> Option<Box<Judgement>> {
        self.answers.judgement.lock().take()
    }

    /// Leaves the answer of a check that took long.
    pub fn put_verdict(&self, verdict: Verdict) {
        self.answers.verdicts.lock().push(verdict);
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
        let mut verdicts = self.answers.verdicts.lock();
        (!verdicts.is_empty()).then(|| verdicts.remove(0))
    }

    /// Whether others have to be asked about it, and work for those who came before is done first.
    pub(crate) fn waits_its_turn(&self) -> bool {
        self.answers.waits.load(Ordering::Acquire)
    }

    /// It waits for its turn, or that has come.
    pub(crate) fn set_waiting(&self, waits: bool) {
        self.answers.waits.store(waits, Ordering::Release);
    }

    /// What its token gives it, if it came by one.
    pub fn claimed(&self) -> Option<Arc<Claimed>> {
        self.profile.lock().claimed.clone()
    }

    /// Says what its token gives it from now on; `None`: it is a user of the configuration.
    pub fn set_claimed(&self, claimed: Option<Arc<Claimed>>) {
        self.profile.lock().claimed = claimed;
    }

    /// Whether its token is of the account with this key.
    pub fn is_of(&self, account: &str) -> bool {
        self.profile.lock().claimed.as_ref().is_some_and(|claimed| *claimed.account == *account)
    }

    /// Whether the caller is the first to end it from outside its loop.
    pub(crate) fn begins_to_end(&self) -> bool {
        !self.ending.swap(true, Ordering::AcqRel)
    }

    /// What it uses counts, if it is in an account and did not count before.
    pub(crate) fn begin_use(&self, now: Instant, since: CountFrom) {
        let Some(account) = self.peer.place().account else { return };
        let id = self.user().unwrap_or_else(|| "".into());
        let name = self.claimed().map(|claimed| claimed.name.clone()).filter(|name| **name != *id);
        let user = User { id, name: name.map(Into::into) };
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

    /// INFO for it.
    pub(crate) fn info(&self, policy: &Policy) -> Info {
        let mut info = policy.info_of(self.transport).clone();
        info.client_id = self.peer.id.0;
        info.client_ip = self.shown_remote().map(|r| r.ip().to_string()).unwrap_or_default();
        if !self.transport.is_remote() {
            // What does not leave the machine has no TLS.
            (info.tls_required, info.tls_available, info.tls_verify) = (false, false, false);
        }
        info
    }

    /// Asks the client to go to another server, if it understands that.
    pub(crate) fn send_away(&self, policy: &Policy) {
        if self.peer.takes_info() {
            let mut info = self.info(policy);
            info.lame_duck = true;
            let mut bytes = Vec::new();
            info.encode(&mut bytes);
            self.peer.send(&bytes, Instant::now());
        }
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
        let (said, claimed) = {
            let profile = self.profile.lock();
            (profile.known().cloned().map(Arc::unwrap_or_clone).unwrap_or_default(), profile.claimed.clone())
        };
        let claims = claimed.as_deref();
        ConnectionInfo {
            start: crate::times::stamp(self.start),
            host: self.shown_remote().map(|remote| remote.ip().to_string()).unwrap_or_default(),
            user: said.user.to_string(),
            name: said.name.into(),
            lang: said.lang.into(),
            version: said.version.into(),
            kind: self.peer.kind.label(),
            client_type: self.transport.client_type(),
            // A bearer token is a secret.
            jwt: claims.filter(|c| !c.bearer).map(|c| c.jwt.to_string()).unwrap_or_default(),
            issuer_key: self.issuer_key().unwrap_or_default(),
            name_tag: claims.map(|c| c.name.clone()).unwrap_or_default(),
            tags: claims.map(|c| c.token.tags.clone()).unwrap_or_default(),
        }
    }
}
