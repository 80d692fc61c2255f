//! Parameters of a request.

/// Parameters that one request may have.
const PARAMETERS_MAX: usize = 64;

/// Parameters in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the question mark. A parameter with an invalid escape, or with a semicolon, is not
    /// there.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|p| !p.is_empty() && !p.contains(';')).take(PARAMETERS_MAX);
        Self(
            pairs
                .filter_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((decode(key, b' ')?, decode(value, b' ')?))
                })
                .collect(),
        )
    }

    /// The first value of a parameter; empty if it is not there.
    pub(super) fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl Window {
    pub(crate) fn of<T>(self, list: impl IntoIterator<Item = T>) -> Vec<T> {
        list.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

/// A path without escapes; what is no valid escape stays as it is.
pub(super) fn decode_path(path: &str) -> String {
    decode(path, b'+').unwrap_or_else(|| path.to_owned())
}

/// A path that can stand in a header and in a page.
pub(super) fn encode_path(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).into() } else { format!("%{b:02X}") }).collect()
}

/// Text without percent signs; a plus becomes `plus`. `None`: an escape is invalid.
fn decode(text: &str, plus: u8) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let hex = bytes.get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))?;
            out.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            at += 3;
        } else {
            out.push(if byte == b'+' { plus } else { byte });
            at += 1;
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = Query::parse("a=1&b=x%20y+z&c&d=%zz&a=2&e=%+1&f=%&g=1;h=2");
        assert_eq!(
            (query.value("a"), query.value("b"), query.value("c"), query.value("d")),
            ("1", "x y z", "", "")
        );
        assert_eq!((query.value("e"), query.value("f"), query.value("g")), ("", "", ""));
        assert_eq!(decode_path("/%76arz+"), "/varz+");
        assert_eq!(decode_path("/%zz"), "/%zz");
        assert_eq!(encode_path("/a b\"/é"), "/a%20b%22/%C3%A9");
    }
}
