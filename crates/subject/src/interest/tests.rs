//! The index against the naive matcher, over random changes.

use super::*;
use proptest::prelude::*;
use std::rc::Rc;

#[derive(Clone, Debug)]
pub(super) struct TestEntry(Rc<(String, Option<String>)>);

impl TestEntry {
    pub(super) fn plain(filter: &str) -> Self {
        Self(Rc::new((filter.to_owned(), None)))
    }
}

impl Entry for TestEntry {
    fn filter(&self) -> &[u8] {
        self.0.0.as_bytes()
    }
    fn queue(&self) -> Option<&[u8]> {
        self.0.1.as_deref().map(str::as_bytes)
    }
    fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

fn token() -> impl Strategy<Value = String> {
    // Ten letters make nodes with many children.
    prop_oneof![3 => "[a-j]", 2 => Just("*".to_owned())]
}

fn test_entry() -> impl Strategy<Value = (String, Option<String>)> {
    let filter = (proptest::collection::vec(token(), 1..4), any::<bool>())
        .prop_map(|(tokens, tail)| if tail { tokens.join(".") + ".>" } else { tokens.join(".") });
    (filter, proptest::option::of("[q-s]"))
}

fn subject() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-j]", 1..5).prop_map(|tokens| tokens.join("."))
}

/// How entries are told apart in a comparison: by address, grouped as routing sees them.
fn shape(plain: &[TestEntry], groups: Vec<Vec<TestEntry>>) -> (Vec<usize>, Vec<Vec<usize>>) {
    let ids = |entries: &[TestEntry]| {
        let mut ids: Vec<_> = entries.iter().map(|e| Rc::as_ptr(&e.0) as usize).collect();
        ids.sort_unstable();
        ids
    };
    let mut groups: Vec<_> = groups.iter().map(|g| ids(g)).collect();
    groups.sort();
    (ids(plain), groups)
}

proptest! {
    #[test]
    fn it_finds_what_the_naive_matcher_finds(
        steps in proptest::collection::vec((test_entry(), any::<prop::sample::Index>(), 0..3), 1..120),
        subjects in proptest::collection::vec(subject(), 1..12),
    ) {
        let mut index = Interest::default();
        let mut model: Vec<TestEntry> = Vec::new();
        let mut found = Matches::default();
        for ((filter, queue), pick, action) in steps {
            if action > 0 || model.is_empty() {
                let test_entry = TestEntry(Rc::new((filter, queue)));
                model.push(test_entry.clone());
                index.insert(test_entry);
            } else {
                let test_entry = model.swap_remove(pick.index(model.len()));
                prop_assert!(index.remove(&test_entry));
                prop_assert!(!index.remove(&test_entry));
            }
            prop_assert_eq!(index.len(), model.len());
        }
        prop_assert_eq!(index.iter().count(), model.len());
        for subject in &subjects {
            let expected: Vec<&TestEntry> =
                model.iter().filter(|w| crate::naive::matches(w.filter(), subject.as_bytes())).collect();
            let plain: Vec<TestEntry> = expected.iter().filter(|w| w.queue().is_none()).map(|w| (*w).clone()).collect();
            let groups = ["q", "r", "s"].map(|q| {
                let members = expected.iter().filter(|w| w.queue() == Some(q.as_bytes()));
                members.map(|w| (*w).clone()).collect::<Vec<_>>()
            });
            let groups = groups.into_iter().filter(|g| !g.is_empty()).collect();
            found.clear();
            index.matches(subject.as_bytes(), &mut found);
            prop_assert_eq!(
                shape(&found.plain, found.groups().map(<[TestEntry]>::to_vec).collect()),
                shape(&plain, groups)
            );
            prop_assert_eq!(index.has_interest(subject.as_bytes()), !expected.is_empty());
        }
        for test_entry in &model {
            prop_assert!(index.remove(test_entry));
        }
        prop_assert!(index.is_empty() && index.iter().next().is_none());
    }
}

#[test]
fn a_long_subject_against_many_stars_is_walked_once() {
    let mut index = Interest::default();
    for depth in 1..200 {
        index.insert(TestEntry(Rc::new((vec!["*"; depth].join("."), None))));
        index.insert(TestEntry(Rc::new((vec!["a"; depth].join(".") + ".*", None))));
    }
    let mut found = Matches::default();
    index.matches(vec!["a"; 150].join(".").as_bytes(), &mut found);
    assert_eq!(found.plain.len(), 2);
}
