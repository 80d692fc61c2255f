//! Requests to the JetStream API: a subject, a space, a body. They are read or refused, and what is accepted is accepted again as the same.
#![no_main]

use dialtone_jetstream::api::fuzzed::request_holds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| request_holds(request));
