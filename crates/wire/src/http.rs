//! Heads of HTTP messages: how they come in, and their headers.

/// Bytes of the head of an answer.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Headers of an answer.
const HEADERS_MAX: usize = 64;
/// What every answer begins with that is understood.
const ANSWER_BEGIN: &[u8] = b"HTTP/1.";

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It is no HTTP.
    #[error("malformed HTTP response")]
    Malformed,
    /// It is too large, or has too many headers.
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes or {HEADERS_MAX} headers")]
    TooLarge,
}

/// Finds the head of an answer in what comes in.
#[derive(Clone, Debug, Default)]
pub struct AnswerReader {
    /// Bytes that were looked at.
    seen: usize,
}

impl AnswerReader {
    /// All that came so far. The head, if it is whole.
    ///
    /// # Errors
    /// It will be none.
    pub fn head<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, HeadError> {
        if !ANSWER_BEGIN.starts_with(input) && !input.starts_with(ANSWER_BEGIN) {
            return Err(HeadError::Malformed);
        }
        match head_end(input, self.seen) {
            Some(end) if end <= ANSWER_BYTES_MAX => Ok(input.get(..end)),
            None if input.len() < ANSWER_BYTES_MAX => {
                self.seen = input.len();
                Ok(None)
            }
            _ => Err(HeadError::TooLarge),
        }
    }
}

/// Where the head of a message ends in `input`, if it is whole. Only what stands behind `seen` bytes is new.
pub fn head_end(input: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(2);
    let mut newlines =
        input.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    newlines.find_map(|at| match input.get(at + 1..) {
        Some([b'\n', ..]) => Some(at + 2),
        Some([b'\r', b'\n', ..]) => Some(at + 3),
        _ => None,
    })
}

/// The first line of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusLine<'a> {
    /// The second figure of the version.
    pub(crate) minor_version: u8,
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
}

/// Reads the head of an answer, which is whole.
pub(crate) fn answer<T>(
    head: &[u8],
    read: impl FnOnce(StatusLine<'_>, &Headers<'_, '_>) -> T,
) -> Result<T, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(HeadError::Malformed),
    }
    let (Some(status), Some(minor_version)) = (response.code, response.version) else {
        return Err(HeadError::Malformed);
    };
    let reason = response.reason.unwrap_or_default();
    Ok(read(StatusLine { minor_version, status, reason }, &Headers(response.headers)))
}

/// Headers as they were parsed.
pub(crate) struct Headers<'a, 'b>(pub(crate) &'b [httparse::Header<'a>]);

impl<'a> Headers<'a, '_> {
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        // What is no UTF-8 is none of the values that are looked for.
        named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    }

    pub(crate) fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_whoever_cuts_it() {
        for whole in [&b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest"[..], b"GET / HTTP/1.1\nA: b\n\nrest"] {
            let end = whole.len() - 4;
            for cut in 0..=end {
                let expected = (cut == end).then_some(end);
                assert_eq!(head_end(&whole[..cut], 0), expected);
                if cut < end {
                    assert_eq!(head_end(whole, cut), Some(end), "seen {cut}");
                }
            }
        }
    }

    /// However it is cut, and whatever comes behind it.
    #[test]
    fn the_head_of_an_answer_is_found() {
        let whole = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n";
        let all = [&whole[..], b"\x82\x04PING"].concat();
        for cut in 0..all.len() {
            let mut reader = AnswerReader::default();
            let first = reader.head(&all[..cut]).expect("an answer");
            assert_eq!(first.is_some(), cut >= whole.len());
            assert_eq!(reader.head(&all), Ok(Some(&whole[..])));
        }
    }

    /// A hostile end may send for ever, or what is no answer at all.
    #[test]
    fn a_head_that_does_not_end_is_refused() {
        let mut reader = AnswerReader::default();
        let long = [b"HTTP/1.1 101 x\r\nA: ".as_slice(), &vec![b'a'; ANSWER_BYTES_MAX]].concat();
        assert_eq!(reader.head(&long[..ANSWER_BYTES_MAX - 1]), Ok(None));
        assert_eq!(reader.head(&long[..ANSWER_BYTES_MAX]), Err(HeadError::TooLarge));
        let late = [long.as_slice(), b"\r\n\r\n"].concat();
        assert_eq!(AnswerReader::default().head(&late), Err(HeadError::TooLarge));
        for other in [&b"INFO {\"server_id\":1}\r\n"[..], b"I", b"HTTP/2", b"\x15\x03"] {
            assert_eq!(AnswerReader::default().head(other), Err(HeadError::Malformed), "{other:?}");
        }
    }
}
