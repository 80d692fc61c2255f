//! Disks without room, and folders that are removed, under a server that runs: core messaging goes on, and the error is clear.

mod life;
#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use life::Life;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use waiting::wait_until;

/// Of the error of a publish that the store does not take.
const STORE_FAILED: u64 = 10077;

/// A server whose streams are in a file system of so many MiB of memory, in a namespace of its own. `None`: that cannot be made here.
fn on_small_disk(dir: &Path, megabytes: u32) -> Option<Life> {
    let mount = format!("mount -t tmpfs -o size={megabytes}m tmpfs {dir:?}");
    let can = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !can.as_ref().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no file system can be mounted in a namespace here: {can:?}");
        return None;
    }
    let server = format!("{} -a 127.0.0.1 -p -1 -js -sd {dir:?}", env!("CARGO_BIN_EXE_dialtone"));
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec {server}")]);
    Some(Life::begin_by(command))
}

/// Core messaging goes on.
fn echo(life: &mut Life) {
    life.send("PUB in.core 2\r\nhi\r\n");
    assert_eq!(life.message().0, "in.core");
}

#[test]
fn a_full_disk_refuses_publishes_and_what_is_purged_makes_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(mut life) = on_small_disk(dir.path(), 120) else { return };
    for name in ["FULL", "KEPT"] {
        let config = json!({ "name": name, "subjects": [name], "storage": "file" });
        let made = life.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &config);
        assert_eq!(made["config"]["name"], name, "{made}");
    }
    assert_eq!(life.ask("KEPT", &json!("kept"))["seq"], 1);
    let large = json!("x".repeat(900_000));
    let mut stored = 0;
    let refused = (0..300).find_map(|_| {
        let answer = life.ask("FULL", &large);
        if answer["error"].is_null() {
            stored = answer["seq"].as_u64().expect("a sequence");
            return None;
        }
        Some(answer)
    });
    let refused = refused.expect("the disk holds fewer");
    assert_eq!(refused["error"]["err_code"].as_u64(), Some(STORE_FAILED), "{refused}");
    assert!(
        refused["error"]["description"].as_str().is_some_and(|why| why.contains("the disk is full")),
        "{refused}"
    );
    assert!(stored > 10, "{stored}");
    echo(&mut life);
    // What was acknowledged is there.
    let info = life.ask("$JS.API.STREAM.INFO.FULL", &Value::Null);
    assert_eq!(info["state"]["messages"].as_u64(), Some(stored), "{info}");
    let purged = life.ask("$JS.API.STREAM.PURGE.FULL", &Value::Null);
    assert_eq!(purged["purged"].as_u64(), Some(stored), "{purged}");
    // A checkpoint frees what the messages took.
    wait_until("there is room again", || life.ask("FULL", &json!("y"))["error"].is_null());
    let got = life.ask("$JS.API.STREAM.MSG.GET.KEPT", &json!({ "seq": 1 }));
    assert_eq!(got["message"]["seq"], 1, "{got}");
    echo(&mut life);
}

#[test]
fn a_folder_that_is_removed_is_named_and_core_messaging_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut life = Life::begin_with_checkpoints(dir.path());
    let made =
        life.ask("$JS.API.STREAM.CREATE.S", &json!({ "name": "S", "subjects": ["s"], "storage": "file" }));
    assert_eq!(made["config"]["name"], "S", "{made}");
    assert_eq!(life.ask("s", &json!(1))["seq"], 1);
    // The server may be writing another file into it.
    wait_until("the folder is removed", || std::fs::remove_dir_all(dir.path().join("jetstream")).is_ok());
    let mut answer = Value::Null;
    wait_until("publishes are refused", || {
        answer = life.ask("s", &json!(2));
        answer["error"].is_object()
    });
    assert!(
        answer["error"]["description"].as_str().is_some_and(|why| why.contains("the store has failed")),
        "{answer}"
    );
    echo(&mut life);
}
