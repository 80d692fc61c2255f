//! A messaging server that speaks the NATS protocols.
