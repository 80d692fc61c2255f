//! Masking: clients XOR what they send with a key of four bytes.

/// Masks `bytes`, which stand `at` bytes behind the beginning of a payload. Twice is not at all, so this unmasks as well.
pub(super) fn mask(bytes: &mut [u8], key: [u8; 4], at: usize) {
    let turned: [u8; 4] = std::array::from_fn(|i| key.get((at + i) % 4).copied().unwrap_or_default());
    let [a, b, c, d] = turned;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(chunk) = <&mut [u8; 8]>::try_from(chunk) {
            *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A byte at a time, as the RFC says it.
    fn naive(bytes: &mut [u8], key: [u8; 4], at: usize) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte ^= key[(at + i) % 4];
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_naive_one_does(bytes in prop::collection::vec(any::<u8>(), 0..80), key: [u8; 4], at in 0usize..9) {
            let (mut ours, mut expected) = (bytes.clone(), bytes);
            mask(&mut ours, key, at);
            naive(&mut expected, key, at);
            prop_assert_eq!(ours, expected);
        }
    }
}
