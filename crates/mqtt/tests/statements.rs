//! docs/mqtt-statements.md names every normative statement of MQTT, and what it says to hold them is there.

use dialtone_wire::mqtt_sn::Kind;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The statements of a version by sections: the number of the last one in each, and of the first if that is not 1.
struct Version {
    heading: &'static str,
    sections: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        heading: "## MQTT 3.1.1",
        sections: "1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 3.3.1:12 3.3.2:3 3.3.4:1 3.3.5:2 3.6.1:1 \
                   3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 4.1.0:2 4.3.1:1 4.3.2:2 \
                   4.3.3:2 4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 6.0.0:4 7.0.0:2 7.1.1:1 7.1.2:1",
    },
    Version {
        heading: "## MQTT 5.0",
        sections: "1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:2-6 2.2.2:1 3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 3.2.0:2 3.2.2:22 3.3.1:13 \
                   3.3.2:20 3.3.4:10 3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 3.10.1:1 \
                   3.10.3:2 3.10.4:6 3.11.2:2 3.11.3:2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:3 4.1.0:2 \
                   4.2.0:1 4.3.1:1 4.3.2:5 4.3.3:13 4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 4.8.2:6 4.9.0:3 \
                   4.12.0:7 4.12.1:2 4.13.1:1 4.13.2:1 6.0.0:4",
    },
];

impl Version {
    fn identifiers(&self) -> Vec<String> {
        let sections =
            self.sections.split_whitespace().map(|section| section.split_once(':').expect("numbers"));
        let all = sections.flat_map(|(section, numbers)| {
            let (first, last) = numbers.split_once('-').unwrap_or(("1", numbers));
            let (first, last) = (first.parse::<u32>().expect("a number"), last.parse().expect("a number"));
            (first..=last).map(move |number| format!("MQTT-{section}-{number}"))
        });
        all.collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/mqtt-statements.md")).expect("the page")
}

/// The part of a page below a heading, up to the next one.
fn part<'a>(page: &'a str, heading: &str) -> &'a str {
    let below = page.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    below.split("\n## ").next().expect("a part")
}

/// The rows of its table: what is named, what it asks, and what holds it.
fn rows(part: &str) -> Vec<[&str; 3]> {
    let lines = part.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = lines.map(|line| line.split(" | ").collect::<Vec<_>>());
    let rows = cells.map(|cells| <[&str; 3]>::try_from(cells).unwrap_or_else(|cells| panic!("{cells:?}")));
    rows.skip(2).collect()
}

/// What is said to hold a statement.
#[derive(Debug, PartialEq)]
enum Held<'a> {
    /// Tests, scenarios and client programs.
    By(Vec<&'a str>),
    ByClients,
    /// It does not apply, or Dialtone differs, and why.
    Not,
    /// The server does not do it yet.
    Open,
}

fn held(cell: &str) -> Result<Held<'_>, String> {
    let kinds = [("n/a: ", Held::Not), ("differs: ", Held::Not), ("open: ", Held::Open)];
    let excuse = kinds.into_iter().find_map(|(kind, held)| Some((cell.strip_prefix(kind)?, held)));
    if let Some((why, held)) = excuse {
        let is_tested = why.contains(": ") || why.contains(".txt`");
        return if is_tested || why.is_empty() {
            Err(format!("tested and excused, or neither: {cell}"))
        } else {
            Ok(held)
        };
    }
    if cell == "client" {
        return Ok(Held::ByClients);
    }
    let (tests, _) = cell.split_once(" (").filter(|(_, remark)| remark.ends_with(')')).unwrap_or((cell, ""));
    let names = tests.split(", ").map(|name| name.strip_prefix('`')?.strip_suffix('`'));
    names.collect::<Option<_>>().map(Held::By).ok_or_else(|| format!("what is {cell}?"))
}

/// All Rust source in a folder.
fn source(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).unwrap_or_else(|_| panic!("no {}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push_str(&fs::read_to_string(&path).expect("source"));
        }
    }
}

/// The names of all tests in source, those of properties among them.
fn tests_in(source: &str) -> BTreeSet<&str> {
    let mut out = BTreeSet::new();
    let mut is_next = false;
    for line in source.lines().map(str::trim_start) {
        is_next |= line == "#[test]";
        if let Some(name) = line.strip_prefix("fn ").filter(|_| is_next) {
            out.insert(name.split(['(', '<']).next().expect("a name"));
            is_next = false;
        }
    }
    out
}

/// What the tree has.
struct Tree {
    /// `crate: test`.
    tests: BTreeSet<String>,
    /// Scenarios that are known not to pass.
    pending: BTreeSet<String>,
}

impl Tree {
    fn new() -> Self {
        let mut tests = BTreeSet::new();
        for name in ["wire", "mqtt", "broker", "server", "jetstream"] {
            let mut text = String::new();
            source(&root().join("crates").join(name), &mut text);
            tests.extend(tests_in(&text).into_iter().map(|test| format!("{name}: {test}")));
        }
        let pending = fs::read_to_string(root().join("tests/scenarios/pending")).unwrap_or_default();
        Self { tests, pending: pending.split_whitespace().map(str::to_owned).collect() }
    }

    /// Whether something passes, as far as is known.
    ///
    /// Errors: it is not there.
    fn passes(&self, name: &str) -> Result<bool, String> {
        let is_there = match name {
            test if test.contains(": ") => self.tests.contains(test),
            scenario if scenario.ends_with(".txt") => root().join("tests/scenarios").join(scenario).exists(),
            program => root().join("tests/clients").join(program).is_file(),
        };
        let is_pending = self.pending.contains(name) || self.pending.contains(name.trim_end_matches(".txt"));
        if is_there { Ok(!is_pending) } else { Err(format!("there is no {name}")) }
    }

    /// Errors: what is said to hold a statement is not there, or none of it passes.
    fn check(&self, cell: &str) -> Result<(), String> {
        let Held::By(names) = held(cell)? else { return Ok(()) };
        let passes = names.iter().map(|name| self.passes(name)).collect::<Result<Vec<_>, _>>()?;
        if passes.contains(&true) { Ok(()) } else { Err(format!("all is pending: {cell}")) }
    }
}

#[test]
fn every_statement_is_named_once() {
    let page = page();
    for version in VERSIONS {
        let named: Vec<&str> = rows(part(&page, version.heading)).iter().map(|row| row[0]).collect();
        assert_eq!(named, version.identifiers(), "{}", version.heading);
    }
}

#[test]
fn every_message_of_mqtt_sn_is_named_once() {
    let mut all: Vec<String> =
        Kind::ALL.iter().map(|kind| format!("{kind:?} {:#04x}", *kind as u8)).collect();
    all.push("Forwarder 0xfe".to_owned());
    let page = page();
    let named = rows(part(&page, "## MQTT-SN 1.2: messages"));
    assert!(
        named.iter().map(|row| row[0].to_lowercase()).eq(all.iter().map(|name| name.to_lowercase())),
        "{all:?}"
    );
    let procedures = rows(part(&page, "## MQTT-SN 1.2: procedures"));
    let sections: Vec<String> = (1..=14).map(|number| format!("6.{number}")).collect();
    assert!(procedures.iter().map(|row| row[0]).eq(sections.iter().map(String::as_str)));
}

#[test]
fn what_holds_a_statement_is_there() {
    let (page, tree) = (page(), Tree::new());
    for heading in page.lines().filter(|line| line.starts_with("## ")) {
        for [name, asks, cell] in rows(part(&page, heading)) {
            assert!(!asks.is_empty(), "{name}");
            tree.check(cell).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        }
    }
}

/// The sums above the tables.
#[test]
fn the_page_counts_rightly() {
    let page = page();
    for Version { heading, .. } in VERSIONS {
        let part = part(&page, heading);
        let held: Vec<_> = rows(part).iter().map(|row| held(row[2]).expect("held")).collect();
        let count = |kind: Held<'_>| held.iter().filter(|held| **held == kind).count();
        let (clients, not, open) = (count(Held::ByClients), count(Held::Not), count(Held::Open));
        let (all, tested) = (held.len(), held.len() - clients - not - open);
        let sums = format!(
            "{all} statements: {tested} tested, {clients} of clients, {not} that do not apply or where Dialtone differs, {open} open."
        );
        assert!(part.lines().any(|line| line == sums), "{sums}");
    }
}

#[test]
fn a_row_that_is_wrong_is_found() {
    let tree = Tree::new();
    let tested = "`mqtt: mqtt_3_12_4_1_pingreq_is_answered`, `mqtt-qos0.txt` (a remark)";
    for good in [tested, "client", "n/a: there is no such thing", "open: not yet"] {
        assert_eq!(tree.check(good), Ok(()));
    }
    for wrong in [
        "",
        "clients",
        "n/a: ",
        "tested",
        "`mqtt: no_such_test`",
        "`wire: mqtt_3_12_4_1_pingreq_is_answered`",
        "`mqtt-no-such.txt`",
        "`python/no.py`",
        "client, `mqtt-qos0.txt`",
        "n/a: it is tested by `mqtt: mqtt_3_12_4_1_pingreq_is_answered`",
    ] {
        assert!(tree.check(wrong).is_err(), "{wrong}");
    }
    let pending = Tree { pending: ["mqtt-qos0".to_owned()].into(), ..tree };
    assert!(pending.check("`mqtt-qos0.txt`").is_err() && pending.check(tested).is_ok());
}
