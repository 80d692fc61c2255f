use super::line::{Line, Next};
use super::queue::{FairQueue, PASSED_OVER_MAX, Taken};
use super::table::FairTable;
use super::{Lane, Share};
use proptest::prelude::*;
use std::time::Instant;

/// The same rules, each applied by looking at all items.
#[derive(Default)]
struct Naive {
    /// In the order in which they came: lane, share, cost, item.
    items: Vec<(usize, u8, usize, u32)>,
    /// By lane: the shares in the order of their turns, and those that are at work.
    turns: [Vec<u8>; 4],
    at_work: Vec<(usize, u8)>,
    passed_over: [u32; 4],
}

impl Naive {
    fn cost(&self, lane: usize, share: Option<u8>) -> usize {
        let is =
            |item: &&(usize, u8, usize, u32)| item.0 == lane && share.is_none_or(|share| item.1 == share);
        self.items.iter().filter(is).map(|item| item.2).sum()
    }

    fn has(&self, lane: usize, share: u8) -> bool {
        self.items.iter().any(|item| (item.0, item.1) == (lane, share))
    }

    fn give_turn(&mut self, lane: usize, share: u8) {
        let may = !self.at_work.contains(&(lane, share)) && !self.turns[lane].contains(&share);
        if may && self.has(lane, share) {
            self.turns[lane].push(share);
        }
    }

    fn push(&mut self, lane: usize, share: u8, cost: usize, item: u32, max: usize) -> Vec<u32> {
        self.items.push((lane, share, cost, item));
        self.give_turn(lane, share);
        let mut dropped = Vec::new();
        while self.cost(lane, None) > max {
            let most = (0..=u8::MAX).max_by_key(|of| (self.cost(lane, Some(*of)), *of == share, *of));
            let most = most.expect("some share has something");
            let at = self.items.iter().rposition(|item| (item.0, item.1) == (lane, most)).expect("it has");
            dropped.push(self.items.remove(at).3);
            if !self.has(lane, most) {
                self.turns[lane].retain(|of| *of != most);
            }
        }
        dropped
    }

    fn take(&mut self) -> Option<(usize, u8, u32)> {
        let ready = |turns: &Vec<u8>| !turns.is_empty();
        let first = self.turns.iter().position(ready)?;
        let due =
            (0..4).rev().find(|lane| ready(&self.turns[*lane]) && self.passed_over[*lane] >= PASSED_OVER_MAX);
        let lane = due.unwrap_or(first);
        for other in 0..4 {
            if other == lane {
                self.passed_over[other] = 0;
            } else if ready(&self.turns[other]) {
                self.passed_over[other] += 1;
            }
        }
        let share = self.turns[lane].remove(0);
        self.at_work.push((lane, share));
        let at = self.items.iter().position(|item| (item.0, item.1) == (lane, share)).expect("it has");
        let item = self.items.remove(at).3;
        Some((lane, share, item))
    }

    fn release(&mut self, lane: usize, share: u8) {
        self.at_work.retain(|other| *other != (lane, share));
        self.give_turn(lane, share);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, u8, usize),
    Take,
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0usize..4, 0u8..5, 1usize..6).prop_map(|(lane, share, cost)| Step::Push(lane, share, cost)),
        3 => Just(Step::Take),
        3 => (0usize..8).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn the_fair_queue_does_what_the_naive_one_does(steps in steps(), max in 1usize..30) {
        let (mut queue, mut naive) = (FairQueue::new(max), Naive::default());
        let mut at_work: Vec<(Lane, u8)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(lane, share, cost) => {
                    let dropped = queue.push(Lane::ALL[lane], share, cost, number as u32);
                    prop_assert_eq!(dropped, naive.push(lane, share, cost, number as u32, max));
                }
                Step::Take => {
                    let taken = queue.take();
                    if let Some(Taken { lane, share, .. }) = &taken {
                        at_work.push((*lane, *share));
                    }
                    let taken = taken.map(|taken| (taken.lane as usize, taken.share, taken.item));
                    prop_assert_eq!(taken, naive.take());
                }
                Step::Release(at) if at < at_work.len() => {
                    let (lane, share) = at_work.remove(at);
                    queue.release(lane, &share);
                    naive.release(lane as usize, share);
                }
                Step::Release(_) => {}
            }
            for lane in Lane::ALL {
                let figures = queue.figures(lane);
                prop_assert!(figures.cost <= max);
                prop_assert_eq!(figures.cost, naive.cost(lane as usize, None));
                let at = lane as usize;
                let shares = (0..5).filter(|share| naive.has(at, *share) || naive.at_work.contains(&(at, *share)));
                prop_assert_eq!(figures.shares, shares.count());
            }
            prop_assert_eq!(queue.is_empty(), naive.items.is_empty());
        }
        let mut rest = queue.drain();
        rest.sort_unstable();
        prop_assert_eq!(rest, naive.items.iter().map(|item| item.3).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn the_fair_table_does_what_the_naive_one_does(
        steps in prop::collection::vec((any::<bool>(), 0u8..4, 0u64..60), 0..120),
        max in 1usize..12,
    ) {
        let mut table = FairTable::new(max);
        // By number: share and item, which is the number, too.
        let mut naive: Vec<(u64, u8)> = Vec::new();
        for (is_new, share, number) in steps {
            if !is_new {
                let at = naive.iter().position(|(of, _)| *of == number);
                let expected = at.map(|at| naive.remove(at).0);
                prop_assert_eq!(table.remove(number), expected);
                continue;
            }
            let number = table.next_number();
            naive.push((number, share));
            let mut expected = None;
            if naive.len() > max {
                let count = |of: u8| naive.iter().filter(|(_, share)| *share == of).count();
                let most = (0..4).max_by_key(|of| (count(*of), *of == share, *of)).expect("a share");
                let at = naive.iter().rposition(|(_, share)| *share == most).expect("it has most");
                expected = Some(naive.remove(at).0);
            }
            prop_assert_eq!(table.insert(share, number), expected);
        }
    }
}

/// Takes everything out, one after the other.
fn order(queue: &mut FairQueue<u8, u32>) -> Vec<u32> {
    std::iter::from_fn(|| {
        let taken = queue.take()?;
        queue.release(taken.lane, &taken.share);
        Some(taken.item)
    })
    .collect()
}

#[test]
fn who_has_much_waits_for_itself() {
    let mut queue = FairQueue::new(1000);
    for item in 0..100 {
        assert!(queue.push(Lane::Question, 1, 1, item).is_empty());
    }
    assert!(queue.push(Lane::Question, 2, 1, 1000).is_empty());
    assert!(queue.push(Lane::Question, 3, 1, 2000).is_empty());
    assert_eq!(order(&mut queue)[..4], [0, 1000, 2000, 1]);
}

#[test]
fn what_is_urgent_comes_first_and_the_rest_comes_too() {
    let mut queue = FairQueue::new(1000);
    for item in 0..100 {
        queue.push(Lane::Login, 1, 1, item);
    }
    queue.push(Lane::Question, 2, 1, 1000);
    queue.push(Lane::Control, 3, 1, 2000);
    let order = order(&mut queue);
    assert_eq!(order[..3], [2000, 0, 1]);
    let place = order.iter().position(|item| *item == 1000);
    assert_eq!(place, Some(PASSED_OVER_MAX as usize));
}

#[test]
fn what_is_too_much_is_taken_from_who_has_most() {
    let mut queue = FairQueue::new(10);
    for item in 0..10 {
        assert!(queue.push(Lane::Login, 1, 1, item).is_empty());
    }
    assert_eq!(queue.push(Lane::Login, 1, 1, 10), [10], "the flood's own newest");
    assert_eq!(queue.push(Lane::Login, 2, 1, 100), [9], "room for another comes from the flood");
    assert_eq!(queue.push(Lane::Control, 2, 10, 200), [0; 0], "another lane has a bound of its own");
    assert_eq!(queue.push(Lane::Control, 3, 11, 300), [300], "what never fits is not taken");
    assert_eq!((queue.figures(Lane::Login).dropped, queue.figures(Lane::Login).waiting), (2, 10));
}

#[test]
fn a_share_is_an_account_or_an_address() {
    let of = |text: &str| Share::address(text.parse().expect("an address"));
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
}

/// What is to be done once can not be dropped, however full the line is, and comes before what waits.
#[test]
fn a_flag_is_never_dropped() {
    let line = Line::new(2);
    for item in 0..5 {
        line.push(Lane::Control, Share::Server, 1, item);
    }
    line.raise(1);
    line.raise(2);
    line.raise(1);
    assert!(matches!(line.next(None), Next::Flags(3)));
    let Next::Item(job, 0) = line.next(None) else { panic!("the first item") };
    // Its share has no other turn until it is done.
    assert!(matches!(line.next(Some(Instant::now())), Next::TimedOut));
    line.done(job);
    assert!(matches!(line.next(None), Next::Item(_, 1)));
    line.close();
    assert!(matches!(line.next(None), Next::Closed));
    assert_eq!(line.push(Lane::Control, Share::Server, 1, 9), [9], "nothing is taken behind the end");
}
