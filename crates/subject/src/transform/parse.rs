//! Reading a token of a destination.

use super::Part;
use crate::set::is_token;

/// Why a transform cannot be compiled. The texts are the official ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// Source or destination is no subject, or only one of them ends with `>`.
    #[error("invalid subject")]
    Subject,
    /// The destination has an empty token, or one with white space, which nobody could send.
    #[error("invalid mapping destination: invalid transform")]
    Destination,
    /// The destination goes on behind its `>`.
    #[error("invalid mapping destination: invalid transform in {0}")]
    BehindRest(String),
    /// A wildcard is named that the source does not have.
    #[error("invalid mapping destination: wildcard index out of range in {0}")]
    OutOfRange(String),
    /// A function that does not exist.
    #[error("invalid mapping destination: unknown function in {0}")]
    UnknownFunction(String),
    /// A function lacks arguments.
    #[error("invalid mapping destination: not enough arguments passed to the function in {0}")]
    NotEnoughArguments(String),
    /// A function has too many.
    #[error("invalid mapping destination: too many arguments passed to the function in {0}")]
    TooManyArguments(String),
    /// An argument means nothing.
    #[error("invalid mapping destination: function argument is invalid or in the wrong format in {0}")]
    InvalidArgument(String),
    /// An import can only reorder wildcards.
    #[error(
        "invalid mapping destination: the only mapping function allowed for import transforms is {{{{Wildcard()}}}} in {0}"
    )]
    NotForImport(String),
    /// An import has to use them all.
    #[error("invalid mapping destination: not using all of the token wildcard(s) in {0}")]
    UnusedWildcards(String),
}

/// Whether a text can be a destination: tokens, none of them empty or `*`, `>` only at the end.
pub(super) fn check_destination(text: &str) -> Result<(), TransformError> {
    let mut ended = false;
    for token in text.split('.') {
        match token {
            _ if ended => return Err(TransformError::BehindRest(token.into())),
            "" if text.is_empty() => return Err(TransformError::Subject),
            "" => return Err(TransformError::Destination),
            "*" => return Err(TransformError::Subject),
            _ if token.contains(['\t', '\r', '\n']) => return Err(TransformError::Destination),
            _ => ended = token == ">",
        }
    }
    Ok(())
}

/// The wildcards of a source.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The places of its `*`.
    pub stars: &'a [usize],
    /// Whether it ends with `>`.
    pub has_rest: bool,
}

impl Source<'_> {
    fn has_wildcards(self) -> bool {
        self.has_rest || !self.stars.is_empty()
    }
}

/// What a token stands for.
pub(super) fn part(token: &str, source: Source<'_>) -> Result<Part, TransformError> {
    if let Some(digits) = token.strip_prefix('$')
        && let Ok(index) = digits.parse::<i64>()
    {
        return star(token, index, source).map(Part::Wildcard);
    }
    let function = token.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let Some(function) = function.filter(|inner| !inner.is_empty()) else {
        // This is sent as it stands.
        let is_sendable = is_token(token.as_bytes());
        return if is_sendable {
            Ok(Part::Text(token.as_bytes().into()))
        } else {
            Err(TransformError::Destination)
        };
    };
    let (name, arguments) = split_call(function).ok_or_else(|| unknown(token))?;
    let arguments: Vec<&str> = arguments.split(',').map(str::trim_start).collect();
    let star = |index: &str| star(token, number(token, index)?, source);
    match name {
        "wildcard" => match arguments.as_slice() {
            [""] => Err(TransformError::NotEnoughArguments(token.into())),
            [index] => star(index).map(Part::Wildcard),
            _ => Err(TransformError::TooManyArguments(token.into())),
        },
        "partition" => {
            let (buckets, of) = arguments.split_first().unwrap_or((&"", &[]));
            let buckets = int32(token, buckets)? as u32;
            // Without wildcards there is nothing to choose from: the whole subject counts.
            let of = of.iter().filter(|_| source.has_wildcards());
            let of = of.map(|index| star(index)).collect::<Result<_, _>>()?;
            Ok(Part::Partition { buckets, of })
        }
        "random" => match arguments.as_slice() {
            [below] => Ok(Part::Random(int32(token, below)?.unsigned_abs())),
            _ => Err(TransformError::NotEnoughArguments(token.into())),
        },
        "split" => match two(token, &arguments)? {
            (index, by) if !by.contains(' ') => Ok(Part::Split(star(index)?, by.as_bytes().into())),
            _ => Err(TransformError::InvalidArgument(token.into())),
        },
        _ => {
            let make = match name {
                "splitFromLeft" => Part::SplitFromLeft,
                "splitFromRight" => Part::SplitFromRight,
                "sliceFromLeft" => Part::SliceFromLeft,
                "sliceFromRight" => Part::SliceFromRight,
                "left" => Part::Left,
                "right" => Part::Right,
                _ => return Err(unknown(token)),
            };
            let (index, bytes) = two(token, &arguments)?;
            let at = star(index)?;
            // Nothing is cut at less than one byte.
            Ok(make(at, usize::try_from(int32(token, bytes)?).unwrap_or(0)))
        }
    }
}

/// The name of a function in its usual spelling, and its arguments.
fn split_call(text: &str) -> Option<(&'static str, &str)> {
    const NAMES: [&str; 10] = [
        "wildcard",
        "partition",
        "random",
        "split",
        "splitFromLeft",
        "splitFromRight",
        "sliceFromLeft",
        "sliceFromRight",
        "left",
        "right",
    ];
    let (name, rest) = text.split_once('(')?;
    let name = name.trim();
    // Each word of a name may begin with a capital or not: `SplitFromLeft` and `splitfromleft` are the same.
    let same = |known: &&&str| {
        let begins_word = |at: usize, k: u8| at == 0 || k.is_ascii_uppercase();
        known.len() == name.len()
            && known
                .bytes()
                .zip(name.bytes())
                .enumerate()
                .all(|(at, (k, n))| if begins_word(at, k) { k.eq_ignore_ascii_case(&n) } else { k == n })
    };
    let known = NAMES.iter().find(same)?;
    let arguments = rest.trim_end().strip_suffix(')')?;
    Some((known, arguments))
}

fn two<'a>(token: &str, arguments: &[&'a str]) -> Result<(&'a str, &'a str), TransformError> {
    match *arguments {
        [first, second] => Ok((first, second)),
        [] | [_] => Err(TransformError::NotEnoughArguments(token.into())),
        _ => Err(TransformError::TooManyArguments(token.into())),
    }
}

fn number(token: &str, text: &str) -> Result<i64, TransformError> {
    text.trim().parse().map_err(|_| TransformError::InvalidArgument(token.into()))
}

fn int32(token: &str, text: &str) -> Result<i32, TransformError> {
    i32::try_from(number(token, text)?).map_err(|_| TransformError::InvalidArgument(token.into()))
}

/// The place of the wildcard with this number. As in the official server, a number below 1 is the first token.
fn star(token: &str, index: i64, source: Source<'_>) -> Result<usize, TransformError> {
    let place = match index {
        ..1 if source.has_wildcards() => Some(0),
        _ => usize::try_from(index - 1).ok().and_then(|nth| source.stars.get(nth).copied()),
    };
    place.ok_or_else(|| {
        let which = if source.has_wildcards() { format!("{token}: [{index}]") } else { token.to_owned() };
        TransformError::OutOfRange(which)
    })
}

fn unknown(token: &str) -> TransformError {
    TransformError::UnknownFunction(token.into())
}

/// Whether a token is `$1` to `$9…`, or `{{wildcard(…)}}`.
pub(super) fn is_placeholder(token: &str) -> bool {
    if let Some(digits) = token.strip_prefix('$') {
        return digits.starts_with(|c: char| ('1'..='9').contains(&c));
    }
    let function = token.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let call = function.and_then(split_call);
    call.is_some_and(|(name, arguments)| {
        name == "wildcard" && !arguments.is_empty() && !arguments.contains(',')
    })
}
