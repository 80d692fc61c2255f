//! NKeys: Ed25519 and curve keys in base32, with a prefix that says whose they are and a checksum.
//! Source: <https://github.com/nats-io/nkeys>.

use crate::base64;
use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// Bytes of a decoded public key: prefix, key, checksum.
const PUBLIC_BYTES: usize = 1 + 32 + 2;
/// Bytes of a decoded seed: two prefix bytes, seed, checksum.
const SEED_BYTES: usize = 2 + 32 + 2;
const SEED_PREFIX: u8 = 18 << 3;
/// Characters of anything here; what is longer is not looked at.
const TEXT_BYTES_MAX: usize = 128;

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `O…`
    Operator,
    /// `A…`
    Account,
    /// `U…`
    User,
    /// `N…`
    Server,
    /// `C…`
    Cluster,
    /// `X…`, a curve key for sealing.
    Curve,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Operator, Self::Account, Self::User, Self::Server, Self::Cluster, Self::Curve];

    fn prefix(self) -> u8 {
        (match self {
            Self::Operator => 14,
            Self::Account => 0,
            Self::User => 20,
            Self::Server => 13,
            Self::Cluster => 2,
            Self::Curve => 23,
        }) << 3
    }

    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Account => "account",
            Self::User => "user",
            Self::Server => "server",
            Self::Cluster => "cluster",
            Self::Curve => "curve",
        }
    }

    fn of(prefix: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.prefix() == prefix)
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NkeyError {
    /// Not base32, of another length, or with a wrong checksum.
    #[error("not a valid NKey")]
    Encoding,
    /// A key of another kind.
    #[error("an NKey of another kind")]
    Kind,
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public {
    /// Whose.
    pub kind: Kind,
    key: [u8; 32],
}

impl Public {
    /// Reads a public key.
    pub fn parse(text: &str) -> Result<Self, NkeyError> {
        let bytes = decode::<PUBLIC_BYTES>(text)?;
        let [prefix, key @ .., _, _] = bytes;
        let kind = Kind::of(prefix).ok_or(NkeyError::Encoding)?;
        Ok(Self { kind, key })
    }

    /// A public key of raw bytes.
    pub fn from_bytes(kind: Kind, key: [u8; 32]) -> Self {
        Self { kind, key }
    }

    /// The raw key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// Whether `signature` is this key's for `message`. Curve keys sign nothing.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) =
            (VerifyingKey::from_bytes(&self.key), Signature::from_slice(signature))
        else {
            return false;
        };
        self.kind != Kind::Curve && key.verify_strict(message, &signature).is_ok()
    }
}

impl std::fmt::Display for Public {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = vec![self.kind.prefix()];
        bytes.extend_from_slice(&self.key);
        f.write_str(&encode(bytes))
    }
}

/// A secret key. Never printed but on purpose.
pub struct Seed {
    kind: Kind,
    seed: Zeroizing<[u8; 32]>,
}

impl Seed {
    /// A seed of 32 random bytes.
    pub fn from_bytes(kind: Kind, seed: [u8; 32]) -> Self {
        Self { kind, seed: Zeroizing::new(seed) }
    }

    /// Reads a seed.
    pub fn parse(text: &str) -> Result<Self, NkeyError> {
        let [first, second, seed @ .., _, _] = decode::<SEED_BYTES>(text)?;
        if first & 0xF8 != SEED_PREFIX {
            return Err(NkeyError::Kind);
        }
        let kind = Kind::of((first & 7) << 5 | second >> 3).ok_or(NkeyError::Encoding)?;
        Ok(Self::from_bytes(kind, seed))
    }

    /// The seed as text, to be kept.
    pub fn reveal(&self) -> Zeroizing<String> {
        let prefix = self.kind.prefix();
        let mut bytes = vec![SEED_PREFIX | prefix >> 5, (prefix & 31) << 3];
        bytes.extend_from_slice(&*self.seed);
        Zeroizing::new(encode(bytes))
    }

    /// Its public key.
    pub fn public(&self) -> Public {
        let key = match self.kind {
            Kind::Curve => *crypto_box::SecretKey::from(*self.seed).public_key().as_bytes(),
            _ => SigningKey::from_bytes(&self.seed).verifying_key().to_bytes(),
        };
        Public { kind: self.kind, key }
    }

    /// The secret of a curve key, for [`crate::xkey`]. `None`: a key of another kind.
    pub(crate) fn curve_bytes(&self) -> Option<&[u8; 32]> {
        (self.kind == Kind::Curve).then_some(&*self.seed)
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(&self.seed).sign(message).to_bytes()
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// Whether `signature` is `key`'s for `nonce`, the key being a user's.
pub fn verify_nonce(key: &str, nonce: &[u8], signature: &str) -> bool {
    let Ok(public) = Public::parse(key) else { return false };
    public.kind == Kind::User && verify_encoded(&public, nonce, base64::decode_signature(signature))
}

/// Whether the proxy with this key signed a nonce. Proxies are younger than clients, and have one way to write it.
pub fn verify_proxy(key: &str, nonce: &[u8], signature: &str) -> bool {
    let Ok(public) = Public::parse(key) else { return false };
    verify_encoded(&public, nonce, base64::decode_url(signature).ok())
}

fn verify_encoded(public: &Public, nonce: &[u8], signature: Option<Vec<u8>>) -> bool {
    signature.is_some_and(|signature| public.verify(nonce, &signature))
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], NkeyError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(NkeyError::Encoding);
    }
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| NkeyError::Encoding)?;
    let bytes: [u8; N] = bytes.try_into().map_err(|_| NkeyError::Encoding)?;
    let (body, sum) = bytes.split_at(N - 2);
    if crc16(body).to_le_bytes() != sum {
        return Err(NkeyError::Encoding);
    }
    Ok(bytes)
}

fn encode(mut bytes: Vec<u8>) -> String {
    let sum = crc16(&bytes).to_le_bytes();
    bytes.extend_from_slice(&sum);
    BASE32_NOPAD.encode(&bytes)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(
            crc ^ u16::from(byte) << 8,
            |crc, _| if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, BASE64URL_NOPAD};
    use proptest::prelude::*;

    const SEED: &str = "SUAH6HNJ3LG7VOXTLL2XC365TLO5HO3ARUIIAA4FQFQQINOOQBQPBZDMVI";
    const PUBLIC: &str = "UCX2LDE4XQAULPZAHXSAVZADP7D76UN336WMZIC2N3GNWMWN3S4SSKMW";

    #[test]
    fn a_seed_has_its_public_key_and_signs() {
        let seed = Seed::parse(SEED).expect("seed");
        assert_eq!(seed.public().to_string(), PUBLIC);
        assert_eq!(seed.reveal().as_str(), SEED);
        assert!(!format!("{seed:?}").contains(SEED));
        let signature = seed.sign(b"nonce");
        assert!(verify_nonce(PUBLIC, b"nonce", &BASE64URL_NOPAD.encode(&signature)));
        assert!(verify_nonce(PUBLIC, b"nonce", &BASE64.encode(&signature)));
        let mut wrapped = BASE64URL_NOPAD.encode(&signature);
        wrapped.insert_str(40, "\r\n");
        assert!(verify_nonce(PUBLIC, b"nonce", &format!("{wrapped}\n")));
        assert!(verify_proxy(PUBLIC, b"nonce", &format!("{wrapped}\n")));
        assert!(!verify_proxy(PUBLIC, b"nonce", &BASE64.encode(&signature)));
        assert!(!verify_nonce(PUBLIC, b"other", &BASE64.encode(&signature)));
        assert!(!verify_nonce(PUBLIC, b"nonce", "!!!"));
        assert!(!verify_nonce("UABC", b"nonce", &BASE64.encode(&signature)));
    }

    /// GHSA-g33f-6538-grxh: keys of every length and prefix are refused, not trusted to be long enough.
    #[test]
    fn short_and_long_keys_are_no_keys() {
        let signature = BASE64.encode(&[0; 64]);
        let mut keys = 0;
        for length in 0..=64 {
            for prefix in 0..=255 {
                let mut bytes = vec![prefix];
                bytes.extend(std::iter::repeat_n(7, length));
                let text = encode(bytes);
                let is_key = length == 32 && Kind::of(prefix).is_some();
                assert_eq!(Public::parse(&text).is_ok(), is_key, "{prefix} {length}");
                assert!(!verify_nonce(&text, b"n", &signature));
                keys += usize::from(is_key);
            }
        }
        assert_eq!(keys, Kind::ALL.len());
    }

    /// The same for seeds, whose prefix takes two bytes.
    #[test]
    fn short_and_long_seeds_are_no_seeds() {
        for length in 0..=64 {
            for prefix in 0..=255_u8 {
                let mut bytes = vec![SEED_PREFIX | prefix >> 5, (prefix & 31) << 3];
                bytes.extend(std::iter::repeat_n(7, length));
                let is_seed = length == 32 && Kind::of(prefix).is_some();
                assert_eq!(Seed::parse(&encode(bytes)).is_ok(), is_seed, "{prefix} {length}");
            }
        }
        let public = Public::from_bytes(Kind::User, [7; 32]).to_string();
        assert!(Seed::parse(&public).is_err() && Public::parse(SEED).is_err());
    }

    /// A checksum is looked at, and so is each of its bytes.
    #[test]
    fn mistyped_keys_are_no_keys() {
        for (at, _) in PUBLIC.char_indices() {
            let mut text = PUBLIC.to_owned();
            let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            text.replace_range(at..=at, other);
            assert!(Public::parse(&text).is_err(), "{text}");
        }
        assert!(Public::parse(&PUBLIC.to_lowercase()).is_err());
    }

    proptest! {
        #[test]
        fn keys_survive_their_encoding(bytes: [u8; 32]) {
            for kind in Kind::ALL {
                let public = Public::from_bytes(kind, bytes);
                prop_assert_eq!(Public::parse(&public.to_string()), Ok(public));
                let seed = Seed::from_bytes(kind, bytes);
                prop_assert_eq!(Seed::parse(&seed.reveal()).map(|s| s.public()), Ok(seed.public()));
            }
        }

        #[test]
        fn nothing_breaks_it(text in ".{0,80}") {
            let _ = (Public::parse(&text), Seed::parse(&text));
        }
    }
}
