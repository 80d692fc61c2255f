//! What becomes of a server one of whose threads panics. The server runs in a child: this program, run again.

mod common;

use common::waiting::receive;
use dialtone_config::Options;
use dialtone_server::Server;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Names the log file of a child.
const LOG: &str = "DIALTONE_TEST_LOG";

fn child(test: &str, log: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(LOG, log);
    command.output().expect("the child runs")
}

/// In the child: a server that logs to the file.
fn options(log: PathBuf) -> Options {
    let mut options = Options::default();
    options.log.file = Some(log);
    options
}

fn panic_on_the_control_thread(server: &Server) {
    server.node().internal.run(|_| panic!("for the test's sake"));
}

const REPORT: &str = "[FTL] thread \"control\" panicked at crates/server/tests/panics.rs:";

#[test]
fn a_panic_is_in_the_log_and_ends_the_process() {
    if let Some(log) = std::env::var_os(LOG) {
        let server =
            Server::builder().options(options(log.into())).in_process_only().start().expect("started");
        panic_on_the_control_thread(&server);
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("log");
    let output = child("a_panic_is_in_the_log_and_ends_the_process", &log);
    assert_eq!(output.status.code(), Some(101), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(&log).expect("log");
    let last = lines.lines().last().expect("a line");
    assert!(last.contains(REPORT) && last.ends_with(": for the test's sake"), "{last}");
}

#[test]
fn a_program_that_a_server_is_part_of_decides_itself() {
    if let Some(log) = std::env::var_os(LOG) {
        let (sender, noted) = std::sync::mpsc::channel();
        let builder = Server::builder().options(options(log.into())).in_process_only();
        let server = builder.at_panic(move |panic| sender.send(panic.to_string()).unwrap_or_default());
        let server = server.start().expect("started");
        panic_on_the_control_thread(&server);
        let noted = receive(&noted, "no panic");
        assert!(noted.starts_with("thread \"control\" panicked at "), "{noted}");
        server.stop();
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("log");
    let output = child("a_program_that_a_server_is_part_of_decides_itself", &log);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(&log).expect("log");
    assert!(lines.contains(REPORT) && lines.ends_with("Server Exiting..\n"), "{lines}");
}
