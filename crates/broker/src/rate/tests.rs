//! The limiter against a naive one: levels that rise with time, and a message that must be within all of them.

use super::*;
use dialtone_subject::naive;
use proptest::prelude::*;

/// One message, at a time in milliseconds since the one before.
#[derive(Clone, Debug)]
struct Message {
    after_ms: u64,
    subject: &'static str,
    mapped: Option<&'static str>,
    bytes: u64,
}

fn message() -> impl Strategy<Value = Message> {
    let subject = || prop::sample::select(vec!["a", "a.b", "a.c", "b"]);
    (0..400u64, subject(), prop::option::of(subject()), 1..300u64)
        .prop_map(|(after_ms, subject, mapped, bytes)| Message { after_ms, subject, mapped, bytes })
}

/// What fifty messages owe is earned in less than the longest wait; the bucket's own test goes beyond it.
fn rule() -> impl Strategy<Value = RateLimit> {
    let rate = |least: u64, most: u64| {
        (least..most, 1..most).prop_map(|(per_second, burst)| Rate { per_second, burst })
    };
    let subjects =
        prop::sample::select(vec![vec![], vec!["a.*".to_owned()], vec!["a.>".to_owned(), "b".to_owned()]]);
    let action = prop::sample::select(vec![RateAction::Delay, RateAction::Refuse]);
    (action, subjects, prop::option::of(rate(1, 8)), prop::option::of(rate(8, 500)))
        .prop_map(|(action, subjects, msgs, bytes)| RateLimit { action, subjects, msgs, bytes })
}

/// Levels in thousandths of a unit; a negative one is owed.
struct Naive {
    rule: RateLimit,
    levels: Vec<(Rate, bool, i64)>,
}

impl Naive {
    fn new(rule: RateLimit) -> Self {
        let level = |rate: Rate, is_bytes| (rate, is_bytes, rate.burst as i64 * 1000);
        let levels = rule.msgs.map(|rate| level(rate, false)).into_iter();
        let levels = levels.chain(rule.bytes.map(|rate| level(rate, true))).collect();
        Self { rule, levels }
    }

    fn pass(&mut self, ms: u64) {
        for (rate, _, level) in &mut self.levels {
            *level = (*level + (rate.per_second * ms) as i64).min(rate.burst as i64 * 1000);
        }
    }

    fn is_for(&self, subject: &str) -> bool {
        let matches = |filter: &String| naive::matches(filter.as_bytes(), subject.as_bytes());
        self.rule.subjects.is_empty() || self.rule.subjects.iter().any(matches)
    }

    /// Thousandths of a second until there is enough of everything; negative if there was before.
    fn wait(&self, bytes: u64) -> f64 {
        let wait = |&(rate, is_bytes, level): &(Rate, bool, i64)| {
            let units = if is_bytes { bytes } else { 1 };
            (units.min(rate.burst) as i64 * 1000 - level) as f64 / rate.per_second as f64
        };
        self.levels.iter().map(wait).fold(f64::NEG_INFINITY, f64::max)
    }

    fn take(&mut self, bytes: u64) {
        for (_, is_bytes, level) in &mut self.levels {
            *level -= if *is_bytes { bytes as i64 } else { 1 } * 1000;
        }
    }
}

proptest! {
    /// A millionth of a second this way or that is the rounding of the clock.
    #[test]
    fn a_message_is_held_against_all_rules_for_its_subject(
        rules in prop::collection::vec(rule(), 1..5),
        messages in prop::collection::vec(message(), 1..50),
    ) {
        let start = Instant::now();
        let rules: Vec<_> = rules.into_iter().filter(|rule| rule.msgs.is_some() || rule.bytes.is_some()).collect();
        let (of_account, of_user) = rules.split_at(rules.len() / 2);
        let Some(mut limiter) = Limiter::new([of_account, of_user].map(|rules| RateLimits::new(rules, start))) else {
            return Ok(());
        };
        let mut naive: Vec<Naive> = rules.iter().cloned().map(Naive::new).collect();
        let mut at = start;
        for Message { after_ms, subject, mapped, bytes } in messages {
            at += Duration::from_millis(after_ms);
            naive.iter_mut().for_each(|rule| rule.pass(after_ms));
            let mut concerned: Vec<&mut Naive> = naive.iter_mut().filter(|rule| rule.is_for(subject) || mapped.is_some_and(|to| rule.is_for(to))).collect();
            let longest = |action| {
                let waits = concerned.iter().filter(|rule| rule.rule.action == action).map(|rule| rule.wait(bytes));
                waits.fold(f64::NEG_INFINITY, f64::max)
            };
            let (refused, wait) = (longest(RateAction::Refuse), longest(RateAction::Delay));
            match limiter.admit(subject.as_bytes(), mapped.map(str::as_bytes), bytes, at) {
                Admission::Refuse => prop_assert!(refused > -1e-3, "{}", refused),
                Admission::Pass => {
                    prop_assert!(refused < 1e-3 && wait < 1e-3, "{} {}", refused, wait);
                    concerned.iter_mut().for_each(|rule| rule.take(bytes));
                }
                Admission::Wait(got) => {
                    prop_assert!(refused < 1e-3, "{}", refused);
                    prop_assert!((got.as_secs_f64() * 1e3 - wait).abs() < 1e-3, "{:?} {}", got, wait);
                    concerned.iter_mut().for_each(|rule| rule.take(bytes));
                    prop_assert_eq!(limiter.admit(subject.as_bytes(), mapped.map(str::as_bytes), bytes, at), Admission::Pass);
                }
            }
        }
    }
}

#[test]
fn those_who_wait_for_one_account_come_one_after_the_other() {
    let rate = Rate { per_second: 10, burst: 1 };
    let rule = RateLimit { action: RateAction::Delay, subjects: vec![], msgs: Some(rate), bytes: None };
    let now = Instant::now();
    let shared = RateLimits::new(&[rule], now);
    let mut limiters: Vec<_> = (0..4).filter_map(|_| Limiter::new([shared.clone()])).collect();
    let waits: Vec<_> = limiters.iter_mut().map(|limiter| limiter.admit(b"a", None, 1, now)).collect();
    let wait = |ms| Admission::Wait(Duration::from_millis(ms));
    assert_eq!(waits, [Admission::Pass, wait(100), wait(200), wait(300)]);
}
