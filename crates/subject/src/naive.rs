//! The matcher in a few lines: what everything clever is compared with.

/// Whether `filter` matches `subject`.
pub fn matches(filter: &[u8], subject: &[u8]) -> bool {
    fn rest(filter: &[&[u8]], subject: &[&[u8]]) -> bool {
        match (filter, subject) {
            ([], []) => true,
            ([b">"], [_, ..]) => true,
            ([b"*", f @ ..], [_, s @ ..]) => rest(f, s),
            ([x, f @ ..], [y, s @ ..]) if x == y => rest(f, s),
            _ => false,
        }
    }
    let filter: Vec<&[u8]> = filter.split(|&b| b == b'.').collect();
    let subject: Vec<&[u8]> = subject.split(|&b| b == b'.').collect();
    rest(&filter, &subject)
}
