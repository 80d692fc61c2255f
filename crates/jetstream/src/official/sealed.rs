//! What an official server encrypted: a key file beside each file of messages and each `meta.inf` holds the key of that one, sealed by a key
//! that is made of the server's, the account and what it belongs to.
//!
//! Metafiles and states are sealed by an AEAD with a nonce of 16 (AES) or 24 bytes (`ChaCha20`) before them; files of messages are XORed with the bare
//! stream of the same cipher, from the nonce of their key file.

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{Aead, KeyInit, Nonce};
use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20poly1305::XChaCha20Poly1305;
use ring::hmac;
use zeroize::{Zeroize, Zeroizing};

type Aes256Gcm = AesGcm<aes::Aes256, U16>;
type Aes256Ctr = ctr::Ctr128BE<aes::Aes256>;

const SEED_BYTES: usize = 32;

/// How an official server sealed a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cipher {
    ChaCha,
    Aes,
}

impl Cipher {
    fn nonce_bytes(self) -> usize {
        match self {
            Cipher::ChaCha => 24,
            Cipher::Aes => 16,
        }
    }

    /// Opens what stands behind its nonce.
    fn open(self, key: &[u8; SEED_BYTES], bytes: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = bytes.split_at_checked(self.nonce_bytes())?;
        match self {
            Cipher::ChaCha => opened(&XChaCha20Poly1305::new(key.into()), nonce, sealed),
            Cipher::Aes => opened(&Aes256Gcm::new(key.into()), nonce, sealed),
        }
    }
}

fn opened<A: Aead>(cipher: &A, nonce: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    cipher.decrypt(Nonce::<A>::from_slice(nonce), sealed).ok()
}

/// The key of one file of messages, or of what a stream or consumer is and how far it is.
pub struct FileKey {
    cipher: Cipher,
    seed: [u8; SEED_BYTES],
    /// Of the key file, from which the stream of a file of messages begins.
    nonce: Vec<u8>,
}

impl Drop for FileKey {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl FileKey {
    /// Opens a key file (`meta.key`, or `N.key` beside `N.blk`) by one of the server's keys. What it belongs to is called as `Of` says. `None`:
    /// it is another key, or damaged.
    pub fn open(file: &[u8], account: &str, of: &Of<'_>, keys: &[&[u8]]) -> Option<FileKey> {
        let context = match of {
            Of::Stream(stream) => (*stream).to_owned(),
            Of::Block(stream, number) => format!("{stream}:{number}"),
            Of::Consumer(stream, consumer) => format!("{stream}.{consumer}"),
        };
        keys.iter().find_map(|key| {
            let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
            [account, &context].iter().for_each(|part| mac.update(part.as_bytes()));
            let mut sealing = Zeroizing::new([0; SEED_BYTES]);
            sealing.copy_from_slice(mac.sign().as_ref());
            [Cipher::ChaCha, Cipher::Aes].into_iter().find_map(|cipher| {
                let seed = Zeroizing::new(cipher.open(&sealing, file)?);
                let nonce = file.get(..cipher.nonce_bytes())?.to_vec();
                Some(FileKey { cipher, seed: seed.as_slice().try_into().ok()?, nonce })
            })
        })
    }

    /// Opens a metafile or a state. `None`: it is damaged.
    pub fn open_file(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.cipher.open(&self.seed, bytes)
    }

    /// Makes a file of messages what it was, in its place. Only its records say whether that is right.
    pub fn open_block(&self, bytes: &mut [u8]) {
        let seed = (&self.seed).into();
        match self.cipher {
            Cipher::ChaCha => {
                XChaCha20::new(seed, self.nonce.as_slice().into()).apply_keystream(bytes);
            }
            Cipher::Aes => {
                Aes256Ctr::new(seed, self.nonce.as_slice().into()).apply_keystream(bytes);
            }
        }
    }
}

/// What a key belongs to, by its names.
pub enum Of<'a> {
    /// A stream.
    Stream(&'a str),
    /// The file of this number of a stream.
    Block(&'a str, u64),
    /// A consumer of a stream.
    Consumer(&'a str, &'a str),
}
