//! Asking responders: each by POST, then by GET, since some know only one. Source: RFC 6960, appendix A.

use super::STAPLE_BYTES_MAX;
use crate::call::Call;
use data_encoding::BASE64;
use std::time::Duration;

/// The type of what is asked.
const REQUEST: &str = "application/ocsp-request";

/// The first answer to `request`, in the order of the responders. Blocks.
///
/// Errors: what each of them said instead.
pub(super) fn fetch(request: &[u8], responders: &[String], timeout: Duration) -> Result<Vec<u8>, String> {
    if responders.is_empty() {
        return Err("no available ocsp servers".into());
    }
    let mut said = Vec::new();
    for responder in responders {
        let responder = responder.trim_end_matches('/');
        if !responder.starts_with("http://") {
            said.push(format!("{responder}: unsupported protocol scheme"));
            continue;
        }
        let in_path = format!("{responder}/{}", escape(&BASE64.encode(request)));
        for (verb, address, body) in [("Post", responder, Some((REQUEST, request))), ("Get", &in_path, None)]
        {
            let call = Call { address, body, tls: None, timeout, answer_bytes_max: STAPLE_BYTES_MAX };
            match call.make() {
                Ok(answer) => return Ok(answer),
                Err(why) => said.push(format!("{verb} {responder:?}: {why}")),
            }
        }
    }
    Err(format!("exhausted ocsp servers: {}", said.join("; ")))
}

/// Base64 as a part of a path.
fn escape(base64: &str) -> String {
    base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
