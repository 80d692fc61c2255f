//! Counts of subscriptions by filter and queue group, kept so that they can be read a piece at a time while they change.
//!
//! What is counted has a place in an order that is the same in all tables, and pieces of about the same size follow each other in it. So a
//! reader needs to remember one number, and of each change it is known whether the reader has passed it.

use dialtone_subject::Hashing;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::ops::RangeInclusive;

/// How many a piece has on the average at most.
const PIECE_LEN: usize = 1024;

/// A filter and a queue group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub filter: &'a [u8],
    pub queue: Option<&'a [u8]>,
}

/// The same, kept: one text behind the other.
#[derive(Debug)]
struct Key {
    text: Box<[u8]>,
    filter_bytes: u32,
}

impl Key {
    fn new(wanted: &Wanted<'_>) -> Self {
        let text = [wanted.filter, wanted.queue.unwrap_or_default()].concat().into();
        Self { text, filter_bytes: wanted.filter.len() as u32 }
    }

    fn wanted(&self) -> Wanted<'_> {
        let (filter, queue) = self.text.split_at_checked(self.filter_bytes as usize).unwrap_or_default();
        Wanted { filter, queue: Some(queue).filter(|queue| !queue.is_empty()) }
    }
}

/// How many subscriptions of its own an account has, and how many count in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Of the account itself.
    pub own: u32,
    /// With those of accounts that take it as a stream.
    pub all: u32,
}

/// The order in which all that is counted is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Order(Hashing);

impl Order {
    /// The place of a filter and queue group.
    pub fn place(&self, wanted: &Wanted<'_>) -> u64 {
        self.0.hash_one((wanted.filter, wanted.queue.unwrap_or_default()))
    }
}

/// Counts, which all go by the same order.
#[derive(Debug)]
pub(super) struct Counts {
    /// A power of two of them, one behind the other in the order.
    pieces: Vec<HashTable<(Key, Count)>>,
    len: usize,
}

impl Default for Counts {
    fn default() -> Self {
        Self { pieces: vec![HashTable::new()], len: 0 }
    }
}

impl Counts {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, place: u64, wanted: &Wanted<'_>) -> Option<Count> {
        let piece = self.pieces.get(self.piece_of(place))?;
        piece.find(within(place), |(key, _)| key.wanted() == *wanted).map(|(_, count)| *count)
    }

    /// Sets a count. None at all: it is taken out.
    pub fn set(&mut self, order: &Order, place: u64, wanted: &Wanted<'_>, count: Count) {
        let at = self.piece_of(place);
        let Some(piece) = self.pieces.get_mut(at) else { return };
        let is_it = |(key, _): &(Key, Count)| key.wanted() == *wanted;
        if count.all == 0 {
            if let Ok(entry) = piece.find_entry(within(place), is_it) {
                entry.remove();
                self.len -= 1;
            }
        } else if let Some((_, known)) = piece.find_mut(within(place), is_it) {
            *known = count;
        } else {
            piece.insert_unique(within(place), (Key::new(wanted), count), |entry| within_of(order, entry));
            self.len += 1;
            if self.len > self.pieces.len() * PIECE_LEN {
                self.split(order);
            }
        }
    }

    /// All, by piece.
    pub fn iter(&self) -> impl Iterator<Item = (Wanted<'_>, Count)> {
        self.pieces.iter().flatten().map(|(key, count)| (key.wanted(), *count))
    }

    /// The last place of the piece that has this one.
    pub fn last_of_piece(&self, place: u64) -> u64 {
        match self.bits() {
            0 => u64::MAX,
            bits => place | (u64::MAX >> bits),
        }
    }

    /// Those whose places are in a range.
    pub fn range<'a>(
        &'a self,
        order: &'a Order,
        range: RangeInclusive<u64>,
    ) -> impl Iterator<Item = (Wanted<'a>, Count)> {
        let pieces = self.piece_of(*range.start())..=self.piece_of(*range.end());
        let entries = self.pieces.get(pieces).unwrap_or_default().iter().flatten();
        let all = entries.map(|(key, count)| (key.wanted(), *count));
        all.filter(move |(wanted, _)| range.contains(&order.place(wanted)))
    }

    /// How many of the first bits of a place say which piece has it.
    fn bits(&self) -> u32 {
        self.pieces.len().trailing_zeros()
    }

    fn piece_of(&self, place: u64) -> usize {
        match self.bits() {
            0 => 0,
            bits => (place >> (u64::BITS - bits)) as usize,
        }
    }

    /// Has twice as many pieces.
    #[cold]
    fn split(&mut self, order: &Order) {
        let pieces = std::mem::take(&mut self.pieces);
        self.pieces.resize_with(pieces.len() * 2, HashTable::new);
        for entry in pieces.into_iter().flatten() {
            let place = order.place(&entry.0.wanted());
            let at = self.piece_of(place);
            if let Some(piece) = self.pieces.get_mut(at) {
                piece.insert_unique(within(place), entry, |entry| within_of(order, entry));
            }
        }
    }
}

/// What an entry is found by within its piece, of which all have the same first bits.
fn within(place: u64) -> u64 {
    place.rotate_left(u64::BITS / 2)
}

fn within_of(order: &Order, (key, _): &(Key, Count)) -> u64 {
    within(order.place(&key.wanted()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Against a map: what is set is found, and pieces that are read one after the other have each entry once, at whatever size.
    #[test]
    fn pieces_one_after_the_other_are_all_that_there_is() {
        let order = Order::default();
        let (mut counts, mut naive) = (Counts::default(), BTreeMap::new());
        let mut largest = 0;
        for round in 0..12_000u32 {
            // Some go again, and some change.
            let (number, all) = (round * 7 % 9000, u32::from(round % 5 > 0));
            let (filter, queue) = (format!("a.{}", number / 2), (number % 2 > 0).then_some("q"));
            let wanted = Wanted { filter: filter.as_bytes(), queue: queue.map(str::as_bytes) };
            counts.set(&order, order.place(&wanted), &wanted, Count { own: 0, all });
            naive.insert((filter.clone(), queue), all);
            if all == 0 {
                naive.remove(&(filter, queue));
            }
            if round % 1500 == 0 {
                let (mut next, mut read) = (Some(0), BTreeMap::new());
                while let Some(from) = next {
                    let last = counts.last_of_piece(from);
                    let before = read.len();
                    for (Wanted { filter, queue }, count) in counts.range(&order, from..=last) {
                        let filter = String::from_utf8(filter.to_vec()).expect("text");
                        let queue = queue.map(|_| "q");
                        assert_eq!(read.insert((filter, queue), count.all), None);
                    }
                    largest = largest.max(read.len() - before);
                    next = last.checked_add(1);
                }
                assert_eq!(read, naive);
                assert_eq!((counts.len, counts.iter().count()), (naive.len(), naive.len()));
            }
        }
        assert!(counts.pieces.len() >= 4 && largest < 3 * PIECE_LEN, "{largest}");
    }
}
