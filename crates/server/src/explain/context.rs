//! What an answer needs to know beside the way itself: accounts by name, users with their rights, and where things stand.

use super::report::{Answering, Live, Rule, What};
use super::users::{List, User, Users, receiver};
use super::{Facts, LeftOut, QuestionError};
use crate::account_jwts::VerifiedAccount;
use crate::clock;
use crate::node::Node;
use crate::policy::ListenerKind;
use crate::policy::Policy;
use crate::trust::JwtRejection;
use dialtone_broker::account::{Account, GLOBAL};
use dialtone_broker::explain::Listeners;
use dialtone_config::Location;
use dialtone_config::sharing::{Export, Import, Mapping};
use dialtone_identity::authenticator::{Grant, JwtContext as Judge};
use dialtone_identity::jwt::trust::{Presented, Proof};
use dialtone_identity::permission::{Entry, Ruling};
use std::collections::HashMap;
use std::sync::Arc;

/// What every JWT begins with.
const JWT_BEGINS: &str = "ey";

/// What an account agreed on, wherever that stands.
pub(super) struct Agreements {
    pub exports: Vec<Export>,
    pub imports: Vec<Import>,
    pub mappings: Vec<Mapping>,
    /// Imports that do not hold: of what, why, and where they stand.
    pub invalid: Vec<(String, String, Option<String>)>,
}

pub(super) struct ExplainContext<'a> {
    pub node: &'a Node,
    pub policy: Arc<Policy>,
    pub facts: Facts,
    pub left_out: &'a LeftOut,
    /// Where each account stands in the configuration.
    places: HashMap<String, usize>,
    /// The users of the configuration, by account.
    users: HashMap<String, Vec<Grant>>,
}

impl<'a> ExplainContext<'a> {
    pub fn new(node: &'a Node, left_out: &'a LeftOut, facts: Facts) -> Self {
        let policy = node.settings.policy();
        let names = policy.options.access.accounts.iter().map(|account| account.name.clone());
        let places = names.zip(0..).collect();
        let mut users: HashMap<String, Vec<Grant>> = HashMap::new();
        for grant in policy.authenticator.users() {
            let account = grant.account.as_deref().unwrap_or(GLOBAL);
            users.entry(account.to_owned()).or_default().push(grant.clone());
        }
        users.values_mut().for_each(|users| users.sort_by(|a, b| a.user.cmp(&b.user)));
        Self { node, policy, facts, left_out, places, users }
    }

    /// The account of this name or key.
    pub fn account(&self, name: &str) -> Result<Arc<Account>, QuestionError> {
        let by_token = || {
            let all = self.node.accounts.jwts.all();
            let found = all.into_iter().find(|verified| verified.token.name == name)?;
            self.node.accounts.find(&found.token.subject.to_string())
        };
        let found = self.node.accounts.find(name).or_else(by_token);
        found.ok_or_else(|| QuestionError::Account(name.to_owned()))
    }

    /// The server that answers, if one runs.
    pub fn server(&self) -> Option<Answering> {
        let identity = &self.node.settings.identity;
        let answering = || Answering { name: identity.name.clone(), id: identity.id.clone() };
        (self.facts == Facts::Living).then(answering)
    }

    /// How an account is called in an answer.
    pub fn name(&self, account: &Account) -> String {
        self.node.accounts.name_of(&account.name)
    }

    /// The same, by its name or key.
    pub fn name_of(&self, account: &str) -> String {
        self.node.accounts.name_of(account)
    }

    fn users_of(&self, account: &Account) -> &[Grant] {
        self.users.get(&*account.name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The user of an account that is named, or all that it has.
    pub fn users(&self, account: &Account, name: Option<&str>) -> Result<Users, QuestionError> {
        let known = self.users_of(account);
        let user = |grant: &Grant| {
            let name = Some(grant.user.clone());
            User { name, permissions: grant.permissions.clone() }
        };
        let anyone = || User { name: None, permissions: None };
        match name {
            Some(name) if self.policy.authenticator.operators().is_some() => {
                Ok(Users::one(self.user_by_token(account, name)?))
            }
            None if self.policy.authenticator.operators().is_some() => {
                let note = "no user is named: what is said of rights is true of one that has all";
                Ok(Users { note: Some(note.into()), ..Users::one(anyone()) })
            }
            Some(name) => match known.iter().find(|grant| *grant.user == *name) {
                Some(grant) => Ok(Users::one(user(grant))),
                None => Err(QuestionError::User(name.to_owned(), account.name.to_string())),
            },
            None if known.is_empty() => Ok(Users::one(anyone())),
            None => Ok(Users { all: known.iter().map(user).collect(), is_one: false, note: None }),
        }
    }

    fn user_by_token(&self, account: &Account, name: &str) -> Result<User, QuestionError> {
        if name.starts_with(JWT_BEGINS) {
            return self.user_of_jwt(account, name).map_err(|why| QuestionError::Jwt(why.to_string()));
        }
        let connected = self.node.connections.registry.open().into_iter().find_map(|session| {
            let claimed = session.claimed()?;
            let is = *claimed.account == *account.name
                && (claimed.name == name || claimed.token.subject.to_string() == name);
            is.then_some(claimed)
        });
        let claimed =
            connected.ok_or_else(|| QuestionError::User(name.to_owned(), account.name.to_string()))?;
        Ok(User { name: Some(name.into()), permissions: claimed.permissions.clone() })
    }

    /// A user as it would come in over TCP from anywhere, its key proven.
    fn user_of_jwt(&self, account: &Account, jwt: &str) -> Result<User, JwtRejection> {
        let operators = self.policy.authenticator.operators().ok_or(JwtRejection::NoOperator)?;
        let verified = self.node.accounts.jwts.find(&account.name).ok_or(JwtRejection::Missing)?;
        let presented = Presented {
            proof: Proof::Shown,
            connection_type: ListenerKind::Clients.connection_type(),
            proxied: false,
            address: None,
            now: clock::now(),
            time_of_day: &|zone| Judge::time_of_day(self.node, zone),
        };
        let claimed = operators.admit(&operators.user(jwt)?, &verified.token, &presented)?;
        Ok(User { name: None, permissions: claimed.permissions })
    }

    /// What an account agreed on.
    pub fn agreements(&self, account: &str) -> Agreements {
        if let Some(verified) = self.node.accounts.jwts.find(account) {
            let VerifiedAccount { claims, .. } = &*verified;
            return Agreements {
                exports: claims.exports.clone(),
                imports: claims.imports.clone(),
                mappings: claims.mappings.clone(),
                invalid: claims.invalid.iter().map(|(of, why)| (of.clone(), why.clone(), None)).collect(),
            };
        }
        let options = &self.policy.options;
        let found = self.places.get(account).and_then(|&at| options.access.accounts.get(at));
        let mut agreed = Agreements {
            exports: found.map(|a| a.exports.clone()).unwrap_or_default(),
            imports: found.map(|a| a.imports.clone()).unwrap_or_default(),
            mappings: found.map(|a| a.mappings.clone()).unwrap_or_default(),
            invalid: self.left_out.imports_of(account),
        };
        if account == GLOBAL {
            agreed.mappings.clone_from(&options.access.mappings);
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
        let imports = self.agreements(importer).imports;
        let is = |import: &&Import| {
            import.account == exporter && import.subject == subject && import.local() == local
        };
        let Some(import) = imports.iter().find(is) else { return (subject.to_owned(), None, None) };
        let exports = self.agreements(exporter).exports;
        let export = exports.iter().find(|export| export.allows(import, importer));
        let named = export.map_or_else(|| subject.to_owned(), |export| export.subject.clone());
        (named, place(&import.at), export.and_then(|export| place(&export.at)))
    }

    /// What a message of `subject` finds in `account`.
    pub fn arrives(&self, account: &Account, subject: &str, listeners: &Listeners) -> What {
        let mut list = List::default();
        let users = self.users_of(account);
        for grant in users {
            list.add(receiver(&grant.user, grant.permissions.as_deref(), subject));
        }
        let others = if self.policy.authenticator.operators().is_some() {
            Some("users whose JWT allows it".to_owned())
        } else if users.is_empty() && *account.name == *GLOBAL && !self.policy.authenticator.required() {
            Some("everyone".to_owned())
        } else {
            None
        };
        let (users, more) = list.end();
        What::Arrives { users, more, others, live: self.live(listeners) }
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
        let mut own = interest.iter().filter(|s| s.0.peer().kind().is_server());
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
