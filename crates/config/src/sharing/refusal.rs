//! Why an import is not authorized: who exports what, and to whom.

use super::{Export, ExportKind, Import, ImportKind, deciding};
use dialtone_subject::set::{contains, overlap};

/// Why an account with these exports does not let `importer` have what it imports, for people.
pub fn why(exports: &[Export], import: &Import, importer: &str) -> String {
    let (exporter, kind, subject) = (&import.account, import.kind.name(), &import.subject);
    let decide = deciding(exports, import);
    let refuses = |export: &&&Export| {
        let mut same = decide.iter().filter(|other| other.subject == export.subject);
        !same.any(|other| other.lets(import, importer))
    };
    if let Some(export) = decide.iter().find(refuses) {
        return format!(
            "account {exporter} exports {kind} {}{}{}",
            export.subject,
            audience(export),
            place(export)
        );
    }
    let is_of_kind = |export: &&Export| {
        matches!(
            (&export.kind, &import.kind),
            (ExportKind::Stream, ImportKind::Stream { .. })
                | (ExportKind::Service(_), ImportKind::Service { .. })
        )
    };
    let other =
        |export: &&Export| !is_of_kind(export) && contains(export.subject.as_bytes(), subject.as_bytes());
    if let Some(export) = exports.iter().find(other) {
        let other = export.kind.name();
        return format!(
            "account {exporter} exports {} as a {other}, not as a {kind}{}",
            export.subject,
            place(export)
        );
    }
    let near =
        |export: &&Export| is_of_kind(export) && overlap(export.subject.as_bytes(), subject.as_bytes());
    match exports.iter().find(near) {
        Some(export) => format!(
            "account {exporter} exports {kind} {}, which does not contain all of {subject}{}",
            export.subject,
            place(export)
        ),
        None => format!("account {exporter} exports no {kind} that contains {subject}"),
    }
}

/// To whom something is exported.
fn audience(export: &Export) -> String {
    let mut to = Vec::new();
    if !export.accounts.is_empty() {
        to.push(format!("to {}", export.accounts.join(", ")));
    }
    if let Some(position) = export.account_token_position {
        to.push(format!("to the account that is named by token {position} of what it imports"));
    }
    format!(" only {}", to.join(" and "))
}

fn place(export: &Export) -> String {
    if export.at.line == 0 { String::new() } else { format!(", at {}", *export.at) }
}
