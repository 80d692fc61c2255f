//! A folder of streams that cannot be had: the server says why, and the one that has it goes on.

#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use waiting::{Bounded, NextLine};

fn server(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialtone"));
    command.args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"]).arg(dir);
    command
}

/// Starts a server that runs; its process, and where it listens.
fn started(dir: &Path) -> (Child, String) {
    let mut process = server(dir).stderr(Stdio::piped()).spawn().expect("the server starts");
    let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
    let said = "Listening for client connections on ";
    let address = lines.find_map(|line| line.ok()?.split_once(said).map(|(_, address)| address.to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    (process, address.expect("it listens"))
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_second_server_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut first, address) = started(dir.path());
    let second = server(dir.path()).output().expect("it ends");
    refused(&second, "it is in use by another process");
    let mut stream = BufReader::new(TcpStream::connect(address).expect("connected").bounded());
    stream.get_mut().write_all(b"CONNECT {}\r\nPING\r\n").expect("sent");
    assert!(stream.next_line().starts_with("INFO"));
    assert!(stream.next_line().starts_with("+OK"));
    assert!(stream.next_line().starts_with("PONG"));
    first.kill().expect("killed");
    first.wait().expect("over");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("a file");
    std::fs::write(&file, "no folder").expect("written");
    let output = server(&file).output().expect("it ends");
    refused(&output, "cannot create its folders");
    refused(&output, "a file");
}
