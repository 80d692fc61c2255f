//! The fair queue.

use super::{Lane, LaneFigures};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How often a lane is passed over while something waits in it before it has its turn: so a flood in a more urgent one
/// takes most of the time, and never all of it.
pub(crate) const PASSED_OVER_MAX: u32 = 16;

/// Items by lane, and in each lane by share.
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    lanes: [LaneQueue<K, T>; Lane::ALL.len()],
    /// What the items of one lane may cost together.
    cost_max: usize,
}

/// Something that was taken out to be worked at. Its share has no other turn until [`FairQueue::release`].
#[derive(Debug)]
pub(crate) struct Taken<K, T> {
    pub lane: Lane,
    pub share: K,
    pub item: T,
}

#[derive(Debug)]
struct LaneQueue<K, T> {
    /// Those that have something waiting or at work.
    shares: BTreeMap<K, Shared<T>>,
    /// The shares that may be served, in the order of their turns.
    turns: BTreeMap<u64, K>,
    /// What each share costs; the last one has most.
    costs: BTreeSet<(usize, K)>,
    next_turn: u64,
    waiting: usize,
    cost: usize,
    dropped: u64,
    passed_over: u32,
}

/// What one share has in a lane.
#[derive(Debug)]
struct Shared<T> {
    items: VecDeque<(T, usize)>,
    cost: usize,
    /// `None` while nothing waits or while one of its items is being worked at.
    turn: Option<u64>,
    is_at_work: bool,
}

impl<K: Ord + Clone, T> FairQueue<K, T> {
    /// A queue whose lanes may hold items of this cost each.
    pub fn new(cost_max: usize) -> Self {
        Self { lanes: Lane::ALL.map(|_| LaneQueue::new()), cost_max }
    }

    /// Adds an item behind the others of its share. What had to make room for it, which may be the item itself: the newest
    /// of the share that has most in this lane, and where several have most, of the one that brought the item.
    pub fn push(&mut self, lane: Lane, share: K, cost: usize, item: T) -> Vec<T> {
        let cost_max = self.cost_max;
        let Some(lane) = self.lanes.get_mut(lane as usize) else { return vec![item] };
        lane.add(share.clone(), item, cost.max(1));
        let mut dropped = Vec::new();
        while lane.cost > cost_max
            && let Some(item) = lane.drop_newest(&share)
        {
            dropped.push(item);
        }
        dropped
    }

    /// The next item: of the most urgent lane that has one, unless another was passed over too often; in the lane of the
    /// share whose turn it is, its oldest.
    pub fn take(&mut self) -> Option<Taken<K, T>> {
        let is_ready = |lane: &LaneQueue<K, T>| !lane.turns.is_empty();
        let first = self.lanes.iter().position(is_ready)?;
        let due = |lane: &LaneQueue<K, T>| is_ready(lane) && lane.passed_over >= PASSED_OVER_MAX;
        let chosen = self.lanes.iter().rposition(due).unwrap_or(first);
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            match at == chosen {
                true => lane.passed_over = 0,
                false if is_ready(lane) => lane.passed_over += 1,
                false => {}
            }
        }
        let lane = *Lane::ALL.get(chosen)?;
        let (share, item) = self.lanes.get_mut(chosen)?.take()?;
        Some(Taken { lane, share, item })
    }

    /// An item that was taken out is done: its share may have its turn again.
    pub fn release(&mut self, lane: Lane, share: &K) {
        if let Some(lane) = self.lanes.get_mut(lane as usize) {
            lane.release(share);
        }
    }

    /// Whether nothing waits; something may still be at work.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting == 0)
    }

    /// Takes out all that waits.
    pub fn drain(&mut self) -> Vec<T> {
        let all = self.lanes.iter_mut().flat_map(|lane| std::mem::replace(lane, LaneQueue::new()).shares);
        all.flat_map(|(_, shared)| shared.items).map(|(item, _)| item).collect()
    }

    /// What waits in a lane, and what was dropped.
    pub fn figures(&self, lane: Lane) -> LaneFigures {
        let Some(lane) = self.lanes.get(lane as usize) else { return LaneFigures::default() };
        LaneFigures {
            waiting: lane.waiting,
            cost: lane.cost,
            shares: lane.shares.len(),
            largest_share: lane.costs.last().map_or(0, |(cost, _)| *cost),
            dropped: lane.dropped,
        }
    }
}

impl<K: Ord + Clone, T> LaneQueue<K, T> {
    fn new() -> Self {
        Self {
            shares: BTreeMap::new(),
            turns: BTreeMap::new(),
            costs: BTreeSet::new(),
            next_turn: 0,
            waiting: 0,
            cost: 0,
            dropped: 0,
            passed_over: 0,
        }
    }

    fn add(&mut self, key: K, item: T, cost: usize) {
        let share = self.shares.entry(key.clone()).or_insert_with(|| Shared {
            items: VecDeque::new(),
            cost: 0,
            turn: None,
            is_at_work: false,
        });
        share.items.push_back((item, cost));
        self.waiting += 1;
        self.change_cost(&key, |before| before + cost);
        self.give_turn(&key);
    }

    /// Puts a share behind the others, if it has something that may be taken and no turn yet.
    fn give_turn(&mut self, key: &K) {
        let Some(share) = self.shares.get_mut(key) else { return };
        if share.turn.is_none() && !share.is_at_work && !share.items.is_empty() {
            share.turn = Some(self.next_turn);
            self.turns.insert(self.next_turn, key.clone());
            self.next_turn += 1;
        }
    }

    fn change_cost(&mut self, key: &K, change: impl FnOnce(usize) -> usize) {
        let Some(share) = self.shares.get_mut(key) else { return };
        let (before, after) = (share.cost, change(share.cost));
        share.cost = after;
        self.cost = self.cost + after - before;
        self.costs.remove(&(before, key.clone()));
        if after > 0 {
            self.costs.insert((after, key.clone()));
        }
    }

    fn take(&mut self) -> Option<(K, T)> {
        let (_, key) = self.turns.pop_first()?;
        let share = self.shares.get_mut(&key)?;
        share.turn = None;
        share.is_at_work = true;
        let (item, cost) = share.items.pop_front()?;
        self.waiting -= 1;
        self.change_cost(&key, |before| before - cost);
        Some((key, item))
    }

    fn release(&mut self, key: &K) {
        let Some(share) = self.shares.get_mut(key) else { return };
        share.is_at_work = false;
        if share.items.is_empty() {
            self.shares.remove(key);
        } else {
            self.give_turn(key);
        }
    }

    /// Drops the newest item of the share that has most: of `newcomer` if no other has more.
    fn drop_newest(&mut self, newcomer: &K) -> Option<T> {
        let (most, key) = self.costs.last()?;
        let own = self.shares.get(newcomer).map_or(0, |share| share.cost);
        let key = if own >= *most { newcomer.clone() } else { key.clone() };
        let share = self.shares.get_mut(&key)?;
        let (item, cost) = share.items.pop_back()?;
        let turn = share.turn.take_if(|_| share.items.is_empty());
        let is_gone = share.items.is_empty() && !share.is_at_work;
        self.waiting -= 1;
        self.dropped += 1;
        self.change_cost(&key, |before| before - cost);
        if let Some(turn) = turn {
            self.turns.remove(&turn);
        }
        if is_gone {
            self.shares.remove(&key);
        }
        Some(item)
    }
}
