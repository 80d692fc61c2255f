//! Goes through what was captured and through runs at once, by name.

use super::block::Block;
use super::{Numbers, Records, Run, Unread};
use crate::messages::Heads;
use std::sync::Arc;

enum Source<'a> {
    Captured { records: &'a Records, at: usize },
    Run { run: &'a Run, heads: &'a dyn Heads, next: usize, block: Box<Block> },
}

impl Source<'_> {
    /// The subject at hand; `None`: there are no more.
    #[inline]
    fn get(&self) -> Option<(&[u8], Numbers)> {
        match self {
            Self::Captured { records, at } => records.get(*at),
            Self::Run { block, .. } => Some((block.name(), block.numbers())),
        }
    }

    /// Goes on; `false`: there are no more.
    fn advance(&mut self) -> Result<bool, Unread> {
        match self {
            Self::Captured { records, at } => {
                *at += 1;
                Ok(records.get(*at).is_some())
            }
            Self::Run { run, heads, next, block } => loop {
                if block.next()? {
                    return Ok(true);
                }
                if *next >= run.blocks() {
                    return Ok(false);
                }
                block.begin(|out| run.block(*next, *heads, out))?;
                *next += 1;
            },
        }
    }

    /// Goes on to the first subject that is not less; `false`: there is none.
    fn seek(&mut self, least: &[u8]) -> Result<bool, Unread> {
        match self {
            Self::Captured { records, at } => *at = records.seek(*at, least),
            Self::Run { run, heads, next, block } => {
                if let Some(index) = run.block_of(least).filter(|index| index >= next && block.name() < least)
                {
                    block.begin(|out| run.block(index, *heads, out))?;
                    *next = index + 1;
                    if !block.next()? {
                        return self.advance();
                    }
                }
            }
        }
        while self.get().is_some_and(|(name, _)| name < least) {
            if !self.advance()? {
                return Ok(false);
            }
        }
        Ok(self.get().is_some())
    }
}

/// All subjects of several sources by name, each once, as the newest says.
pub(crate) struct Merge<'a> {
    /// The newest first; all of them have a subject at hand.
    sources: Vec<Source<'a>>,
    name: Vec<u8>,
}

impl<'a> Merge<'a> {
    /// Begins; of both kinds the newest come first.
    pub(crate) fn new(
        heads: &'a dyn Heads,
        captured: impl Iterator<Item = &'a Records>,
        runs: &'a [Arc<Run>],
    ) -> Result<Self, Unread> {
        let captured = captured.map(|records| Source::Captured { records, at: 0 });
        let mut sources: Vec<_> = captured.filter(|source| source.get().is_some()).collect();
        for run in runs {
            let mut source = Source::Run { run, heads, next: 0, block: Box::default() };
            if source.advance()? {
                sources.push(source);
            }
        }
        Ok(Self { sources, name: Vec::new() })
    }

    /// Leaves out subjects that are less.
    pub(crate) fn seek(&mut self, least: &[u8]) -> Result<(), Unread> {
        let mut index = 0;
        while let Some(source) = self.sources.get_mut(index) {
            if source.seek(least)? {
                index += 1;
            } else {
                self.sources.remove(index);
            }
        }
        Ok(())
    }

    /// The next subject.
    pub(crate) fn next(&mut self) -> Result<Option<(&[u8], Numbers)>, Unread> {
        let mut all = self.sources.iter().filter_map(Source::get);
        let Some(mut least) = all.next() else { return Ok(None) };
        for found in all {
            if found.0 < least.0 {
                least = found;
            }
        }
        let numbers = least.1;
        self.name.clear();
        self.name.extend_from_slice(least.0);
        let mut index = 0;
        while let Some(source) = self.sources.get_mut(index) {
            let is_it = source.get().is_some_and(|(name, _)| name == self.name);
            if is_it && !source.advance()? {
                self.sources.remove(index);
            } else {
                index += 1;
            }
        }
        Ok(Some((&self.name, numbers)))
    }
}
