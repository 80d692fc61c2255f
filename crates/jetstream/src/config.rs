//! Configurations of streams and consumers, with their checks.
