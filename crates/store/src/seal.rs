//! Encryption at rest: the keys of a store and of its files, and sealing bytes to their place.
//!
//! The operator's key seals a ring of data keys, which stands in the manifest. Each file has a key of its own, made of a data key, the
//! store, the file and a salt that is drawn when the file begins; so bytes are sealed by a key and a position (the nonce) that belong to them
//! alone, and pass nowhere else. What is sealed has a tag behind it. Checksums are of what is on disk, so damage is found without a key.

use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroize;

/// Bytes behind what is sealed.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes that are drawn for each file.
pub(crate) const SALT_BYTES: usize = 16;
/// Data keys that a ring has room for: one for each change of the key or the cipher.
pub(crate) const KEYS_MAX: usize = 4096;

const SECRET_BYTES: usize = 32;
/// A data key in a sealed ring: its cipher, and itself.
const ENTRY_BYTES: usize = 1 + SECRET_BYTES;

/// What is drawn when a file begins.
pub(crate) type Salt = [u8; SALT_BYTES];

/// How bytes are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES-256 in Galois/Counter mode.
    Aes256Gcm,
    /// `ChaCha20` with Poly1305, RFC 8439.
    ChaCha20Poly1305,
}

impl Cipher {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Cipher::Aes256Gcm => 1,
            Cipher::ChaCha20Poly1305 => 2,
        }
    }

    fn of(byte: u8) -> Option<Cipher> {
        Some(match byte {
            1 => Cipher::Aes256Gcm,
            2 => Cipher::ChaCha20Poly1305,
            _ => return None,
        })
    }
}

/// An operator's key, of which the key of a store's ring is made. It is never printed, and wiped when it is dropped.
#[derive(Clone)]
pub struct Key([u8; SECRET_BYTES]);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Key {
    /// The key that this text is. It should be random and long: nothing slows down who guesses it.
    pub fn new(text: &[u8]) -> Key {
        Key(mac(text, &[b"dialtone store key"]))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// By what a store is encrypted.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// What is written from now on is sealed by it.
    pub cipher: Cipher,
    /// The key.
    pub key: Key,
    /// The key before, by which a store is opened whose key is to change.
    pub previous: Option<Key>,
}

/// HMAC-SHA-256.
fn mac(secret: &[u8], parts: &[&[u8]]) -> [u8; SECRET_BYTES] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; SECRET_BYTES];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// What bytes are, so that those of one use do not pass as those of another. Part of the nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A record.
    Record = 1,
    /// A record whose body is erased, in the place of what it was.
    Erased = 2,
    /// Heads of a group's messages.
    Index = 3,
    /// Data keys.
    Ring = 4,
    /// What a manifest says.
    Manifest = 5,
}

/// Data keys, the newest last. Empty: the store is not encrypted.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Ring(Vec<DataKey>);

#[derive(Clone, PartialEq, Eq)]
struct DataKey {
    cipher: Cipher,
    secret: [u8; SECRET_BYTES],
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} keys)", self.0.len())
    }
}

impl Ring {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether another data key has room.
    pub fn has_room(&self) -> bool {
        self.0.len() < KEYS_MAX
    }

    /// The newest data key, from which new files have theirs; 0 when there is none.
    pub fn newest(&self) -> u32 {
        self.0.len() as u32
    }

    /// The cipher of new files.
    pub fn cipher(&self) -> Option<Cipher> {
        self.0.last().map(|key| key.cipher)
    }

    /// Adds a data key.
    pub fn add(&mut self, cipher: Cipher) {
        self.0.push(DataKey { cipher, secret: rand::random() });
    }

    /// The key of a file, `Lost` when the ring has no such data key.
    pub fn file_key(&self, store: &[u8; 16], file: u64, seal: FileSeal) -> FileKey {
        let Some(key) = (seal.key as usize).checked_sub(1).and_then(|index| self.0.get(index)) else {
            return FileKey::Lost;
        };
        let secret = mac(&key.secret, &[b"file", store, &file.to_le_bytes(), &seal.salt]);
        FileKey::sealed(key.cipher, &secret)
    }

    /// The ring as it stands in a manifest, sealed by an operator's key.
    pub fn seal(&self, store: &[u8; 16], by: &Encryption) -> Vec<u8> {
        let mut out = vec![by.cipher.byte()];
        let salt: Salt = rand::random();
        out.extend_from_slice(&salt);
        let start = out.len();
        for key in &self.0 {
            out.push(key.cipher.byte());
            out.extend_from_slice(&key.secret);
        }
        wrapping(&by.key, by.cipher, store, &salt).seal((Use::Ring, 0), &[], &mut out, start);
        out
    }

    /// The ring that was sealed by this key, `None` when it was another one.
    pub fn open(sealed: &[u8], store: &[u8; 16], key: &Key) -> Option<Ring> {
        let (cipher, rest) = sealed.split_first()?;
        let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>()?;
        let mut bytes = rest.to_vec();
        let plain = wrapping(key, Cipher::of(*cipher)?, store, salt).open((Use::Ring, 0), &[], &mut bytes)?;
        let entry = |bytes: &[u8]| {
            Some(DataKey { cipher: Cipher::of(*bytes.first()?)?, secret: *bytes[1..].first_chunk()? })
        };
        let ring = bytes.get(..plain)?.chunks_exact(ENTRY_BYTES).map(entry).collect::<Option<Vec<_>>>();
        bytes.zeroize();
        ring.map(Ring)
    }
}

fn wrapping(key: &Key, cipher: Cipher, store: &[u8; 16], salt: &Salt) -> FileKey {
    FileKey::sealed(cipher, &mac(&key.0, &[b"ring", store, salt]))
}

/// By which data key a file is sealed, and its salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSeal {
    pub key: u32,
    pub salt: Salt,
}

impl FileSeal {
    /// For a new file; `None` where the store is not encrypted.
    pub fn new(ring: &Ring) -> Option<FileSeal> {
        (!ring.is_empty()).then(|| FileSeal { key: ring.newest(), salt: rand::random() })
    }
}

/// What the bytes of one file are sealed by.
#[derive(Clone)]
pub(crate) enum FileKey {
    /// They are not.
    Plain,
    Sealed(Arc<LessSafeKey>),
    /// They are, and nobody knows by what.
    Lost,
}

impl FileKey {
    fn sealed(cipher: Cipher, secret: &[u8; SECRET_BYTES]) -> FileKey {
        match UnboundKey::new(cipher.algorithm(), secret) {
            Ok(key) => FileKey::Sealed(Arc::new(LessSafeKey::new(key))),
            Err(_) => FileKey::Lost,
        }
    }

    /// Bytes that stand behind what is sealed.
    pub fn tag_bytes(&self) -> usize {
        match self {
            FileKey::Plain => 0,
            FileKey::Sealed(_) | FileKey::Lost => TAG_BYTES,
        }
    }

    /// Seals what stands in `out` from `start` on and puts the tag behind it.
    pub fn seal(&self, place: (Use, u64), bound: &[u8], out: &mut Vec<u8>, start: usize) {
        let FileKey::Sealed(key) = self else {
            debug_assert!(matches!(self, FileKey::Plain), "nothing is written to a file whose key is lost");
            return;
        };
        let sealed = key.seal_in_place_separate_tag(nonce(place), Aad::from(bound), &mut out[start..]);
        // It fails for what is longer than 64 GiB.
        let tag = sealed.expect("a record within its bounds");
        out.extend_from_slice(tag.as_ref());
    }

    /// Opens what was sealed, with its tag at the end, in its place; how many bytes there are without the tag. `None`: it is not what was
    /// sealed for this place, and the bytes are of no use.
    pub fn open(&self, place: (Use, u64), bound: &[u8], bytes: &mut [u8]) -> Option<usize> {
        match self {
            FileKey::Plain => Some(bytes.len()),
            FileKey::Lost => None,
            FileKey::Sealed(key) => {
                key.open_in_place(nonce(place), Aad::from(bound), bytes).ok().map(|plain| plain.len())
            }
        }
    }
}

fn nonce((what, position): (Use, u64)) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[0] = what as u8;
    bytes[4..].copy_from_slice(&position.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: [u8; 16] = [3; 16];

    #[test]
    fn what_is_sealed_passes_at_its_place_only() {
        for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
            let mut ring = Ring::default();
            ring.add(cipher);
            let seal = FileSeal { key: 1, salt: [9; 16] };
            let key = ring.file_key(&STORE, 5, seal);
            let mut sealed = b"headorders".to_vec();
            key.seal((Use::Record, 64), b"bound", &mut sealed, 4);
            assert!(sealed.starts_with(b"head") && !sealed.ends_with(b"orders"));
            assert_eq!(sealed.len(), 10 + TAG_BYTES);
            let opened = |key: &FileKey, place, bound: &[u8], sealed: &[u8]| {
                let mut bytes = sealed.to_vec();
                key.open(place, bound, &mut bytes).map(|plain| bytes[..plain].to_vec())
            };
            let sealed = &sealed[4..];
            assert_eq!(opened(&key, (Use::Record, 64), b"bound", sealed), Some(b"orders".to_vec()));
            assert_eq!(opened(&key, (Use::Record, 72), b"bound", sealed), None);
            assert_eq!(opened(&key, (Use::Erased, 64), b"bound", sealed), None);
            assert_eq!(opened(&key, (Use::Record, 64), b"other", sealed), None);
            for at in 0..sealed.len() {
                let mut flipped = sealed.to_vec();
                flipped[at] ^= 4;
                assert_eq!(opened(&key, (Use::Record, 64), b"bound", &flipped), None, "byte {at}");
            }
            for other in [
                ring.file_key(&STORE, 6, seal),
                ring.file_key(&[4; 16], 5, seal),
                ring.file_key(&STORE, 5, FileSeal { salt: [8; 16], ..seal }),
                ring.file_key(&STORE, 5, FileSeal { key: 2, ..seal }),
                ring.file_key(&STORE, 5, FileSeal { key: 0, ..seal }),
            ] {
                assert_eq!(opened(&other, (Use::Record, 64), b"bound", sealed), None);
            }
        }
    }

    #[test]
    fn a_ring_opens_by_its_key_only() {
        let mut ring = Ring::default();
        ring.add(Cipher::Aes256Gcm);
        ring.add(Cipher::ChaCha20Poly1305);
        let by = Encryption { cipher: Cipher::Aes256Gcm, key: Key::new(b"one"), previous: None };
        let sealed = ring.seal(&STORE, &by);
        assert_ne!(sealed, ring.seal(&STORE, &by), "no salt twice");
        assert_eq!(Ring::open(&sealed, &STORE, &Key::new(b"one")), Some(ring));
        assert_eq!(Ring::open(&sealed, &STORE, &Key::new(b"other")), None);
        assert_eq!(Ring::open(&sealed, &[4; 16], &Key::new(b"one")), None);
        for end in 0..sealed.len() {
            assert_eq!(Ring::open(&sealed[..end], &STORE, &Key::new(b"one")), None);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut ring = Ring::default();
        ring.add(Cipher::Aes256Gcm);
        let by = Encryption { cipher: Cipher::Aes256Gcm, key: Key::new(b"one"), previous: None };
        assert_eq!(format!("{by:?}"), "Encryption { cipher: Aes256Gcm, key: Key(…), previous: None }");
        assert_eq!(format!("{ring:?}"), "Ring(1 keys)");
    }
}
