//! The `dialtone` command: a server, and the tools that come with it.
#![forbid(unsafe_code)]

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let tool: fn(std::iter::Skip<_>) -> _ = match arguments.peek().map(String::as_str) {
        Some("bench") => dialtone::bench::run,
        Some("explain") => std::process::exit(dialtone::explain::run(arguments.skip(1))),
        Some("store") => std::process::exit(dialtone::store::run(arguments.skip(1))),
        Some("identity") => dialtone::identity::run,
        Some("redrive") => dialtone::redrive::run,
        _ => std::process::exit(dialtone::serve::run(arguments)),
    };
    let name = arguments.peek().cloned().unwrap_or_default();
    if let Err(problem) = tool(arguments.skip(1)) {
        eprintln!("dialtone {name}: {problem:#}");
        std::process::exit(1);
    }
}
