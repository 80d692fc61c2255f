//! Agreements that are nearly there: why a message does not come to an account, or not from one.

use super::context::{ExplainContext, place};
use super::publish::At;
use super::report::{Step, What};
use dialtone_broker::account::{Account, GLOBAL, SYSTEM};
use dialtone_config::sharing::{Export, ExportKind, Import, ImportKind, may_import};
use dialtone_subject::set;
use std::collections::HashSet;

/// Agreements that are listed, if no other account is asked for.
const LISTED_MAX: usize = 8;

/// Accounts that are named together.
const NAMED_MAX: usize = 5;

/// Why a message in an account does not come to `other`, or, without one, where else it might go.
pub(super) fn of_message(
    context: &ExplainContext<'_>,
    at: At<'_>,
    other: Option<&Account>,
    arrived: &[&str],
) -> Vec<Step> {
    let mut out = MissingSteps { context, at, steps: Vec::new() };
    let arrived: HashSet<&str> = arrived.iter().copied().collect();
    let here = context.agreements(&at.account.name);
    let is = |subject: &str| set::matches(subject.as_bytes(), at.subject.as_bytes());
    let others = |out: &MissingSteps<'_>| match other {
        Some(other) => vec![other.name.to_string()],
        None => out.others(),
    };
    let unreached: Vec<String> =
        others(&out).into_iter().filter(|name| !arrived.contains(name.as_str())).collect();
    if let (Some(other), false) = (other, unreached.is_empty()) {
        let name = context.name(other);
        out.stop(format!("it does not arrive in account {name}"), None);
    }
    // As a stream: this account exports, the other one takes.
    let streams: Vec<&Export> = here
        .exports
        .iter()
        .filter(|export| export.kind == ExportKind::Stream && is(&export.subject))
        .collect();
    if other.is_some() && !unreached.is_empty() && streams.is_empty() {
        let name = context.name(at.account);
        out.note(format!("account {name} exports no stream that {} is in", at.subject), None);
    }
    for export in &streams {
        out.for_importers(export, &unreached, other.is_some(), &stream(&at.account.name, at.subject));
    }
    // As a request: the other account exports, this one asks.
    for name in &unreached {
        let there = context.agreements(name);
        let services = there.exports.iter().filter(|export| matches!(export.kind, ExportKind::Service(_)));
        for export in services.filter(|export| is(&export.subject)) {
            out.export(export, name, &at.account.name, &service(name, at.subject));
        }
        if other.is_some() {
            for import in here.imports.iter().filter(|import| import.account == *name) {
                if let ImportKind::Service { .. } = import.kind {
                    let note = format!("a service of that account is asked by {}", import.local());
                    out.note(note, place(&import.at));
                }
            }
        }
    }
    out.invalid(&at.account.name, &unreached);
    out.steps
}

/// Why a subscription gets nothing from `other`, or, without one, from where else it might.
pub(super) fn of_subscription(
    context: &ExplainContext<'_>,
    at: At<'_>,
    other: Option<&Account>,
    known: &[&str],
) -> Vec<Step> {
    let mut out = MissingSteps { context, at, steps: Vec::new() };
    let known: HashSet<&str> = known.iter().copied().collect();
    let here = context.agreements(&at.account.name);
    let meets = |subject: &str| set::overlap(subject.as_bytes(), at.subject.as_bytes());
    let others = match other {
        Some(other) => vec![other.name.to_string()],
        None => out.others(),
    };
    let unknown: Vec<String> = others.into_iter().filter(|name| !known.contains(name.as_str())).collect();
    if let (Some(other), false) = (other, unknown.is_empty()) {
        let name = context.name(other);
        out.stop(format!("nothing comes from account {name}"), None);
    }
    for name in &unknown {
        let there = context.agreements(name);
        for export in there.exports.iter().filter(|e| e.kind == ExportKind::Stream && meets(&e.subject)) {
            out.export(export, name, &at.account.name, &stream(name, &export.subject));
        }
        for import in here.imports.iter().filter(|import| import.account == *name && other.is_some()) {
            if let ImportKind::Stream { .. } = import.kind {
                out.note(
                    format!("a stream of that account arrives as {}", import.local()),
                    place(&import.at),
                );
            }
        }
    }
    for export in here.exports.iter().filter(|e| e.kind != ExportKind::Stream && meets(&e.subject)) {
        out.for_importers(export, &unknown, other.is_some(), &service(&at.account.name, &export.subject));
    }
    if let (Some(other), 1) = (other, out.steps.len()) {
        let name = context.name(other);
        out.note(format!("account {name} exports no stream with it, and this account no service"), None);
    }
    out.invalid(&at.account.name, &unknown);
    out.steps
}

fn stream(exporter: &str, subject: &str) -> Import {
    let kind = ImportKind::Stream { prefix: None, to: None, allow_trace: false };
    Import { at: Default::default(), account: exporter.to_owned(), subject: subject.to_owned(), kind }
}

fn service(exporter: &str, subject: &str) -> Import {
    let kind = ImportKind::Service { to: subject.to_owned(), share: false };
    Import { at: Default::default(), account: exporter.to_owned(), subject: subject.to_owned(), kind }
}

fn kind(export: &Export) -> &'static str {
    match export.kind {
        ExportKind::Stream => "stream",
        ExportKind::Service(_) => "service",
    }
}

struct MissingSteps<'a> {
    context: &'a ExplainContext<'a>,
    at: At<'a>,
    steps: Vec<Step>,
}

impl MissingSteps<'_> {
    /// All other accounts, by name.
    fn others(&self) -> Vec<String> {
        let all = self.context.node.accounts.all();
        let others = all.iter().filter(|account| account.id != self.at.account.id);
        others.map(|account| account.name.to_string()).collect()
    }

    fn push(&mut self, what: What) {
        let At { level, account, subject } = self.at;
        let account = self.context.name(account);
        self.steps.push(Step { level, account, subject: subject.to_owned(), what });
    }

    fn note(&mut self, note: String, at: Option<String>) {
        if self.steps.len() < LISTED_MAX {
            self.push(What::Note { note, at });
        }
    }

    fn stop(&mut self, why: String, at: Option<String>) {
        self.push(What::Stops { why, at });
    }

    /// An export that no import takes, or none that fits: whether one could.
    fn export(&mut self, export: &Export, exporter: &str, importer: &str, wish: &Import) {
        let what = kind(export);
        let (from, to) = (self.context.name_of(exporter), self.context.name_of(importer));
        let subject = &export.subject;
        let note = if may_import(&self.context.agreements(exporter).exports, wish, importer) {
            format!("account {from} exports {what} {subject}, and account {to} does not import it")
        } else {
            format!("account {from} exports {what} {subject}, but not to account {to}")
        };
        self.note(note, place(&export.at));
    }

    /// An export of this account: each of a few that are asked for, or together all who could import it.
    fn for_importers(&mut self, export: &Export, importers: &[String], each: bool, wish: &Import) {
        let exporter = self.at.account.name.to_string();
        if each {
            return importers.iter().for_each(|name| self.export(export, &exporter, name, wish));
        }
        let exports = self.context.agreements(&exporter).exports;
        let could = importers.iter().filter(|name| may_import(&exports, wish, name));
        let mut could: Vec<String> = could.cloned().collect();
        could.retain(|name| *name != *GLOBAL && *name != *SYSTEM);
        let more = could.len().saturating_sub(NAMED_MAX);
        could.truncate(NAMED_MAX);
        let named: Vec<String> = could.iter().map(|name| self.context.name_of(name)).collect();
        if named.is_empty() {
            return;
        }
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (from, what, subject) = (self.context.name_of(&exporter), kind(export), &export.subject);
        let named = named.join(", ");
        let note = format!(
            "account {from} exports {what} {subject}, and these accounts could import it, but do not: {named}{more}"
        );
        self.note(note, place(&export.at));
    }

    /// Imports between these accounts that do not hold.
    fn invalid(&mut self, here: &str, others: &[String]) {
        for name in std::iter::once(here).chain(others.iter().map(String::as_str)) {
            for (subject, why, at) in self.context.agreements(name).invalid {
                let name = self.context.name_of(name);
                self.note(format!("account {name} cannot import {subject:?}: {why}"), at);
            }
        }
    }
}
