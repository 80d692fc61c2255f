#![no_main]
//! Credentials files: what is read is written and read again as the same, and nothing breaks the reader.

use dialtone_identity::creds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(credentials) = creds::parse(text) {
        let written = creds::write(&credentials.jwt, &credentials.seed);
        let again = creds::parse(&written).expect("what was written is read");
        assert_eq!((again.jwt, again.seed.public()), (credentials.jwt, credentials.seed.public()));
    }
});
