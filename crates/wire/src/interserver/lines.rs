//! Control lines: which verb they begin with, where they end, and their words.

use super::ParseError;
use super::dialect::Verb;
use crate::scan::newline;

/// The verb at the front and its bytes, or `None` if it takes more bytes to know.
pub(super) fn verb(input: &[u8], verbs: &[(&[u8], Verb)]) -> Result<Option<(Verb, usize)>, ParseError> {
    let mut begun = false;
    for &(name, verb) in verbs {
        let is_so_far = name.iter().zip(input).all(|(&of_verb, &byte)| match of_verb {
            b' ' => byte == b' ' || byte == b'\t',
            _ => of_verb == byte.to_ascii_uppercase(),
        });
        if is_so_far && input.len() >= name.len() {
            // The blank behind it, if it is not part of the verb, is no argument.
            let blank = !name.ends_with(b" ")
                && matches!(verb, Verb::Connect | Verb::Info)
                && matches!(input.get(name.len()), Some(b' ' | b'\t'));
            return Ok(Some((verb, name.len() + usize::from(blank))));
        }
        begun |= is_so_far;
    }
    if begun { Ok(None) } else { Err(ParseError::unknown(input)) }
}

/// The arguments from `from` to the end of the line, without CR, and where the next line begins. `None` if the line is not whole.
pub(super) fn line(input: &[u8], from: usize, max: usize) -> Result<Option<(&[u8], usize)>, ParseError> {
    let rest = input.get(from..).unwrap_or_default();
    // CR and LF do not count.
    let window = rest.get(..max.saturating_add(2)).unwrap_or(rest);
    let (bytes, whole) = match newline(window) {
        Some(end) => (window.get(..end).unwrap_or_default(), true),
        // A CR at its end may be the one before the LF.
        None => (rest, false),
    };
    let args = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    match (args.len() > max, whole) {
        (true, _) => Err(ParseError::ControlLine { max }),
        (false, true) => Ok(Some((args, from + bytes.len() + 1))),
        (false, false) => Ok(None),
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// What stands between blanks.
pub(super) fn words(args: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    args.split(is_blank).filter(|word| !word.is_empty())
}

/// The first word, and what follows it.
pub(super) fn first_word(args: &[u8]) -> Option<(&[u8], &[u8])> {
    let begin = args.iter().position(|byte| !is_blank(byte))?;
    let args = args.get(begin..)?;
    let end = args.iter().position(is_blank).unwrap_or(args.len());
    Some((args.get(..end)?, args.get(end..)?))
}

/// What stands before the last word, and that.
pub(super) fn last_word(args: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = args.iter().rposition(|byte| !is_blank(byte))? + 1;
    let args = args.get(..end)?;
    let begin = args.iter().rposition(is_blank).map_or(0, |blank| blank + 1);
    Some((args.get(..begin)?, args.get(begin..)?))
}

/// Without the blanks around it.
pub(super) fn trim(args: &[u8]) -> &[u8] {
    let Some(begin) = args.iter().position(|byte| !is_blank(byte)) else { return &[] };
    let end = args.iter().rposition(|byte| !is_blank(byte)).map_or(0, |last| last + 1);
    args.get(begin..end).unwrap_or_default()
}
