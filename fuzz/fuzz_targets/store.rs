//! The files of a store, written over anywhere: it opens or says why not, and all that it hands out can be asked for.
#![no_main]

use dialtone_store::fuzzed::files_hold;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|patches: &[u8]| files_hold(patches));
