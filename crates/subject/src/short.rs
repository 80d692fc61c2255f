//! Bytes that are nearly always few: held inline when they are, so that reading them costs no further cache miss.

/// Up to `N` bytes inline, more behind a pointer.
#[derive(Clone)]
pub struct ShortBytes<const N: usize>(Held<N>);

#[derive(Clone)]
enum Held<const N: usize> {
    Inline { len: u8, bytes: [u8; N] },
    Boxed(Box<[u8]>),
}

impl<const N: usize> ShortBytes<N> {
    /// The parts, one behind the other.
    pub fn concat(parts: &[&[u8]]) -> Self {
        const { assert!(N <= u8::MAX as usize, "the length fits its byte") };
        let mut bytes = [0; N];
        let mut len = 0;
        for part in parts {
            let Some(room) = bytes.get_mut(len..len + part.len()) else {
                return Self(Held::Boxed(parts.concat().into_boxed_slice()));
            };
            room.copy_from_slice(part);
            len += part.len();
        }
        Self(Held::Inline { len: len as u8, bytes })
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Held::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Held::Boxed(bytes) => bytes,
        }
    }
}

impl<const N: usize> std::fmt::Debug for ShortBytes<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_slice().escape_ascii().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_goes_in_comes_out(parts in proptest::collection::vec(proptest::collection::vec(0u8.., 0..12), 0..5)) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            assert_eq!(ShortBytes::<22>::concat(&parts).as_slice(), parts.concat());
        }
    }

    #[test]
    fn few_bytes_need_no_more_room_than_three_words() {
        assert_eq!(size_of::<ShortBytes<22>>(), 24);
        assert_eq!(size_of::<ShortBytes<38>>(), 40);
    }
}
