//! Which mapping a subject has, found once and kept while it is true.

use crate::account::{Account, AccountId};
use crate::sharing::Mapping;
use dialtone_subject::{ShortBytes, Stamp, SubjectHash};
use hashbrown::HashTable;
use std::sync::Arc;

/// Subjects that are kept; when there are more, all are forgotten.
const SUBJECTS_MAX: usize = 4096;

struct Known {
    account: AccountId,
    subject: ShortBytes<38>,
    hash: SubjectHash,
    stamp: Stamp,
    mapping: Option<Arc<Mapping>>,
}

/// What one loop knows of mappings.
#[derive(Default)]
pub(super) struct MappingCache(HashTable<Known>);

impl MappingCache {
    /// The mapping that a subject has in an account, if it has one.
    pub fn find(&mut self, account: &Account, subject: &[u8]) -> Option<Arc<Mapping>> {
        let hash = SubjectHash::of(subject);
        let same = |known: &Known| known.account == account.id && known.subject.as_slice() == subject;
        if let Some(known) = self.0.find(hash.value(), same)
            && account.generations().is_current(&hash, &known.stamp)
        {
            return known.mapping.clone();
        }
        // The stamp is taken first: a change meanwhile makes the entry stale, never wrong.
        let stamp = account.generations().stamp(&hash);
        let mapping = account.sharing().mapping_of(subject);
        if let Ok(stale) = self.0.find_entry(hash.value(), same) {
            stale.remove();
        }
        if self.0.len() >= SUBJECTS_MAX {
            self.0.clear();
        }
        let subject = ShortBytes::concat(&[subject]);
        let known = Known { account: account.id, subject, hash, stamp, mapping: mapping.clone() };
        self.0.insert_unique(hash.value(), known, |known| known.hash.value());
        mapping
    }
}
