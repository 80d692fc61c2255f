//! Every key and every flag of the official server is carried out, or refused by its name: a checklist made of tables.

use dialtone_config::keys::{self, KEYS};
use dialtone_config::{ConfigErrors, flags};
use std::path::Path;

const KEY_TABLE: &str = include_str!("official_keys.txt");
const FLAG_TABLE: &str = include_str!("official_flags.txt");

/// Blocks whose name stands before a list.
const LISTS: [&str; 7] = ["users", "exports", "imports", "certs", "trusted", "remotes", "gateways"];

/// The lines of a table that say something.
fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Each key: the block it stands in, and its spellings.
fn official_keys() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut block = "";
    let mut out = Vec::new();
    for line in lines(KEY_TABLE) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => block = name,
            None => out.push((block, line.split('|').collect())),
        }
    }
    out
}

/// A configuration in which `entry` stands in this block, and in nothing that is not needed for that.
fn in_block(block: &str, entry: &str) -> String {
    block.rsplit('.').filter(|name| !name.is_empty()).fold(entry.to_owned(), |inner, name| match name {
        "accounts" => format!("accounts {{ A {{ {inner} }} }}"),
        "source" => format!("stream {{ {inner} }}"),
        "destination" => format!("a: [ {{ {inner} }} ]"),
        "latency" => format!("service: a, latency {{ {inner} }}"),
        list if LISTS.contains(&list) => format!("{list}: [ {{ {inner} }} ]"),
        name => format!("{name} {{ {inner} }}"),
    })
}

fn problems(text: &str) -> ConfigErrors {
    let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    dialtone_config::load_text(text, "t.conf", &mut files, &|_| None)
        .map_or_else(|problems| problems, |_| ConfigErrors(Vec::new()))
}

/// A key is refused by its name or by the name of a block around it; or it is read: a value that no key takes is noticed
/// where it stands. In no case is it unknown.
#[test]
fn every_key_is_carried_out_or_refused_by_name() {
    const NONSENSE: &str = "{ nonsense: [ { nonsense: [ ] } ] }";
    let (mut positions, mut spellings) = (0, 0);
    for (block, names) in official_keys() {
        positions += 1;
        for name in names {
            spellings += 1;
            let text = in_block(block, &format!("{name}: {NONSENSE}"));
            let value = text.find(NONSENSE).map_or(0, |at| at as u32 + 1);
            let problems = problems(&text);
            let refused = |name: &str| {
                problems.0.iter().any(|e| e.problem.starts_with(&format!("`{name}` cannot be carried out")))
            };
            let unknown = format!("unknown field \"{name}\"");
            assert!(
                !problems.0.iter().any(|e| e.problem == unknown && e.at.column < value),
                "{text}: {problems}"
            );
            let noticed = problems.0.iter().any(|e| e.at.column >= value);
            assert!(noticed || refused(name) || block.split('.').any(refused), "{text}: {problems}");
        }
    }
    assert_eq!((positions, spellings), (357, 492));
}

/// What the table of keys has at the top level and the official server has not is ours, and is said to be.
#[test]
fn keys_of_our_own_are_named() {
    let official: Vec<&str> = official_keys()
        .into_iter()
        .filter(|(block, _)| block.is_empty())
        .flat_map(|(_, names)| names)
        .collect();
    for key in KEYS.iter().filter(|key| key.block.is_empty() && !official.contains(&key.name)) {
        assert!(key.doc.ends_with("Not an official key."), "{}", key.name);
    }
    assert_eq!(official.len(), 99);
    assert!(official.iter().all(|name| keys::find("", name).is_some()));
}

/// A flag is refused by its name, or it takes a value of its kind and no other.
#[test]
fn every_flag_is_carried_out_or_refused_by_name() {
    let parse = |argument: String| flags::parse([argument]).map_err(|e| e.to_string());
    let (mut options, mut spellings) = (0, 0);
    for line in lines(FLAG_TABLE) {
        let (names, takes) = line.split_once(' ').expect("names and what they take");
        options += 1;
        for name in names.split('|') {
            spellings += 1;
            let problem = |value: &str| parse(format!("--{name}={value}")).err().unwrap_or_default();
            let sample = match (name, takes) {
                ("sl" | "signal", _) => "reload=1",
                ("m" | "http_port" | "ms" | "https_port", _) => "8222",
                ("routes" | "cluster" | "cluster_listen", _) => "nats://127.0.0.1:6222",
                (_, "nothing") => "true",
                (_, "number") => "7",
                _ => "x",
            };
            let refused = problem(sample).starts_with(&format!("flag -{name} cannot be carried out"));
            let nothing_else = ["", "must specify [-c, --config] option to check configuration file syntax"];
            assert!(
                refused || nothing_else.contains(&problem(sample).as_str()),
                "{name}: {}",
                problem(sample)
            );
            match takes {
                _ if refused => {}
                "nothing" => {
                    assert_eq!(
                        problem("x"),
                        format!("invalid boolean value \"x\" for flag -{name}: parse error")
                    );
                }
                "number" => {
                    let problem = problem("x");
                    assert!(
                        problem.starts_with(&format!("invalid value \"x\" for flag -{name}: ")),
                        "{problem}"
                    );
                }
                _ => {
                    let alone = parse(format!("--{name}")).err().unwrap_or_default();
                    assert_eq!(alone, format!("flag needs an argument: -{name}"));
                }
            }
        }
    }
    assert_eq!((options, spellings), (43, 64));
}
