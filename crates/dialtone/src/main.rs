//! The `dialtone` command: a server, and the tools that come with it.
#![forbid(unsafe_code)]

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|a| a == "bench") {
        if let Err(problem) = dialtone::bench::run(arguments.skip(1)) {
            eprintln!("dialtone bench: {problem:#}");
            std::process::exit(1);
        }
        return;
    }
    std::process::exit(dialtone::serve::run(arguments));
}
