//! The errors of the JetStream API: one table of codes, HTTP-like codes and texts.
