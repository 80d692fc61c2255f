//! Time as the JetStream API writes it: RFC 3339 with nanoseconds as Go prints it, and durations in nanoseconds.
