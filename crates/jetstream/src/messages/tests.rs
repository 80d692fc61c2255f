//! The index against a map.
