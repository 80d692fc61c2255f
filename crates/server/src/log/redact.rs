//! What may not reach the log: secrets in a CONNECT and in URLs; and how bytes of a peer are shown.

use super::escape::is_unsafe;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use std::fmt::Write as _;

/// Fields of CONNECT that a trace shows.
const SHOWN: [&str; 13] = [
    "verbose",
    "pedantic",
    "echo",
    "tls_required",
    "headers",
    "no_responders",
    "protocol",
    "lang",
    "version",
    "name",
    "user",
    "account",
    "new_account",
];

/// Fields that are shown to be there, without what they hold.
const HIDDEN: [&str; 6] = ["pass", "auth_token", "jwt", "nkey", "sig", "proxy_sig"];

/// Bytes of a shown text. It is cut there.
const TEXT_BYTES_MAX: usize = 256;

/// Bytes of a redacted CONNECT. Fields that come after are left out.
const CONNECT_BYTES_MAX: usize = 4096;

const REDACTED: &str = "[REDACTED]";

/// CONNECT's JSON, in the peer's order, as far as it is known to be harmless: secrets say `[REDACTED]`, fields that are
/// not in the tables above are dropped with their names (CVE-2020-26149). What is no JSON object is hidden altogether.
pub fn connect(json: &[u8]) -> String {
    let mut reader = serde_json::Deserializer::from_slice(json);
    match reader.deserialize_map(Fields).and_then(|shown| reader.end().map(|()| shown)) {
        Ok(shown) => shown,
        Err(_) => REDACTED.to_owned(),
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = String;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut shown = String::from("{");
        while let Some(key) = map.next_key::<String>()? {
            // Keys are matched without case, as they are when a CONNECT is read.
            let is = |known: &&str| known.eq_ignore_ascii_case(&key);
            let value = if let Some(name) = SHOWN.iter().find(|k| is(k)) {
                scalar(&map.next_value()?).map(|value| (*name, value))
            } else {
                map.next_value::<IgnoredAny>()?;
                HIDDEN.iter().find(|k| is(k)).map(|name| (*name, format!("\"{REDACTED}\"")))
            };
            if let Some((name, value)) = value
                && shown.len() + name.len() + value.len() < CONNECT_BYTES_MAX
            {
                let comma = if shown.len() > 1 { "," } else { "" };
                // Writing to a String has no way to fail.
                let _ = write!(shown, "{comma}\"{name}\":{value}");
            }
        }
        shown.push('}');
        Ok(shown)
    }
}

/// A harmless value as JSON; none for what no such field holds.
fn scalar(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::Bool(_) | Value::Number(_) | Value::Null => Some(value.to_string()),
        Value::String(text) => {
            let short: String = text
                .char_indices()
                .take_while(|(at, c)| at + c.len_utf8() <= TEXT_BYTES_MAX)
                .map(|(_, c)| c)
                .collect();
            Some(Value::from(short).to_string())
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A URL without its password, or its token: `nats://user:[REDACTED]@host:4222`, `nats://[REDACTED]@host:4222`.
pub fn url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    // The last `@`: a password may hold one, a host may not. What follows a `/` is no host, but may follow an `@`.
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}{separator}{name}:{REDACTED}@{host}"),
        None => format!("{scheme}{separator}{REDACTED}@{host}"),
    }
}

/// Bytes of a peer as a quoted text, cut after `bytes_max` (0: not at all). Nothing in it begins a line or steers a
/// terminal; bytes that are no UTF-8 show as `\xff`, as in the official log.
pub fn quoted(bytes: &[u8], bytes_max: usize) -> String {
    let cut = bytes.get(..bytes_max).filter(|_| bytes_max > 0 && bytes.len() > bytes_max);
    let mut out = String::with_capacity(cut.unwrap_or(bytes).len() + 8);
    out.push('"');
    for chunk in cut.unwrap_or(bytes).utf8_chunks() {
        chunk.valid().chars().for_each(|c| quote(&mut out, c));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push_str(if cut.is_some() { "...\"" } else { "\"" });
    out
}

fn quote(out: &mut String, c: char) {
    let code = u32::from(c);
    // Writing to a String has no way to fail.
    let _ = match c {
        '"' | '\\' => write!(out, "\\{c}"),
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        '\x07' => write!(out, "\\a"),
        '\x08' => write!(out, "\\b"),
        '\x0b' => write!(out, "\\v"),
        '\x0c' => write!(out, "\\f"),
        _ if code < 0x20 || code == 0x7f => write!(out, "\\x{code:02x}"),
        ' '..='~' => write!(out, "{c}"),
        // Characters that `Debug` escapes do not print; the others do, combining marks too.
        _ if c.escape_debug().len() == 1 && !is_unsafe(c) => write!(out, "{c}"),
        _ if code <= 0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(json: &str, shown: &str) {
        assert_eq!(connect(json.as_bytes()), shown);
    }

    #[test]
    fn a_connect_keeps_its_order_and_loses_its_secrets() {
        check(
            r#"{"verbose":false,"user":"a","pass":"S3","lang":"go","name":"n","jwt":"S3","sig":"S3"}"#,
            r#"{"verbose":false,"user":"a","pass":"[REDACTED]","lang":"go","name":"n","jwt":"[REDACTED]","sig":"[REDACTED]"}"#,
        );
        check(
            r#"{"PASS":"S3","Auth_Token":7,"tls_key":{"a":"S3"},"S3":1}"#,
            r#"{"pass":"[REDACTED]","auth_token":"[REDACTED]"}"#,
        );
        check(r#"{"pass":"S3","pass":["S3"],"name":["S3"]}"#, r#"{"pass":"[REDACTED]","pass":"[REDACTED]"}"#);
        check("{}", "{}");
    }

    #[test]
    fn what_is_no_object_is_hidden() {
        for json in ["", "S3", r#"{"pass":"S3""#, r#"["S3"]"#, r#"{"name":"x"} S3"#] {
            check(json, REDACTED);
        }
        let deep = "{\"a\":".repeat(200_000);
        check(&deep, REDACTED);
    }

    #[test]
    fn long_texts_are_cut() {
        let shown = connect(format!("{{\"name\":\"{}\"}}", "é".repeat(5000)).as_bytes());
        assert!(shown.len() < TEXT_BYTES_MAX + 20, "{}", shown.len());
    }

    #[test]
    fn urls_lose_passwords_and_tokens() {
        assert_eq!(url("nats://a:S3@h:1"), "nats://a:[REDACTED]@h:1");
        assert_eq!(url("nats://S3@h:1"), "nats://[REDACTED]@h:1");
        assert_eq!(url("nats://a:S@3@h:1"), "nats://a:[REDACTED]@h:1");
        assert_eq!(url("a:S3@h:1"), "a:[REDACTED]@h:1");
        assert_eq!(url("nats://h:1"), "nats://h:1");
    }

    #[test]
    fn bytes_are_quoted_as_in_the_official_log() {
        assert_eq!(quoted(b"012345\r\"\xff\x008901234567", 10), r#""012345\r\"\xff\x00...""#);
        assert_eq!(quoted("é\u{1b}\u{2028}\\".as_bytes(), 0), r#""é\x1b\u2028\\""#);
        assert_eq!(quoted(b"ab", 2), r#""ab""#);
    }

    proptest! {
        /// No secret survives, under whatever name, at whatever depth, however written.
        #[test]
        fn no_secret_is_shown(fields in prop::collection::vec(("[a-z_]{1,12}|pass|PASS|jwt|sig|auth_token", 0..4u8), 0..12)) {
            prop_assume!(fields.iter().all(|(name, _)| !SHOWN.contains(&name.as_str())));
            let body: Vec<String> = fields.iter().map(|(name, form)| match form {
                0 => format!("\"{name}\":\"S3CRET\""),
                1 => format!("\"{name}\":{{\"user\":\"S3CRET\"}}"),
                2 => format!("\"{name}\":[\"S3CRET\"]"),
                _ => format!("\"{name}S3CRET\":1"),
            }).collect();
            let shown = connect(format!("{{{}}}", body.join(",")).as_bytes());
            prop_assert!(!shown.contains("S3CRET"), "{}", shown);
        }

        #[test]
        fn what_is_shown_is_one_line_of_json_or_hidden(json in any::<Vec<u8>>(), name in any::<String>()) {
            prop_assert_eq!(connect(&json).lines().count(), 1);
            let whole = serde_json::json!({ "name": name }).to_string();
            let shown = connect(whole.as_bytes());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());
            prop_assert!(!shown.contains(['\n', '\r']));
        }

        #[test]
        fn quoted_bytes_do_not_steer(bytes in any::<Vec<u8>>(), max in 0..40usize) {
            prop_assert!(!quoted(&bytes, max).chars().any(char::is_control));
        }

        #[test]
        fn no_password_is_left_in_a_url(user in "[a-z]{0,5}", secret in "S3CRET[a-zA-Z0-9:@/]{0,6}") {
            let shown = url(&format!("nats://{user}:{secret}@host:4222"));
            prop_assert!(!shown.contains("S3CRET"), "{}", shown);
        }
    }
}
