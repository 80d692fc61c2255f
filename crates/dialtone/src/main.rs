//! The `dialtone` command: a server, and the tools that come with it.
#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|a| a == "bench") {
        return dialtone::bench::run(arguments.skip(1));
    }
    let flag = |name: &str| std::env::args().skip_while(|a| a != name).nth(1);
    let port = flag("-p").and_then(|p| p.parse().ok()).unwrap_or(4222);
    let _server = dialtone_server::Server::builder().port(port).start()?;
    loop {
        std::thread::park();
    }
}
