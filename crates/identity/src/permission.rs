//! Permissions: which subjects someone may publish and subscribe to.

use dialtone_config::{Location, options};
use dialtone_subject::set;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

mod receiving;

pub use receiving::Receiving;

/// Where the authorization service of an account is asked.
pub(crate) const CALLOUT_SUBJECT: &str = "$SYS.REQ.USER.AUTH";

/// How many answers a request allows, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Answers; `None`: any number.
    pub max_msgs: Option<u64>,
    /// How long; `None`: for ever.
    pub ttl: Option<Duration>,
}

/// Whether someone may subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribing {
    /// Yes.
    Allowed,
    /// Yes, but some of what the filter matches is denied: each delivery must be looked at.
    AllowedWithDeliveryCheck,
    /// No.
    Denied,
}

/// How a list of what is allowed and one of what is denied decided. Numbers are places in those lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Allowed: nothing is listed as allowed, so all is that is not denied.
    Open,
    /// Allowed by this entry, and not denied.
    Allowed(usize),
    /// Denied by this entry.
    Denied(usize),
    /// Denied: something is listed as allowed, and this is not in it.
    NotListed,
}

impl Ruling {
    /// Whether it allows.
    #[inline]
    pub fn allows(self) -> bool {
        matches!(self, Self::Open | Self::Allowed(_))
    }
}

/// An entry of somebody's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// As it was written: a subject, perhaps with a queue group.
    pub text: &'a str,
    /// Where, if it came from a file.
    pub at: Option<&'a Location>,
}

/// A subject, with a queue group in permissions to subscribe.
#[derive(Clone, Debug)]
struct Rule {
    subject: Box<[u8]>,
    queue: Option<Box<[u8]>>,
}

impl Rule {
    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let subject = words.next().unwrap_or_default().as_bytes().into();
        Self { subject, queue: words.next().map(|queue| queue.as_bytes().into()) }
    }

    /// Whether the rule speaks of this queue group. Group names are matched like subjects.
    fn is_of(&self, queue: &[u8]) -> bool {
        self.queue.as_deref().is_some_and(|rule| set::matches(rule, queue))
    }

    /// Whether the rule is one for a subscription in this queue group, or in none: rules without a group are for all.
    fn concerns(&self, queue: Option<&[u8]>) -> bool {
        self.queue.is_none() || queue.is_some_and(|queue| self.is_of(queue))
    }
}

#[derive(Clone, Debug, Default)]
struct Rules {
    allow: Option<Vec<Rule>>,
    deny: Vec<Rule>,
}

impl Rules {
    /// What the rules say of something that these rules of them speak of.
    #[inline]
    fn rule(&self, allows: impl Fn(&Rule) -> bool, denies: impl Fn(&Rule) -> bool) -> Ruling {
        let by = match &self.allow {
            None => Ruling::Open,
            Some(allow) => match allow.iter().position(allows) {
                Some(at) => Ruling::Allowed(at),
                None => return Ruling::NotListed,
            },
        };
        self.deny.iter().position(denies).map_or(by, Ruling::Denied)
    }
}

impl Rules {
    /// Whether they allow some of what a filter matches. Rules for a queue group are for no filter without one.
    fn allow_some(&self, filter: &[u8]) -> bool {
        let overlaps = |rule: &Rule| rule.queue.is_none() && set::overlap(&rule.subject, filter);
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(overlaps))
    }

    /// Whether they deny all that a filter matches.
    fn deny_all(&self, filter: &[u8]) -> bool {
        self.deny.iter().any(|rule| rule.queue.is_none() && set::contains(&rule.subject, filter))
    }
}

/// The common cases, which need no rules.
#[derive(Clone, Copy, Debug)]
enum Publishes {
    /// Nothing is allowed or denied by name.
    All,
    /// `>` is allowed and nothing denied: all that is a subject, without empty tokens.
    Subjects,
    ByRules,
}

/// What someone may do. Compiled once, shared by all connections that have it.
#[derive(Clone, Debug)]
pub struct Permissions {
    publish: Rules,
    subscribe: Rules,
    responses: Option<ResponseLimits>,
    publishes: Publishes,
    source: options::Permissions,
}

impl Permissions {
    /// Compiles permissions from the configuration, which has checked their subjects.
    ///
    /// An empty list of allowed subjects is none: it allows everything. But who may answer requests may publish
    /// nothing else, unless something is listed. Source: nats-server 2.15.0, asked.
    pub fn new(source: &options::Permissions) -> Self {
        let rules = |rules: &options::Rules| Rules {
            allow: rules
                .allow
                .as_ref()
                .filter(|allow| !allow.is_empty())
                .map(|allow| allow.iter().map(|r| Rule::parse(r)).collect()),
            deny: rules.deny.iter().map(|r| Rule::parse(r)).collect(),
        };
        let mut publish = rules(&source.publish);
        if source.responses.is_some() {
            publish.allow.get_or_insert_default();
        }
        let all = |allow: &Vec<Rule>| allow.iter().any(|rule| *rule.subject == *b">");
        let publishes = match &publish.allow {
            None if publish.deny.is_empty() => Publishes::All,
            Some(allow) if publish.deny.is_empty() && all(allow) => Publishes::Subjects,
            _ => Publishes::ByRules,
        };
        Self {
            publish,
            subscribe: rules(&source.subscribe),
            responses: source.responses.map(|r| ResponseLimits { max_msgs: r.max_msgs, ttl: r.expires }),
            publishes,
            source: source.clone(),
        }
    }

    /// Whether messages may be published to `subject`.
    #[inline]
    pub fn can_publish(&self, subject: &[u8]) -> bool {
        match self.publishes {
            Publishes::All => true,
            Publishes::Subjects => set::matches(b">", subject),
            Publishes::ByRules => self.publishing(subject).allows(),
        }
    }

    /// The same, with what decides it.
    #[inline]
    pub fn publishing(&self, subject: &[u8]) -> Ruling {
        let is = |rule: &Rule| set::matches(&rule.subject, subject);
        self.publish.rule(is, is)
    }

    /// Whether a denial names `subject`, or some part of all subjects that it is in, so that it may not even be answered
    /// at. A denial of everything names none.
    pub fn denies_answer(&self, subject: &[u8]) -> bool {
        let names = |rule: &Rule| *rule.subject != *b">" && set::matches(&rule.subject, subject);
        self.publish.deny.iter().any(names)
    }

    /// Whether `filter` may be subscribed to, in a queue group or not.
    ///
    /// A filter must lie in something that is allowed, or, like `in.>` and `in.*`, be matched by it token for token: the
    /// official server lets those pass, and here each delivery is then looked at. Permissions for the queue group decide over those
    /// without one where both speak of the filter; a denial without a group holds for every group.
    ///
    /// A denial's `*` denies a filter's `>` too, as the official server has it, although `a.*` does not contain `a.>`.
    pub fn can_subscribe(&self, filter: &[u8], queue: Option<&[u8]>) -> Subscribing {
        self.subscribing(filter, queue).0
    }

    /// The same, with what decides it.
    pub fn subscribing(&self, filter: &[u8], queue: Option<&[u8]>) -> (Subscribing, Ruling) {
        let speaks = |rule: &Rule| set::matches(&rule.subject, filter);
        let rules = self.subscribe.allow.as_deref().unwrap_or_default();
        let is_for_groups = queue.is_some() && rules.iter().any(|r| r.queue.is_some() && speaks(r));
        let of_the_group = |rule: &Rule| match queue {
            Some(queue) if is_for_groups => rule.is_of(queue),
            _ => rule.queue.is_none(),
        };
        let ruling = self
            .subscribe
            .rule(|rule| speaks(rule) && of_the_group(rule), |rule| speaks(rule) && rule.concerns(queue));
        if !ruling.allows() {
            return (Subscribing::Denied, ruling);
        }
        let holds = |rule: &Rule| rule.concerns(queue) && set::contains(&rule.subject, filter);
        let is_within = self.subscribe.allow.as_ref().is_none_or(|allow| allow.iter().any(holds));
        let reaches = |rule: &Rule| rule.concerns(queue) && set::overlap(&rule.subject, filter);
        let check = !is_within || self.subscribe.deny.iter().any(reaches);
        (if check { Subscribing::AllowedWithDeliveryCheck } else { Subscribing::Allowed }, ruling)
    }

    /// Whether a message with this very subject may be delivered to a subscription that was allowed.
    pub fn may_deliver(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.delivering(subject, queue).allows()
    }

    /// The same, with what decides it: rules without a queue group, and those of its group.
    pub fn delivering(&self, subject: &[u8], queue: Option<&[u8]>) -> Ruling {
        let is = |rule: &Rule| rule.concerns(queue) && set::matches(&rule.subject, subject);
        self.subscribe.rule(is, is)
    }

    /// The entry that a ruling about publishing names.
    pub fn publish_entry(&self, ruling: Ruling) -> Option<Entry<'_>> {
        entry(&self.source.publish, ruling)
    }

    /// The entry that a ruling about subscribing names.
    pub fn subscribe_entry(&self, ruling: Ruling) -> Option<Entry<'_>> {
        entry(&self.source.subscribe, ruling)
    }

    /// Whether it may publish to some of what a filter matches.
    pub fn can_publish_some(&self, filter: &[u8]) -> bool {
        self.publish.allow_some(filter) && !self.publish.deny_all(filter)
    }

    /// Whether it may have some of what a filter matches; which of it is looked at with each delivery. A filter with wildcards that is
    /// denied as a whole passes, as officially.
    pub fn can_receive_some(&self, filter: &[u8]) -> bool {
        let is_denied = || set::is_literal(filter) && self.subscribe.deny_all(filter);
        self.subscribe.allow_some(filter) && !is_denied()
    }

    /// Whether and how much requests may be answered.
    pub fn allow_responses(&self) -> Option<&ResponseLimits> {
        self.responses.as_ref()
    }

    /// What it was compiled from.
    pub fn source(&self) -> &options::Permissions {
        &self.source
    }
}

fn entry(rules: &options::Rules, ruling: Ruling) -> Option<Entry<'_>> {
    let (list, places, number) = match ruling {
        Ruling::Open | Ruling::NotListed => return None,
        Ruling::Allowed(number) => (rules.allow.as_deref().unwrap_or_default(), &rules.allow_at, number),
        Ruling::Denied(number) => (rules.deny.as_slice(), &rules.deny_at, number),
    };
    Some(Entry { text: list.get(number)?, at: places.get(number).map(Deref::deref) })
}

/// Rights without the subject on which services are asked: nobody in their account asks in the server's place.
pub(crate) fn guarded(permissions: Option<&Permissions>) -> Arc<Permissions> {
    let unlimited = options::Permissions::default;
    let mut source = permissions.map_or_else(unlimited, |permissions| permissions.source().clone());
    source.publish.deny.push(CALLOUT_SUBJECT.to_owned());
    Arc::new(Permissions::new(&source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn permissions(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
        let rules = options::Rules {
            allow: allow.map(|a| a.iter().map(ToString::to_string).collect()),
            deny: deny.iter().map(ToString::to_string).collect(),
            ..options::Rules::default()
        };
        Permissions::new(&options::Permissions { publish: rules.clone(), subscribe: rules, responses: None })
    }

    #[test]
    fn an_empty_list_is_none() {
        assert!(permissions(None, &[]).can_publish(b"a"));
        assert!(permissions(Some(&[]), &[]).can_publish(b"a"));
        let all = permissions(Some(&["a", ">"]), &[]);
        assert!(all.can_publish(b"b.c") && !all.can_publish(b".a") && !all.can_publish(b"a..b"));
        assert_eq!(permissions(Some(&[]), &["d"]).can_subscribe(b"a", None), Subscribing::Allowed);
    }

    #[test]
    fn a_denial_of_everything_names_no_answer() {
        for (deny, expected) in
            [(vec![">"], false), (vec![">", "no.>"], true), (vec!["no.*"], true), (vec![], false)]
        {
            let p = permissions(None, &deny);
            assert_eq!(p.denies_answer(b"no.x"), expected, "{deny:?}");
            assert!(!p.denies_answer(b"yes.x"), "{deny:?}");
        }
    }

    #[test]
    fn who_may_answer_may_publish_only_what_is_listed() {
        for (allow, deny, expected) in
            [(None, vec![], false), (None, vec!["d"], false), (Some(vec!["a"]), vec![], true)]
        {
            let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
            let p = Permissions::new(&options::Permissions {
                publish: options::Rules {
                    allow: allow.as_deref().map(strings),
                    deny: strings(&deny),
                    ..options::Rules::default()
                },
                subscribe: options::Rules::default(),
                responses: Some(options::Responses { max_msgs: Some(1), expires: None }),
            });
            assert_eq!(p.can_publish(b"a"), expected);
            assert!(!p.can_publish(b"d") && p.can_subscribe(b"x", None) == Subscribing::Allowed);
        }
    }

    /// CVE-2022-29946: a queue subscriber on a wildcard must not get what is denied.
    #[test]
    fn queue_subscribers_are_denied_too() {
        let p = permissions(None, &["a.secret"]);
        for queue in [None, Some(&b"q"[..])] {
            assert_eq!(p.can_subscribe(b"a.secret", queue), Subscribing::Denied);
            assert_eq!(p.can_subscribe(b"a.*", queue), Subscribing::AllowedWithDeliveryCheck);
            assert!(!p.may_deliver(b"a.secret", queue));
        }
    }

    /// GHSA-wh7g-5m82-pmhr: a wildcard that reaches out of what is allowed gets nothing from there.
    #[test]
    fn a_filter_must_lie_within_what_is_allowed() {
        let p = permissions(Some(&["in.*", "a.>"]), &[]);
        for (filter, expected) in [
            ("in.*", Subscribing::Allowed),
            ("in.>", Subscribing::AllowedWithDeliveryCheck),
            ("*.x", Subscribing::Denied),
            ("a.*.>", Subscribing::Allowed),
            (">", Subscribing::Denied),
        ] {
            assert_eq!(p.can_subscribe(filter.as_bytes(), None), expected, "{filter}");
        }
        assert!(p.may_deliver(b"in.1", None) && !p.may_deliver(b"in.1.2", None));
        let p = permissions(Some(&["*"]), &[]);
        assert_eq!(p.can_subscribe(b">", Some(b"q")), Subscribing::AllowedWithDeliveryCheck);
        assert_eq!(permissions(None, &["a.*"]).can_subscribe(b"a.>", None), Subscribing::Denied);
    }

    /// GHSA-jx8g-9g95-6322: a denial of a queue group does not lift a plain one.
    #[test]
    fn denials_of_groups_come_on_top() {
        let p = permissions(None, &["a.x", "b q.*"]);
        assert_eq!(p.can_subscribe(b"a.x", Some(b"other")), Subscribing::Denied);
        assert_eq!(p.can_subscribe(b"b", Some(b"q.1")), Subscribing::Denied);
        assert_eq!(p.can_subscribe(b"b", Some(b"r")), Subscribing::Allowed);
        assert_eq!(p.can_subscribe(b"b", None), Subscribing::Allowed);
    }

    /// What a group may have does not make a subscription without one safe to deliver to unseen.
    #[test]
    fn what_a_group_may_have_is_not_for_others() {
        let p = permissions(Some(&["a.*", "a.> q"]), &[]);
        assert_eq!(p.can_subscribe(b"a.>", None), Subscribing::AllowedWithDeliveryCheck);
        assert!(p.may_deliver(b"a.b", None) && !p.may_deliver(b"a.b.c", None));
        assert_eq!(p.can_subscribe(b"a.>", Some(b"q")), Subscribing::Allowed);
    }

    #[test]
    fn a_group_that_is_named_must_be_the_right_one() {
        let p = permissions(Some(&["a workers", "b"]), &[]);
        assert_eq!(p.can_subscribe(b"a", Some(b"workers")), Subscribing::Allowed);
        assert_eq!(p.can_subscribe(b"a", Some(b"others")), Subscribing::Denied);
        assert_eq!(p.can_subscribe(b"a", None), Subscribing::Denied);
        assert_eq!(p.can_subscribe(b"b", Some(b"any")), Subscribing::Allowed);
    }

    fn filter() -> impl Strategy<Value = String> {
        "(a|b|\\*)(\\.(a|b|\\*)){0,2}(\\.>)?"
    }

    /// So few filters that they often meet.
    fn few() -> impl Strategy<Value = String> {
        "a|\\*|>|a\\.(a|\\*|>)|\\*\\.(a|\\*|>)"
    }

    /// A rule, some with a queue group.
    fn rule() -> impl Strategy<Value = String> {
        (few(), proptest::option::of("q|r|\\*|>")).prop_map(|(filter, queue)| match queue {
            Some(queue) => format!("{filter} {queue}"),
            None => filter,
        })
    }

    proptest! {
        #[test]
        fn nothing_denied_is_delivered(
            allow in proptest::option::of(proptest::collection::vec(filter(), 0..4)),
            deny in proptest::collection::vec(filter(), 0..4),
            wish in filter(),
            subject in "(a|b|c)(\\.(a|b|c)){0,3}",
        ) {
            let rules = options::Rules { allow: allow.clone(), deny: deny.clone(), ..options::Rules::default() };
            let p = Permissions::new(&options::Permissions {
                publish: rules.clone(), subscribe: rules, responses: None,
            });
            let is_in = |f: &String| dialtone_subject::naive::matches(f.as_bytes(), subject.as_bytes());
            let open = allow.as_ref().is_none_or(|a| a.is_empty() || a.iter().any(is_in));
            let may = open && !deny.iter().any(is_in);
            prop_assert_eq!(p.can_publish(subject.as_bytes()), may);
            let delivered = match p.can_subscribe(wish.as_bytes(), None) {
                Subscribing::Denied => false,
                Subscribing::Allowed => is_in(&wish),
                Subscribing::AllowedWithDeliveryCheck => is_in(&wish) && p.may_deliver(subject.as_bytes(), None),
            };
            prop_assert!(!delivered || may, "{} reached {:?}", subject, wish);
        }

        /// What a subscription gets is in a rule that allows it, for all or for its group, and in none that denies it.
        #[test]
        fn groups_open_no_other_way(
            allow in proptest::collection::vec(rule(), 1..4),
            deny in proptest::collection::vec(rule(), 0..3),
            wish in few(),
            queue in proptest::option::of("q|r|s"),
            subject in "(a|b)(\\.(a|b)){0,2}",
        ) {
            let queue = queue.as_deref().map(str::as_bytes);
            let rules = options::Rules {
                allow: Some(allow.clone()), deny: deny.clone(), ..options::Rules::default()
            };
            let p = Permissions::new(&options::Permissions {
                publish: options::Rules::default(), subscribe: rules, responses: None,
            });
            let is_in = |f: &str| dialtone_subject::naive::matches(f.as_bytes(), subject.as_bytes());
            let holds = |rule: &String| match rule.split_once(' ') {
                None => is_in(rule),
                Some((f, group)) => {
                    is_in(f) && queue.is_some_and(|q| dialtone_subject::naive::matches(group.as_bytes(), q))
                }
            };
            let may = allow.iter().any(holds) && !deny.iter().any(holds);
            let delivered = match p.can_subscribe(wish.as_bytes(), queue) {
                Subscribing::Denied => false,
                Subscribing::Allowed => is_in(&wish),
                Subscribing::AllowedWithDeliveryCheck => is_in(&wish) && p.may_deliver(subject.as_bytes(), queue),
            };
            prop_assert!(!delivered || may, "{} reached {:?} of {:?}", subject, wish, queue);
        }
    }
}
