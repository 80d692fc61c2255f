//! The `dialtone` command.
fn main() {}
