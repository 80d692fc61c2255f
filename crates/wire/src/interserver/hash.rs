//! Short names that servers make of long ones, each for itself.

use ring::digest::{SHA256, digest};

/// The first characters of a name's hash in letters and digits: 6 for clusters and servers in replies across gateways, 8 for a server in
/// subjects of the system account. At most 32.
pub fn short_hash<const N: usize>(name: &[u8]) -> [u8; N] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const { assert!(N <= 32, "a hash has so many bytes") };
    let mut out = [b'0'; N];
    for (slot, &byte) in out.iter_mut().zip(digest(&SHA256, name).as_ref()) {
        *slot = DIGITS.get(usize::from(byte) % DIGITS.len()).copied().unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an official server made them of its cluster's name and of its id.
    #[test]
    fn hashes_are_those_of_the_official_server() {
        assert_eq!(&short_hash::<6>(b"X"), b"Dglu96");
        assert_eq!(&short_hash::<6>(b"NBFJHK5CBPJR4OR7342FN3FVXR4562BOYBCKIPOLOOHUMFIMIRGX7TNI"), b"KtiPFv");
        assert!(short_hash::<8>(b"X").starts_with(b"Dglu96"));
    }
}
