//! What Go's readers say of a choice whose name is none.

use super::parse::{Kind, Node};
use super::read::{Reader, name_of, quoted};
use std::borrow::Cow;

fn raw(node: &Node<'_>) -> String {
    String::from_utf8_lossy(node.raw).into_owned()
}

/// The name that a choice is read by; one has names in any case.
pub(crate) fn spelled<'a>(node: &Node<'a>, refusal: &str) -> Option<Cow<'a, str>> {
    let name = std::str::from_utf8(node.raw).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    Some(match refusal {
        "can_not_unmarshal_in_any_case" => Cow::Owned(name.to_lowercase()),
        _ => Cow::Borrowed(name),
    })
}

pub(crate) fn can_not_unmarshal_in_any_case(node: &Node<'_>, reader: &Reader) -> String {
    can_not_unmarshal(node, reader)
}

pub(crate) fn can_not_unmarshal(node: &Node<'_>, _: &Reader) -> String {
    format!("can not unmarshal {}", quoted(&raw(node)))
}

pub(crate) fn consumer_action(node: &Node<'_>, _: &Reader) -> String {
    format!("unknown consumer action: {}", raw(node))
}

pub(crate) fn priority_policy(node: &Node<'_>, _: &Reader) -> String {
    format!("unknown priority policy: {}", raw(node))
}

pub(crate) fn compression(node: &Node<'_>, reader: &Reader) -> String {
    match &node.kind {
        Kind::Text(_) | Kind::Null => "unknown compression algorithm".to_owned(),
        other => reader.mismatched(name_of(other), "string"),
    }
}
