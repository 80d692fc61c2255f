//! The arrows between crates, and between the rooms of a crate, are those of the tables in docs/ARCHITECTURE.md, and no others; and threads
//! are started in one place.

mod figures;
mod rooms;
mod source;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What the table says: a row is `| crate | what lives here | knows |`.
fn drawn(text: &str) -> Arrows {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, _, knows, _] = cells.as_slice() else { return None };
        Some((name.strip_prefix('`')?.strip_suffix('`')?.to_owned(), (*knows).to_owned()))
    });
    let mut arrows = Arrows::new();
    for (name, knows) in rows {
        let known = match knows.as_str() {
            "–" => BTreeSet::new(),
            "all above" => arrows.keys().cloned().collect(),
            list => list.split(", ").map(str::to_owned).collect(),
        };
        arrows.insert(name, known);
    }
    arrows
}

/// What the manifests say.
fn built(root: &Path) -> Arrows {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let short = |name: &str| name.strip_prefix("dialtone-").unwrap_or(name).to_owned();
    let is_ours = |name: &str| name == "dialtone" || name.starts_with("dialtone-");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().expect("name");
            let known = package["dependencies"].as_array().expect("dependencies").iter();
            let known = known
                .filter(|d| d["kind"].is_null())
                .filter_map(|d| d["name"].as_str())
                .filter(|d| is_ours(d))
                .map(short);
            (short(name), known.collect())
        })
        .collect()
}

#[test]
fn the_arrows_are_the_drawn_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("the map is there");
    let (drawn, built) = (drawn(&text), built(&root));
    assert_eq!(drawn.keys().collect::<Vec<_>>(), built.keys().collect::<Vec<_>>());
    for (name, known) in &built {
        let surplus: Vec<_> = known.difference(&drawn[name]).collect();
        assert!(surplus.is_empty(), "{name} knows {surplus:?}, which docs/ARCHITECTURE.md does not draw");
    }
}

/// The lines of a source that are no tests.
fn without_tests(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// A thread that is started in another way panics without a word. `bench` is no server.
#[test]
fn every_thread_of_the_server_is_started_by_one_function() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    sources(&crates, &mut all);
    let exempt = |path: &Path| {
        let part = |name: &str| path.components().any(|part| part.as_os_str() == name);
        part("tests") || part("bench") || path.ends_with("net/src/threads/mod.rs")
    };
    all.retain(|path| !exempt(path));
    assert!(all.len() > 100, "{all:?}");
    for path in all {
        let text = std::fs::read_to_string(&path).expect("a source is UTF-8");
        for line in without_tests(&text) {
            for other in
                ["thread::spawn", "thread::Builder", "thread::scope", "spawn_blocking", "new_multi_thread"]
            {
                assert!(!line.contains(other), "{}: {line}: use dialtone_net::threads", path.display());
            }
        }
    }
}

/// Streams have their time and their random numbers of `server::clock` and `server::random`, which a simulation turns itself.
#[test]
fn streams_have_time_and_randomness_of_one_place_each() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src/streams"), &mut all);
    all.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
    assert!(all.len() > 20, "{all:?}");
    for path in all {
        let text = std::fs::read_to_string(&path).expect("a source is UTF-8");
        for line in without_tests(&text) {
            for other in ["Instant::now", "SystemTime::now", "rand::random", "rand::rng"] {
                assert!(!line.contains(other), "{}: {line}: use server::clock or random", path.display());
            }
        }
    }
}

/// Where kinds of peers are told apart by name: the table that says in what they differ, their formats and counts, the listeners, which say what
/// comes by them, and the rooms that are about one kind. Everybody else asks the table.
const NAME_KINDS: &[&str] = &[
    "broker/src/kind.rs",
    "broker/src/format.rs",
    "broker/src/stats.rs",
    "server/src/policy/listeners.rs",
    "server/src/routes/",
    "server/src/gateways/",
    "server/src/leafs/",
];

#[test]
fn kinds_of_peers_are_named_in_few_rooms() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kinds = ["Client", "Server", "Route", "Gateway", "Hub", "Spoke"].map(|kind| format!("Kind::{kind}"));
    let mut found = BTreeSet::new();
    for name in ["broker", "server"] {
        for source in source::all(&crates.join(name).join("src")) {
            // Others have kinds, too: of keys and of log events.
            let is_of_peers = source.text.contains("kind::{") || source.text.contains("kind::Kind");
            let names_one = source.text.match_indices("Kind::").any(|(at, _)| {
                let stands_alone = !source.text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                stands_alone && kinds.iter().any(|kind| source.text[at..].starts_with(kind.as_str()))
            });
            if (is_of_peers || name == "broker") && names_one {
                found.insert(
                    source.path.strip_prefix(&crates).expect("in crates").to_string_lossy().into_owned(),
                );
            }
        }
    }
    let surplus: Vec<_> =
        found.iter().filter(|path| !NAME_KINDS.iter().any(|room| path.starts_with(room))).collect();
    assert!(
        surplus.is_empty(),
        "{surplus:?} tell kinds of peers apart by name: ask the table in broker::kind"
    );
    for room in NAME_KINDS {
        assert!(found.iter().any(|path| path.starts_with(room)), "{room} names no kind: take its row away");
    }
}
