//! Imports that lead back to where they came from: refused, so that nobody has to wonder what they mean.
//!
//! A cycle is what the official server calls one, in whichever order it looks: following what an import is called here, from
//! account to account, leads to an account that was passed. A request never comes to a service twice, so what is no cycle in
//! this sense ends too.

use super::{Import, ImportKind, Sharer};
use crate::options::Account;
use dialtone_subject::is_literal;
use dialtone_subject::set::{contains, overlap};
use std::collections::{HashMap, HashSet};

/// Accounts that are followed before the search is given up. The official figure.
const DEPTH_MAX: usize = 1024;

/// What an account imports, by the subject that meets others: a service by the subject there, a stream by that here.
pub(super) struct Imports<'a> {
    services: Subjects<'a>,
    streams: Subjects<'a>,
}

/// Imports by a subject; those with literal subjects are found at once.
#[derive(Default)]
struct Subjects<'a> {
    literal: HashMap<String, Vec<&'a Import>>,
    wild: Vec<(String, &'a Import)>,
}

impl<'a> Subjects<'a> {
    fn insert(&mut self, subject: String, import: &'a Import) {
        if is_literal(subject.as_bytes()) {
            self.literal.entry(subject).or_default().push(import);
        } else {
            self.wild.push((subject, import));
        }
    }

    /// Those that have a subject in common with `subject`.
    fn meeting(&self, subject: &str) -> Vec<&'a Import> {
        let meets = |other: &str| overlap(other.as_bytes(), subject.as_bytes());
        let mut found: Vec<&Import> =
            self.wild.iter().filter(|(other, _)| meets(other)).map(|(_, import)| *import).collect();
        if is_literal(subject.as_bytes()) {
            found.extend(self.literal.get(subject).into_iter().flatten());
        } else {
            let literal = self.literal.iter().filter(|(other, _)| meets(other));
            found.extend(literal.flat_map(|(_, imports)| imports));
        }
        found
    }
}

impl<'a> Imports<'a> {
    pub(super) fn new(imports: &'a [Import]) -> Self {
        let (mut services, mut streams) = (Subjects::default(), Subjects::default());
        for import in imports {
            match import.kind {
                ImportKind::Service { .. } => services.insert(import.subject.clone(), import),
                ImportKind::Stream { .. } => streams.insert(import.local(), import),
            }
        }
        Self { services, streams }
    }
}

/// Whether an import of `account` closes a cycle.
///
/// The official server looks when it adds an import, at those that it has added before, in an order that is another at each
/// start. A ring counts here if it is found whichever of its imports comes last: what starts sometimes there starts here.
pub(super) fn problem(
    account: &Account,
    import: &Import,
    accounts: &HashMap<&str, Sharer<'_>>,
) -> Option<&'static str> {
    let found_by_all = |ring: &[Step<'_>]| {
        let mut others = ring.iter().filter(|step| !std::ptr::eq(step.import, import));
        others.all(|step| search(step, accounts, &|_| true).is_some())
    };
    search(&Step { account: &account.name, import }, accounts, &found_by_all)
}

/// An import on the way, and whose it is.
#[derive(Clone, Copy)]
struct Step<'a> {
    account: &'a str,
    import: &'a Import,
}

/// Follows an import until it meets an account again by a ring that counts.
fn search<'a>(
    first: &Step<'a>,
    accounts: &HashMap<&'a str, Sharer<'a>>,
    counts: &dyn Fn(&[Step<'a>]) -> bool,
) -> Option<&'static str> {
    let import = first.import;
    // An account may import from itself; nothing goes round there.
    if import.account == first.account {
        return None;
    }
    let is_service = matches!(import.kind, ImportKind::Service { .. });
    let mut seen = HashSet::new();
    let mut path: Vec<Step<'_>> = Vec::new();
    // Each entry: the step that leads there, the subject to follow, and the steps before.
    let mut visits = vec![(*first, import.local(), 0)];
    if !is_service {
        visits.push((*first, import.subject.clone(), 0));
    }
    while let Some((step, subject, depth)) = visits.pop() {
        path.truncate(depth);
        if path.len() >= DEPTH_MAX {
            return Some("search cycle depth exhausted");
        }
        let name = step.import.account.as_str();
        let Some(sharer) = accounts.get(name) else { continue };
        if !seen.insert((name, subject.clone())) {
            continue;
        }
        path.push(step);
        let imports = if is_service { &sharer.imports.services } else { &sharer.imports.streams };
        if !is_service && !sharer.exports_stream(&subject) {
            continue;
        }
        for next in imports.meeting(&subject).into_iter().filter(|next| next.account != name) {
            let step = Step { account: name, import: next };
            if let Some(start) = path.iter().position(|passed| passed.account == next.account) {
                let ring: Vec<Step<'_>> = path.iter().skip(start).copied().chain([step]).collect();
                if counts(&ring) {
                    return Some("import forms a cycle");
                }
                continue;
            }
            let local = next.local();
            let narrower = contains(subject.as_bytes(), local.as_bytes());
            let follow = if narrower { local } else { subject.clone() };
            visits.push((step, follow, path.len()));
        }
    }
    None
}
