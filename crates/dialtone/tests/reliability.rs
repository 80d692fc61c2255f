//! The table of docs/reliability.md against the tree: every row has the four cells, and every test that it names exists.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows behind the header `| point |`, as cells.
fn rows(text: &str) -> Vec<Vec<String>> {
    let table = text.lines().skip_while(|line| !line.starts_with("| point |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn visit(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            visit(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// All that a row may name.
fn tests() -> HashSet<String> {
    let mut names = HashSet::new();
    let mut sources = Vec::new();
    visit(&root().join("crates"), "rs", &mut sources);
    for source in sources {
        let text = fs::read_to_string(source).expect("a source is UTF-8");
        let functions = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
        names.extend(functions.filter_map(|rest| rest.split(['(', '<']).next()).map(str::to_owned));
    }
    let mut scenarios = Vec::new();
    visit(&root().join("tests/scenarios"), "txt", &mut scenarios);
    names.extend(
        scenarios.iter().filter_map(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned()),
    );
    let fuzz = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("the fuzz crate has a manifest");
    names.extend(
        fuzz.lines()
            .filter_map(|line| line.strip_prefix("name = "))
            .map(|name| format!("fuzz {}", name.trim_matches('"'))),
    );
    let ci = fs::read_to_string(root().join(".ci/run")).expect("CI has a script");
    let stages = ci.lines().filter_map(|line| line.strip_prefix("stage ")?.split_once(' '));
    names.extend(stages.map(|(name, _)| format!("ci {name}")));
    names
}

#[test]
fn every_row_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/reliability.md")).expect("the document is there");
    let tests = tests();
    for row in rows(&text) {
        assert_eq!(row.len(), 4, "a row has four cells: {row:?}");
        let named: Vec<&str> =
            row.last().map(String::as_str).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "a row names its tests in backticks: {row:?}");
        for name in named {
            assert!(tests.contains(name), "`{name}` of row {:?} is no test in the tree", row.first());
        }
    }
}
