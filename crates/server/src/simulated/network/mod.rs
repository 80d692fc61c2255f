//! Whole networks of servers in simulated time: clusters, clusters of clusters, and leaf nodes of both, whose servers come, go and lose each
//! other, and what must hold of who gets which message.
//!
//! Each world is a [`plan::Plan`] that a seed makes, and one that fails is made as small as it can be before it is printed. `FIRST=N SEEDS=1`
//! plays one again:
//!
//! `FIRST=7 SEEDS=1 cargo test -p dialtone-server --lib simulated::network`
//!
//! `LOGS=FOLDER` has each server trace what it gets and sends into a file there.

mod carrier;
mod check;
mod client;
mod hostile;
mod model;
mod plan;
mod server;
mod tests;
mod world;
