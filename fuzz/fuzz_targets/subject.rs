//! Filters and subjects of any bytes: the index, the set of a filter and the naive matcher agree.
#![no_main]

use dialtone_subject::{Entry, Interest, Matches, is_valid_filter, is_valid_literal, naive, set};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

#[derive(Clone)]
struct TestEntry(Rc<Vec<u8>>);

impl Entry for TestEntry {
    fn filter(&self) -> &[u8] {
        &self.0
    }
    fn queue(&self) -> Option<&[u8]> {
        None
    }
    fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

// Lines: the first is a subject, the others are filters, of which those that end in `-` are taken out again.
fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|&b| b == b'\n');
    let subject = lines.next().unwrap_or_default();
    let mut index = Interest::default();
    let mut model: Vec<TestEntry> = Vec::new();
    for line in lines.take(64) {
        let removed = line.last() == Some(&b'-');
        let filter = line.strip_suffix(b"-").unwrap_or(line);
        if !is_valid_filter(filter) {
            continue;
        }
        let entry = TestEntry(Rc::new(filter.to_vec()));
        index.insert(entry.clone());
        if removed {
            assert!(index.remove(&entry));
        } else {
            model.push(entry);
        }
    }
    assert_eq!(index.len(), model.len());
    if is_valid_literal(subject) {
        assert!(is_valid_filter(subject));
        let expected = model.iter().filter(|entry| naive::matches(entry.filter(), subject));
        let mut expected: Vec<_> = expected.map(|entry| Rc::as_ptr(&entry.0)).collect();
        let mut found = Matches::default();
        index.matches(subject, &mut found);
        let mut found: Vec<_> = found.plain.iter().map(|entry| Rc::as_ptr(&entry.0)).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(index.has_interest(subject), !expected.is_empty());
        for entry in &model {
            assert_eq!(set::matches(entry.filter(), subject), naive::matches(entry.filter(), subject));
        }
    }
    // What one set holds, the other matches too; sets that share a member overlap.
    for (outer, inner) in model.iter().zip(model.iter().skip(1)) {
        let (outer, inner) = (outer.filter(), inner.filter());
        assert!(set::contains(outer, outer) && set::overlap(outer, outer));
        assert_eq!(set::overlap(outer, inner), set::overlap(inner, outer));
        if is_valid_literal(subject) && naive::matches(inner, subject) {
            assert!(!set::contains(outer, inner) || naive::matches(outer, subject));
            assert!(set::overlap(outer, inner) || !naive::matches(outer, subject));
        }
    }
});
