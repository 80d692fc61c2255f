//! The state machine of one consumer.
