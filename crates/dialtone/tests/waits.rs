//! Every wait of a test has a bound and reports what it waited for: one test without hangs the whole run, and nobody sees which. Tests wait by
//! `crates/server/tests/common/waiting.rs`, and by nothing else.

use std::fs;
use std::path::{Path, PathBuf};

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() && !entry.ends_with("target") {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|end| end == "rs") {
            found.push(entry);
        }
    }
}

/// The lines of a source that are tests, each with its number.
fn test_lines<'t>(path: &Path, text: &'t str) -> Vec<(usize, &'t str)> {
    let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    if is_test {
        lines.collect()
    } else {
        lines.skip_while(|(_, line)| line.trim() != "mod tests {").collect()
    }
}

/// What is wrong with a line; `statement` is that line and what belongs to it.
fn unbounded(line: &str, statement: &str) -> Option<&'static str> {
    let has = |text: &str| line.contains(text);
    let is_one_of = |texts: &[&str]| texts.iter().any(|text| statement.contains(text));
    let asks = ["line(", "read(", "sync(", "request("].iter().any(|text| has(text));
    if has("yield_now(") || has("thread::sleep(") || has("while ") && asks && line.ends_with(" {}") {
        return Some("wait_until, or tries");
    }
    // Who is held up until the test is over ends with it.
    if has(".recv()") && !has("let _ = ") {
        return Some("receive");
    }
    let connects = ["TcpStream::connect(", "UnixStream::connect(", ".connect_in_process()"];
    if connects.iter().any(|text| has(text)) && !is_one_of(&[".bounded()", "map_err", "is_err", "mio::"]) {
        return Some("Bounded");
    }
    // A server of a test's own goes on until the test is over.
    if has(".accept()") && !has("while let Ok(") {
        return Some("accept");
    }
    let is_end_seen = ["match ", "while ", "if ", "ok()?", "> 0"];
    if has(".read_line(") && !is_one_of(&is_end_seen) {
        return Some("NextLine");
    }
    None
}

#[test]
fn no_test_waits_without_a_bound() {
    let mut files = Vec::new();
    sources(&crates(), &mut files);
    let own = [Path::new("common/waiting.rs"), Path::new("dialtone/tests/waits.rs")];
    let mut seen = 0;
    let mut wrong = Vec::new();
    for path in files.iter().filter(|path| !own.iter().any(|own| path.ends_with(own))) {
        let text = fs::read_to_string(path).expect("a source");
        let lines = test_lines(path, &text);
        for (at, (number, line)) in lines.iter().enumerate() {
            let rest = lines.iter().skip(at).map(|(_, line)| *line);
            let end = rest.clone().take(5).position(|line| line.ends_with(';')).unwrap_or(4);
            let statement: String = rest.take(end + 1).collect();
            if let Some(instead) = unbounded(line, &statement) {
                wrong.push(format!("{}:{number}: {} (use {instead})", path.display(), line.trim()));
            }
            seen += usize::from(statement.contains(".bounded()"));
        }
    }
    assert!(wrong.is_empty(), "these may wait for ever:\n{}", wrong.join("\n"));
    assert!(seen > 20, "the sources are not where they were");
}
