//! How an account's JWT comes into force.

use super::review;
use crate::account_jwts::VerifiedAccount;
use crate::clock::now;
use crate::internal::{Message, Outgoing, Reply};
use crate::log::Event;
use crate::node::Node;
use crate::resolver::{Reach, Source};
use crate::share::Share;
use dialtone_broker::account::Account;
use dialtone_identity::jwt::account::AccountLimits;
use dialtone_identity::jwt::sharing::{Claims, claims, exporters};
use dialtone_identity::jwt::trust::TrustError;
use dialtone_identity::jwt::{self, Body, DecodedJwt};
use dialtone_identity::nkey::Public;
use dialtone_identity::operator::Operators;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime};

/// Accounts that are looked up at most because others import from them, in one go.
const FOLLOWED_MAX: usize = 10_000;

/// What came of a JWT that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is in force.
    Taken,
    /// It was before.
    Known,
}

/// Why an account's JWT is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtRejection {
    /// Its signature, signer or time is wrong.
    #[error(transparent)]
    Token(#[from] TrustError),
    /// A newer one is in force.
    #[error("a newer JWT of the account is in force")]
    Older,
    /// There is no operator.
    #[error("there is no operator to trust")]
    NoOperator,
    /// Users of the account may not come.
    #[error("the account is not listed as operator pinned account")]
    Pinned,
    /// There are too many accounts.
    #[error("too many accounts")]
    TooMany,
    /// It cannot be found.
    #[error("the account is not known")]
    Missing,
}

impl Node {
    /// Makes sure that the token of an account is at hand, and those of the accounts that it imports from; asks the
    /// resolver for what is missing, as far as `reach`. May take as long as that does.
    ///
    /// Never further than here on the control thread, through which others are asked.
    pub fn look_up(&self, key: &str, reach: Reach) -> Result<Arc<VerifiedAccount>, JwtRejection> {
        if let Some(verified) = self.accounts.jwts.find(key)
            && verified.token.check_time(now()).is_ok()
        {
            return Ok(verified);
        }
        let jwt = self.fetch(key, reach).ok_or(JwtRejection::Missing)?;
        self.accept_jwt(key, &jwt, reach)?;
        self.accounts.jwts.find(key).ok_or(JwtRejection::Missing)
    }

    /// The JWT of an account as the resolver has it, not verified.
    fn fetch(&self, key: &str, reach: Reach) -> Option<String> {
        self.resolver.fetch(&self.settings.policy(), key, reach, |timeout| ask(self, key, timeout))
    }

    /// Makes the account for system events, before there is anybody in it.
    ///
    /// Errors: its token is not to be had.
    pub(crate) fn start_accounts(&self) -> Result<(), JwtRejection> {
        let policy = self.settings.policy();
        let Some(operators) = policy.authenticator.operators() else { return Ok(()) };
        self.log.emit(Event::Starting, "", format_args!("Trusted Operators"));
        for token in operators.tokens() {
            let (name, key) = (&token.name, &token.subject);
            self.log.emit(Event::Starting, "", format_args!("  Operator: {name:?} ({key})"));
        }
        match operators.system_account() {
            Some(key) => match self.look_up(key, Reach::Anywhere) {
                Err(JwtRejection::Missing) if matches!(self.resolver.source(), Source::Folder { .. }) => {
                    self.log.emit(Event::Starting, "", format_args!("Using bootstrapping system account"));
                    let account = self.put_in_force(key, "", bootstrap(operators, key)?)?;
                    self.share_all(key, &account, Reach::Here);
                    Ok(())
                }
                found => found.map(|_| ()),
            },
            None => {
                let text = "Trusted Operators should utilize a System Account";
                self.log.emit(Event::Warning, "", format_args!("{text}"));
                Ok(())
            }
        }
    }

    /// Puts a token in force, if an operator signed it for this account and it is newer than the one that is in force.
    /// Accounts that it imports from are looked up as far as `reach`, and those beyond that later.
    pub fn accept_jwt(&self, key: &str, jwt: &str, reach: Reach) -> Result<Acceptance, JwtRejection> {
        let policy = self.settings.policy();
        let operators = policy.authenticator.operators().ok_or(JwtRejection::NoOperator)?;
        let token = operators.account(jwt, key, now())?;
        if !operators.may_come(key) {
            return Err(JwtRejection::Pinned);
        }
        let changing = self.accounts.jwts.changing.lock();
        if let Some(before) = self.accounts.jwts.find(key) {
            if *before.jwt == *jwt {
                return Ok(Acceptance::Known);
            }
            if before.token.issued_at > token.issued_at {
                return Err(JwtRejection::Older);
            }
        }
        let account = self.put_in_force(key, jwt, token)?;
        drop(changing);
        self.share_all(key, &account, reach);
        Ok(Acceptance::Taken)
    }

    /// Puts a token in force that was believed, without what it takes from others: those may take something from it.
    fn put_in_force(&self, key: &str, jwt: &str, token: DecodedJwt) -> Result<Arc<Account>, JwtRejection> {
        let alone = self.verified(jwt.into(), Arc::new(token), false);
        if !self.accounts.jwts.put(key, alone.clone()) {
            return Err(JwtRejection::TooMany);
        }
        let account = self.accounts.make(key, &self.settings.policy(), &self.connections);
        self.delivery.gateways.meet(&account);
        self.share(&account, &alone.claims);
        crate::jetstream::follow(self);
        Ok(account)
    }

    /// Lets an account share what its JWT says, and logs what of it cannot be.
    fn share(&self, account: &Arc<Account>, claims: &Claims) {
        for why in self.accounts.share(account, claims, &self.delivery.gate) {
            self.log.emit(Event::AccountFault, "", format_args!("Account {}: {why}", account.name));
        }
        self.announce_shared(account);
    }

    /// Takes from others what the account's token says, and gives them what it says.
    fn share_all(&self, key: &str, account: &Arc<Account>, reach: Reach) {
        self.follow(key, reach);
        self.bind(key, account);
        // Whoever takes something from it may do so no longer, or only now.
        for other in self.accounts.jwts.all() {
            let name = other.token.subject.to_string();
            if name != key
                && exporters(&other.token).contains(&key)
                && let Some(account) = self.accounts.find(&name)
            {
                self.bind(&name, &account);
            }
        }
        review::connections(self, key);
    }

    fn verified(&self, jwt: Arc<str>, token: Arc<DecodedJwt>, imports: bool) -> Arc<VerifiedAccount> {
        let find =
            |key: &str| self.accounts.jwts.find(key).filter(|_| imports).map(|other| other.token.clone());
        let claims = claims(&token, &find, now());
        Arc::new(VerifiedAccount { jwt, token, claims, updated: SystemTime::now() })
    }

    /// Looks up the accounts that the account's token imports from, and those that these import from.
    fn follow(&self, key: &str, reach: Reach) {
        let of = |token: &DecodedJwt| exporters(token).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let Some(verified) = self.accounts.jwts.find(key) else { return };
        let mut missing: Vec<String> = of(&verified.token);
        let mut far = false;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(key) = missing.pop() {
            if seen.len() >= FOLLOWED_MAX
                || self.accounts.jwts.find(&key).is_some()
                || !seen.insert(key.clone())
            {
                continue;
            }
            let policy = self.settings.policy();
            let Some(operators) = policy.authenticator.operators() else { return };
            let Some(jwt) = self.fetch(&key, reach) else {
                far = true;
                continue;
            };
            let Ok(token) = operators.account(&jwt, &key, now()) else { continue };
            let exporters = of(&token);
            let _changing = self.accounts.jwts.changing.lock();
            // Somebody else may have looked it up meanwhile.
            if self.accounts.jwts.find(&key).is_none() && self.put_in_force(&key, &jwt, token).is_ok() {
                missing.extend(exporters);
            }
        }
        if far && reach == Reach::Here && self.resolver.asks_others() {
            self.follow_further(key);
        }
        // What each takes from the others counts when all are there.
        for key in seen {
            if let Some(account) = self.accounts.find(&key) {
                self.bind(&key, &account);
            }
        }
    }

    /// Asks others for the accounts that are missing, on a thread that may wait for them.
    fn follow_further(&self, key: &str) {
        let key = key.to_owned();
        // Where too much waits, its users have these imports after the next change.
        self.verifier.take_import_lookup(&key.clone(), move |node| {
            if let Some(account) = node.accounts.find(&key) {
                node.follow(&key, Reach::Anywhere);
                node.bind(&key, &account);
            }
        });
    }

    /// Lets an account share and take what its token and those of the others say.
    fn bind(&self, key: &str, account: &Arc<Account>) {
        let _changing = self.accounts.jwts.changing.lock();
        let Some(before) = self.accounts.jwts.find(key) else { return };
        let verified = self.verified(before.jwt.clone(), before.token.clone(), true);
        for (subject, why) in &verified.claims.invalid {
            let text = format_args!("Account {key} cannot import {subject:?}: {why}");
            self.log.emit(Event::AccountFault, "", text);
        }
        self.share(account, &verified.claims);
        let updated = before.updated;
        if let Some(verified) = Arc::into_inner(verified) {
            self.accounts.jwts.put(key, Arc::new(VerifiedAccount { updated, ..verified }));
        }
    }

    /// Ends imports whose activation is over.
    pub(crate) fn end_activations(&self) {
        let now = now();
        if !self.accounts.jwts.take_due(now) {
            return;
        }
        for verified in self.accounts.jwts.all() {
            let Some(until) = verified.claims.until else { continue };
            if until >= now {
                self.accounts.jwts.due_at(until);
                continue;
            }
            let key = verified.token.subject.to_string();
            if let Some(account) = self.accounts.find(&key) {
                self.bind(&key, &account);
            }
        }
    }

    /// Takes over what a reload changed: tokens to begin with, and which accounts may come.
    pub(crate) fn renew_tokens(&self) {
        let policy = self.settings.policy();
        let Some(operators) = policy.authenticator.operators() else { return };
        for preload in &policy.options.access.operator_mode.preload {
            let key = preload.account.as_str();
            let Some(before) = self.accounts.jwts.find(key).filter(|before| *before.jwt != *preload.jwt)
            else {
                continue;
            };
            // In memory the configuration is all there is; elsewhere what is newer counts.
            let outcome = match self.resolver.source() {
                Source::Memory => operators
                    .account(&preload.jwt, key, now())
                    .map_err(JwtRejection::from)
                    .and_then(|token| {
                        let _changing = self.accounts.jwts.changing.lock();
                        self.put_in_force(key, &preload.jwt, token)
                    })
                    .map(|account| self.share_all(key, &account, Reach::Here)),
                _ => self.accept_jwt(key, &preload.jwt, Reach::Here).map(|_| ()),
            };
            let Err(why) = outcome else { continue };
            let name = &before.token.name;
            if matches!(self.resolver.source(), Source::Memory) {
                let text = format_args!("The JWT of account {key} ({name:?}) is not believed: {why}");
                self.log.emit(Event::AccountFault, "", text);
                self.accounts.jwts.forget(key);
                review::refuse(self, key);
            } else {
                let text = format_args!("The JWT of account {key} ({name:?}) stays as it was: {why}");
                self.log.emit(Event::AccountFault, "", text);
            }
        }
        let preload = &policy.options.access.operator_mode.preload;
        for verified in self.accounts.jwts.all() {
            let key = verified.token.subject.to_string();
            // What was made up for the account for system events stays.
            let is_gone = !verified.jwt.is_empty() && !preload.iter().any(|preload| preload.account == key);
            if is_gone && matches!(self.resolver.source(), Source::Memory) {
                self.accounts.jwts.forget(&key);
                review::refuse(self, &key);
            } else {
                review::connections(self, &key);
            }
        }
    }

    /// Forgets the token of an account; its connections are closed.
    pub fn forget(&self, key: &str) {
        if self.accounts.jwts.forget(key) {
            review::connections(self, key);
        }
    }
}

/// Asks other servers for the JWT of an account, through the account for system events.
fn ask(node: &Node, key: &str, timeout: Duration) -> Option<String> {
    let system = node.accounts.find(node.settings.policy().system_account()?)?;
    let (sender, answer) = sync_channel(1);
    let question = Outgoing::new(format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP"), Vec::new());
    node.internal.run(move |executor| {
        // Who does not have it answers with nothing; this server itself is one of those.
        let has_it = |message: &Message| !message.payload.is_empty();
        executor.ask_for(&system, question, timeout, Share::Server, has_it, move |_, answer| {
            // Whoever asked may have given up.
            let _ = sender.try_send(answer);
        });
    });
    match answer.recv_timeout(timeout).ok()? {
        Reply::Message(message) => {
            String::from_utf8(message.payload.into()).ok().filter(|jwt| !jwt.is_empty())
        }
        Reply::NoResponders | Reply::TimedOut | Reply::Overloaded => None,
    }
}

/// What the account for system events is until its token is pushed: its own key signs its users.
fn bootstrap(operators: &Operators, key: &str) -> Result<DecodedJwt, JwtRejection> {
    let subject = Public::parse(key).map_err(|_| JwtRejection::Missing)?;
    let issuer = operators.tokens().first().map_or(subject, |token| token.issuer);
    let account = jwt::account::Account { limits: AccountLimits::unlimited(), ..Default::default() };
    Ok(DecodedJwt {
        id: String::new(),
        issuer,
        subject,
        name: String::new(),
        audience: String::new(),
        issued_at: 0,
        expires: None,
        not_before: None,
        tags: Vec::new(),
        body: Body::Account(Box::new(account)),
    })
}
