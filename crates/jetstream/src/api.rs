//! The endpoints of the JetStream API, their requests and responses.
