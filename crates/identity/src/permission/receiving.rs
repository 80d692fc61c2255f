//! By which subscriptions somebody may receive a subject. Subscribing and delivery decide; here they are asked for every
//! queue group that makes a difference.

use super::{Permissions, Rule, Ruling, Subscribing};

/// Stands for any token that no rule names.
const ANY: &[u8] = b"\x01";

/// By which subscriptions messages of a subject may be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// By any subscription, also without a queue group.
    Any(Ruling),
    /// Only in queue groups that this ruling names.
    InGroup(Ruling),
    /// By none.
    Never(Ruling),
}

impl Receiving {
    /// What decides.
    pub fn ruling(self) -> Ruling {
        match self {
            Self::Any(ruling) | Self::InGroup(ruling) | Self::Never(ruling) => ruling,
        }
    }
}

impl Permissions {
    /// By which subscriptions messages of `subject` may be received.
    ///
    /// A subscription to the subject itself may receive whatever a wider one may: both gates look at the same rules, and
    /// what they say of a wider filter they say of this subject again when a message is delivered.
    pub fn receiving(&self, subject: &[u8]) -> Receiving {
        let ruling = self.receiving_in(subject, None);
        if ruling.allows() {
            return Receiving::Any(ruling);
        }
        let groups = self.groups();
        let in_groups: Vec<Ruling> =
            groups.iter().map(|group| self.receiving_in(subject, Some(group))).collect();
        if let Some(ruling) = in_groups.iter().find(|ruling| ruling.allows()) {
            return Receiving::InGroup(*ruling);
        }
        // A denial says more than that nothing allows it.
        let denied = in_groups.into_iter().find(|ruling| matches!(ruling, Ruling::Denied(_)));
        Receiving::Never(denied.unwrap_or(ruling))
    }

    /// The queue groups, or patterns of them, in which alone `filter` may be subscribed to, as they are written.
    pub fn groups_that_may_subscribe(&self, filter: &[u8]) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for group in self.groups() {
            let (may, ruling) = self.subscribing(filter, Some(&group));
            let entry = self.subscribe_entry(ruling).and_then(|entry| entry.text.split_whitespace().nth(1));
            if let (true, Some(entry)) = (may != Subscribing::Denied, entry)
                && out.iter().all(|known| known != entry)
            {
                out.push(entry.to_owned());
            }
        }
        out
    }

    /// What decides whether a subscription to `subject` itself in this queue group is allowed, and receives its messages.
    fn receiving_in(&self, subject: &[u8], queue: Option<&[u8]>) -> Ruling {
        match self.subscribing(subject, queue) {
            (Subscribing::Denied, ruling) => ruling,
            (Subscribing::Allowed | Subscribing::AllowedWithDeliveryCheck, ruling) => {
                let delivering = self.delivering(subject, queue);
                if delivering.allows() { ruling } else { delivering }
            }
        }
    }

    /// Queue groups of which one is allowed what any is that the rules allow something: each that is named, and of each
    /// pattern one a length whose other tokens no rule names. Beyond the longest pattern that denies, one is as good as any.
    fn groups(&self) -> Vec<Box<[u8]>> {
        let queues = |rules: &[Rule]| rules.iter().filter_map(|rule| rule.queue.clone()).collect::<Vec<_>>();
        let tokens = |queue: &[u8]| queue.split(|&byte| byte == b'.').count();
        let denied = queues(&self.subscribe.deny);
        let longest = denied.iter().map(|queue| tokens(queue)).max().unwrap_or(0);
        let mut out = Vec::new();
        for queue in queues(self.subscribe.allow.as_deref().unwrap_or_default()) {
            let mut group: Vec<&[u8]> = queue.split(|&byte| byte == b'.').collect();
            let is_open = group.last().is_some_and(|last| *last == b">");
            for token in &mut group {
                if matches!(*token, b"*" | b">") {
                    *token = ANY;
                }
            }
            out.push(group.join(&b'.').into());
            while is_open && group.len() <= longest {
                group.push(ANY);
                out.push(group.join(&b'.').into());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_config::options;
    use proptest::prelude::*;

    fn permissions(allow: &[String], deny: &[String]) -> Permissions {
        let (allow, deny) = (Some(allow.to_vec()), deny.to_vec());
        let subscribe = options::Rules { allow, deny, ..options::Rules::default() };
        Permissions::new(&options::Permissions { subscribe, ..options::Permissions::default() })
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_may_subscribe_in_groups_only_may_receive() {
        let p = permissions(&strings(&["orders.* workers", "a"]), &[]);
        assert_eq!(p.receiving(b"orders.new"), Receiving::InGroup(Ruling::Allowed(0)));
        assert_eq!(p.receiving(b"a"), Receiving::Any(Ruling::Allowed(1)));
        assert_eq!(p.receiving(b"b"), Receiving::Never(Ruling::NotListed));
        assert_eq!(p.groups_that_may_subscribe(b"orders.*"), ["workers"]);
        // Of patterns, something is left that is not denied.
        let p = permissions(&strings(&["a >", "b w.*"]), &strings(&["a *", "a x.*", "b w.*"]));
        assert_eq!(p.receiving(b"a"), Receiving::InGroup(Ruling::Allowed(0)));
        assert_eq!(p.receiving(b"b"), Receiving::Never(Ruling::Denied(2)));
    }

    fn rule() -> impl Strategy<Value = String> {
        ("a|b|\\*|>|a\\.(b|\\*|>)", proptest::option::of("q|r|\\*|>|q\\.(r|\\*|>)")).prop_map(
            |(filter, queue)| match queue {
                Some(queue) => format!("{filter} {queue}"),
                None => filter,
            },
        )
    }

    proptest! {
        /// Every filter in every queue group of a few tokens: whether one of them is subscribed to and gets the message.
        #[test]
        fn receiving_is_what_some_subscription_gets(
            allow in proptest::collection::vec(rule(), 0..4),
            deny in proptest::collection::vec(rule(), 0..4),
            subject in "(a|b|c)(\\.(a|b|c)){0,1}",
        ) {
            let p = permissions(&allow, &deny);
            let filters = ["a", "b", "c", "*", ">", "a.a", "a.b", "a.c", "a.*", "a.>", "b.*", "*.a", "*.b", "*.c", "*.*", "b.a", "b.b", "b.c",
                "c.a", "c.b", "c.c", "b.>", "*.>"];
            let names = ["q", "r", "z"];
            let two = |a: &str| names.map(|b| format!("{a}.{b}"));
            let mut groups: Vec<Option<String>> = vec![None, Some("z.z.z".into()), Some("q.z.z".into())];
            groups.extend(names.iter().map(|name| Some((*name).to_owned())));
            groups.extend(names.iter().flat_map(|name| two(name)).map(Some));
            let gets = |group: &Option<String>| {
                let queue = group.as_ref().map(|group| group.as_bytes());
                let by = |filter: &&str| {
                    dialtone_subject::naive::matches(filter.as_bytes(), subject.as_bytes())
                        && match p.can_subscribe(filter.as_bytes(), queue) {
                            Subscribing::Denied => false,
                            Subscribing::Allowed => true,
                            Subscribing::AllowedWithDeliveryCheck => p.may_deliver(subject.as_bytes(), queue),
                        }
                };
                filters.iter().any(by)
            };
            let expected = (gets(&None), groups.iter().any(gets));
            let found = match p.receiving(subject.as_bytes()) {
                Receiving::Any(_) => (true, true),
                Receiving::InGroup(_) => (false, true),
                Receiving::Never(_) => (false, false),
            };
            prop_assert_eq!(found, expected);
        }
    }
}
