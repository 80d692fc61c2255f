//! What the log of a stream holds of consumers, their snapshots, and what clients send them.
#![no_main]

use dialtone_jetstream::consumers::fuzzed::bytes_hold;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| bytes_hold(input));
