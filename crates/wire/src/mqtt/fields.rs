//! The data types that packets are made of: read from the front of a slice, appended to a `Vec`. MQTT 5.0 §1.5.

use super::error::DecodeError;
use super::packet::PacketKind;
use std::num::{NonZeroU16, NonZeroU32};

/// The largest number of variable length: four bytes of seven bits.
pub(super) const VARIABLE_MAX: u32 = 268_435_455;

/// What is left of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) kind: PacketKind,
    pub(super) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short(self.kind))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Short(self.kind))?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.u16()?;
        self.bytes(usize::from(count))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        text(self.binary()?)
    }

    /// A number of variable length in as few bytes as it needs. [MQTT-1.5.5-1]
    pub(super) fn variable(&mut self) -> Result<u32, DecodeError> {
        match variable(self.rest)? {
            Some((value, bytes)) if bytes == variable_bytes(value) => {
                self.bytes(bytes)?;
                Ok(value)
            }
            Some(_) => Err(DecodeError::VariableInteger),
            None => Err(DecodeError::Short(self.kind)),
        }
    }

    /// What is behind the end of the packet must be nothing.
    pub(super) fn end(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.kind)) }
    }
}

/// A string: UTF-8 without U+0000, which is all that the MUSTs of [MQTT-1.5.4-1] and [MQTT-1.5.4-2] ask.
pub(super) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text),
        _ => Err(DecodeError::Text),
    }
}

/// A number of variable length at the front of `input`, and how many bytes it took; `None` if there is less than that.
pub(super) fn variable(input: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (at, &byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if input.len() < 4 { Ok(None) } else { Err(DecodeError::VariableInteger) }
}

/// Bytes that a number of variable length takes.
pub(super) fn variable_bytes(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

pub(super) fn put_variable(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let more = if value > 0x7F { 0x80 } else { 0 };
        out.push((value & 0x7F) as u8 | more);
        value >>= 7;
        if value == 0 {
            return;
        }
    }
}

/// Appends a string or binary data; what is longer than its length can say is cut, which callers exclude.
pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let count = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(bytes.get(..usize::from(count)).unwrap_or_default());
}

/// The number by which a client knows its subscription: 1 to 268,435,455.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(NonZeroU32);

impl SubscriptionId {
    /// `None`: it is 0, or does not fit.
    pub fn new(id: u32) -> Option<Self> {
        NonZeroU32::new(id).filter(|id| id.get() <= VARIABLE_MAX).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// A type that properties have.
pub(super) trait Field<'a>: Sized {
    /// `None`: such a value it cannot have.
    fn read(fields: &mut Fields<'a>) -> Result<Option<Self>, DecodeError>;
    fn write(&self, out: &mut Vec<u8>);
    fn size(&self) -> usize;
}

impl Field<'_> for bool {
    fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(match fields.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn size(&self) -> usize {
        1
    }
}

/// Numbers: how each is read, and its bytes.
macro_rules! number_fields {
    ($($type:ty: $read:expr, $get:expr;)*) => {$(
        impl Field<'_> for $type {
            fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, DecodeError> {
                $read(fields)
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&$get(*self).to_be_bytes());
            }

            fn size(&self) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}

number_fields! {
    u16: |fields: &mut Fields<'_>| fields.u16().map(Some), std::convert::identity;
    u32: |fields: &mut Fields<'_>| fields.u32().map(Some), std::convert::identity;
    NonZeroU16: |fields: &mut Fields<'_>| fields.u16().map(Self::new), Self::get;
    NonZeroU32: |fields: &mut Fields<'_>| fields.u32().map(Self::new), Self::get;
}

impl Field<'_> for SubscriptionId {
    fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, DecodeError> {
        fields.variable().map(Self::new)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_variable(out, self.get());
    }

    fn size(&self) -> usize {
        variable_bytes(self.get())
    }
}

impl<'a> Field<'a> for &'a str {
    fn read(fields: &mut Fields<'a>) -> Result<Option<Self>, DecodeError> {
        fields.text().map(Some)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_binary(out, self.as_bytes());
    }

    fn size(&self) -> usize {
        2 + self.len()
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn read(fields: &mut Fields<'a>) -> Result<Option<Self>, DecodeError> {
        fields.binary().map(Some)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_binary(out, self);
    }

    fn size(&self) -> usize {
        2 + self.len()
    }
}

impl<'a> Field<'a> for (&'a str, &'a str) {
    fn read(fields: &mut Fields<'a>) -> Result<Option<Self>, DecodeError> {
        Ok(Some((fields.text()?, fields.text()?)))
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn size(&self) -> usize {
        self.0.size() + self.1.size()
    }
}
