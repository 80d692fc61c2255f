//! Subjects in memory by name, so that a filter finds those that it matches without a look at all others.
//!
//! Made when somebody asks with a filter, and let go when more changed since than is worth keeping: who only publishes pays nothing for it.

use super::Selector;

/// With fewer subjects each of them is looked at.
pub(super) const ORDERED_MIN: usize = if cfg!(debug_assertions) { 4 } else { 1024 };
/// New subjects that stand unsorted at least.
const TAIL_MIN: usize = if cfg!(debug_assertions) { 2 } else { 256 };
/// Subjects that changed at least before it is let go.
const STALE_MIN: usize = if cfg!(debug_assertions) { 8 } else { 4096 };
/// Names that one search looks at, at least, before it counts as one that wants most of them.
const STEPS_MIN: usize = if cfg!(debug_assertions) { 8 } else { 1024 };
/// Names of one key are compared as they are, if they are as few, or as long.
const FEW: usize = 16;
const LONG_BYTES: usize = 256;

/// Numbers of subjects. `name` of its functions is what says their names, which stay as they are as long as a number is here.
#[derive(Debug, Default)]
pub(super) struct Order {
    sorted: Vec<u32>,
    /// Those that came later.
    tail: Vec<u32>,
    /// Those that have no messages any more, to be forgotten with the order.
    dead: Vec<u32>,
}

impl Order {
    pub(super) fn new<'a>(ids: Vec<u32>, name: &impl Fn(u32) -> &'a [u8]) -> Self {
        Self { sorted: sort(ids, name), ..Self::default() }
    }

    /// A subject that was not here.
    pub(super) fn add(&mut self, id: u32) {
        self.tail.push(id);
    }

    /// A subject that keeps its name only for the order.
    pub(super) fn bury(&mut self, id: u32) {
        self.dead.push(id);
    }

    /// Whether so much changed since somebody asked that it is to be let go.
    pub(super) fn is_stale(&self) -> bool {
        self.tail.len() + self.dead.len() > STALE_MIN.max(self.sorted.len() / 2)
    }

    /// Those to be forgotten.
    pub(super) fn into_dead(self) -> Vec<u32> {
        self.dead
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let capacity = self.sorted.capacity() + self.tail.capacity() + self.dead.capacity();
        size_of::<Self>() + capacity * size_of::<u32>()
    }

    /// Those whose names are selected. `None`: to find them, most would have to be looked at.
    pub(super) fn select<'a>(
        &mut self,
        selector: &Selector,
        name: &impl Fn(u32) -> &'a [u8],
    ) -> Option<Vec<u32>> {
        self.settle(name);
        let tail = self.tail.iter().copied();
        let mut found: Vec<u32> = tail.filter(|id| selector.matches(name(*id))).collect();
        let mut least = Vec::new();
        if !selector.behind(b"", &mut least) {
            return Some(found);
        }
        let mut at = seek(&self.sorted, 0, &least, name);
        for _ in 0..STEPS_MIN.max(self.sorted.len() / 16) {
            let Some(&id) = self.sorted.get(at) else { return Some(found) };
            at += 1;
            if selector.matches(name(id)) {
                found.push(id);
            } else if selector.behind(name(id), &mut least) {
                at = seek(&self.sorted, at, &least, name);
            } else {
                return Some(found);
            }
        }
        None
    }

    /// Sorts in what came later, once it is much.
    fn settle<'a>(&mut self, name: &impl Fn(u32) -> &'a [u8]) {
        if self.tail.len() <= TAIL_MIN.max(self.sorted.len() / 512) {
            return;
        }
        let tail = sort(std::mem::take(&mut self.tail), name);
        let mut all = Vec::with_capacity(self.sorted.len() + tail.len());
        let mut from = 0;
        for id in tail {
            let to = seek(&self.sorted, from, name(id), name);
            all.extend_from_slice(self.sorted.get(from..to).unwrap_or_default());
            all.push(id);
            from = to;
        }
        all.extend_from_slice(self.sorted.get(from..).unwrap_or_default());
        self.sorted = all;
    }
}

/// The first at or behind `from` whose name is not less than that: the search grows with how far that is.
fn seek<'a>(sorted: &[u32], from: usize, least: &[u8], name: &impl Fn(u32) -> &'a [u8]) -> usize {
    let is_before = |id: &u32| name(*id) < least;
    let (mut begin, mut at, mut step) = (from, from, 1);
    while sorted.get(at).is_some_and(is_before) {
        begin = at + 1;
        at += step;
        step *= 2;
    }
    let within = sorted.get(begin..at.min(sorted.len())).unwrap_or_default();
    begin + within.partition_point(is_before)
}

/// Eight bytes of a name as a number.
fn key(name: &[u8], at: usize) -> u64 {
    let mut key = [0; 8];
    let rest = name.get(at..).unwrap_or_default();
    key.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(key)
}

fn sort<'a>(ids: Vec<u32>, name: &impl Fn(u32) -> &'a [u8]) -> Vec<u32> {
    let mut keyed: Vec<(u64, u32)> = ids.into_iter().map(|id| (key(name(id), 0), id)).collect();
    sort_from(&mut keyed, 0, name);
    keyed.into_iter().map(|(_, id)| id).collect()
}

/// Sorts those that have the first bytes in common, by the keys that they have of the next eight.
fn sort_from<'a>(all: &mut [(u64, u32)], at: usize, name: &impl Fn(u32) -> &'a [u8]) {
    all.sort_unstable();
    for same in all.chunk_by_mut(|one, other| one.0 == other.0) {
        if same.len() <= FEW || at >= LONG_BYTES {
            same.sort_unstable_by(|one, other| name(one.1).cmp(name(other.1)));
            continue;
        }
        for (of, id) in same.iter_mut() {
            *of = key(name(*id), at + 8);
        }
        sort_from(same, at + 8, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn names() -> impl Strategy<Value = Vec<String>> {
        prop::collection::hash_set("[ab/-]{1,2}(\\.[ab*/-]{1,2}){0,3}|aaaaaaaaaa[ab]{0,9}", 0..60)
            .prop_map(|names| names.into_iter().collect())
    }

    fn selector() -> impl Strategy<Value = Selector> {
        let filter = "(\\*|[ab/-]{1,2})(\\.(\\*|[ab/-]{1,2})){0,3}(\\.>)?|aaaaaaaaaa[ab]{0,3}";
        prop::collection::vec(filter, 1..3)
            .prop_map(|filters| Selector::new(filters.iter().map(|filter| filter.as_bytes())))
    }

    proptest! {
        #[test]
        fn it_finds_what_a_look_at_all_finds(names in names(), selector in selector(), later in 0..60_usize) {
            let name = |id: u32| names[id as usize].as_bytes();
            let first = names.len().saturating_sub(later);
            let mut order = Order::new((0..first as u32).collect(), &name);
            let mut expected = Vec::new();
            for id in 0..names.len() as u32 {
                if id as usize >= first {
                    order.add(id);
                }
                if selector.matches(name(id)) {
                    expected.push(id);
                }
            }
            if let Some(mut found) = order.select(&selector, &name) {
                found.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            let mut sorted: Vec<&[u8]> = (0..names.len() as u32).map(name).collect();
            sorted.sort_unstable();
            let all: Vec<u32> = (0..names.len() as u32).collect();
            let order: Vec<&[u8]> = sort(all, &name).into_iter().map(name).collect();
            prop_assert_eq!(order, sorted);
        }

        #[test]
        fn nothing_is_left_out_between_a_name_and_what_comes_next(
            names in names(),
            selector in selector(),
            // It is asked of the beginning, and of names.
            from in "([ab/-]{1,2}(\\.[ab*/-]{1,2}){0,3})?",
        ) {
            prop_assume!(!selector.matches(from.as_bytes()));
            let mut least = Vec::new();
            let goes_on = selector.behind(from.as_bytes(), &mut least);
            let is_left_out = |name: &&String| {
                name.as_bytes() > from.as_bytes() && (!goes_on || name.as_bytes() < &least[..])
            };
            for name in names.iter().filter(is_left_out) {
                prop_assert!(!selector.matches(name.as_bytes()), "{} behind {} before {:?}", name, from, least);
            }
        }
    }

    #[test]
    fn a_filter_looks_at_little_else_than_what_it_matches() {
        let names: Vec<String> = (0..100_000)
            .map(|number| format!("site.{}.room.{}.temp", number * 7919 % 100_000 / 10, number % 10))
            .collect();
        let looked_at = Cell::new(0);
        let name = |id: u32| {
            looked_at.set(looked_at.get() + 1);
            names[id as usize].as_bytes()
        };
        let mut order = Order::new((0..names.len() as u32).collect(), &name);
        for (filter, most) in
            [("site.77.>", 80), ("site.77.*.*.temp", 80), ("site.77.room.*.temp", 80), ("room.>", 40)]
        {
            looked_at.set(0);
            let selector = Selector::new([filter.as_bytes()]);
            let found = order.select(&selector, &name).map(|found| found.len());
            assert_eq!(found, Some(if filter == "room.>" { 0 } else { 10 }), "{filter}");
            assert!(looked_at.get() <= most, "{filter}: {}", looked_at.get());
        }
        looked_at.set(0);
        assert_eq!(order.select(&Selector::new([&b"*.*.room.>"[..]]), &name), None, "it is most of them");
        assert!(looked_at.get() < names.len());
    }
}
