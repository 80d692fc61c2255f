#![no_main]
//! Tokens: whatever is decoded says the same when it is read again, and nothing breaks the readers.

use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::jwt::{self, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // As it comes, and as the claims of a token whose header is good: the signature is looked at last but one.
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let claims = BASE64URL_NOPAD.encode(bytes);
    let made = format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&[0; 64]));
    for text in [String::from_utf8_lossy(bytes).into_owned(), made] {
        let _ = jwt::decode_any(&text);
        let _ = jwt::payload(&text);
        if let Ok(token) = jwt::decode(&text) {
            assert_eq!(jwt::decode(&text).as_ref(), Ok(&token));
            let world = validate::ValidationContext { now: Some(0), is_time_zone: &|_| true };
            let _ = validate::validate(&token, &world);
        }
    }
});
