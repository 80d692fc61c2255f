//! The `dialtone` command.
#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("bench") => dialtone::bench::run(arguments),
        _ => Ok(()),
    }
}
