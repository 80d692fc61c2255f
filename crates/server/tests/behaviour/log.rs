//! What the log says when the server cannot start, or cannot do what it is asked for.

use dialtone_config::Options;
use dialtone_server::Server;
use std::net::TcpListener;
use std::path::Path;

fn options(folder: &Path, config: &str) -> Options {
    let mut no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let text = format!("host: 127.0.0.1\nlog_file: {:?}\n{config}", folder.join("log"));
    dialtone_config::load_text(&text, "t.conf", &mut no_files, &|_| None).expect(config)
}

/// The only fatal line of the log, which holds what the caller gets.
#[track_caller]
fn fatal(config: &str) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let problem = match Server::builder().options(options(folder.path(), config)).start() {
        Ok(_) => panic!("{config}: it starts"),
        Err(problem) => problem.to_string(),
    };
    let log = std::fs::read_to_string(folder.path().join("log")).expect("log");
    let fatal: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once("[FTL] ")?.1)).collect();
    assert_eq!(fatal, [problem.as_str()], "{config}");
    problem
}

#[test]
fn what_ends_a_start_is_in_the_log() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address");
    let port = address.port();
    let clients = fatal(&format!("port: {port}"));
    assert!(clients.starts_with(&format!("Error listening on port: {address} for clients: ")), "{clients}");
    let monitoring = fatal(&format!("port: -1, http: '127.0.0.1:{port}'"));
    let expected = format!("Error listening on port: {address} for monitoring: ");
    assert!(monitoring.starts_with(&expected), "{monitoring}");
    let pid = fatal("port: -1, pid_file: '/missing/folder/pid'");
    assert!(pid.starts_with("cannot write the pid file \"/missing/folder/pid\": "), "{pid}");
}

#[test]
fn a_log_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let missing = folder.path().join("missing");
    let problem = Server::builder().options(options(&missing, "port: -1")).start().err().expect("no log");
    let expected = format!("cannot open the log file {:?}: ", missing.join("log"));
    assert!(problem.to_string().starts_with(&expected), "{problem}");
}

/// What a reload does not carry out it refuses, and all else with it.
#[test]
fn a_reload_takes_over_nothing_beside_what_it_cannot() {
    let folder = tempfile::tempdir().expect("folder");
    let text = |more: &str| format!("port: -1\ncluster {{ name: C, listen: '127.0.0.1:-1', {more} }}");
    let server = Server::builder().options(options(folder.path(), &text(""))).start().expect("started");
    let new = format!("{}\ndebug: true", text("no_advertise: true").replace("name: C", "name: D"));
    server.reload(Ok(options(folder.path(), &new)));
    let log = std::fs::read_to_string(folder.path().join("log")).expect("log");
    assert!(log.contains("t.conf:4:9: config reload not supported for cluster name: old=C, new=D"), "{log}");
    assert!(!log.contains("Reloaded"), "{log}");
}

#[test]
fn a_reload_that_fails_logs_a_line_for_each_problem() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::builder().options(options(folder.path(), "port: -1")).start().expect("started");
    let mut no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let text = "authorization { user: a, password: 5 }\nprot: 1";
    server.reload(dialtone_config::load_text(text, "t.conf", &mut no_files, &|_| None));
    let log = std::fs::read_to_string(folder.path().join("log")).expect("log");
    let head = "[ERR] Failed to reload server configuration: ";
    let lines: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(head)?.1)).collect();
    let [first, second] = lines.as_slice() else { panic!("{log}") };
    assert_eq!(*first, "t.conf:1:36: expected a string, found an integer; put it in quotes");
    assert!(second.starts_with("t.conf:2:1: unknown"), "{second}");
    assert!(!log.contains("\\n"), "{log}");
}
