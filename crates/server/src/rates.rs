//! Which rate limits hold for whom, and how much of them is used: connections come and go, what was used stays.

use dialtone_broker::account::GLOBAL;
use dialtone_broker::rate::RateLimits;
use dialtone_config::Options;
use dialtone_config::options::RateLimit;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Entries from which on those that nobody needs are looked for.
const SWEEP_MIN: usize = 1024;
/// Entries from which on all that no connection uses are forgotten, though they may not be as good as new.
const ENTRIES_MAX: usize = 1 << 18;

/// The rules of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    accounts: HashMap<String, Vec<RateLimit>>,
    accounts_default: Vec<RateLimit>,
    users: HashMap<String, Vec<RateLimit>>,
    /// By account: of its users that have none.
    users_default: HashMap<String, Vec<RateLimit>>,
    others_default: Vec<RateLimit>,
}

impl Rules {
    pub(crate) fn new(options: &Options) -> Self {
        let accounts = &options.access.accounts;
        let authorization = &options.access.authorization;
        let users = authorization.users.iter().chain(accounts.iter().flat_map(|account| &account.users));
        let of_user = |user: &dialtone_config::options::User| {
            Some((user.nkey.as_ref().unwrap_or(&user.name).clone(), user.rate_limits.clone()?))
        };
        let global = authorization.default_rate_limits.clone().map(|rules| (GLOBAL.to_owned(), rules));
        let defaults = accounts.iter().filter_map(|a| Some((a.name.clone(), a.default_rate_limits.clone()?)));
        Self {
            accounts: accounts
                .iter()
                .filter_map(|a| Some((a.name.clone(), a.rate_limits.clone()?)))
                .collect(),
            accounts_default: options.operation.usage.rate_limits.clone(),
            users: users.filter_map(of_user).collect(),
            users_default: defaults.chain(global).collect(),
            others_default: options.operation.usage.default_rate_limits.clone(),
        }
    }

    /// Whether nobody has any.
    pub(crate) fn are_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.accounts_default.is_empty()
            && self.users.is_empty()
            && self.users_default.is_empty()
            && self.others_default.is_empty()
    }

    /// The rules of an account. `default`: those of the top level hold if it has none itself.
    pub(crate) fn of_account(&self, account: &str, default: bool) -> &[RateLimit] {
        let default = default.then_some(&self.accounts_default);
        self.accounts.get(account).or(default).map(Vec::as_slice).unwrap_or_default()
    }

    /// The rules of a user of an account. `default`: those of the top level hold if neither has any.
    pub(crate) fn of_user(&self, account: &str, user: &str, default: bool) -> &[RateLimit] {
        let default = default.then_some(&self.others_default);
        let own = self.users.get(user).or_else(|| self.users_default.get(account));
        own.or(default).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Who has the limits: an account, or a user of it.
type Owner = (Box<str>, Option<Box<str>>);

/// Rate limits that are in use.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<Owner, Arc<RateLimits>>,
    sweep_at: usize,
}

impl Rates {
    /// The limits of an account, or of a user of it, by these rules: those that are in use, if the rules are the same.
    pub(crate) fn find(
        &self,
        account: &str,
        user: Option<&str>,
        rules: &[RateLimit],
        now: Instant,
    ) -> Option<Arc<RateLimits>> {
        if rules.is_empty() {
            return None;
        }
        let owner: Owner = (account.into(), user.map(Into::into));
        let mut table = self.0.lock();
        if let Some(known) = table.known.get(&owner).filter(|known| known.made_from() == rules) {
            return Some(known.clone());
        }
        let limits = RateLimits::new(rules, now);
        table.known.insert(owner, limits.clone());
        table.sweep(now);
        Some(limits)
    }
}

impl Table {
    /// Forgets what nobody uses and is as good as new. What is left may double before it is looked at again, so that this
    /// costs little per entry.
    fn sweep(&mut self, now: Instant) {
        if self.known.len() < self.sweep_at.max(SWEEP_MIN) {
            return;
        }
        self.known.retain(|_, limits| Arc::strong_count(limits) > 1 || !limits.are_full(now));
        if self.known.len() >= ENTRIES_MAX {
            self.known.retain(|_, limits| Arc::strong_count(limits) > 1);
        }
        self.sweep_at = self.known.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_broker::rate::{Admission, Limiter};
    use dialtone_config::options::{Rate, RateAction};
    use std::path::Path;
    use std::time::Duration;

    fn rules(burst: u64) -> Vec<RateLimit> {
        let msgs = Some(Rate { per_second: 1, burst });
        vec![RateLimit { action: RateAction::Refuse, subjects: vec![], msgs, bytes: None }]
    }

    #[test]
    fn what_was_used_stays_used_until_the_rules_change() {
        let (rates, now) = (Rates::default(), Instant::now());
        let publish = |user, rules: &[RateLimit]| {
            let mut limiter = Limiter::new(rates.find("A", user, rules, now)).expect("rules");
            limiter.admit(b"a", None, 1, now)
        };
        assert_eq!(publish(None, &rules(1)), Admission::Pass);
        assert_eq!(publish(None, &rules(1)), Admission::Refuse);
        assert_eq!(publish(Some("A"), &rules(1)), Admission::Pass);
        assert_eq!(publish(None, &rules(2)), Admission::Pass);
        assert!(rates.find("A", None, &[], now).is_none());
    }

    #[test]
    fn what_nobody_needs_is_forgotten() {
        let (rates, now) = (Rates::default(), Instant::now());
        let names: Vec<String> = (0..SWEEP_MIN).map(|n| n.to_string()).collect();
        for name in &names {
            let mut limiter = Limiter::new(rates.find(name, None, &rules(1), now)).expect("rules");
            limiter.admit(b"a", None, 1, now);
        }
        assert_eq!(rates.0.lock().known.len(), SWEEP_MIN);
        let held = rates.find("7", None, &rules(1), now);
        let later = now + Duration::from_secs(2);
        for name in 0..=SWEEP_MIN {
            rates.find(&format!("n{name}"), None, &rules(1), later);
        }
        assert!(rates.0.lock().known.len() < SWEEP_MIN);
        let again = rates.find("7", None, &rules(1), later);
        assert!(held.zip(again).is_some_and(|(held, again)| Arc::ptr_eq(&held, &again)));
    }

    /// The nearest word counts, and an empty list is a word.
    #[test]
    fn what_is_said_nearest_holds() {
        let rate = |n: u32| format!("{{ msgs_per_sec: {n} }}");
        let text = format!(
            "rate_limits: {}, default_rate_limits: {}
             authorization {{ default_rate_limits: {}, users: [ {{ user: g }} ] }}
             accounts {{
                A {{ rate_limits: {}, default_rate_limits: {}, users: [ {{ user: a }}, {{ user: b, rate_limits: {} }} ] }}
                B {{ rate_limits: [], users: [ {{ user: c }}, {{ user: d, rate_limits: [] }} ] }}
                C {{ }}
             }}",
            rate(1), rate(2), rate(3), rate(4), rate(5), rate(6),
        );
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let options = dialtone_config::load_text(&text, "t.conf", &mut files, &|_| None).expect("read");
        let rules = Rules::new(&options);
        let first =
            |rules: &[RateLimit]| rules.first().and_then(|rule| rule.msgs).map(|msgs| msgs.per_second);
        let accounts = [GLOBAL, "A", "B", "C"].map(|account| first(rules.of_account(account, true)));
        assert_eq!(accounts, [Some(1), Some(4), None, Some(1)]);
        let users = [(GLOBAL, "g"), ("A", "a"), ("A", "b"), ("B", "c"), ("B", "d"), ("C", "")];
        let users = users.map(|(account, user)| first(rules.of_user(account, user, true)));
        assert_eq!(users, [Some(3), Some(5), Some(6), Some(2), None, Some(2)]);
        assert_eq!((first(rules.of_account("C", false)), first(rules.of_user("C", "", false))), (None, None));
    }
}
