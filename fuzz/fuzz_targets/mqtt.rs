//! What MQTT clients and servers send: any split gives the same packets and the same end, and what was read is written as it was.
#![no_main]

use dialtone_wire::mqtt::fuzzed::bytes_hold;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| bytes_hold(input));
