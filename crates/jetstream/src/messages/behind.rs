//! Which subject can be the next one, by name, that a filter matches: whoever goes through sorted subjects leaves out all before that.

/// Puts into `least` what no subject is less than that is behind `name` and matched; `false`: there is none. `name` is not matched itself, and empty
/// at the beginning.
pub(super) fn behind(filter: &[u8], name: &[u8], least: &mut Vec<u8>) -> bool {
    least.clear();
    if name.is_empty() {
        least.extend_from_slice(literal_prefix(filter));
        return true;
    }
    let (mut rest, mut at, mut wild) = (filter, 0, None);
    loop {
        let (token, more) = split(rest);
        let (own, own_more) = split(name.get(at..).unwrap_or_default());
        let end = at + own.len();
        if token == b">" {
            least.extend_from_slice(name);
            return true;
        }
        if token == b"*" {
            wild = Some(end);
        } else if token != own {
            let behind_all = more.map(|_| &b"."[..]).unwrap_or_default();
            let first = token.iter().chain(behind_all);
            if !name.iter().skip(at).lt(first) {
                return past(wild, name, least);
            }
            least.extend_from_slice(name.get(..at).unwrap_or_default());
            least.extend_from_slice(literal_prefix(rest));
            return true;
        }
        match (more, own_more) {
            (Some(more), Some(_)) => (rest, at) = (more, end + 1),
            // Subjects that begin with this one, and go on; before them come longer tokens, which a `*` stands for as well.
            (Some(more), None) => {
                least.extend_from_slice(name);
                if token != b"*" {
                    least.push(b'.');
                    least.extend_from_slice(literal_prefix(more));
                }
                return true;
            }
            (None, _) => return past(wild, name, least),
        }
    }
}

/// Past all subjects that have the token before `end` where a `*` stands.
fn past(end: Option<usize>, name: &[u8], least: &mut Vec<u8>) -> bool {
    let Some(end) = end else { return false };
    least.extend_from_slice(name.get(..end).unwrap_or_default());
    // What follows the dot.
    least.push(b'.' + 1);
    true
}

/// The first token, and what is behind its dot.
fn split(subject: &[u8]) -> (&[u8], Option<&[u8]>) {
    match subject.iter().position(|byte| *byte == b'.') {
        Some(dot) => (subject.get(..dot).unwrap_or_default(), subject.get(dot + 1..)),
        None => (subject, None),
    }
}

/// What all begin with that a filter matches.
fn literal_prefix(filter: &[u8]) -> &[u8] {
    let mut at = 0;
    loop {
        let (token, more) = split(filter.get(at..).unwrap_or_default());
        match (token, more) {
            (b"*" | b">", _) => return filter.get(..at).unwrap_or_default(),
            (_, Some(_)) => at += token.len() + 1,
            (_, None) => return filter,
        }
    }
}
