//! Which subjects a run cannot have: a Bloom filter, so that most lookups of what is not there read nothing. It is on disk in pages beside the
//! run, each of which is read when a subject is looked up that it knows of.

use super::{BlockSink, NotWritten, Unread};
use crate::bytes::{Malformed, Reader, put};
use crate::messages::{Heads, Place};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bits for each subject; one lookup of a hundred reads for nothing.
const BITS: u64 = 12;
/// Bits that a subject sets, all of them in one line.
const PROBES: u32 = 6;
/// Words of a line: what a processor reads at once.
const LINE_WORDS: usize = 8;
/// Lines of a page of one that is made; those that are read say it themselves.
const PAGE_LINES: u64 = if cfg!(debug_assertions) { 2 } else { 1024 };
const PAGE_LINES_MAX: u64 = 1 << 20;
/// Odd, with as many ones as zeros.
const FACTORS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93];

type Words = Box<[u64]>;

#[derive(Debug, Default)]
struct Page {
    place: Place,
    /// All ones where it is damaged: then any subject may be in the run.
    words: OnceLock<Words>,
}

/// A set that has what was added, and takes little of all else to be in it. Without lines it is not known what was added.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Another one for each run, since whoever knows it can name subjects that are taken to be in it.
    seed: u64,
    lines: u64,
    page_lines: u64,
    pages: Vec<Page>,
    is_damaged: AtomicBool,
}

/// The upper and the lower half of a product: each bit of it depends on all of both.
fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}

/// What stands on disk depends on it: it stays as it is.
fn hash(seed: u64, name: &[u8]) -> u64 {
    let mut hash = seed ^ (name.len() as u64).wrapping_mul(FACTORS[1]);
    for part in name.chunks(8) {
        let mut word = [0; 8];
        word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        hash = mix(hash ^ u64::from_le_bytes(word), FACTORS[0]).wrapping_add(FACTORS[1]);
    }
    mix(hash, FACTORS[1])
}

impl Filter {
    /// For so many subjects; with more it takes more to be in it.
    pub(super) fn new(seed: u64, subjects: u64) -> Self {
        let lines = subjects.saturating_mul(BITS) / (64 * LINE_WORDS as u64) + 1;
        let mut filter = Self { seed, lines, page_lines: PAGE_LINES, ..Self::default() };
        for no in 0..lines.div_ceil(PAGE_LINES) {
            let words = vec![0; filter.page_words(no)].into_boxed_slice();
            filter.pages.push(Page { place: Place::default(), words: words.into() });
        }
        filter
    }

    fn page_words(&self, no: u64) -> usize {
        let lines = self.lines.saturating_sub(no * self.page_lines).min(self.page_lines);
        lines as usize * LINE_WORDS
    }

    /// The page of a name, its first word there, and what says which bits of the line.
    fn place_of(&self, name: &[u8]) -> (usize, usize, u64) {
        let hash = hash(self.seed, name);
        let line = ((u128::from(hash) * u128::from(self.lines)) >> 64) as u64;
        // One that was not read has no pages.
        let page_lines = self.page_lines.max(1);
        ((line / page_lines) as usize, (line % page_lines) as usize * LINE_WORDS, mix(hash, FACTORS[0]))
    }

    /// The words of a line and their bits.
    fn bits(bits: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..PROBES).map(move |probe| {
            let bit = bits >> (probe * 9);
            ((bit >> 6) as usize % LINE_WORDS, 1 << (bit % 64))
        })
    }

    /// Adds to one that is being made.
    pub(super) fn add(&mut self, name: &[u8]) {
        let (page, first, bits) = self.place_of(name);
        let line = self.pages.get_mut(page).and_then(|page| page.words.get_mut()?.get_mut(first..));
        let Some(line) = line else { return };
        for (word, bit) in Self::bits(bits) {
            if let Some(word) = line.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether a name may have been added. Pages are read from `heads` by their numbers from `first_no` on.
    pub(super) fn may_have(&self, name: &[u8], (first_no, heads): (u64, &dyn Heads)) -> bool {
        let (no, first, bits) = self.place_of(name);
        let Some(page) = self.pages.get(no) else { return true };
        let words = match page.words.get() {
            Some(words) => words,
            None => match self.read_page(no, page.place, first_no, heads) {
                Ok(words) => page.words.get_or_init(|| words),
                Err(Unread::Damaged) => {
                    self.is_damaged.store(true, Ordering::Relaxed);
                    page.words.get_or_init(|| vec![u64::MAX; self.page_words(no as u64)].into())
                }
                Err(Unread::NotNow) => return true,
            },
        };
        let line = words.get(first..).unwrap_or_default();
        Self::bits(bits).all(|(word, bit)| line.get(word).is_some_and(|word| word & bit != 0))
    }

    fn read_page(&self, no: usize, place: Place, first_no: u64, heads: &dyn Heads) -> Result<Words, Unread> {
        let mut bytes = Vec::new();
        heads.block(first_no + no as u64, place, &mut bytes)?;
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || words.len() != self.page_words(no as u64) {
            return Err(Unread::Damaged);
        }
        Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }

    /// Whether it has to be made anew.
    pub(super) fn is_lost(&self) -> bool {
        self.lines == 0 || self.is_damaged.load(Ordering::Relaxed)
    }

    /// Bytes that it takes, once all of it was read.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Page>() + self.lines as usize * LINE_WORDS * size_of::<u64>()
    }

    /// Where its pages are.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.pages.iter().map(|page| page.place)
    }

    /// Writes its pages, by numbers from `first_no` on.
    pub(super) fn write(&mut self, first_no: u64, sink: &mut dyn BlockSink) -> Result<(), NotWritten> {
        let mut bytes = Vec::new();
        for (no, page) in self.pages.iter_mut().enumerate() {
            bytes.clear();
            let words = page.words.get().map_or(&[][..], |words| words);
            words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
            page.place = sink.add(first_no + no as u64, &bytes)?;
        }
        Ok(())
    }

    /// Appends what [`Self::read`] reads.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put(out, self.seed);
        put(out, self.lines);
        put(out, self.page_lines);
        self.places().for_each(|place| out.extend_from_slice(&place.0));
    }

    /// Reads where its pages are.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (seed, lines, page_lines) = (reader.number()?, reader.number()?, reader.number()?);
        if page_lines == 0 || page_lines > PAGE_LINES_MAX {
            return Err(Malformed);
        }
        let mut filter = Self { seed, lines, page_lines, ..Self::default() };
        for _ in 0..lines.div_ceil(page_lines) {
            let place = Place(reader.take(16)?.try_into().map_err(|_| Malformed)?);
            filter.pages.push(Page { place, words: OnceLock::new() });
        }
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Found;

    #[derive(Debug)]
    struct Nothing;

    impl Heads for Nothing {
        fn read(&self, _: u64, _: u64, _: &mut dyn FnMut(&Found<'_>)) -> bool {
            true
        }

        fn block(&self, _: u64, _: Place, _: &mut Vec<u8>) -> Result<(), Unread> {
            Err(Unread::Damaged)
        }
    }

    #[test]
    fn it_has_what_was_added_and_little_else() {
        for (count, seed) in [(0, 0), (1, 1), (7, 2), (5000_u64, 3)] {
            let mut filter = Filter::new(seed, count);
            (0..count).for_each(|number| filter.add(format!("orders.{number}.new").as_bytes()));
            let has = |name: String| filter.may_have(name.as_bytes(), (0, &Nothing));
            assert!((0..count).all(|number| has(format!("orders.{number}.new"))));
            let wrong = (0..5000).filter(|number| has(format!("other.{number}")));
            assert!(wrong.count() < 100, "{count}");
            assert!(!filter.is_lost());
        }
    }

    #[test]
    fn what_is_on_disk_stays_what_it_means() {
        assert_eq!(
            [hash(0, b""), hash(7, b"orders.new"), hash(8, b"orders.new")],
            [0, 0x4986_be2a_acdc_1f25, 0x488b_f331_8e31_4547],
        );
    }

    #[test]
    fn a_page_that_is_lost_hides_nothing() {
        let mut filter = Filter::new(1, 1000);
        filter.add(b"there");
        let mut bytes = Vec::new();
        filter.put(&mut bytes);
        let mut reader = Reader(&bytes);
        let read = Filter::read(&mut reader).expect("it is what was written");
        assert!(reader.0.is_empty() && !read.is_lost());
        assert!(read.may_have(b"there", (0, &Nothing)) && read.is_lost());
        for end in 0..bytes.len() {
            assert!(Filter::read(&mut Reader(&bytes[..end])).is_err(), "cut at {end}");
        }
    }
}
