//! HTTP CONNECT (RFC 9110 §9.3.6): a tunnel through a proxy, asked for by the end that connects.

use crate::http::{self, HeadError};
use data_encoding::BASE64;

/// Why there is no tunnel. The texts are the official server's, so far as it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// The answer cannot be read.
    #[error("failed to read proxy response: {0}")]
    Head(#[from] HeadError),
    /// The proxy does not want to.
    #[error("proxy CONNECT failed: {status} {reason}")]
    Refused {
        /// The status.
        status: u16,
        /// What the proxy calls it, without what could break a line of the log.
        reason: String,
    },
}

/// The request for a tunnel to `target`, which is `host:port`, by a user of the proxy if there is one.
pub fn request(target: &str, user: Option<(&str, &str)>) -> Vec<u8> {
    let mut out = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((name, password)) = user {
        let shown = BASE64.encode(format!("{name}:{password}").as_bytes());
        out.extend(["Proxy-Authorization: Basic ", &shown, "\r\n"]);
    }
    out.push_str("\r\n");
    out.into()
}

/// Reads the answer, the head of which is whole. Behind it the tunnel begins, whatever length the head says (RFC 9110 §9.3.6).
///
/// # Errors
/// [`TunnelError`].
pub fn answered(head: &[u8]) -> Result<(), TunnelError> {
    http::answer(head, |line, _| match line.status {
        200 => Ok(()),
        status => {
            let reason =
                line.reason.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(100).collect();
            Err(TunnelError::Refused { status, reason })
        }
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_request_names_the_target_and_the_user() {
        assert_eq!(request("h:80", None), b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n");
        let with_user = request("[::1]:7422", Some(("bob", "sesame")));
        let expected = b"CONNECT [::1]:7422 HTTP/1.1\r\nHost: [::1]:7422\r\nProxy-Authorization: Basic Ym9iOnNlc2FtZQ==\r\n\r\n";
        assert_eq!(with_user, expected);
    }

    #[test]
    fn only_200_is_a_tunnel() {
        assert_eq!(answered(b"HTTP/1.1 200 Connection established\r\n\r\n"), Ok(()));
        assert_eq!(answered(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), Ok(()));
        for (head, why) in [
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
                "proxy CONNECT failed: 407 Proxy Authentication Required",
            ),
            ("HTTP/1.1 201 Created\r\n\r\n", "proxy CONNECT failed: 201 Created"),
            ("HTTP/1.1 302 \r\n\r\n", "proxy CONNECT failed: 302 "),
            ("FROB\r\n\r\n", "failed to read proxy response: malformed HTTP response"),
            ("", "failed to read proxy response: malformed HTTP response"),
        ] {
            assert_eq!(
                answered(head.as_bytes()).map_err(|why| why.to_string()),
                Err(why.to_owned()),
                "{head:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_judged(head in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Err(TunnelError::Refused { reason, .. }) = answered(&head) {
                prop_assert!(reason.len() <= 100 && !reason.contains('\n'));
            }
        }
    }
}
