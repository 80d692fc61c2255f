//! How an account's token comes in force.

use super::clock::now;
use super::resolver::{Reach, Source};
use super::{Believed, review};
use crate::log::Event;
use crate::shared::Shared;
use dialtone_broker::account::Account;
use dialtone_identity::jwt::account::AccountLimits;
use dialtone_identity::jwt::sharing::{claims, exporters};
use dialtone_identity::jwt::trust::TrustError;
use dialtone_identity::jwt::{self, Body, Token};
use dialtone_identity::nkey::Public;
use dialtone_identity::operator::Operators;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

/// Accounts that are looked up at most because others import from them, in one go.
const FOLLOWED_MAX: usize = 10_000;

/// What came of a token that is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believing {
    /// It is in force.
    Taken,
    /// It was before.
    Known,
}

/// Why an account's token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It cannot be believed.
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
    /// There is none to be had.
    #[error("the account is not known")]
    Missing,
}

impl Shared {
    /// Makes sure that the token of an account is at hand, and those of the accounts that it imports from; asks the
    /// resolver for what is missing, as far as `reach`. May take as long as that does.
    ///
    /// Never further than here on the control thread, through which others are asked.
    pub fn look_up(&self, key: &str, reach: Reach) -> Result<Arc<Believed>, Distrust> {
        if let Some(believed) = self.tokens.find(key)
            && believed.token.check_time(now()).is_ok()
        {
            return Ok(believed);
        }
        let jwt = self.resolver.fetch(self, key, reach).ok_or(Distrust::Missing)?;
        self.believe(key, &jwt, reach)?;
        self.tokens.find(key).ok_or(Distrust::Missing)
    }

    /// Makes the account for system events, before there is anybody in it.
    ///
    /// Errors: its token is not to be had.
    pub(crate) fn start_accounts(&self) -> Result<(), Distrust> {
        let policy = self.policy();
        let Some(operators) = policy.authenticator.operators() else { return Ok(()) };
        self.log.say(Event::Starting, "", format_args!("Trusted Operators"));
        for token in operators.tokens() {
            let (name, key) = (&token.name, &token.subject);
            self.log.say(Event::Starting, "", format_args!("  Operator: {name:?} ({key})"));
        }
        match operators.system_account() {
            Some(key) => match self.look_up(key, Reach::Anywhere) {
                Err(Distrust::Missing) if matches!(self.resolver.source(), Source::Folder { .. }) => {
                    self.log.say(Event::Starting, "", format_args!("Using bootstrapping system account"));
                    let account = self.put_in_force(key, "", bootstrap(operators, key)?)?;
                    self.share_all(key, &account, Reach::Here);
                    Ok(())
                }
                found => found.map(|_| ()),
            },
            None => {
                let text = "Trusted Operators should utilize a System Account";
                self.log.say(Event::Warning, "", format_args!("{text}"));
                Ok(())
            }
        }
    }

    /// Puts a token in force, if an operator signed it for this account and it is newer than the one that is in force.
    /// Accounts that it imports from are looked up as far as `reach`, and those beyond that later.
    pub fn believe(&self, key: &str, jwt: &str, reach: Reach) -> Result<Believing, Distrust> {
        let policy = self.policy();
        let operators = policy.authenticator.operators().ok_or(Distrust::NoOperator)?;
        let token = operators.account(jwt, key, now())?;
        if !operators.may_come(key) {
            return Err(Distrust::Pinned);
        }
        let changing = self.tokens.changing.lock();
        if let Some(before) = self.tokens.find(key) {
            if *before.jwt == *jwt {
                return Ok(Believing::Known);
            }
            if before.token.issued_at > token.issued_at {
                return Err(Distrust::Older);
            }
        }
        let account = self.put_in_force(key, jwt, token)?;
        drop(changing);
        self.share_all(key, &account, reach);
        Ok(Believing::Taken)
    }

    /// Puts a token in force that was believed, without what it takes from others: those may take something from it.
    fn put_in_force(&self, key: &str, jwt: &str, token: Token) -> Result<Arc<Account>, Distrust> {
        let alone = self.believed(jwt.into(), Arc::new(token), false);
        if !self.tokens.put(key, alone.clone()) {
            return Err(Distrust::TooMany);
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
        for other in self.tokens.all() {
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

    fn believed(&self, jwt: Arc<str>, token: Arc<Token>, imports: bool) -> Arc<Believed> {
        let find = |key: &str| self.tokens.find(key).filter(|_| imports).map(|other| other.token.clone());
        let claims = claims(&token, &find, now());
        Arc::new(Believed { jwt, token, claims, updated: SystemTime::now() })
    }

    /// Looks up the accounts that the account's token imports from, and those that these import from.
    fn follow(&self, key: &str, reach: Reach) {
        let of = |token: &Token| exporters(token).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let Some(believed) = self.tokens.find(key) else { return };
        let mut missing: Vec<String> = of(&believed.token);
        let mut far = false;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(key) = missing.pop() {
            if seen.len() >= FOLLOWED_MAX || self.tokens.find(&key).is_some() || !seen.insert(key.clone()) {
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
            let _changing = self.tokens.changing.lock();
            // Somebody else may have looked it up meanwhile.
            if self.tokens.find(&key).is_none() && self.put_in_force(&key, &jwt, token).is_ok() {
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
        let _changing = self.tokens.changing.lock();
        let Some(before) = self.tokens.find(key) else { return };
        let believed = self.believed(before.jwt.clone(), before.token.clone(), true);
        for (subject, why) in &believed.claims.invalid {
            let text = format_args!("Account {key} cannot import {subject:?}: {why}");
            self.log.say(Event::AccountFault, "", text);
        }
        self.share(account, &believed.claims);
        let updated = before.updated;
        if let Some(believed) = Arc::into_inner(believed) {
            self.tokens.put(key, Arc::new(Believed { updated, ..believed }));
        }
    }

    /// Ends imports whose activation is over.
    pub(crate) fn end_activations(&self) {
        let now = now();
        if !self.tokens.take_due(now) {
            return;
        }
        for believed in self.tokens.all() {
            let Some(until) = believed.claims.until else { continue };
            if until >= now {
                self.tokens.due_at(until);
                continue;
            }
            let key = believed.token.subject.to_string();
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
            let Some(before) = self.tokens.find(key).filter(|before| *before.jwt != *preload.jwt) else {
                continue;
            };
            // In memory the configuration is all there is; elsewhere what is newer counts.
            let outcome = match self.resolver.source() {
                Source::Memory => operators
                    .account(&preload.jwt, key, now())
                    .map_err(Distrust::from)
                    .and_then(|token| {
                        let _changing = self.tokens.changing.lock();
                        self.put_in_force(key, &preload.jwt, token)
                    })
                    .map(|account| self.share_all(key, &account, Reach::Here)),
                _ => self.believe(key, &preload.jwt, Reach::Here).map(|_| ()),
            };
            let Err(why) = outcome else { continue };
            let name = &before.token.name;
            if matches!(self.resolver.source(), Source::Memory) {
                let text = format_args!("The JWT of account {key} ({name:?}) is not believed: {why}");
                self.log.say(Event::AccountFault, "", text);
                self.tokens.forget(key);
                review::refuse(self, key);
            } else {
                let text = format_args!("The JWT of account {key} ({name:?}) stays as it was: {why}");
                self.log.say(Event::AccountFault, "", text);
            }
        }
        let preload = &policy.options.operator_mode.preload;
        for believed in self.tokens.all() {
            let key = believed.token.subject.to_string();
            // What was made up for the account for system events stays.
            let is_gone = !believed.jwt.is_empty() && !preload.iter().any(|preload| preload.account == key);
            if is_gone && matches!(self.resolver.source(), Source::Memory) {
                self.tokens.forget(&key);
                review::refuse(self, &key);
            } else {
                review::connections(self, &key);
            }
        }
    }

    /// Forgets the token of an account; its connections are closed.
    pub fn forget(&self, key: &str) {
        if self.tokens.forget(key) {
            review::connections(self, key);
        }
    }

    /// The name of an account, for people: its token's, or its own.
    pub fn name_of(&self, account: &str) -> String {
        match self.tokens.find(account) {
            Some(believed) if !believed.token.name.is_empty() => believed.token.name.clone(),
            _ => account.to_owned(),
        }
    }
}

/// What the account for system events is until its token is pushed: its own key signs its users.
fn bootstrap(operators: &Operators, key: &str) -> Result<Token, Distrust> {
    let subject = Public::parse(key).map_err(|_| Distrust::Missing)?;
    let issuer = operators.tokens().first().map_or(subject, |token| token.issuer);
    let account = jwt::account::Account { limits: AccountLimits::unlimited(), ..Default::default() };
    Ok(Token {
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
