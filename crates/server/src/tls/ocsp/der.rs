//! DER, as much as OCSP needs: elements are taken one after the other, and put together from their parts.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use x509_parser::asn1_rs::{Any, FromDer};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0A;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
/// `YYYYMMDDhhmmssZ`, the one form of a time in OCSP.
const TIME_BYTES: usize = 15;

/// The tag of an element that the standard marks `[n]` and that holds other elements.
pub(super) const fn context(n: u8) -> u8 {
    0xA0 | n
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// All of it.
    pub(super) raw: &'a [u8],
    /// What is in it.
    pub(super) data: &'a [u8],
}

/// Elements that are read one after the other. `None` everywhere: what was expected is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The tag of the next element.
    pub(super) fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element, whichever it is.
    pub(super) fn any(&mut self) -> Option<Element<'a>> {
        let (rest, any) = Any::from_der(self.0).ok()?;
        let raw = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        Some(Element { raw, data: any.data })
    }

    /// The next element, which must have this tag.
    pub(super) fn element(&mut self, tag: u8) -> Option<Element<'a>> {
        if self.tag() == Some(tag) { self.any() } else { None }
    }

    /// What is in the next element, which must have this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.element(tag).map(|element| Self(element.data))
    }

    /// The same where the element may be absent.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Option<Self>> {
        if self.tag() == Some(tag) { self.enter(tag).map(Some) } else { Some(None) }
    }

    /// A time, in seconds since 1970.
    pub(super) fn time(&mut self) -> Option<i64> {
        let text = std::str::from_utf8(self.element(GENERALIZED_TIME)?.data)
            .ok()
            .filter(|text| text.len() == TIME_BYTES)?;
        let civil = jiff::fmt::strtime::parse("%Y%m%d%H%M%SZ", text).ok()?.to_datetime().ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| Timestamp::from(zoned).as_second())
    }

    /// A bit string of whole bytes.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        match self.element(BIT_STRING)?.data.split_first() {
            Some((0, bits)) => Some(bits),
            _ => None,
        }
    }
}

/// An element made of these parts.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            let bytes = bytes.get(zeros..).unwrap_or_default();
            // A length of a `usize` has at most eight bytes.
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_put_together_comes_apart(
            data in proptest::collection::vec(0u8.., 0..700), more in proptest::collection::vec(0u8.., 0..9),
        ) {
            let bytes = [element(OCTET_STRING, &[&data[..data.len() / 2], &data[data.len() / 2..]]), more.clone()].concat();
            let mut reader = Reader(&bytes);
            let found = reader.element(OCTET_STRING).expect("there");
            proptest::prop_assert_eq!((found.data, reader.0), (&*data, &*more));
            proptest::prop_assert_eq!(found.raw.len() + more.len(), bytes.len());
            for cut in 0..found.raw.len() {
                proptest::prop_assert!(Reader(&bytes[..cut]).any().is_none());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0u8.., 0..40)) {
            let mut reader = Reader(&bytes);
            while reader.any().is_some() {}
            let _ = (Reader(&bytes).time(), Reader(&bytes).bits());
        }
    }

    #[test]
    fn times_are_read() {
        let time = |text: &str| Reader(&element(GENERALIZED_TIME, &[text.as_bytes()])).time();
        assert_eq!(time("19700101000000Z"), Some(0));
        assert_eq!(time("20300228235959Z"), Some(1_898_553_599));
        for bad in ["20300230000000Z", "2030022823595Z", "20300228235959", "", "20300228235959+0100"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
