//! Whether a text is a public NKey: base32 of a kind, 32 bytes and a checksum.

use zeroize::Zeroize;

/// Bytes behind the base32: kind, key, checksum.
const BYTES: usize = 35;
/// First letters of public keys: accounts, curve keys, clusters, servers, operators, users.
const KINDS: &str = "AXCNOU";

/// Whether this is a public NKey, of the kind whose keys begin with this letter, or of any.
pub(crate) fn is_public(text: &str, kind: Option<char>) -> bool {
    let letter = text.chars().next();
    if !letter.is_some_and(|letter| kind.map_or(KINDS.contains(letter), |kind| kind == letter)) {
        return false;
    }
    let Ok(bytes) = data_encoding::BASE32_NOPAD.decode(text.as_bytes()) else { return false };
    match bytes.split_last_chunk::<2>() {
        Some((key, checksum)) => bytes.len() == BYTES && crc16(key) == u16::from_le_bytes(*checksum),
        None => false,
    }
}

/// First bytes of the seed of a user's key: five bits say that it is a seed, eight whose.
const USER_SEED: [u8; 2] = [0x95, 0x00];

/// Whether this is the seed of a user's NKey.
pub(crate) fn is_user_seed(text: &str) -> bool {
    let Ok(mut bytes) = data_encoding::BASE32_NOPAD.decode(text.as_bytes()) else { return false };
    let is_seed = match bytes.split_last_chunk::<2>() {
        Some((seed, checksum)) => {
            bytes.len() == BYTES + 1
                && seed.starts_with(&USER_SEED)
                && crc16(seed) == u16::from_le_bytes(*checksum)
        }
        None => false,
    };
    bytes.zeroize();
    is_seed
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_known_by_kind_and_checksum() {
        let user = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
        assert!(is_public(user, Some('U')) && is_public(user, None));
        assert!(!is_public(user, Some('A')));
        assert!(!is_public(&user.replace("NLCNF4", "NLCNF5"), Some('U')));
        assert!(!is_public("UA", Some('U')) && !is_public("", None) && !is_public("é", None));
    }
}
