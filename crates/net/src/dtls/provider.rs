//! The cryptography of handshakes, with one thing changed: the library has each of its objects check cookies that it made itself, and here
//! they are checked before there is an object.

use dimpl::CryptoError;
use dimpl::crypto::{CryptoProvider, HashAlgorithm, HmacProvider, rust_crypto};
use std::cell::Cell;

thread_local! {
    /// The cookie that is good, while a ClientHello is handed over that has it.
    static GOOD: Cell<Option<[u8; 32]>> = const { Cell::new(None) };
}

/// Runs `call`, which takes a ClientHello whose cookie is good, and nothing else: its first HMAC is that of the cookie, and is answered by it.
/// Every other is what it has to be, or the keys of a peer would be known to it.
pub(super) fn with_good_cookie<T>(cookie: [u8; 32], call: impl FnOnce() -> T) -> T {
    GOOD.set(Some(cookie));
    let done = call();
    GOOD.set(None);
    done
}

#[derive(Debug)]
struct Hmac;

impl HmacProvider for Hmac {
    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        match (GOOD.take(), out.get_mut(..32)) {
            (Some(cookie), Some(out)) => {
                out.copy_from_slice(&cookie);
                Ok(cookie.len())
            }
            _ => rust_crypto::default_provider().hmac_provider.hmac(hash, key, data, out),
        }
    }
}

pub(super) fn provider() -> CryptoProvider {
    CryptoProvider { hmac_provider: &Hmac, ..rust_crypto::default_provider() }
}
