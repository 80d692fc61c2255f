//! Streams of a server that is killed: what was acknowledged is there, in order, and consumers go on where they were.

mod life;
#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use life::Life;
use serde_json::{Value, json};
use std::path::Path;
use waiting::wait_until;

/// Messages that are published in each life.
const MESSAGES: u64 = 200;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    lives(Life::begin);
}

#[test]
fn what_was_acknowledged_survives_a_kill_amid_checkpoints() {
    let dir = lives(Life::begin_with_checkpoints);
    let mut life = Life::begin_with_checkpoints(dir.path());
    // The log is cut behind a checkpoint, and what it held is in segments.
    let segments = dir.path().join("jetstream/dialtone/segments");
    let is_there = || std::fs::read_dir(&segments).expect("a folder").count() > 0;
    wait_until("there is a checkpoint", is_there);
    let deleted = life.ask("$JS.API.STREAM.MSG.DELETE.S", &json!({ "seq": 2 }));
    assert_eq!(deleted["success"], true, "{deleted}");
    life.kill();
    let mut life = Life::begin_with_checkpoints(dir.path());
    let info = life.ask("$JS.API.STREAM.INFO.S", &json!({ "deleted_details": true }));
    assert_eq!(
        (info["state"]["deleted"].clone(), info["state"]["messages"].as_u64()),
        (json!([2]), Some(799))
    );
    for seq in [1, 3, 4 * MESSAGES] {
        let got = life.ask("$JS.API.STREAM.MSG.GET.S", &json!({ "seq": seq }));
        assert_eq!(got["message"]["subject"], format!("s.{}", seq % 3), "{got}");
    }
    life.kill();
}

/// Publishes, consumes and kills, again and again.
fn lives(begin: fn(&Path) -> Life) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut published = 0;
    for round in 0..4 {
        let mut life = begin(dir.path());
        if round == 0 {
            let made = life.ask(
                "$JS.API.STREAM.CREATE.S",
                &json!({ "name": "S", "subjects": ["s.*"], "storage": "file" }),
            );
            assert_eq!(made["config"]["name"], "S", "{made}");
            let asked =
                json!({ "stream_name": "S", "config": { "durable_name": "C", "ack_policy": "explicit" } });
            let made = life.ask("$JS.API.CONSUMER.DURABLE.CREATE.S.C", &asked);
            assert_eq!(made["name"], "C", "{made}");
        }
        let info = life.ask("$JS.API.STREAM.INFO.S", &Value::Null);
        assert_eq!(
            (info["state"]["messages"].as_u64(), info["state"]["last_seq"].as_u64()),
            (Some(published), Some(published))
        );
        let half = MESSAGES / 2;
        if round > 0 {
            let from = (round - 1) * MESSAGES + half;
            life.consume(from + 1, half);
        }
        for number in published + 1..=published + MESSAGES {
            let text = format!("message {number}");
            life.send(&format!("PUB s.{} r {}\r\n{text}\r\n", number % 3, text.len()));
        }
        for number in published + 1..=published + MESSAGES {
            assert_eq!(life.message().2, format!("{{\"stream\":\"S\",\"seq\":{number}}}"));
        }
        life.consume(published + 1, half);
        published += MESSAGES;
        life.kill();
        let mut life = begin(dir.path());
        let consumer = life.ask("$JS.API.CONSUMER.INFO.S.C", &Value::Null);
        assert_eq!(consumer["ack_floor"]["stream_seq"].as_u64(), Some(published - half), "{consumer}");
        life.kill();
    }
    dir
}

#[test]
fn a_stream_in_memory_acknowledges_at_once_and_is_gone_with_the_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut life = Life::begin(dir.path());
    life.ask(
        "$JS.API.STREAM.CREATE.M",
        &json!({ "name": "M", "subjects": ["m"], "storage": "memory", "max_msgs": 2 }),
    );
    for number in 1..=3 {
        assert_eq!(life.ask("m", &json!(number)), json!({ "stream": "M", "seq": number }));
    }
    let info = life.ask("$JS.API.STREAM.INFO.M", &Value::Null);
    assert_eq!((info["state"]["messages"].as_u64(), info["state"]["first_seq"].as_u64()), (Some(2), Some(2)));
    let got = life.ask("$JS.API.STREAM.MSG.GET.M", &json!({ "last_by_subj": "m" }));
    assert_eq!((got["message"]["seq"].as_u64(), got["message"]["data"].as_str()), (Some(3), Some("Mw==")));
    life.kill();
    let mut life = Life::begin(dir.path());
    let info = life.ask("$JS.API.STREAM.INFO.M", &Value::Null);
    assert_eq!(info["error"]["err_code"], 10059, "{info}");
    life.kill();
}

/// All of it is decided on in one turn, so nothing of it is on disk when the last is asked for.
#[test]
fn a_direct_get_of_several_has_what_was_published_before_it() {
    const ROUNDS: u64 = 50;
    let dir = tempfile::tempdir().expect("a folder");
    let mut life = Life::begin(dir.path());
    life.ask(
        "$JS.API.STREAM.CREATE.S",
        &json!({ "name": "S", "subjects": ["s.*"], "allow_direct": true, "max_msgs_per_subject": 1 }),
    );
    let request = json!({ "multi_last": ["s.*"], "no_hdr": true }).to_string();
    for round in 1..=ROUNDS {
        let request = format!("PUB $JS.API.DIRECT.GET.S in.1 {}\r\n{request}\r\n", request.len());
        life.send(&format!("PUB s.1 1\r\na\r\nPUB s.2 1\r\nb\r\n{request}"));
        let mut described = String::new();
        while !described.contains("204 EOB") {
            described.push_str(&life.line());
        }
        let _ = (life.line(), life.line());
        for seq in [2 * round - 1, 2 * round] {
            assert!(described.contains(&format!("Nats-Sequence: {seq}\r\n")), "{described}");
        }
    }
    life.kill();
}
