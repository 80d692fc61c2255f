//! Parameters of a request, with the official server's words for what is wrong with them.

use super::BadQuery;

/// Parameters that one request may have.
const PARAMETERS_MAX: usize = 64;

/// Parameters in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the question mark.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|p| !p.is_empty()).take(PARAMETERS_MAX);
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of a parameter; empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, BadQuery> {
        match self.text(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(bad("boolean", name, "ParseBool", other)),
        }
    }

    pub(crate) fn integer(&self, name: &str) -> Result<i64, BadQuery> {
        match self.text(name) {
            "" => Ok(0),
            text => text.parse().map_err(|_| bad("int", name, "Atoi", text)),
        }
    }

    pub(crate) fn unsigned(&self, name: &str) -> Result<u64, BadQuery> {
        match self.text(name) {
            "" => Ok(0),
            text => text.parse().map_err(|_| bad("uint64", name, "ParseUint", text)),
        }
    }

    /// Offset and limit of a list; what is not positive is the default.
    pub(crate) fn window(&self, limit_default: usize) -> Result<Window, BadQuery> {
        let positive = |n: i64| usize::try_from(n).ok().filter(|&n| n > 0);
        Ok(Window {
            offset: positive(self.integer("offset")?).unwrap_or(0),
            limit: positive(self.integer("limit")?).unwrap_or(limit_default),
        })
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

fn bad(kind: &str, name: &str, function: &str, value: &str) -> BadQuery {
    let why = if function != "ParseBool" && is_number_out_of_range(value) {
        "value out of range"
    } else {
        "invalid syntax"
    };
    BadQuery(format!("Error decoding {kind} for '{name}': strconv.{function}: parsing {value:?}: {why}"))
}

fn is_number_out_of_range(value: &str) -> bool {
    value.len() > 18 && value.bytes().all(|b| b.is_ascii_digit())
}

/// Percent signs and pluses. What is no valid escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = Query::parse("a=1&b=x%20y+z&c&d=%zz&a=2");
        assert_eq!(
            (query.text("a"), query.text("b"), query.text("c"), query.text("d")),
            ("1", "x y z", "", "%zz")
        );
        assert!(query.flag("a").is_ok_and(|on| on));
        let Err(BadQuery(why)) = query.integer("b") else { panic!("refused") };
        assert_eq!(why, "Error decoding int for 'b': strconv.Atoi: parsing \"x y z\": invalid syntax");
    }

    /// GHSA-q59r-vq66-pxc2: extremes of offset and limit do not add up to something else.
    #[test]
    fn windows_of_any_size() {
        for (text, expected) in [
            ("offset=9223372036854775807&limit=9223372036854775807", 0),
            ("offset=-1&limit=-5", 3),
            ("offset=1&limit=9223372036854775807", 2),
            ("limit=2", 2),
        ] {
            let window = Query::parse(text).window(1024).unwrap_or(Window { offset: 9, limit: 9 });
            assert_eq!(window.of([1, 2, 3]).len(), expected, "{text}");
        }
        assert!(Query::parse("offset=99999999999999999999").window(1).is_err());
    }
}
