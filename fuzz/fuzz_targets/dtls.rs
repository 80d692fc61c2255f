//! Datagrams of DTLS before, in and behind a handshake: whatever they are, who has connected is heard, strangers get nothing longer than what
//! they sent, and a panic of the library is the end of who caused it alone.
#![no_main]

use dialtone_net::dtls::fuzzed::datagrams_hold;
use libfuzzer_sys::fuzz_target;
use std::sync::Once;

static HOOK: Once = Once::new();

fuzz_target!(|input: &[u8]| {
    // libFuzzer's hook would end the process at a panic that is caught; one that is not ends it all the same.
    HOOK.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    datagrams_hold(input);
});
