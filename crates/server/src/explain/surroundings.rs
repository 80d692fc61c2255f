//! What an answer needs to know beside the way itself: accounts by name, users with their rights, and where things stand.

use super::report::{Live, Rule, What, Who};
use super::{Facts, QuestionError};
use crate::internal::is_own;
use crate::policy::Policy;
use crate::shared::Shared;
use crate::tokens::{Believed, Distrust, clock};
use dialtone_broker::account::{Account, GLOBAL};
use dialtone_broker::explain::Listeners;
use dialtone_config::Location;
use dialtone_config::sharing::{Export, Import, Mapping};
use dialtone_identity::authenticator::{Grant, Surroundings as Judge};
use dialtone_identity::jwt::trust::{Presented, Proof};
use dialtone_identity::permission::{Entry, Permissions, Ruling};
use std::collections::HashMap;
use std::sync::Arc;

/// Users that are listed of those who may have a message, and of those who may not.
const USERS_MAX: usize = 8;

/// What every JWT begins with.
const JWT_BEGINS: &str = "ey";

/// A user who does something.
pub(super) struct User {
    /// Its rights; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// What is to be known of who it is.
    pub note: Option<String>,
}

/// What an account agreed on, wherever that stands.
pub(super) struct Agreed {
    pub exports: Vec<Export>,
    pub imports: Vec<Import>,
    pub mappings: Vec<Mapping>,
    /// Imports that do not hold, with the reason.
    pub invalid: Vec<(String, String)>,
}

pub(super) struct Surroundings<'a> {
    pub shared: &'a Shared,
    pub policy: Arc<Policy>,
    pub facts: Facts,
    /// Where each account stands in the configuration.
    places: HashMap<String, usize>,
    /// The users of the configuration, by account.
    users: HashMap<String, Vec<Grant>>,
}

impl<'a> Surroundings<'a> {
    pub fn new(shared: &'a Shared, facts: Facts) -> Self {
        let policy = shared.policy();
        let names = policy.options.accounts.iter().map(|account| account.name.clone());
        let places = names.zip(0..).collect();
        let mut users: HashMap<String, Vec<Grant>> = HashMap::new();
        for grant in policy.authenticator.users() {
            let account = grant.account.as_deref().unwrap_or(GLOBAL);
            users.entry(account.to_owned()).or_default().push(grant.clone());
        }
        users.values_mut().for_each(|users| users.sort_by(|a, b| a.user.cmp(&b.user)));
        Self { shared, policy, facts, places, users }
    }

    /// The account of this name or key.
    pub fn account(&self, name: &str) -> Result<Arc<Account>, QuestionError> {
        let by_token = || {
            let all = self.shared.tokens.all();
            let found = all.into_iter().find(|believed| believed.token.name == name)?;
            self.shared.account(&found.token.subject.to_string())
        };
        let found = self.shared.account(name).or_else(by_token);
        found.ok_or_else(|| QuestionError::Account(name.to_owned()))
    }

    /// How an account is called in an answer.
    pub fn name(&self, account: &Account) -> String {
        self.shared.name_of(&account.name)
    }

    /// The same, by its name or key.
    pub fn name_of(&self, account: &str) -> String {
        self.shared.name_of(account)
    }

    fn users_of(&self, account: &Account) -> &[Grant] {
        self.users.get(&*account.name).map(Vec::as_slice).unwrap_or_default()
    }

    /// A user of an account, with its rights.
    pub fn user(&self, account: &Account, name: Option<&str>) -> Result<User, QuestionError> {
        if self.policy.authenticator.operators().is_some() {
            return self.user_by_token(account, name);
        }
        let Some(name) = name else {
            let has_users = !self.users_of(account).is_empty();
            return if has_users {
                Err(QuestionError::UserMissing(account.name.to_string()))
            } else {
                Ok(User { permissions: None, note: None })
            };
        };
        match self.users_of(account).iter().find(|grant| *grant.user == *name) {
            Some(grant) => Ok(User { permissions: grant.permissions.clone(), note: None }),
            None => Err(QuestionError::User(name.to_owned(), account.name.to_string())),
        }
    }

    fn user_by_token(&self, account: &Account, name: Option<&str>) -> Result<User, QuestionError> {
        let Some(name) = name else {
            let note = "no user is named: what is said of rights is true of one that has all";
            return Ok(User { permissions: None, note: Some(note.into()) });
        };
        if name.starts_with(JWT_BEGINS) {
            return self.user_of_jwt(account, name).map_err(|why| QuestionError::Jwt(why.to_string()));
        }
        let connected = self.shared.registry.open().into_iter().find_map(|session| {
            let claimed = session.claimed()?;
            let is = *claimed.account == *account.name
                && (claimed.name == name || claimed.token.subject.to_string() == name);
            is.then_some(claimed)
        });
        let claimed =
            connected.ok_or_else(|| QuestionError::User(name.to_owned(), account.name.to_string()))?;
        Ok(User { permissions: claimed.permissions.clone(), note: None })
    }

    /// A user as it would come in over TCP from anywhere, its key proven.
    fn user_of_jwt(&self, account: &Account, jwt: &str) -> Result<User, Distrust> {
        let operators = self.policy.authenticator.operators().ok_or(Distrust::NoOperator)?;
        let believed = self.shared.tokens.find(&account.name).ok_or(Distrust::Missing)?;
        let presented = Presented {
            proof: Proof::Shown,
            connection_type: "STANDARD",
            proxied: false,
            address: None,
            now: clock::now(),
            time_of_day: &|zone| Judge::time_of_day(self.shared, zone),
        };
        let claimed = operators.admit(&operators.user(jwt)?, &believed.token, &presented)?;
        Ok(User { permissions: claimed.permissions, note: None })
    }

    /// What an account agreed on.
    pub fn agreed(&self, account: &str) -> Agreed {
        if let Some(believed) = self.shared.tokens.find(account) {
            let Believed { claims, .. } = &*believed;
            return Agreed {
                exports: claims.exports.clone(),
                imports: claims.imports.clone(),
                mappings: claims.mappings.clone(),
                invalid: claims.invalid.clone(),
            };
        }
        let options = &self.policy.options;
        let found = self.places.get(account).and_then(|&at| options.accounts.get(at));
        let mut agreed = Agreed {
            exports: found.map(|a| a.exports.clone()).unwrap_or_default(),
            imports: found.map(|a| a.imports.clone()).unwrap_or_default(),
            mappings: found.map(|a| a.mappings.clone()).unwrap_or_default(),
            invalid: Vec::new(),
        };
        if account == GLOBAL {
            agreed.mappings.clone_from(&options.mappings);
        }
        agreed
    }

    /// An import, and the export that it is of.
    pub fn import(
        &self,
        importer: &str,
        exporter: &str,
        subject: &str,
        local: &str,
    ) -> (String, Option<String>, Option<String>) {
        let imports = self.agreed(importer).imports;
        let is = |import: &&Import| {
            import.account == exporter && import.subject == subject && import.local() == local
        };
        let Some(import) = imports.iter().find(is) else { return (subject.to_owned(), None, None) };
        let exports = self.agreed(exporter).exports;
        let export = exports.iter().find(|export| export.allows(import, importer));
        let named = export.map_or_else(|| subject.to_owned(), |export| export.subject.clone());
        (named, place(&import.at), export.and_then(|export| place(&export.at)))
    }

    /// What a message of `subject` finds in `account`.
    pub fn arrives(&self, account: &Account, subject: &str, listeners: &Listeners) -> What {
        let (mut may, mut may_not) = (Vec::new(), Vec::new());
        let mut more = 0;
        let users = self.users_of(account);
        for grant in users {
            let who = self.receiver(&grant.user, grant.permissions.as_deref(), subject);
            let list = if who.may { &mut may } else { &mut may_not };
            if list.len() < USERS_MAX { list.push(who) } else { more += 1 }
        }
        let others = if self.policy.authenticator.operators().is_some() {
            Some("users whose JWT allows it".to_owned())
        } else if users.is_empty() && *account.name == *GLOBAL && !self.policy.authenticator.required() {
            Some("everyone".to_owned())
        } else {
            None
        };
        may.append(&mut may_not);
        What::Arrives { users: may, more, others, live: self.live(listeners) }
    }

    fn receiver(&self, user: &str, permissions: Option<&Permissions>, subject: &str) -> Who {
        let ruling = permissions.map_or(Ruling::Open, |p| p.delivering(subject.as_bytes(), None));
        let rule = permissions.and_then(|p| rule("subscribe", ruling, p.subscribe_entry(ruling)));
        Who { user: user.to_owned(), may: ruling.allows(), rule }
    }

    fn live(&self, listeners: &Listeners) -> Option<Live> {
        (self.facts == Facts::Living).then(|| Live {
            subscriptions: listeners.plain,
            queue_groups: listeners.groups.keys().map(|name| text(name)).collect(),
            withheld: listeners.withheld,
        })
    }

    /// Whether a message that arrived there reaches anybody, or might.
    pub fn may_be_had(&self, arrives: &What, account: &Account, subject: &[u8]) -> bool {
        let What::Arrives { users, others, live, .. } = arrives else { return false };
        let heard = live.as_ref().is_some_and(|live| live.subscriptions > 0 || !live.queue_groups.is_empty());
        heard || others.is_some() || users.iter().any(|who| who.may) || self.answers_itself(account, subject)
    }

    /// Whether the server itself listens there.
    fn answers_itself(&self, account: &Account, subject: &[u8]) -> bool {
        let interest = account.interest();
        let mut own = interest.iter().filter(|s| is_own(s.0.peer()));
        own.any(|s| dialtone_subject::set::matches(s.0.filter(), subject))
    }
}

/// What decides, for an answer.
pub(super) fn rule(list: &str, ruling: Ruling, entry: Option<Entry<'_>>) -> Option<Rule> {
    let which = match ruling {
        Ruling::Open => return None,
        Ruling::Allowed(_) | Ruling::NotListed => "allow",
        Ruling::Denied(_) => "deny",
    };
    Some(Rule {
        list: format!("{list} {which}"),
        entry: entry.map(|entry| entry.text.to_owned()),
        at: entry.and_then(|entry| entry.at).and_then(place),
    })
}

/// A place in a file, if it is one.
pub(super) fn place(at: &Location) -> Option<String> {
    (at.line > 0).then(|| at.to_string())
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
