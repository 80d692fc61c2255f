//! What MQTT-SN clients send: a datagram is read or refused, and what was read is written as it was.
#![no_main]

use dialtone_wire::mqtt_sn::fuzzed::bytes_hold;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| bytes_hold(input));
