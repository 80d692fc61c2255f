//! Subjects: what they are, which filters they match, and who is interested in them.
//!
//! Begin with [`interest::Interest`], the index that routing asks. [`set`] compares filters as sets of subjects,
//! [`transform`] makes other subjects of them,
//! [`generation`] tells caches when an answer of the index is no longer true, [`naive`] is the few lines that all of
//! it is tested against, [`short`] bytes that stand inline when they are few, [`valid`] the types of what was looked at,
//! [`hashing`] how tables are seeded whose order can be seen.
//!
//! Invariants: bytes in, answers out; no accounts, no connections, no I/O. What the index finds goes into the
//! caller's buffers; it allocates no more than the list of nodes that it still has to visit.
#![forbid(unsafe_code)]

pub mod generation;
pub mod hashing;
pub mod interest;
pub mod naive;
pub mod set;
pub mod short;
pub mod transform;
pub mod valid;

pub use generation::{Generations, Stamp, SubjectHash};
pub use hashing::Hashing;
pub use interest::{Entry, Interest, Matches, Stats};
pub use set::{is_literal, is_valid_filter, is_valid_literal, tokens};
pub use short::ShortBytes;
pub use transform::Transform;
pub use valid::{Filter, InvalidSubject, Literal};
