//! Subjects as tokens may name them, and subjects that name parts of others (`$1`).

use super::Issues;
use dialtone_subject::set;

/// A subject or a filter.
pub(super) fn check(subject: &str, issues: &mut Issues) {
    if subject.is_empty() {
        issues.error("subject cannot be empty");
        return;
    }
    issues.refuse_if(subject.contains(' '), || format!("subject {subject:?} cannot have spaces"));
    issues.refuse_if(subject.starts_with('.') || subject.ends_with('.'), || {
        format!("subject {subject:?} cannot start or end with a `.`")
    });
    issues
        .refuse_if(subject.contains(".."), || format!("subject {subject:?} cannot contain consecutive `.`"));
    // The official library lets these pass, and the server then refuses them.
    let odd = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    issues.refuse_if(subject.contains(odd), || format!("subject {subject:?} cannot have control characters"));
}

/// Whether it is a filter for more than one subject.
pub(super) fn has_wildcards(subject: &str) -> bool {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token == "*" || (token == ">" && tokens.peek().is_none()) {
            return true;
        }
    }
    false
}

/// Whether all subjects of `inner` are of `outer`, too. What is no filter is in nothing.
pub fn is_contained(inner: &str, outer: &str) -> bool {
    let valid = |subject: &str| set::is_valid_filter(subject.as_bytes());
    valid(inner) && valid(outer) && set::contains(outer.as_bytes(), inner.as_bytes())
}

/// A subject that may refer to the wildcards of `from`: `a.$1` for `b.*`.
pub(super) fn check_renaming(subject: &str, from: &str, issues: &mut Issues) {
    check(subject, issues);
    issues.refuse_if(from.is_empty(), || "subject cannot be empty".to_owned());
    let is_open = |subject: &str| subject == ">" || subject.ends_with(".>");
    issues.refuse_if(is_open(subject) != is_open(from), || {
        "both, renaming subject and subject, need to end or not end in >".to_owned()
    });
    let wildcards = from.split('.').filter(|token| *token == "*").count();
    let mut used = 0;
    for token in subject.split('.') {
        if token == "*" {
            used += 1;
        }
        let Some(number) = reference(token) else { continue };
        if number > wildcards {
            issues.error(format!(
                "Reference ${number} in {subject:?} reference * in {from:?} that do not exist"
            ));
        } else {
            used += 1;
        }
    }
    issues.refuse_if(used != wildcards, || {
        "subject does not contain enough * or reference wildcards $[0-9]".to_owned()
    });
}

/// The number in `$1`.
fn reference(token: &str) -> Option<usize> {
    token.strip_prefix('$')?.parse().ok()
}

/// The filter of all subjects that a renaming subject can become.
pub(super) fn renamed(subject: &str) -> String {
    let star = |token| if reference(token).is_some() { "*" } else { token };
    subject.split('.').map(star).collect::<Vec<_>>().join(".")
}
