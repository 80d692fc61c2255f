//! The index of a stream's messages.
