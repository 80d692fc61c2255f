//! Base64 as Go's `encoding/base64` reads it, for whatever clients of NATS encode: JWTs, signatures and byte strings in JSON.
//!
//! CR and LF are skipped wherever they stand, and the unused bits of the last symbol may be anything: files gain line
//! ends, and tools wrap lines. Source: RFC 4648; <https://pkg.go.dev/encoding/base64>.

use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;

const DIGITS_AND_LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static URL: LazyLock<Encoding> = LazyLock::new(|| lenient("-_"));
static STANDARD: LazyLock<Encoding> = LazyLock::new(|| lenient("+/"));

#[expect(clippy::expect_used, reason = "of two constants")]
fn lenient(last: &str) -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str(DIGITS_AND_LETTERS);
    specification.symbols.push_str(last);
    specification.ignore.push_str("\r\n");
    specification.check_trailing_bits = false;
    specification.encoding().expect("64 symbols")
}

/// Reads the URL alphabet without padding, Go's `RawURLEncoding`. The error is the index of the first wrong byte.
pub fn decode_url(text: &str) -> Result<Vec<u8>, usize> {
    URL.decode(text.as_bytes()).map_err(|error| error.position)
}

/// Reads the standard alphabet with padding, Go's `StdEncoding`.
pub fn decode_standard(text: &str) -> Option<Vec<u8>> {
    let is_line_end = |c: &char| matches!(c, '\r' | '\n');
    if !text.chars().filter(|c| !is_line_end(c)).count().is_multiple_of(4) {
        return None;
    }
    let symbols = text.trim_end_matches(['=', '\r', '\n']);
    let padding = text[symbols.len()..].chars().filter(|c| !is_line_end(c)).count();
    // With two symbols at least in the last group of four, this is the only padding that fills it.
    if padding > 2 { None } else { STANDARD.decode(symbols.as_bytes()).ok() }
}

/// Reads a signature as servers do: the URL alphabet, or the standard one for clients that use that.
pub fn decode_signature(text: &str) -> Option<Vec<u8>> {
    decode_url(text).ok().or_else(|| decode_standard(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit, after the documentation of Go's package.
    fn naive(text: &str, last: &str, is_padded: bool) -> Option<Vec<u8>> {
        let alphabet: Vec<char> = DIGITS_AND_LETTERS.chars().chain(last.chars()).collect();
        let mut symbols: Vec<char> = text.chars().filter(|c| *c != '\r' && *c != '\n').collect();
        if is_padded {
            if !symbols.len().is_multiple_of(4) {
                return None;
            }
            for _ in 0..2 {
                symbols.pop_if(|c| *c == '=');
            }
        }
        let mut bits = Vec::new();
        for symbol in &symbols {
            let value = alphabet.iter().position(|c| c == symbol)?;
            bits.extend((0..6).rev().map(|bit| value >> bit & 1));
        }
        let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit as u8);
        (symbols.len() % 4 != 1).then(|| bits.chunks_exact(8).map(byte).collect())
    }

    /// What Go 1.24 says of these texts, RawURLEncoding and StdEncoding.
    #[test]
    fn as_go_reads_it() {
        for (text, url, standard) in [
            ("", Ok(&b""[..]), Some(&b""[..])),
            ("\r\n", Ok(b""), Some(b"")),
            ("aGk", Ok(b"hi"), None),
            ("aG\nk\r\n", Ok(b"hi"), None),
            // The last two bits are not zero.
            ("aGl", Ok(b"hi"), None),
            ("aGk=", Err(3), Some(b"hi")),
            ("aGk\r\n=\n", Err(5), Some(b"hi")),
            ("aA=\n=", Err(2), Some(b"h")),
            ("aA==aA==", Err(2), None),
            ("aA==aA", Err(2), None),
            ("a===", Err(1), None),
            ("aaaa====", Err(4), None),
            ("-_-_", Ok(&[0xfb, 0xff, 0xbf]), None),
            ("+/+/", Err(0), Some(&[0xfb, 0xff, 0xbf])),
            ("aGk ", Err(3), None),
            ("aGk\t", Err(3), None),
            ("aGkaa", Err(4), None),
        ] {
            assert_eq!(decode_url(text).as_deref(), url.as_ref().copied(), "{text:?}");
            assert_eq!(decode_standard(text).as_deref(), standard, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn as_bit_by_bit(text in "[A-Ca-c019_+/=\\r\\n-]{0,12}|[A-Za-z0-9_-]{0,90}[\\r\\n]{0,2}=?\\n?") {
            prop_assert_eq!(decode_url(&text).ok(), naive(&text, "-_", false));
            prop_assert_eq!(decode_standard(&text), naive(&text, "+/", true));
        }

        /// Line ends anywhere change nothing.
        #[test]
        fn line_ends_are_nothing(bytes: [u8; 64], places in proptest::collection::vec((0..90_usize, any::<bool>()), 0..9)) {
            for encoding in [data_encoding::BASE64URL_NOPAD, data_encoding::BASE64] {
                let mut text = encoding.encode(&bytes);
                for (place, is_cr) in &places {
                    text.insert((*place).min(text.len()), if *is_cr { '\r' } else { '\n' });
                }
                prop_assert_eq!(decode_signature(&text), Some(bytes.to_vec()));
            }
        }
    }
}
