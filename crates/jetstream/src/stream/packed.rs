//! Bodies that a store keeps compressed: a block of S2 each, where that is shorter.
//!
//! The head of such a message says how long its body is ([`Store::encode_packed_head`](super::Store::encode_packed_head)); what the store
//! has is shorter, and that tells them apart.

/// Bodies that are shorter are kept as they are.
const BODY_BYTES_MIN: usize = 64;
/// Bytes that have to be saved: what the head grows by, at least.
const SAVED_BYTES_MIN: usize = 8;

/// Headers and payload in one block. `None`: it would not be shorter.
pub fn pack(headers: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let body_bytes = headers.len() + payload.len();
    if body_bytes < BODY_BYTES_MIN {
        return None;
    }
    let packed =
        if headers.is_empty() { minlz::encode(payload) } else { minlz::encode(&[headers, payload].concat()) };
    (packed.len() + SAVED_BYTES_MIN <= body_bytes).then_some(packed)
}

/// Makes the body of a message, of `body_bytes`, of what a store had: what is behind `start` in `body`. `false`: it is none.
pub fn unpack(body: &mut Vec<u8>, start: usize, body_bytes: u32) -> bool {
    let (packed, body_bytes) = (body.get(start..).unwrap_or_default(), body_bytes as usize);
    if packed.len() == body_bytes {
        return true;
    }
    // The size that the block itself says is looked at before there is room for it.
    if packed.len() > body_bytes || !minlz::decode_len(packed).is_ok_and(|(bytes, _)| bytes == body_bytes) {
        return false;
    }
    let mut whole = vec![0; body_bytes];
    if !minlz::decode_into(&mut whole, packed).is_ok_and(|bytes| bytes == body_bytes) {
        return false;
    }
    body.truncate(start);
    body.extend_from_slice(&whole);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let headers = b"NATS/1.0\r\nA: b\r\n\r\n";
        for bytes in [64, 100, 1000, 100_000] {
            let payload = vec![b'x'; bytes];
            for headers in [&b""[..], headers] {
                let whole = [headers, &payload].concat();
                let packed = pack(headers, &payload).expect("it is shorter");
                let mut body = [b"before", &packed[..]].concat();
                assert!(unpack(&mut body, 6, whole.len() as u32));
                assert_eq!(body, [b"before", &whole[..]].concat());
                let mut short = packed.clone();
                assert!(!unpack(&mut short, 0, whole.len() as u32 + 1), "another size");
                for cut in 0..packed.len() {
                    let mut short = packed[..cut].to_vec();
                    assert!(!unpack(&mut short, 0, whole.len() as u32), "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn what_would_not_be_shorter_stays() {
        assert_eq!(pack(b"", &[b'x'; 63]), None);
        let mut state = 1u32;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(4096)
        .collect();
        assert_eq!(pack(b"", &random), None);
        let mut body = random.clone();
        assert!(unpack(&mut body, 0, 4096));
        assert_eq!(body, random);
    }
}
