//! Every key with every odd value: what is refused, doubted and taken, against what is kept of the official server
//! (tests/config-values). What servers that run say of themselves is compared by `tests/config-values/play`.

use dialtone_config::{ConfigError, ConfigErrors, Options};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

const CONTEXTS: &str = include_str!("../../../../tests/config-values/contexts");
const VALUES: &str = include_str!("../../../../tests/config-values/values");
const OUTCOMES: &str = include_str!("../../../../tests/config-values/outcomes.txt");
const DIFFERENCES: &str = include_str!("../../../../tests/config-values/differences");

fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A row of a table: a key, a word, values.
fn rows(table: &str) -> impl Iterator<Item = ((&str, &str), &str)> {
    lines(table).flat_map(|line| {
        let mut cells = line.split('\t');
        let mut cell = || cells.next().expect("a cell");
        let (key, word, values) = (cell(), cell(), cell());
        let values: Vec<&str> =
            if values == "*" { lines(VALUES).collect() } else { values.split(" | ").collect() };
        values.into_iter().map(move |value| ((key, value), word))
    })
}

/// Blocks of which not all is carried out: their values are read and checked all the same.
const IN_PART: [&str; 3] = ["cluster.", "gateway.", "leafnodes."];

/// Whether this is refused only because it is not carried out.
fn is_to_come(error: &ConfigError) -> bool {
    error.problem.ends_with("not part of this version")
}

fn load(key: &str, text: &str) -> Result<Options, ConfigErrors> {
    let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    if IN_PART.iter().any(|block| key.starts_with(block)) {
        let partial = dialtone_config::load_partial_text(text, "t.conf", &mut files, &|_| None);
        return partial.and_then(|partial| {
            let refused: Vec<_> = partial.not_supported.into_iter().filter(|e| !is_to_come(e)).collect();
            if refused.is_empty() { Ok(partial.options) } else { Err(ConfigErrors(refused)) }
        });
    }
    dialtone_config::load_text(text, "t.conf", &mut files, &|_| None)
}

/// What `-t` and a start make of a configuration.
fn outcome(key: &str, text: &str) -> (&'static str, String) {
    match load(key, text) {
        Err(problem) => ("refused", problem.to_string()),
        Ok(options) => {
            let mut problems = dialtone_server::policy::check(&options);
            problems.retain(|problem| !is_to_come(problem));
            match problems.as_slice() {
                [] if options.source.doubts.is_empty() => ("starts", String::new()),
                [] => ("warned", format!("{:?}", options.source.doubts)),
                problems => ("refused", format!("{problems:?}")),
            }
        }
    }
}

fn write_certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("write");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("write");
}

#[test]
fn odd_values_mean_what_they_mean_officially() {
    let folder = tempfile::tempdir().expect("folder");
    write_certificate(folder.path());
    let dir = folder.path().display().to_string();
    let contexts: HashMap<&str, &str> = lines(CONTEXTS).filter_map(|line| line.split_once('\t')).collect();
    let listed: HashMap<_, _> = rows(DIFFERENCES).collect();
    let mut unused: HashSet<_> = listed.keys().copied().collect();
    let mut wrong = BTreeMap::new();
    for (row @ (key, value), official) in rows(OUTCOMES) {
        let (block, name) = key.rsplit_once('.').unwrap_or(("", key));
        let text = contexts[block].replace('@', &format!("{name}: {value}")).replace("{dir}", &dir);
        let (ours, problem) = outcome(key, &text);
        let official = official.split(' ').next().unwrap_or_default();
        unused.remove(&row);
        let same = match listed.get(&row) {
            Some(word) => ours == *word,
            // What only a start refuses is not looked for here.
            None => ours == official || official == "unstartable",
        };
        if !same {
            wrong.insert(row, format!("official: {official}, here: {ours} {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(unused.is_empty(), "listed, and there is no such row: {unused:?}");
}
