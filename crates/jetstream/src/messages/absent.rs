//! Subjects that are looked up in runs while others work at the stream: what was found counts where it still has to be so.

use super::paged::{Cache, Found, Heads};
use super::runs::{Numbers, Run, Unread};
use super::subjects::Subject;
use super::{Messages, Place};
use std::sync::Arc;

/// Subjects that are not in memory.
#[derive(Debug)]
pub struct Absent {
    /// The runs that count.
    runs: Vec<Arc<Run>>,
    heads: Quiet,
    names: Vec<Box<[u8]>>,
    /// What runs say of them, without messages where they say nothing.
    found: Vec<Subject>,
}

/// Reads blocks that may have gone out of use meanwhile.
#[derive(Debug)]
struct Quiet(Arc<dyn Heads>);

impl Heads for Quiet {
    fn read(&self, from: u64, to: u64, sink: &mut dyn FnMut(&Found<'_>)) -> bool {
        self.0.read(from, to, sink)
    }

    fn block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread> {
        self.0.look(no, place, out)
    }
}

impl Absent {
    /// Looks them up. What cannot be read is left to whoever asks the stream. May wait for the disk.
    pub fn look_up(mut self) -> Self {
        for run in &self.runs {
            // Filters of all first: these reads of memory wait for none of the others.
            let all = self.names.iter().map(|name| run.may_have(name, &self.heads));
            let mut may_have: Vec<bool> = all.collect();
            may_have.reverse();
            self.names.retain_mut(|name| {
                if !may_have.pop().unwrap_or_default() {
                    return true;
                }
                let found = run.find_in_block(name, &self.heads);
                if let Ok(Some(numbers)) = found {
                    self.found.push(Subject::new(std::mem::take(name), numbers));
                }
                matches!(found, Ok(None))
            });
        }
        let new = self.names.drain(..).map(|name| Subject::new(name, Numbers::default()));
        self.found.extend(new);
        self
    }
}

impl Messages {
    /// Whether subjects may be in runs alone.
    pub fn has_subjects_on_disk(&self) -> bool {
        self.subjects.runs_in_force().is_some()
    }

    /// Those of these subjects, which are about to be published, that have to be looked up in runs; `None`: there are none.
    pub fn absent<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Option<Absent> {
        let runs = self.subjects.runs_in_force()?;
        let mut all: Vec<Box<[u8]>> = Vec::new();
        for name in names.filter(|name| self.subjects.find_here(name).is_none()) {
            // Publishers mostly go on with the same.
            if all.last().is_none_or(|last| **last != *name) {
                all.push(name.into());
            }
        }
        let heads = Quiet(self.cache.as_ref().map(Cache::heads_for_long)?);
        let absent = Absent { runs: runs.to_vec(), heads, names: all, found: Vec::new() };
        (!absent.names.is_empty()).then_some(absent)
    }

    /// Takes in what was found, unless there are other runs now. A subject that came meanwhile stays as it is.
    pub fn take_in(&self, absent: Absent) {
        let runs = self.subjects.runs_in_force().unwrap_or_default();
        let are_same = runs.len() == absent.runs.len()
            && runs.iter().zip(&absent.runs).all(|(one, other)| Arc::ptr_eq(one, other));
        if are_same {
            for subject in absent.found {
                if self.subjects.find_here(subject.name()).is_none() {
                    self.subjects.put_found(subject);
                }
            }
        }
    }
}
