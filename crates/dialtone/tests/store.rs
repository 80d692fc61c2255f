//! `dialtone store`, with folders that servers have left.

mod life;
#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use life::{Life, has_checkpoint};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use waiting::wait_until;

fn store(words: &[&str], dir: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialtone"));
    let output = command.arg("store").args(words).arg(dir).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it ends"), String::from_utf8(text).expect("text"))
}

/// Makes a stream with 20 messages, one of them deleted, and a consumer that has three of them, two of them acknowledged.
fn fill(life: &mut Life, name: &str, compression: &str) {
    let config = json!({ "name": name, "subjects": [format!("{name}.*")], "compression": compression });
    let made = life.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &config);
    assert_eq!(made["config"]["name"], name, "{made}");
    let asked = json!({ "stream_name": name, "config": { "durable_name": "C", "ack_policy": "explicit" } });
    life.ask(&format!("$JS.API.CONSUMER.DURABLE.CREATE.{name}.C"), &asked);
    for number in 1..=20 {
        let ack =
            life.ask(&format!("{name}.{}", number % 3), &json!(format!("message {number} ").repeat(20)));
        assert_eq!(ack["seq"], number, "{ack}");
    }
    let deleted =
        life.ask(&format!("$JS.API.STREAM.MSG.DELETE.{name}"), &json!({ "seq": 7, "no_erase": true }));
    assert_eq!(deleted["success"], true, "{deleted}");
    let request = json!({ "batch": 3, "expires": 60_000_000_000_u64 }).to_string();
    life.send(&format!("PUB $JS.API.CONSUMER.MSG.NEXT.{name}.C in.1 {}\r\n{request}\r\n", request.len()));
    let taken: Vec<_> = (0..3).map(|_| life.message()).collect();
    for (_, reply, _) in &taken[..2] {
        life.send(&format!("PUB {reply} r 4\r\n+ACK\r\n"));
        assert_eq!(life.message().2, "");
    }
}

/// All files of a folder.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.clone(), fs::read(path).expect("read"));
            }
        }
    }
    all
}

#[test]
fn a_store_is_checked_and_not_touched() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut life = Life::begin_with_checkpoints(dir.path());
    fill(&mut life, "PLAIN", "none");
    fill(&mut life, "PACKED", "s2");
    let (code, text) = store(&["check"], dir.path());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("it is in use by another process"), "{text}");
    wait_until("there is a checkpoint", || has_checkpoint(&dir.path().join("jetstream/dialtone")));
    life.kill();
    let before = files(dir.path());
    for part in ["", "jetstream", "jetstream/dialtone"] {
        let (code, text) = store(&["check"], &dir.path().join(part));
        assert_eq!(code, 0, "{text}");
        for said in [
            "account $G\n",
            "stream PLAIN: 19 messages, ",
            "stream PACKED: 19 messages, ",
            "3 subjects, first 1 of ",
            ", last 20 of ",
            "consumer C: delivered 3, acknowledged 2, waiting 1\n",
            "1 accounts, 2 streams, 38 messages, ",
            "everything can be read\n",
        ] {
            assert!(text.contains(said), "{said:?} is not in {text}");
        }
    }
    assert!(before == files(dir.path()), "nothing has changed");
    let (code, text) = store(&["check", "--json"], dir.path());
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (code, &found["streams"][0]["messages"], &found["damage"]),
        (0, &json!(19), &json!([])),
        "{text}"
    );
}

#[test]
fn damage_is_named_by_file_and_range() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut life = Life::begin_with_checkpoints(dir.path());
    fill(&mut life, "PLAIN", "none");
    life.kill();
    // A start has a checkpoint, so that what there is is in segments.
    let life = Life::begin_with_checkpoints(dir.path());
    let text = b"message 5 message 5";
    let holds = |path: &PathBuf, bytes: &[u8]| {
        path.parent().is_some_and(|folder| folder.ends_with("segments"))
            && bytes.windows(text.len()).any(|window| window == text)
    };
    let mut found = None;
    wait_until("the message is in a segment", || {
        found = files(dir.path()).into_iter().find(|(path, bytes)| holds(path, bytes));
        // Before it is named the log would be read.
        found.is_some() && has_checkpoint(&dir.path().join("jetstream/dialtone"))
    });
    life.stop();
    let (path, mut bytes) = found.expect("it is there");
    let at = bytes.windows(text.len()).position(|window| window == text).expect("there");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("written");
    let (code, text) = store(&["check"], dir.path());
    assert_eq!(code, 1, "{text}");
    let name = path.file_name().expect("a name").to_string_lossy();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("damage: ")).collect();
    let [line] = lines.as_slice() else { panic!("one line of damage: {text}") };
    assert!(line.starts_with(&format!("damage: segments/{name}, bytes ")), "{text}");
    assert!(line.ends_with(": message 5 of stream PLAIN of account $G"), "{text}");
    assert!(text.contains("1 of its messages CANNOT be read"), "{text}");
    // A server that has it says so to who asks for the message, and to who wants to know.
    let mut life = Life::begin_with_checkpoints(dir.path());
    life.send("SUB $JS.EVENT.ADVISORY.STREAM.DAMAGED.* 3\r\n");
    let got = life.ask("$JS.API.STREAM.MSG.GET.PLAIN", &json!({ "seq": 5 }));
    assert!(got["error"].is_object(), "{got}");
    let (subject, _, said) = life.message();
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(subject, "$JS.EVENT.ADVISORY.STREAM.DAMAGED.PLAIN");
    let kind = "io.nats.jetstream.advisory.v1.stream_damaged";
    assert_eq!(
        (&said["type"], &said["stream"], &said["stream_seq"]),
        (&json!(kind), &json!("PLAIN"), &json!(5))
    );
    assert!(said["error"].as_str().is_some_and(|error| error.contains(&*name)), "{said}");
    let got = life.ask("$JS.API.STREAM.MSG.GET.PLAIN", &json!({ "seq": 6 }));
    assert_eq!(got["message"]["seq"], 6, "{got}");
}

#[test]
fn an_encrypted_store_is_read_by_the_key_of_its_configuration() {
    let dir = tempfile::tempdir().expect("a folder");
    let written = |name: &str, key: &str| {
        let file = dir.path().join(name);
        let text = format!("jetstream {{ store_dir: {:?}, key: {key:?}, cipher: aes }}", dir.path());
        fs::write(&file, text).expect("written");
        file.to_str().expect("text").to_owned()
    };
    let (right, wrong) = (written("right.conf", "the key"), written("wrong.conf", "another key"));
    let mut life = Life::begin_with(&["-c".as_ref(), right.as_ref()]);
    fill(&mut life, "SEALED", "none");
    life.kill();
    let store_dir = dir.path().join("jetstream");
    let before = files(&store_dir);
    assert!(before.values().all(|bytes| !bytes.windows(9).any(|part| part == b"message 5")));
    for (words, problem) in [
        (vec!["check"], "it is encrypted, and no encryption key is configured"),
        (vec!["check", "--config", &wrong], "it is encrypted by another key than the one that is configured"),
    ] {
        let (code, text) = store(&words, &store_dir);
        assert!(code == 2 && text.contains(problem), "{words:?}: {code} {text}");
    }
    let (code, text) = store(&["check", "--config", &right], &store_dir);
    assert!(code == 0 && text.contains("stream SEALED: 19 messages, "), "{text}");
    let out = dir.path().join("out");
    let words = ["export", "--config", &right, store_dir.to_str().expect("text")];
    let (code, text) = store(&words, &out);
    assert!(code == 0 && text.contains("stream SEALED of account $G: 19 messages, 1 consumers"), "{text}");
    assert!(out.join("$G/SEALED/stream.arc.s2").is_file());
    assert!(before == files(&store_dir), "nothing has changed");
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, text) = store(&["check"], dir.path());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("holds no streams of Dialtone\n"), "{text}");
    fs::create_dir_all(dir.path().join("jetstream/$G/streams/S")).expect("made");
    let (code, text) = store(&["check"], dir.path());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("but those of an official server"), "{text}");
    assert!(!dir.path().join("lock").exists());
}
