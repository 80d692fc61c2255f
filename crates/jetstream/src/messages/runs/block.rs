//! Subjects in a row: each name by what it has in common with the one before, then its numbers.

use super::{Numbers, Unread};
use crate::bytes::{Malformed, Reader, put, put_bytes};

/// A block ends behind so many bytes.
pub(super) const BLOCK_BYTES: usize = if cfg!(debug_assertions) { 48 } else { 1024 };

/// Appends what is new in a name against the one before.
pub(super) fn put_name(out: &mut Vec<u8>, before: &[u8], name: &[u8]) {
    let shared = before.iter().zip(name).take_while(|(one, other)| one == other).count();
    put(out, shared as u64);
    put_bytes(out, name.get(shared..).unwrap_or_default());
}

/// Makes the next name of the one before.
pub(super) fn read_name(reader: &mut Reader<'_>, name: &mut Vec<u8>) -> Result<(), Malformed> {
    let shared = usize::try_from(reader.number()?).map_err(|_| Malformed)?;
    if shared > name.len() {
        return Err(Malformed);
    }
    name.truncate(shared);
    name.extend_from_slice(reader.bytes()?);
    Ok(())
}

/// Appends what is known of a subject.
pub(super) fn put_numbers(out: &mut Vec<u8>, numbers: Numbers) {
    put(out, numbers.count);
    if numbers.count > 0 {
        put(out, numbers.first);
        put(out, numbers.last - numbers.first);
    }
}

/// A block that is gone through. Its bytes have passed their checksum: what is wrong in them is damage all the same.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    at: usize,
    name: Vec<u8>,
    numbers: Numbers,
}

impl Block {
    /// Begins another one, whose bytes `fill` appends.
    pub(super) fn begin(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), Unread>,
    ) -> Result<(), Unread> {
        self.bytes.clear();
        self.name.clear();
        self.at = 0;
        fill(&mut self.bytes)
    }

    /// Goes on to the next subject; `false`: there is none.
    pub(super) fn next(&mut self) -> Result<bool, Unread> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(false);
        }
        let mut reader = Reader(rest);
        self.numbers = one(&mut reader, &mut self.name).map_err(|Malformed| Unread::Damaged)?;
        self.at = self.bytes.len() - reader.0.len();
        Ok(true)
    }

    /// The subject at hand.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// What is known of it.
    pub(super) fn numbers(&self) -> Numbers {
        self.numbers
    }
}

/// What a block says of a subject. Names that differ from it where the one before did are passed over unseen.
pub(super) fn find(bytes: &[u8], name: &[u8]) -> Result<Option<Numbers>, Malformed> {
    let mut reader = Reader(bytes);
    // What the name before, which is less, has in common with it.
    let mut common = 0;
    while !reader.0.is_empty() {
        let shared = usize::try_from(reader.number()?).map_err(|_| Malformed)?;
        let rest = reader.bytes()?;
        if shared < common {
            break;
        }
        if shared == common {
            let wanted = name.get(shared..).ok_or(Malformed)?;
            let more = wanted.iter().zip(rest).take_while(|(one, other)| one == other).count();
            match (wanted.get(more), rest.get(more)) {
                (None, None) => return numbers(&mut reader).map(Some),
                (wanted, found) if wanted < found => break,
                _ => common += more,
            }
        }
        if reader.number()? > 0 {
            reader.skip_number()?;
            reader.skip_number()?;
        }
    }
    Ok(None)
}

fn one(reader: &mut Reader<'_>, name: &mut Vec<u8>) -> Result<Numbers, Malformed> {
    read_name(reader, name)?;
    numbers(reader)
}

fn numbers(reader: &mut Reader<'_>) -> Result<Numbers, Malformed> {
    let count = reader.number()?;
    if count == 0 {
        return Ok(Numbers::default());
    }
    let first = reader.number()?;
    let last = first.checked_add(reader.number()?).ok_or(Malformed)?;
    Ok(Numbers { first, last, count })
}
