//! The program under another name, as where it takes the place of `nats-server`.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn the_ports_file_has_the_name_that_the_program_was_called_by() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("nats-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dialtone"), &link).expect("a link");
    let mut process = Command::new(&link)
        .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
    let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Server is ready")));
    let ports = folder.path().join(format!("nats-server_{}.ports", process.id()));
    let found = std::fs::read_to_string(&ports);
    process.kill().expect("killed");
    process.wait().expect("ended");
    assert!(ready);
    assert!(found.expect("a ports file").contains("nats://127.0.0.1:"));
}
