//! Sealing between two curve keys: what one seals, only the other opens, and knows who sealed it.
//!
//! The form is `xkv1`, a nonce of 24 bytes, and a NaCl box. Source: <https://github.com/nats-io/nkeys>.

use crate::nkey::{Kind, Public, Seed};
use crypto_box::aead::Aead;
use crypto_box::{Nonce, PublicKey, SalsaBox, SecretKey};

const VERSION: &[u8; 4] = b"xkv1";
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;

/// Why something cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XkeyError {
    /// One of the keys is no curve key, or one that shares no secret.
    #[error("not a curve key")]
    Key,
    /// Too short, or of another version.
    #[error("not sealed by a version that is known")]
    Version,
    /// Sealed by or for someone else, or changed.
    #[error("cannot be opened with these keys")]
    Open,
}

/// Seals `message` for `recipient`. A nonce must never be used twice between the same two: 24 random bytes.
pub fn seal(
    own: &Seed,
    recipient: &Public,
    nonce: [u8; NONCE_BYTES],
    message: &[u8],
) -> Result<Vec<u8>, XkeyError> {
    let sealed = shared(own, recipient)?.encrypt(&Nonce::from(nonce), message).map_err(|_| XkeyError::Key)?;
    Ok([VERSION.as_slice(), &nonce, &sealed].concat())
}

/// Opens what `sender` sealed for us.
pub fn open(own: &Seed, sender: &Public, sealed: &[u8]) -> Result<Vec<u8>, XkeyError> {
    let rest = sealed.strip_prefix(VERSION).ok_or(XkeyError::Version)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(XkeyError::Version)?;
    shared(own, sender)?.decrypt(&Nonce::from(*nonce), sealed).map_err(|_| XkeyError::Open)
}

fn shared(own: &Seed, other: &Public) -> Result<SalsaBox, XkeyError> {
    let secret = own.curve_bytes().ok_or(XkeyError::Key)?;
    // A key of zeros, or another point of small order, makes a secret that everyone knows (CVE-2023-46129).
    if other.kind != Kind::Curve || is_weak(other.as_bytes()) {
        return Err(XkeyError::Key);
    }
    Ok(SalsaBox::new(&PublicKey::from(*other.as_bytes()), &SecretKey::from(*secret)))
}

/// Whether a point is of small order: every secret key makes zero of it.
fn is_weak(point: &[u8; 32]) -> bool {
    use crypto_box::SecretKey as Scalar;
    let probe = Scalar::from([1; 32]);
    let product = SalsaBox::new(&PublicKey::from(*point), &probe);
    let zero = SalsaBox::new(&PublicKey::from([0; 32]), &probe);
    let nonce = Nonce::default();
    product.encrypt(&nonce, &[][..]).ok() == zero.encrypt(&nonce, &[][..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(number: u8) -> Seed {
        Seed::from_bytes(Kind::Curve, [number; 32])
    }

    fn sealed(from: u8, to: u8) -> Vec<u8> {
        seal(&seed(from), &seed(to).public(), [7; NONCE_BYTES], b"hello").expect("sealed")
    }

    #[test]
    fn only_the_two_open_it() {
        let text = sealed(1, 2);
        assert!(text.starts_with(b"xkv1") && text.len() == 4 + NONCE_BYTES + 16 + 5);
        assert_eq!(open(&seed(2), &seed(1).public(), &text).as_deref(), Ok(&b"hello"[..]));
        assert_eq!(open(&seed(3), &seed(1).public(), &text), Err(XkeyError::Open));
        assert_eq!(open(&seed(2), &seed(3).public(), &text), Err(XkeyError::Open));
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(open(&seed(2), &seed(1).public(), &changed).is_err());
            assert!(open(&seed(2), &seed(1).public(), &text[..at]).is_err());
        }
    }

    /// What libsodium's `crypto_box_easy` makes of the same keys, nonce and message.
    #[test]
    fn a_known_box() {
        let known = data_encoding::HEXLOWER.encode(&sealed(1, 2)[4 + NONCE_BYTES..]);
        assert_eq!(known, "3fb2fe4717fe65e7770e7c018080c5ea40e1ba0794");
    }

    /// CVE-2023-46129: other keys, other boxes, and none with a key that everyone knows.
    #[test]
    fn keys_are_used() {
        assert_ne!(sealed(1, 2), sealed(1, 3));
        assert_ne!(sealed(1, 2), sealed(4, 2));
        for weak in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let weak = Public::from_bytes(Kind::Curve, weak);
            assert_eq!(seal(&seed(1), &weak, [7; NONCE_BYTES], b"hello"), Err(XkeyError::Key));
            assert_eq!(open(&seed(1), &weak, &sealed(1, 2)), Err(XkeyError::Key));
        }
    }

    /// CVE-2023-46129: what the official library seals for these keys and this nonce is what we seal, and we open it.
    #[test]
    fn the_official_library_seals_the_same() {
        let mut count = 0;
        for line in include_str!("official_boxes.txt").lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [sender, recipient, recipient_public, message, sealed] = fields[..] else {
                panic!("five fields: {line}")
            };
            let (sender, recipient) =
                (Seed::parse(sender).expect("seed"), Seed::parse(recipient).expect("seed"));
            let bytes = |hex: &str| {
                data_encoding::HEXLOWER.decode(hex.trim_end_matches('.').as_bytes()).expect("hex")
            };
            let (message, sealed) = (bytes(message), bytes(sealed));
            assert_eq!(recipient.public().to_string(), recipient_public);
            assert_eq!(seal(&sender, &recipient.public(), [9; NONCE_BYTES], &message).as_ref(), Ok(&sealed));
            assert_eq!(open(&recipient, &sender.public(), &sealed), Ok(message));
            count += 1;
        }
        assert_eq!(count, 12);
    }

    #[test]
    fn other_kinds_of_keys_do_not_seal() {
        let user = Seed::from_bytes(Kind::User, [1; 32]);
        assert_eq!(seal(&user, &seed(2).public(), [7; NONCE_BYTES], b""), Err(XkeyError::Key));
        assert_eq!(seal(&seed(2), &user.public(), [7; NONCE_BYTES], b""), Err(XkeyError::Key));
    }
}
