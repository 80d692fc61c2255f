//! The state machine of a stream.
