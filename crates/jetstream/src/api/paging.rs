//! Pages of lists.

use crate::json::document;

/// Names in one response.
pub const NAMES_MAX: usize = 1024;
/// Streams or consumers, with what there is to say of them, in one response.
pub const LIST_MAX: usize = 256;
/// Subjects of a stream in one response.
pub const SUBJECTS_MAX: usize = 100_000;

document! {
    /// Where a page is.
    pub struct Paged = "ApiPaged" {
        /// How many there are.
        pub total: i64, "total" always "int";
        /// How many come before the page.
        pub offset: i64, "offset" always "int";
        /// How many a page may have.
        pub limit: i64, "limit" always "int";
    }
}

/// The part of `all`, which is sorted, that begins at `offset`, and where it is.
pub fn page<T>(all: &[T], offset: i64, limit: usize) -> (&[T], Paged) {
    let first = usize::try_from(offset).unwrap_or(0).min(all.len());
    let end = first.saturating_add(limit).min(all.len());
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    (&all[first..end], Paged { total: count(all.len()), offset: count(first), limit: count(limit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_within_the_list() {
        let shown = |offset, limit| {
            let (page, paged) = page(&[1, 2, 3, 4, 5], offset, limit);
            (page.to_vec(), paged.total, paged.offset, paged.limit)
        };
        assert_eq!(shown(0, 2), (vec![1, 2], 5, 0, 2));
        assert_eq!(shown(4, 2), (vec![5], 5, 4, 2));
        assert_eq!(shown(9, 2), (vec![], 5, 5, 2));
        assert_eq!(shown(-1, 9), (vec![1, 2, 3, 4, 5], 5, 0, 9));
    }
}
