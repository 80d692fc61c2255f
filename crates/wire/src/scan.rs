//! Looking at control lines: eight bytes at a time, and numbers.

/// Digits that a size in a control line may have; the official server refuses more.
const SIZE_DIGITS_MAX: usize = 9;

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// Where the first newline is.
pub(crate) fn newline(bytes: &[u8]) -> Option<usize> {
    let (eights, rest) = bytes.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        let other_than_newline = u64::from_le_bytes(*eight) ^ const { ONES * b'\n' as u64 };
        let newlines = other_than_newline.wrapping_sub(ONES) & !other_than_newline & HIGHS;
        // The lowest is always right; only above one that is there another may seem to be.
        if newlines != 0 {
            return Some(at * 8 + newlines.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|&byte| byte == b'\n').map(|at| eights.len() * 8 + at)
}

/// The bytes of eight that are a blank or below it, as their highest bits. One that is just above a blank and stands behind
/// such a byte may be among them.
#[inline(always)]
pub(crate) fn blanks(bytes: u64) -> u64 {
    bytes.wrapping_sub(const { ONES * (b' ' as u64 + 1) }) & !bytes & HIGHS
}

/// A size of 1 to 9 digits.
#[inline]
pub(crate) fn size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    let mut size = 0_u32;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nine digits fit.
        size = size.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    Some(size as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn newlines_are_found_where_they_are(bytes in prop::collection::vec(prop::sample::select(b"\n\x0b\t\x8a\0a".to_vec()), 0..40)) {
            prop_assert_eq!(newline(&bytes), bytes.iter().position(|&byte| byte == b'\n'));
        }
    }
}
