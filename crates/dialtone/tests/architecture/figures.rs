//! Figures of the structure, which docs/ARCHITECTURE.md shows as they are.

use crate::rooms::{Rooms, drawn};
use crate::source::{self, Source};
use std::path::Path;

const BEGIN: &str = "<!-- figures: made by a test -->\n";
const END: &str = "<!-- end of figures -->";
/// Lines of code of a function, and fields of a struct, up to which none is named.
const LINES_FREE: usize = 60;
const FIELDS_FREE: usize = 14;

/// Everything that `word` begins, by name, with what `count` finds in its lines.
fn all(sources: &[Source], word: &str, count: fn(&[&str]) -> usize) -> Vec<(String, usize)> {
    let mut out = Vec::new();
    for source in sources {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = named(line, word) else { continue };
            let indent = line.len() - line.trim_start().len();
            let close = format!("{}}}", " ".repeat(indent));
            let Some(open) = lines[at..].iter().position(|line| line.ends_with(['{', ';', '}'])) else {
                continue;
            };
            if !lines[at + open].ends_with('{') {
                continue;
            }
            let Some(end) = lines[at + open..].iter().position(|line| line.trim_end() == close) else {
                continue;
            };
            let found = count(&lines[at + open + 1..at + open + end]);
            out.push(([&source.module.join("::"), "::", &name].concat(), found));
        }
    }
    out
}

/// The largest, with its name; the first of several.
fn largest(sources: &[Source], word: &str, count: fn(&[&str]) -> usize) -> (usize, String) {
    let none = (0, String::new());
    all(sources, word, count).into_iter().fold(
        none,
        |largest, (name, found)| {
            if found > largest.0 { (found, name) } else { largest }
        },
    )
}

/// The name of an item that a line begins: `pub(crate) const fn name(`.
fn named(line: &str, word: &str) -> Option<String> {
    let mut words = line
        .trim_start()
        .split(' ')
        .skip_while(|word| word.starts_with("pub") || matches!(*word, "const" | "async" | "unsafe"));
    let is = words.next() == Some(word);
    let name = words.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    is.then(|| name.to_owned())
}

fn code_lines(body: &[&str]) -> usize {
    body.iter().filter(|line| !line.trim().is_empty()).count()
}

fn fields(body: &[&str]) -> usize {
    let indent = body.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let is_field = |line: &&&str| {
        let line = line.get(indent..).unwrap_or_default();
        let name = line
            .rsplit_once("pub")
            .map_or(line, |(_, rest)| rest.trim_start_matches("(crate)").trim_start_matches("(super)"));
        line.starts_with(|c: char| c.is_alphabetic()) && name.contains(':')
    };
    body.iter().filter(is_field).count()
}

fn made(root: &Path, map: &str) -> String {
    let mut out = "\n| crate | rooms in circles | longest function, lines of code | largest struct, fields |\n|---|---|---|---|\n".to_owned();
    let mut crates: Vec<String> =
        drawn(map).into_iter().filter_map(|(name, _)| Some(name.split("::").next()?.to_owned())).collect();
    crates.dedup();
    for name in crates {
        let sources = source::all(&root.join("crates").join(&name).join("src"));
        let parts = drawn(map).into_iter().filter(|(of, _)| of.split("::").next() == Some(&name));
        let circles: usize = parts.map(|(of, _)| Rooms::of(&root.join("crates"), &of).in_circles()).sum();
        let show = |(count, name): (usize, String), free: usize| {
            if count > free { format!("{count}: `{name}`") } else { format!("at most {free}") }
        };
        let function = show(largest(&sources, "fn", code_lines), LINES_FREE);
        let structure = show(largest(&sources, "struct", fields), FIELDS_FREE);
        out += &format!("| `{name}` | {circles} | {function} | {structure} |\n");
    }
    out + "\n"
}

#[test]
fn the_figures_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("docs/ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).expect("the map is there");
    let (before, rest) = text.split_once(BEGIN).expect("the figures begin");
    let (shown, after) = rest.split_once(END).expect("the figures end");
    let made = made(&root, &text);
    if std::env::var_os("REFRESH").is_some() {
        std::fs::write(path, [before, BEGIN, &made, END, after].concat()).expect("written");
        return;
    }
    assert_eq!(shown, made, "refresh them: REFRESH=1 cargo test -p dialtone --test architecture");
}

/// All of `word` in which `count` finds more than `most`.
fn over(sources: &[Source], word: &str, count: fn(&[&str]) -> usize, most: usize) -> Vec<(String, usize)> {
    all(sources, word, count).into_iter().filter(|(_, found)| *found > most).collect()
}

/// What holds much is made of parts: then a signature can say what a function needs of it.
#[test]
fn structs_are_made_of_parts() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["broker", "config", "net", "server"] {
        let sources = source::all(&crates.join(name).join("src"));
        let over = over(&sources, "struct", fields, FIELDS_FREE);
        assert_eq!(over, [], "of more than {FIELDS_FREE} fields, in {name}");
    }
}

#[test]
fn lines_and_fields_are_counted() {
    let text = "pub fn a(\n    b: u8,\n) -> u8 {\n    c();\n\n    d()\n}\n\npub(crate) struct E<T> {\n    pub f: Vec<\n        u8,\n    >,\n    #[g]\n    pub(crate) h: T,\n}\nfn i() {}\n";
    let sources = [Source { path: "".into(), module: vec!["m".into()], text: text.into() }];
    assert_eq!(largest(&sources, "fn", code_lines), (2, "m::a".into()));
    assert_eq!(largest(&sources, "struct", fields), (2, "m::E".into()));
}
