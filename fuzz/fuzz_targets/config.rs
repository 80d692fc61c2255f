//! A configuration of any text: it is read or refused, with a place in it, and what is read plans no change to itself.
#![no_main]

use dialtone_config::{load_text, plan};
use libfuzzer_sys::fuzz_target;
use std::io;
use std::path::Path;

fuzz_target!(|text: &str| {
    // The text includes itself by any name, and is every variable: nesting and size must hold.
    let mut files = |path: &Path| match path.to_str() {
        Some("gone") => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(text.as_bytes().to_vec()),
    };
    let env = |name: &str| (name != "GONE").then(|| text.to_owned());
    match load_text(text, "fuzz.conf", &mut files, &env) {
        Ok(options) => assert_eq!(plan::plan(&options, &options), Ok(Vec::new())),
        Err(errors) => assert!(!errors.0.is_empty() && errors.0.iter().all(|e| !e.problem.is_empty())),
    }
});
