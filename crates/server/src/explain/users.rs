//! Who does what is asked about: one user, or all of an account, each with its rights and what they decide.

use super::context::{place, rule};
use super::report::{Rule, What, Who};
use dialtone_broker::explain::Publishing;
use dialtone_identity::permission::{Permissions, Receiving, ResponseLimits, Ruling, Subscribing};
use std::sync::Arc;

/// Users that are listed of those who may, and of those who may not.
const USERS_MAX: usize = 8;

/// A user, with its rights.
pub(super) struct User {
    /// Its name or NKey; `None` if the question names none, and the account has none.
    pub name: Option<Arc<str>>,
    /// Its rights; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
}

/// Those who publish or subscribe.
pub(super) struct Users {
    pub all: Vec<User>,
    /// Whether one of them is asked about, and not whether any may.
    pub is_one: bool,
    /// What is to be known of who they are.
    pub note: Option<String>,
}

impl Users {
    pub fn one(user: User) -> Self {
        Self { all: vec![user], is_one: true, note: None }
    }

    pub fn rights(&self) -> Vec<Option<&Permissions>> {
        self.all.iter().map(|user| user.permissions.as_deref()).collect()
    }

    /// What decides whether they may publish: `publishing` says it of each.
    pub fn publish(&self, publishing: &[Publishing]) -> What {
        let decisions = self.all.iter().zip(publishing).map(|(user, publishing)| {
            let permissions = user.permissions.as_deref();
            let (may, ruling, only) = match publishing {
                Publishing::Allowed(ruling) => (true, Some(*ruling), None),
                Publishing::Answers(limits) => (true, None, Some(answers(*limits))),
                Publishing::Denied(ruling) => (false, Some(*ruling), None),
            };
            let rule = ruling.and_then(|ruling| {
                rule("publish", ruling, permissions.and_then(|p| p.publish_entry(ruling)))
            });
            (user, Decision { may, only, rule, each_looked_at: false })
        });
        self.listed(decisions.collect())
    }

    /// What decides whether they may subscribe, and whether any may.
    pub fn subscribe(&self, filter: &[u8], queue: Option<&[u8]>) -> (What, bool) {
        let decisions: Vec<_> =
            self.all.iter().map(|user| (user, Decision::to_subscribe(user, filter, queue))).collect();
        let any = decisions.iter().any(|(_, decision)| decision.may);
        (self.listed(decisions), any)
    }

    fn listed(&self, decisions: Vec<(&User, Decision)>) -> What {
        let mut list = List::default();
        for (user, Decision { may, only, rule, each_looked_at }) in decisions {
            if self.is_one {
                return What::Permission { allowed: may, only, rule, each_looked_at };
            }
            list.add(Who { user: user.name.as_deref().unwrap_or_default().to_owned(), may, only, rule });
        }
        let (users, more) = list.end();
        What::Users { users, more }
    }
}

/// What the rights of a user decide.
struct Decision {
    may: bool,
    only: Option<String>,
    rule: Option<Rule>,
    each_looked_at: bool,
}

impl Decision {
    fn to_subscribe(user: &User, filter: &[u8], queue: Option<&[u8]>) -> Self {
        let permissions = user.permissions.as_deref();
        let (may, ruling) =
            permissions.map_or((Subscribing::Allowed, Ruling::Open), |p| p.subscribing(filter, queue));
        let rule = rule("subscribe", ruling, permissions.and_then(|p| p.subscribe_entry(ruling)));
        let groups = permissions.map(|p| p.groups_that_may_subscribe(filter)).unwrap_or_default();
        let is_denied = may == Subscribing::Denied;
        let only = (is_denied && !groups.is_empty()).then(|| in_group(&groups.join(", ")));
        Self { may: !is_denied, only, rule, each_looked_at: may == Subscribing::AllowedWithDeliveryCheck }
    }
}

/// Whether a user may receive messages of a subject.
pub(super) fn receiver(user: &str, permissions: Option<&Permissions>, subject: &str) -> Who {
    let receiving = permissions.map_or(Receiving::Any(Ruling::Open), |p| p.receiving(subject.as_bytes()));
    let ruling = receiving.ruling();
    let entry = permissions.and_then(|p| p.subscribe_entry(ruling));
    let only = match receiving {
        Receiving::InGroup(_) => entry.and_then(|entry| entry.text.split_whitespace().nth(1)).map(in_group),
        Receiving::Any(_) | Receiving::Never(_) => None,
    };
    Who { user: user.to_owned(), may: ruling.allows(), only, rule: rule("subscribe", ruling, entry) }
}

fn in_group(group: &str) -> String {
    format!("in queue group {group}")
}

fn answers(limits: ResponseLimits) -> String {
    let count = match limits.max_msgs {
        None => String::new(),
        Some(1) => ", with one message".to_owned(),
        Some(count) => format!(", with {count} messages"),
    };
    let time = limits.ttl.map(|ttl| format!(" within {ttl:?}")).unwrap_or_default();
    format!("to answer a request that it was sent with this reply subject{count}{time}")
}

/// Users, of which not more than a few are listed.
#[derive(Default)]
pub(super) struct List {
    may: Vec<Who>,
    may_not: Vec<Who>,
    more: usize,
}

impl List {
    pub fn add(&mut self, who: Who) {
        let list = if who.may { &mut self.may } else { &mut self.may_not };
        if list.len() < USERS_MAX { list.push(who) } else { self.more += 1 }
    }

    /// Those who may, before those who may not; and how many are not among them.
    pub fn end(self) -> (Vec<Who>, usize) {
        let Self { mut may, mut may_not, more } = self;
        may.append(&mut may_not);
        (may, more)
    }
}

/// What cannot be explained, with its places.
pub(super) fn left_out(not_supported: &[dialtone_config::ConfigError]) -> Option<String> {
    let named: Vec<String> = not_supported
        .iter()
        .map(|error| {
            let key = error.problem.split('`').nth(1).unwrap_or_default();
            format!("{key}{}", place(&error.at).map(|at| format!(" [{at}]")).unwrap_or_default())
        })
        .collect();
    (!named.is_empty())
        .then(|| format!("left out, for this version does not support them: {}", named.join(", ")))
}
