//! All consumers of a stream.
