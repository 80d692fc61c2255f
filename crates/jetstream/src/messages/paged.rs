//! Chunks that are not in memory: which of their messages live, and what else is known of them is read from the store where it is needed.

use super::chunk::{CHUNK, Chunk};
use super::live::Live;
use super::{Links, Place, Unread};
use crate::memory::{Budget, Part};
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is stored of a message that is not in memory.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its sequence.
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub time: i64,
    /// Its subject.
    pub subject: &'a [u8],
    /// Bytes of the header block.
    pub header_bytes: u16,
    /// Bytes of headers and payload.
    pub body_bytes: u32,
    /// See [`Head::is_kept_forever`](super::Head::is_kept_forever).
    pub is_kept_forever: bool,
    /// See [`Head::is_marker`](super::Head::is_marker).
    pub is_marker: bool,
    /// Where it is.
    pub place: Place,
    /// What [`Messages::moving`](super::Messages::moving) gave for it; all zeros where that is not known.
    pub links: Links,
}

/// Where what is known of messages is read that are not in memory.
pub trait Heads: Debug + Send + Sync {
    /// Hands over all that there is between two sequences, both included, ascending, among it what does not live. What comes twice
    /// counts as it comes last. May wait for a disk; what is damaged is left out. `false`: the disk gave not all of it, and may do so later.
    fn read(&self, from: u64, to: u64, sink: &mut dyn FnMut(&Found<'_>)) -> bool;

    /// Appends a block that a checkpoint wrote under this number.
    ///
    /// # Errors
    /// Why it is not there.
    fn block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread>;

    /// The same for a block that may have gone out of use meanwhile: that it is not there is no damage.
    ///
    /// # Errors
    /// Why it is not there.
    fn look(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread> {
        self.block(no, place, out)
    }
}

/// What stays in memory of a chunk.
#[derive(Clone, Debug)]
pub(super) struct Paged {
    pub(super) live: Live,
    /// What its live messages count in the stream's bytes.
    pub(super) bytes: u64,
    /// See [`Chunk::latest`].
    pub(super) latest: i64,
}

impl Paged {
    /// Bytes that it takes in the table of all.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<(u64, Self)>() + self.live.memory_bytes()
    }
}

/// Chunks that were read. Of these each stream may keep one whatever the others have.
#[derive(Debug)]
pub(super) struct Cache {
    heads: Arc<dyn Heads>,
    budget: Arc<Budget>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// By number, with when they were asked for last.
    all: HashMap<u64, (Arc<Chunk>, u64)>,
    bytes: usize,
    asked: u64,
    /// The one of which a single message was asked for last.
    first: Option<u64>,
}

impl Cache {
    pub(super) fn new(heads: Arc<dyn Heads>, budget: Arc<Budget>) -> Self {
        Self { heads, budget, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chunk, which `make` makes of what is read, if it is not here. One that is not whole is not kept.
    pub(super) fn get(&self, no: u64, make: impl FnOnce(&dyn Heads) -> (Chunk, bool)) -> Arc<Chunk> {
        {
            let mut pages = self.pages();
            pages.asked += 1;
            let asked = pages.asked;
            if let Some((page, at)) = pages.all.get_mut(&no) {
                *at = asked;
                return page.clone();
            }
        }
        let (page, is_whole) = make(&*self.heads);
        let page = Arc::new(page);
        if !is_whole {
            return page;
        }
        let mut pages = self.pages();
        let asked = pages.asked;
        let bytes = page.memory_bytes();
        if pages.all.insert(no, (page.clone(), asked)).is_none() {
            pages.bytes += bytes;
            self.budget.charge(Part::Pages, bytes);
        }
        while self.budget.is_over(Part::Pages) && pages.all.len() > 1 {
            let oldest = pages.all.iter().min_by_key(|(_, (_, at))| *at).map(|(no, _)| *no);
            let Some(oldest) = oldest else { break };
            self.drop_page(&mut pages, oldest);
        }
        page
    }

    /// Whether a chunk is not here, and no other one was asked for a single message since this one was. Whoever goes through messages comes back
    /// to the same one, and whoever asks for any of them does not.
    pub(super) fn is_first(&self, no: u64) -> bool {
        let mut pages = self.pages();
        !pages.all.contains_key(&no) && pages.first.replace(no) != Some(no)
    }

    /// What subjects of all streams may take.
    pub(super) fn subjects_share(&self) -> usize {
        self.budget.share(Part::Subjects)
    }

    /// Reads what is not in memory.
    pub(super) fn heads(&self) -> &dyn Heads {
        &*self.heads
    }

    /// The same, for as long as one likes.
    pub(super) fn heads_for_long(&self) -> Arc<dyn Heads> {
        self.heads.clone()
    }

    /// A chunk is another one.
    pub(super) fn forget(&self, no: u64) {
        self.drop_page(&mut self.pages(), no);
    }

    /// Drops everything.
    pub(super) fn clear(&self) {
        let mut pages = self.pages();
        self.budget.release(Part::Pages, pages.bytes);
        pages.bytes = 0;
        pages.all = HashMap::new();
    }

    fn drop_page(&self, pages: &mut Pages, no: u64) {
        if let Some((page, _)) = pages.all.remove(&no) {
            let bytes = page.memory_bytes();
            pages.bytes -= bytes;
            self.budget.release(Part::Pages, bytes);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Messages of a chunk that is not in memory, as they were at one moment: for reading their places without the stream.
#[derive(Clone, Debug)]
pub struct Cold {
    no: u64,
    live: Live,
}

impl Cold {
    pub(super) fn new(no: u64, live: &Live) -> Self {
        Self { no, live: live.clone() }
    }

    /// Hands over sequence, place and links of what lives, ascending.
    pub fn read(&self, heads: &dyn Heads, mut sink: impl FnMut(u64, Place, Links)) {
        let first = self.no * CHUNK;
        let mut last: Option<(u64, Place, Links)> = None;
        heads.read(first, first + (CHUNK - 1), &mut |found| {
            if !self.live.has((found.seq % CHUNK) as u16) {
                return;
            }
            if let Some((seq, place, links)) = last.replace((found.seq, found.place, found.links))
                && seq != found.seq
            {
                sink(seq, place, links);
            }
        });
        if let Some((seq, place, links)) = last {
            sink(seq, place, links);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Keep, Messages, New};

    /// Has all messages, and what was asked for.
    #[derive(Debug, Default)]
    struct Asked(Mutex<Vec<(u64, u64)>>);

    impl Heads for Asked {
        fn read(&self, from: u64, to: u64, sink: &mut dyn FnMut(&Found<'_>)) -> bool {
            self.0.lock().expect("nobody panics with it").push((from, to));
            for seq in from.max(1)..=to {
                sink(&Found {
                    seq,
                    time: seq as i64,
                    subject: b"a",
                    header_bytes: 0,
                    body_bytes: 1,
                    is_kept_forever: false,
                    is_marker: false,
                    place: Place::default(),
                    links: Links::default(),
                });
            }
            true
        }

        fn block(&self, _: u64, _: Place, _: &mut Vec<u8>) -> Result<(), Unread> {
            Err(Unread::Damaged)
        }
    }

    #[test]
    fn who_asks_for_one_message_has_one_read() {
        let (mut messages, asked) =
            (Messages::new(Keep::Latest { bytes_max: 0 }, 1), Arc::<Asked>::default());
        messages.set_heads(asked.clone(), Arc::new(Budget::new(64 << 20)));
        for time in 1..3000 {
            let new = New {
                time,
                subject: b"a",
                header_bytes: 0,
                body_bytes: 1,
                body: [b"x", b""],
                is_kept_forever: false,
                is_marker: false,
            };
            messages.push(&new);
        }
        messages.page_out(0, |_| true);
        for seq in [5, 2000, 6, 7, 8, CHUNK - 1] {
            assert_eq!(messages.head(seq).map(|head| (head.seq, head.time)), Some((seq, seq as i64)));
        }
        let asked = std::mem::take(&mut *asked.0.lock().expect("nobody panics with it"));
        assert_eq!(asked, [(5, 5), (2000, 2000), (6, 6), (0, CHUNK - 1)]);
    }
}
