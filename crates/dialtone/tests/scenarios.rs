//! The scenarios of tests/scenarios are written so that their order does not depend on how fast a server is.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The lines of a scenario that read from others before the publisher of an earlier line has been synced.
///
/// Two connections are served in any order: only the PONG that the publisher gets says that its message has been delivered.
fn too_early(commands: &str) -> Vec<String> {
    let mut published: HashMap<&str, &str> = HashMap::new();
    let mut found = Vec::new();
    for line in commands.lines() {
        let mut words = line.split_whitespace();
        let (Some(command), Some(names)) = (words.next(), words.next()) else { continue };
        match command {
            "pub" | "hpub" => {
                published.insert(names, line);
            }
            "sync" | "drain" => {
                published.remove(names);
                found.extend(published.drain().map(|(_, early)| format!("`{line}` follows `{early}`")));
            }
            "read" | "eof" | "req" | "hreq" | "close" | "tally" => published.clear(),
            _ => {}
        }
    }
    found
}

/// The lines that ask by a client while another one may still have the inbox of what it gathered.
///
/// Each client numbers its inboxes from 1 on, so that two have the same ones: who has gathered is to be synced before another asks.
fn still_subscribed(commands: &str) -> Vec<String> {
    let mut gathered: Option<&str> = None;
    let mut found = Vec::new();
    for line in commands.lines() {
        let mut words = line.split_whitespace();
        let (Some(command), Some(name)) = (words.next(), words.next()) else { continue };
        let asks = matches!(command, "gather" | "req" | "hreq" | "reqshape");
        match gathered {
            Some(before) if before == name => gathered = None,
            Some(_) if asks => found.push(line.to_owned()),
            _ => {}
        }
        if command == "gather" {
            gathered = Some(name);
        }
    }
    found
}

#[test]
fn who_gathered_is_found_where_another_asks_too_early() {
    assert_eq!(still_subscribed("gather a 1 x\ngather b 1 x"), ["gather b 1 x"]);
    assert!(still_subscribed("gather a 1 x\nsync a\nreq b x\ngather b 1 y\nreq b z").is_empty());
}

#[test]
fn a_publisher_is_synced_before_its_receivers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let mut read = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is readable").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a scenario is UTF-8");
        let (_, commands) = text.split_once("\n---\n").expect("a scenario has commands");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        wrong.extend(too_early(commands).into_iter().map(|line| format!("{name}: {line}")));
        wrong.extend(still_subscribed(commands).into_iter().map(|line| format!("{name}: before `{line}`")));
        read += 1;
    }
    assert!(read > 300, "{read} scenarios were found");
    assert!(wrong.is_empty(), "sync the publisher first:\n{}", wrong.join("\n"));
}

#[test]
fn a_receiver_that_is_read_too_early_is_found() {
    assert_eq!(too_early("pub c1 q - x\nsync a1\nsync c1"), ["`sync a1` follows `pub c1 q - x`"]);
    assert!(too_early("pub c1 q - x\nsync c1\nsync a1").is_empty());
    // `read` waits for what it reads.
    assert!(too_early("pub c1 q - x\nread a1 1\nsync c1").is_empty());
}
