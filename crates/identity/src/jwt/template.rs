//! Subjects with places for what a user's token says: `{{name()}}`, `{{tag(team)}}`. A token of a subject is either
//! such a place or stands for itself.

use super::Token;
use super::account::Role;
use super::claims::{Permission, UserLimits};
use dialtone_subject::set;

/// Subjects that one entry may become.
const SUBJECTS_MAX: usize = 1024;

/// A template that cannot be filled in safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// What would be denied is not a subject.
    #[error("the user's role denies a subject that its token makes invalid")]
    Denied,
    /// Tags have so many values that there would be too many subjects.
    #[error("the user's role makes more than {SUBJECTS_MAX} subjects of one")]
    TooMany,
}

/// What a user may do who has this role.
///
/// A subject to allow that is none when filled in is left out. If nothing is left, nothing is allowed.
pub fn fill(role: &Role, user: &Token, account: &Token) -> Result<UserLimits, TemplateError> {
    let mut limits = role.template.clone();
    for permission in [&mut limits.permissions.publish, &mut limits.permissions.subscribe] {
        *permission = fill_permission(permission, user, account)?;
    }
    Ok(limits)
}

fn fill_permission(
    permission: &Permission,
    user: &Token,
    account: &Token,
) -> Result<Permission, TemplateError> {
    let mut allow = Vec::new();
    for entry in &permission.allow {
        let subjects = fill_entry(entry, user, account)?.into_iter();
        allow.extend(subjects.filter(|s| !has_place(entry) || set::is_valid_filter(s.as_bytes())));
    }
    let mut deny = Vec::new();
    for entry in &permission.deny {
        let subjects = fill_entry(entry, user, account)?;
        if has_place(entry) && !subjects.iter().all(|s| set::is_valid_filter(s.as_bytes())) {
            return Err(TemplateError::Denied);
        }
        deny.extend(subjects);
    }
    if allow.is_empty() && !permission.allow.is_empty() {
        // An empty list would allow everything.
        deny.push(">".to_owned());
    }
    Ok(Permission { allow, deny })
}

fn has_place(entry: &str) -> bool {
    entry.split('.').any(|token| place(token).is_some())
}

fn place(token: &str) -> Option<&str> {
    token.strip_prefix("{{")?.strip_suffix("}}")
}

/// All subjects that an entry becomes: one for each combination of its tags' values.
fn fill_entry(entry: &str, user: &Token, account: &Token) -> Result<Vec<String>, TemplateError> {
    let mut subjects = vec![String::new()];
    for (at, token) in entry.split('.').enumerate() {
        let values = values(token, user, account);
        if subjects.len().saturating_mul(values.len()) > SUBJECTS_MAX {
            return Err(TemplateError::TooMany);
        }
        let dot = if at == 0 { "" } else { "." };
        let longer = |start: &String| values.iter().map(|v| format!("{start}{dot}{v}")).collect::<Vec<_>>();
        subjects = subjects.iter().flat_map(longer).collect();
    }
    Ok(subjects)
}

/// What a token of an entry becomes. An empty value is no token, and so makes no subject.
fn values(token: &str, user: &Token, account: &Token) -> Vec<String> {
    let Some(place) = place(token) else { return vec![token.to_owned()] };
    let place = place.to_lowercase();
    let tagged = |tags: &[String], name: &str| {
        let tags = tags.iter().filter_map(|tag| tag.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<String> = tags.map(ToOwned::to_owned).collect();
        if values.is_empty() { vec![String::new()] } else { values }
    };
    let argument = |function: &str| place.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
    match place.as_str() {
        "name()" => vec![user.name.clone()],
        "subject()" => vec![user.subject.to_string()],
        "account-name()" => vec![account.name.clone()],
        "account-subject()" => vec![account.subject.to_string()],
        _ => match (argument("tag"), argument("account-tag")) {
            (Some(name), _) => tagged(&user.tags, name),
            (_, Some(name)) => tagged(&account.tags, name),
            _ => vec![String::new()],
        },
    }
}
