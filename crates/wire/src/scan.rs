//! Looking at control lines: eight bytes at a time, and numbers.

/// Digits that a size in a control line may have; the official server refuses more.
const SIZE_DIGITS_MAX: usize = 9;

/// The bytes of eight that are a blank or below it, as their highest bits. One that is just above a blank and stands behind
/// such a byte may be among them.
#[inline(always)]
pub(crate) fn blanks(bytes: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    bytes.wrapping_sub(const { ONES * (b' ' as u64 + 1) }) & !bytes & const { ONES * 0x80 }
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
