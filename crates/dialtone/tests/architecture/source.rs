//! A crate's sources as the tests of the architecture read them: without tests, comments and strings, and what they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub struct Source {
    pub path: PathBuf,
    /// Its module, from the root of the crate.
    pub module: Vec<String>,
    /// Its text, as many lines as the file has up to its tests.
    pub text: String,
}

/// The files of a crate. `src` is its folder of sources.
pub fn all(src: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    visit(src, &mut paths);
    paths.sort();
    let mut sources: Vec<Source> = paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source is UTF-8");
            let module = module_of(path.strip_prefix(src).expect("within the crate"));
            Source { path, module, text: plain(&text) }
        })
        .collect();
    let tests: BTreeSet<Vec<String>> = sources.iter_mut().flat_map(Source::take_tests_out).collect();
    sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
    sources
}

fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        path.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into()).collect();
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

impl Source {
    /// Cuts off the tests, which are last. The modules that are tests and stand in files of their own.
    fn take_tests_out(&mut self) -> Vec<Vec<String>> {
        let (mut kept, mut modules) = (String::new(), Vec::new());
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if line.trim_end() != "#[cfg(test)]" {
                kept.push_str(line);
                kept.push('\n');
                continue;
            }
            let item = lines.find(|line| !line.starts_with("#[")).unwrap_or_default();
            let name = item.split("mod ").nth(1).unwrap_or_default().trim_end_matches([' ', '{', ';']);
            if !name.is_empty() {
                modules.push([&self.module[..], &[name.to_owned()]].concat());
                if item.ends_with('{') {
                    break;
                }
            }
        }
        self.text = kept;
        modules
    }

    /// All paths that begin with `crate`, `super` or `self`, from the root of the crate.
    pub fn named(&self) -> Vec<Vec<String>> {
        let mut out = Vec::new();
        for (start, base) in
            [("crate::", 0), ("super::", self.module.len().saturating_sub(1)), ("self::", self.module.len())]
        {
            for (at, _) in self.text.match_indices(start) {
                let before = self.text[..at].chars().next_back();
                if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                    tree(&mut &self.text[at + start.len()..], &self.module[..base], &mut out);
                }
            }
        }
        out
    }

    /// What its `use` lines bring in: the name here, and the path.
    pub fn imported(&self) -> Vec<(String, Vec<String>)> {
        let uses = self.text.match_indices("use ").filter(|(at, _)| {
            let line = self.text[..*at].rsplit('\n').next().unwrap_or_default();
            matches!(line, "" | "pub " | "pub(crate) " | "pub(super) ")
        });
        let mut out = Vec::new();
        for (at, _) in uses {
            let mut paths = Vec::new();
            tree(&mut &self.text[at + 4..], &[], &mut paths);
            for path in paths {
                let path = match path.first().map(String::as_str) {
                    Some("crate") => path[1..].to_vec(),
                    Some("self") => [&self.module[..], &path[1..]].concat(),
                    _ => [&self.module[..], &path].concat(),
                };
                out.push((path.last().cloned().unwrap_or_default(), path));
            }
        }
        out
    }
}

/// Reads one tree of paths, as behind `use`, which stands below `base`.
fn tree(text: &mut &str, base: &[String], out: &mut Vec<Vec<String>>) {
    *text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        *text = list;
        while !text.trim_start().starts_with('}') && !text.trim_start().is_empty() {
            tree(text, base, out);
            // ` as name` says nothing of where it is.
            *text = text.trim_start_matches(|c| c != ',' && c != '}');
            *text = text.strip_prefix(',').unwrap_or(text);
        }
        *text = text.trim_start().strip_prefix('}').unwrap_or(text);
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    *text = rest;
    let here = match word {
        "" => return out.push(base.to_vec()),
        "super" => base[..base.len().saturating_sub(1)].to_vec(),
        "self" => base.to_vec(),
        word => [base, &[word.to_owned()]].concat(),
    };
    match rest.strip_prefix("::") {
        Some(more) => {
            *text = more;
            tree(text, &here, out);
        }
        None => out.push(here),
    }
}

/// The text with blanks in place of comments, and nothing within quotes.
fn plain(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            quoted(rest)
        } else if let Some(end) = raw(rest) {
            end
        } else if first == '\'' && character(rest) > 0 {
            character(rest)
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let (gone, after) = rest.split_at(taken);
        out.extend(gone.chars().filter(|&c| c == '\n'));
        rest = after;
    }
    out
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The end of a raw string, if one begins here.
fn raw(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.find(|c| c != '#')?;
    hashes[count..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(count));
    let begin = count + 2;
    text[begin..].find(&close).map(|at| begin + at + close.len())
}

/// The length of a character in quotes; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, _))) => text[at + 1..].find('\'').map_or(0, |end| at + 1 + end + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: PathBuf::new(), module: vec!["a".into(), "b".into()], text: plain(text) }
    }

    #[track_caller]
    fn names(text: &str, expected: &[&str]) {
        let named: Vec<String> = source(text).named().iter().map(|path| path.join("::")).collect();
        assert_eq!(named, expected, "{text}");
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        names("use crate::x::{self, y::Z as W, v};", &["x", "x::y::Z", "x::v"]);
        names("let x = f(&crate::x::Y::new(), super::c::D);", &["x::Y::new", "a::c::D"]);
        names("use super::super::x;\nuse self::y::*;", &["x", "a::b::y"]);
        names("// crate::x\nlet a = \"crate::y\"; let b = '\"'; let c = r#\"crate::z\"#;", &[]);
        names("pub(super) fn f<'a>(a: &'a str) { other_crate::x() }", &[]);
    }

    #[test]
    fn tests_are_left_out() {
        let mut source = source(
            "fn a() {}\n#[cfg(test)]\npub(crate) mod simulated;\nfn b() {}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n",
        );
        assert_eq!(source.take_tests_out(), [["a", "b", "simulated"], ["a", "b", "tests"]]);
        assert_eq!(source.text, "fn a() {}\nfn b() {}\n");
    }
}
