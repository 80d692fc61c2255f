//! How an account's JWT comes into force.

use super::resolver::{Reach, Source};
use super::{VerifiedAccount, review};
use crate::clock::now;
use crate::log::Event;
use crate::shared::Shared;
use dialtone_broker::account::Account;
use dialtone_identity::jwt::account::AccountLimits;
use dialtone_identity::jwt::sharing::{claims, exporters};
use dialtone_identity::jwt::trust::TrustError;
use dialtone_identity::jwt::{self, Body, DecodedJwt};
use dialtone_identity::nkey::Public;
use dialtone_identity::operator::Operators;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

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

impl Shared {
    /// Makes sure that the token of an account is at hand, and those of the accounts that it imports from; asks the
    /// resolver for what is missing, as far as `reach`. May take as long as that does.
    ///
    /// Never further than here on the control thread, through which others are asked.
    pub fn look_up(&self, key: &str, reach: Reach) -> Result<Arc<VerifiedAccount>, JwtRejection> {
        if let Some(verified) = self.account_jwts.find(key)
            && verified.token.check_time(now()).is_ok()
        {
            return Ok(verified);
        }
        let jwt = self.resolver.fetch(self, key, reach).ok_or(JwtRejection::Missing)?;
        self.accept_jwt(key, &jwt, reach)?;
        self.account_jwts.find(key).ok_or(JwtRejection::Missing)
    }

    /// Makes the account for system events, before there is anybody in it.
    ///
    /// Errors: its token is not to be had.
    pub(crate) fn start_accounts(&self) -> Result<(), JwtRejection> {
        let policy = self.policy();
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
        let policy = self.policy();
        let operators = policy.authenticator.operators().ok_or(JwtRejection::NoOperator)?;
        let token = operators.account(jwt, key, now())?;
        if !operators.may_come(key) {
            return Err(JwtRejection::Pinned);
        }
        let changing = self.account_jwts.changing.lock();
        if let Some(before) = self.account_jwts.find(key) {
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
        if !self.account_jwts.put(key, alone.clone()) {
            return Err(JwtRejection::TooMany);
        }
        let account = self.make_account(key);
        self.share(&account, &alone.claims);
        Ok(account)
    }

    /// Takes from others what the account's token says, and gives them what it says.
    fn share_all(&self, key: &str, account: &Arc<Account>, reach: Reach) {
        self.follow(key, reach);
        self.bind(key, account);
        // Whoever takes something from it may do so no longer, or only now.
        for other in self.account_jwts.all() {
            let name = other.token.subject.to_string();
            if name != key
                && exporters(&other.token).contains(&key)
                && let Some(account) = self.account(&name)
            {
                self.bind(&name, &account);
            }
        }
        review::connections(self, key);
    }

    fn verified(&self, jwt: Arc<str>, token: Arc<DecodedJwt>, imports: bool) -> Arc<VerifiedAccount> {
        let find =
            |key: &str| self.account_jwts.find(key).filter(|_| imports).map(|other| other.token.clone());
        let claims = claims(&token, &find, now());
        Arc::new(VerifiedAccount { jwt, token, claims, updated: SystemTime::now() })
    }

    /// Looks up the accounts that the account's token imports from, and those that these import from.
    fn follow(&self, key: &str, reach: Reach) {
        let of = |token: &DecodedJwt| exporters(token).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let Some(verified) = self.account_jwts.find(key) else { return };
        let mut missing: Vec<String> = of(&verified.token);
        let mut far = false;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(key) = missing.pop() {
            if seen.len() >= FOLLOWED_MAX
                || self.account_jwts.find(&key).is_some()
                || !seen.insert(key.clone())
            {
                continue;
            }
            let policy = self.policy();
            let Some(operators) = policy.authenticator.operators() else { return };
            let Some(jwt) = self.resolver.fetch(self, &key, reach) else {
                far = true;
                continue;
            };
            let Ok(token) = operators.account(&jwt, &key, now()) else { continue };
            let exporters = of(&token);
            let _changing = self.account_jwts.changing.lock();
            // Somebody else may have looked it up meanwhile.
            if self.account_jwts.find(&key).is_none() && self.put_in_force(&key, &jwt, token).is_ok() {
                missing.extend(exporters);
            }
        }
        if far && reach == Reach::Here && self.resolver.asks_others() {
            self.follow_further(key);
        }
        // What each takes from the others counts when all are there.
        for key in seen {
            if let Some(account) = self.account(&key) {
                self.bind(&key, &account);
            }
        }
    }

    /// Asks others for the accounts that are missing, on a thread that may wait for them.
    fn follow_further(&self, key: &str) {
        let key = key.to_owned();
        // Where too much waits, its users have these imports after the next change.
        self.verifier.take_import_lookup(&key.clone(), move |shared| {
            if let Some(account) = shared.account(&key) {
                shared.follow(&key, Reach::Anywhere);
                shared.bind(&key, &account);
            }
        });
    }

    /// Lets an account share and take what its token and those of the others say.
    fn bind(&self, key: &str, account: &Arc<Account>) {
        let _changing = self.account_jwts.changing.lock();
        let Some(before) = self.account_jwts.find(key) else { return };
        let verified = self.verified(before.jwt.clone(), before.token.clone(), true);
        for (subject, why) in &verified.claims.invalid {
            let text = format_args!("Account {key} cannot import {subject:?}: {why}");
            self.log.emit(Event::AccountFault, "", text);
        }
        self.share(account, &verified.claims);
        let updated = before.updated;
        if let Some(verified) = Arc::into_inner(verified) {
            self.account_jwts.put(key, Arc::new(VerifiedAccount { updated, ..verified }));
        }
    }

    /// Ends imports whose activation is over.
    pub(crate) fn end_activations(&self) {
        let now = now();
        if !self.account_jwts.take_due(now) {
            return;
        }
        for verified in self.account_jwts.all() {
            let Some(until) = verified.claims.until else { continue };
            if until >= now {
                self.account_jwts.due_at(until);
                continue;
            }
            let key = verified.token.subject.to_string();
            if let Some(account) = self.account(&key) {
                self.bind(&key, &account);
            }
        }
    }

    /// Takes over what a reload changed: tokens to begin with, and which accounts may come.
    pub(crate) fn renew_tokens(&self) {
        let policy = self.policy();
        let Some(operators) = policy.authenticator.operators() else { return };
        for preload in &policy.options.operator_mode.preload {
            let key = preload.account.as_str();
            let Some(before) = self.account_jwts.find(key).filter(|before| *before.jwt != *preload.jwt)
            else {
                continue;
            };
            // In memory the configuration is all there is; elsewhere what is newer counts.
            let outcome = match self.resolver.source() {
                Source::Memory => operators
                    .account(&preload.jwt, key, now())
                    .map_err(JwtRejection::from)
                    .and_then(|token| {
                        let _changing = self.account_jwts.changing.lock();
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
                self.account_jwts.forget(key);
                review::refuse(self, key);
            } else {
                let text = format_args!("The JWT of account {key} ({name:?}) stays as it was: {why}");
                self.log.emit(Event::AccountFault, "", text);
            }
        }
        let preload = &policy.options.operator_mode.preload;
        for verified in self.account_jwts.all() {
            let key = verified.token.subject.to_string();
            // What was made up for the account for system events stays.
            let is_gone = !verified.jwt.is_empty() && !preload.iter().any(|preload| preload.account == key);
            if is_gone && matches!(self.resolver.source(), Source::Memory) {
                self.account_jwts.forget(&key);
                review::refuse(self, &key);
            } else {
                review::connections(self, &key);
            }
        }
    }

    /// Forgets the token of an account; its connections are closed.
    pub fn forget(&self, key: &str) {
        if self.account_jwts.forget(key) {
            review::connections(self, key);
        }
    }

    /// The name of an account, for people: its token's, or its own.
    pub fn name_of(&self, account: &str) -> String {
        match self.account_jwts.find(account) {
            Some(verified) if !verified.token.name.is_empty() => verified.token.name.clone(),
            _ => account.to_owned(),
        }
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
