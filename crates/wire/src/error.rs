//! Everything a peer may be told by `-ERR`, and whether its connection ends with it: one table.

/// Whether the connection goes on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The connection is closed after the error is written.
    Closes,
    /// The operation was refused; the connection lives on.
    Stays,
}

macro_rules! protocol_errors {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal $then:ident;)*) => {
        /// An error with a fixed text, as the official server words it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProtocolError { $($(#[doc = $doc])* $name,)* }

        impl ProtocolError {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text between the quotes of `-ERR '…'`.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What happens to the connection.
            pub fn then(self) -> Consequence {
                match self { $(Self::$name => Consequence::$then,)* }
            }
        }
    };
}

protocol_errors! {
    /// Bytes that are no operation.
    UnknownOperation "Unknown Protocol Operation" Closes;
    /// A control line over `max_control_line`.
    ControlLineExceeded "maximum control line exceeded" Closes;
    /// A message over `max_payload`.
    PayloadExceeded "Maximum Payload Violation" Closes;
    /// Wrong or missing credentials.
    Authorization "Authorization Violation" Closes;
    /// No CONNECT in time.
    AuthenticationTimeout "Authentication Timeout" Closes;
    /// The credentials have run out.
    AuthenticationExpired "User Authentication Expired" Closes;
    /// The credentials were withdrawn.
    AuthenticationRevoked "User Authentication Revoked" Closes;
    /// The account has run out.
    AccountExpired "Account Authentication Expired" Closes;
    /// CONNECT with a protocol that is neither 0 nor 1.
    InvalidProtocol "invalid client protocol" Closes;
    /// `no_responders` without `headers`.
    NoRespondersNeedsHeaders "no responders requires headers support" Closes;
    /// A plain connection where TLS is required.
    TlsRequired "Secure Connection - TLS Required" Closes;
    /// Over `max_connections` of the server.
    ServerConnectionsExceeded "maximum connections exceeded" Closes;
    /// Over the account's connections.
    AccountConnectionsExceeded "maximum account active connections exceeded" Closes;
    /// Over the subscriptions of a connection.
    SubscriptionsExceeded "maximum subscriptions exceeded" Stays;
    /// A filter that is not one.
    InvalidSubject "Invalid Subject" Stays;
    /// A subject that cannot be published to; only told in pedantic mode.
    InvalidPublishSubject "Invalid Publish Subject" Stays;
    /// The peer did not answer our PINGs.
    StaleConnection "Stale Connection" Closes;
    /// TLS handshakes come faster than `connection_rate_limit`.
    ConnectionThrottled "Connection throttling is active. Please try again later." Closes;
    /// The account cannot take this connection.
    AccountRegistration "Failed Account Registration" Closes;
}

/// Text in quotes as errors show it, in the notation of Go: a peer may compare it.
pub fn quoted(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0C' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x0B' => out.push_str("\\v"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_those_of_go() {
        for (text, shown) in [
            (&b"a.b"[..], r#""a.b""#),
            (b"a\0b", r#""a\x00b""#),
            (b"\"\\", r#""\"\\""#),
            (b"a\xff", r#""a\xff""#),
            ("\u{e9}\u{7f}\u{85}".as_bytes(), "\"\u{e9}\\x7f\\u0085\""),
            (b"\x07\x08\x0b\x0c", r#""\a\b\v\f""#),
        ] {
            assert_eq!(quoted(text), shown);
        }
    }

    #[test]
    fn every_text_is_told_once() {
        let mut texts: Vec<_> = ProtocolError::ALL.iter().map(|e| e.text()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), ProtocolError::ALL.len());
        assert!(texts.iter().all(|t| !t.contains(['\'', '\r', '\n'])));
    }
}
