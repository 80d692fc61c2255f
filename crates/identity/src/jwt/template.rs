//! Subjects with places for what a user's token says: `{{name()}}`, `x-{{tag(team)}}.>`.
//!
//! What is filled in must not widen a subject: a value with a wildcard makes no subject. (The official server takes it.)

use super::DecodedJwt;
use super::account::Role;
use super::claims::{Permission, UserLimits};
use dialtone_subject::set;

/// Subjects that a list of entries may become. The official figure.
const SUBJECTS_MAX: usize = 4096;

/// A template that cannot be filled in safely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// What would be denied is not a subject.
    #[error("the user's role denies a subject that its token makes invalid")]
    Denied,
    /// A place for something unknown.
    #[error("the user's role has a place for {0:?}, which is not defined")]
    Unknown(String),
    /// Tags have so many values that there would be too many subjects.
    #[error("the user's role makes more than {SUBJECTS_MAX} subjects of one list")]
    TooMany,
}

/// What a user may do who has this role.
///
/// A subject to allow that is none when filled in is left out. If nothing is left, nothing is allowed.
pub fn fill(role: &Role, user: &DecodedJwt, account: &DecodedJwt) -> Result<UserLimits, TemplateError> {
    let mut limits = role.template.clone();
    for permission in [&mut limits.permissions.publish, &mut limits.permissions.subscribe] {
        *permission = fill_permission(permission, user, account)?;
    }
    Ok(limits)
}

fn fill_permission(
    permission: &Permission,
    user: &DecodedJwt,
    account: &DecodedJwt,
) -> Result<Permission, TemplateError> {
    let allow: Vec<String> = fill_list(&permission.allow, user, account)?.into_iter().flatten().collect();
    let mut deny = Vec::new();
    for subject in fill_list(&permission.deny, user, account)? {
        deny.push(subject.ok_or(TemplateError::Denied)?);
    }
    if allow.is_empty() && !permission.allow.is_empty() {
        // An empty list would allow everything.
        deny.push(">".to_owned());
    }
    Ok(Permission { allow, deny })
}

/// The subjects that a list becomes; `None` for each that is none when filled in.
fn fill_list(
    entries: &[String],
    user: &DecodedJwt,
    account: &DecodedJwt,
) -> Result<Vec<Option<String>>, TemplateError> {
    let mut list = Vec::new();
    for entry in entries {
        let places = places(entry);
        if places.is_empty() {
            list.push(Some(entry.clone()));
            continue;
        }
        // The same place has the same value throughout a subject; different ones are combined.
        let mut filled = vec![Some(entry.clone())];
        for place in places {
            let values = values(place, user, account)?;
            if list.len() + filled.len().saturating_mul(values.len()) > SUBJECTS_MAX {
                return Err(TemplateError::TooMany);
            }
            let with = |subject: &Option<String>| -> Vec<Option<String>> {
                let fill = |value: &String| Some(subject.as_ref()?.replace(place, narrow(value)?));
                values.iter().map(fill).collect()
            };
            filled = filled.iter().flat_map(with).collect();
        }
        list.extend(filled.into_iter().map(|subject| subject.filter(|s| set::is_valid_filter(s.as_bytes()))));
    }
    Ok(list)
}

/// A value that cannot widen a subject.
fn narrow(value: &str) -> Option<&str> {
    (!value.is_empty() && !value.contains(['*', '>'])).then_some(value)
}

/// The places in an entry, braces and all, each once.
fn places(entry: &str) -> Vec<&str> {
    let mut places = Vec::new();
    let mut rest = entry;
    while let Some(start) = rest.find("{{") {
        let place = rest.get(start..).unwrap_or_default();
        match place.find('}') {
            Some(end) if end > 2 && place.get(end..).is_some_and(|rest| rest.starts_with("}}")) => {
                let (place, behind) = place.split_at(end + 2);
                if !places.contains(&place) {
                    places.push(place);
                }
                rest = behind;
            }
            _ => rest = place.get(1..).unwrap_or_default(),
        }
    }
    places
}

/// What a place becomes. No value is an empty one.
fn values(place: &str, user: &DecodedJwt, account: &DecodedJwt) -> Result<Vec<String>, TemplateError> {
    let within = place.strip_prefix("{{").and_then(|place| place.strip_suffix("}}"));
    let place = within.unwrap_or(place).trim().to_lowercase();
    let tagged = |tags: &[String], name: &str| {
        let tags = tags.iter().filter_map(|tag| tag.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<String> = tags.map(ToOwned::to_owned).collect();
        if values.is_empty() { vec![String::new()] } else { values }
    };
    let argument = |function: &str| place.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
    Ok(match place.as_str() {
        "name()" => vec![user.name.clone()],
        "subject()" => vec![user.subject.to_string()],
        "account-name()" => vec![account.name.clone()],
        "account-subject()" => vec![account.subject.to_string()],
        _ => match (argument("tag"), argument("account-tag")) {
            (Some(name), _) => tagged(&user.tags, name),
            (_, Some(name)) => tagged(&account.tags, name),
            _ => return Err(TemplateError::Unknown(place)),
        },
    })
}
