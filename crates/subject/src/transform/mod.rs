//! Transforms: how the subject of a message becomes another one.
//!
//! A transform is compiled once from a source with wildcards and a destination whose tokens say what stands in their
//! place: text, `$1` or `{{wildcard(1)}}` for what the first `*` matched, and the functions of [`Part`]. A `>` at the
//! end of both passes the rest on. The functions and their texts of errors are the official ones.

mod parse;

use crate::set::{is_valid_filter, tokens};
pub use parse::TransformError;

/// What stands in place of one token of the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// These bytes.
    Text(Box<[u8]>),
    /// What a wildcard matched.
    Wildcard(usize),
    /// The number of a partition, by the hash of what these wildcards matched; without any, of the whole subject.
    Partition { buckets: u32, of: Box<[usize]> },
    /// A random number below this.
    Random(u32),
    /// A token cut in two, so many bytes from the left.
    SplitFromLeft(usize, usize),
    /// The same, from the right.
    SplitFromRight(usize, usize),
    /// A token in slices of so many bytes; the last is what is left.
    SliceFromLeft(usize, usize),
    /// The same; the first is what is left.
    SliceFromRight(usize, usize),
    /// A token cut wherever this text stands in it.
    Split(usize, Box<[u8]>),
    /// So many bytes of a token.
    Left(usize, usize),
    /// So many of its last bytes.
    Right(usize, usize),
}

/// A compiled transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    parts: Box<[Part]>,
    /// How many tokens of the source stand before its `>`; `None`: it has none.
    before_rest: Option<usize>,
}

/// Random numbers for [`Transform::apply`].
pub trait Random {
    /// The next.
    fn next(&mut self) -> u32;
}

impl<F: FnMut() -> u32> Random for F {
    fn next(&mut self) -> u32 {
        self()
    }
}

impl Transform {
    /// A filter that matches all that it makes.
    pub fn image(&self) -> Vec<u8> {
        let token = |part: &Part| match part {
            Part::Text(text) => text.to_vec(),
            // What is cut has a part for each token that it becomes: nobody knows how many.
            Part::Split(..) | Part::SliceFromLeft(..) | Part::SliceFromRight(..) => b">".to_vec(),
            Part::SplitFromLeft(..) | Part::SplitFromRight(..) => b">".to_vec(),
            _ => b"*".to_vec(),
        };
        let mut tokens: Vec<Vec<u8>> = self.parts.iter().map(token).collect();
        if self.before_rest.is_some() {
            tokens.push(b">".to_vec());
        }
        if let Some(end) = tokens.iter().position(|token| token == b">") {
            tokens.truncate(end + 1);
        }
        tokens.join(&b'.')
    }

    /// From the subjects that `source` matches to `destination`.
    ///
    /// # Errors
    ///
    /// See [`TransformError`].
    pub fn new(source: &str, destination: &str) -> Result<Self, TransformError> {
        Self::compile(source, destination, false)
    }

    /// The same for an import: it can be read backwards, so only `wildcard` is allowed, and each wildcard is used.
    ///
    /// # Errors
    ///
    /// See [`TransformError`].
    pub fn reversible(source: &str, destination: &str) -> Result<Self, TransformError> {
        Self::compile(source, destination, true)
    }

    fn compile(source: &str, destination: &str, reversible: bool) -> Result<Self, TransformError> {
        let has_rest = |subject: &str| subject == ">" || subject.ends_with(".>");
        if !is_valid_filter(source.as_bytes()) {
            return Err(TransformError::Subject);
        }
        parse::check_destination(destination)?;
        if has_rest(source) != has_rest(destination) {
            return Err(TransformError::Subject);
        }
        let stars: Vec<usize> = positions(source).collect();
        let (mut parts, mut used) = (Vec::new(), 0);
        let wildcards = parse::Source { stars: &stars, has_rest: has_rest(source) };
        for token in destination.split('.').filter(|token| *token != ">") {
            let part = parse::part(token, wildcards)?;
            if reversible && !matches!(part, Part::Text(_) | Part::Wildcard(_)) {
                return Err(TransformError::NotForImport(token.into()));
            }
            used += usize::from(matches!(part, Part::Wildcard(_)));
            parts.push(part);
        }
        if reversible && used < stars.len() {
            return Err(TransformError::UnusedWildcards(destination.into()));
        }
        let before_rest = has_rest(source).then(|| source.split('.').count() - 1);
        Ok(Self { parts: parts.into(), before_rest })
    }

    /// Whether the same subject always becomes the same one.
    pub fn is_fixed(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Random(_)))
    }

    /// Appends what becomes of `subject`, which the source matches, to `out`.
    pub fn apply(&self, subject: &[u8], random: &mut impl Random, out: &mut Vec<u8>) {
        for (n, part) in self.parts.iter().enumerate() {
            if n > 0 {
                out.push(b'.');
            }
            part.write(subject, random, out);
        }
        let Some(before_rest) = self.before_rest else { return };
        for (n, token) in tokens(subject).skip(before_rest).enumerate() {
            if n > 0 || !self.parts.is_empty() {
                out.push(b'.');
            }
            out.extend_from_slice(token);
        }
    }
}

/// Where the tokens `*` stand.
fn positions(source: &str) -> impl Iterator<Item = usize> {
    source.split('.').enumerate().filter(|(_, token)| *token == "*").map(|(at, _)| at)
}

impl Part {
    fn write(&self, subject: &[u8], random: &mut impl Random, out: &mut Vec<u8>) {
        let token = |at: usize| tokens(subject).nth(at).unwrap_or_default();
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            &Self::Wildcard(at) => out.extend_from_slice(token(at)),
            Self::Partition { buckets, of } => {
                let hash = if of.is_empty() {
                    fnv1a(FNV_OFFSET, subject)
                } else {
                    of.iter().fold(FNV_OFFSET, |hash, &at| fnv1a(hash, token(at)))
                };
                write_number(hash.checked_rem(*buckets).unwrap_or(0), out);
            }
            &Self::Random(below) => write_number((random.next() >> 1).checked_rem(below).unwrap_or(0), out),
            &Self::SplitFromLeft(at, bytes) => write_split(token(at), bytes, out),
            &Self::SplitFromRight(at, bytes) => {
                let token = token(at);
                write_split(token, cut(token, bytes).map_or(0, |bytes| token.len() - bytes), out);
            }
            &Self::SliceFromLeft(at, bytes) => {
                let token = token(at);
                write_joined(token.chunks(cut(token, bytes).unwrap_or(usize::MAX)), out);
            }
            &Self::SliceFromRight(at, bytes) => {
                let token = token(at);
                let bytes = cut(token, bytes).unwrap_or(token.len().max(1));
                let (first, rest) = token.split_at(token.len() % bytes);
                let first = Some(first).filter(|first| !first.is_empty());
                write_joined(first.into_iter().chain(rest.chunks(bytes)), out);
            }
            Self::Split(at, by) => write_pieces(token(*at), by, out),
            &Self::Left(at, bytes) => {
                let token = token(at);
                out.extend_from_slice(token.get(..cut(token, bytes).unwrap_or(token.len())).unwrap_or(token));
            }
            &Self::Right(at, bytes) => {
                let token = token(at);
                let from = token.len() - cut(token, bytes).unwrap_or(token.len());
                out.extend_from_slice(token.get(from..).unwrap_or(token));
            }
        }
    }
}

/// The length if it really cuts the token; otherwise the functions leave it whole.
fn cut(token: &[u8], bytes: usize) -> Option<usize> {
    (0 < bytes && bytes < token.len()).then_some(bytes)
}

fn write_split(token: &[u8], at: usize, out: &mut Vec<u8>) {
    match cut(token, at) {
        Some(at) => {
            let (left, right) = token.split_at(at);
            write_joined([left, right].into_iter(), out);
        }
        None => out.extend_from_slice(token),
    }
}

fn write_joined<'a>(pieces: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (n, piece) in pieces.enumerate() {
        if n > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(piece);
    }
}

/// The pieces between `by` that hold anything.
fn write_pieces(mut token: &[u8], by: &[u8], out: &mut Vec<u8>) {
    let mut first = true;
    let mut piece = |piece: &[u8]| {
        if !piece.is_empty() {
            if !std::mem::take(&mut first) {
                out.push(b'.');
            }
            out.extend_from_slice(piece);
        }
    };
    if by.is_empty() {
        // Between all characters, as in the official server.
        let text = String::from_utf8_lossy(token);
        return text.chars().for_each(|c| piece(c.encode_utf8(&mut [0; 4]).as_bytes()));
    }
    while let Some(at) = token.windows(by.len()).position(|window| window == by) {
        piece(token.get(..at).unwrap_or_default());
        token = token.get(at + by.len()..).unwrap_or_default();
    }
    piece(token);
}

fn write_number(n: u32, out: &mut Vec<u8>) {
    let mut digits = [0u8; 10];
    let (mut n, mut from) = (n, digits.len());
    loop {
        from -= 1;
        if let Some(digit) = digits.get_mut(from) {
            *digit = b'0' + (n % 10) as u8;
        }
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

const FNV_OFFSET: u32 = 0x811C_9DC5;

/// FNV-1a, 32 bits: clients compute partitions the same way.
fn fnv1a(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, &b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// A subject whose wildcards are numbered: `a.*.*` becomes `a.$1.$2`.
pub fn number_wildcards(subject: &str) -> String {
    let mut n = 0;
    let tokens = subject.split('.').map(|token| match token {
        "*" => {
            n += 1;
            format!("${n}")
        }
        _ => token.to_owned(),
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// A subject with `*` where `$1` or `{{wildcard(1)}}` stood, and what stood there, in order.
pub fn unnumber_wildcards(subject: &str) -> (String, Vec<&str>) {
    let mut stood = Vec::new();
    let tokens = subject.split('.').map(|token| {
        if parse::is_placeholder(token) {
            stood.push(token);
            "*"
        } else {
            token
        }
    });
    let text = tokens.collect::<Vec<_>>().join(".");
    (text, stood)
}

#[cfg(test)]
mod tests;
