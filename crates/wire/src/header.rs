//! Message headers: `NATS/1.0`, an optional status, `Key: value` lines, an empty line (ADR-4).

/// The first line of every header block.
pub const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

/// Appends the block of a no-responders answer for `subject`: status 503 with the subject that was asked.
pub fn no_responders(out: &mut Vec<u8>, subject: &[u8]) {
    out.extend_from_slice(b"NATS/1.0 503\r\nNats-Subject: ");
    out.extend_from_slice(subject);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Why a publish was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The client's rights do not cover the subject.
    Permissions,
    /// It came faster than is allowed.
    RateLimit,
}

impl Denial {
    /// Status and description, by the numbers of HTTP.
    fn status(self) -> (&'static str, &'static str) {
        match self {
            Self::Permissions => ("403", "Permissions Violation"),
            Self::RateLimit => ("429", "Rate Limit Exceeded"),
        }
    }
}

/// Appends the block that answers a request to `subject` which was not taken: a status, and the same once more in the
/// headers by which services tell errors (ADR-32), since not all clients look at statuses.
pub fn denied(out: &mut Vec<u8>, why: Denial, subject: &[u8]) {
    let (code, description) = why.status();
    let (code, description) = (code.as_bytes(), description.as_bytes());
    let lines: [&[&[u8]]; 4] = [
        &[b"NATS/1.0 ", code, b" ", description],
        &[b"Nats-Subject: ", subject],
        &[b"Nats-Service-Error-Code: ", code],
        &[b"Nats-Service-Error: ", description, b" for Publish to \"", subject, b"\""],
    ];
    for line in lines {
        line.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The value of the first header named `name` (any case), trimmed. `None` if there is none.
pub fn value<'a>(block: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(block).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// All `Key: value` lines of a block. A line without a colon is passed over.
pub fn lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    block.split(|&b| b == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|&b| b == b':')?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    })
}

/// Appends `block` with one header `name`, at its end: whatever it had by this name, in any case, is gone. An empty
/// block becomes one.
pub fn replace(out: &mut Vec<u8>, block: &[u8], name: &[u8], value: &[u8]) {
    let mut lines = block.split_inclusive(|&b| b == b'\n');
    out.extend_from_slice(lines.next().unwrap_or(VERSION_LINE));
    for line in lines {
        let key =
            line.iter().position(|&b| b == b':').and_then(|colon| line.get(..colon)).unwrap_or_default();
        if !key.trim_ascii().eq_ignore_ascii_case(name) && !line.trim_ascii().is_empty() {
            out.extend_from_slice(line);
        }
    }
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    for part in [name, b": ", value, b"\r\n\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_any_case_and_trimmed() {
        let block = b"NATS/1.0\r\nA: 1\r\nbad\r\nNats-Trace-Dest:  x.y \r\n\r\n";
        assert_eq!(value(block, b"nats-trace-dest"), Some(&b"x.y"[..]));
        assert_eq!(value(block, b"a"), Some(&b"1"[..]));
        assert_eq!(value(block, b"bad"), None);
        assert_eq!(value(b"", b"a"), None);
    }

    #[test]
    fn a_denial_says_why_and_what() {
        let mut out = Vec::new();
        denied(&mut out, Denial::RateLimit, b"a.b");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "NATS/1.0 429 Rate Limit Exceeded\r\nNats-Subject: a.b\r\nNats-Service-Error-Code: 429\r\n\
             Nats-Service-Error: Rate Limit Exceeded for Publish to \"a.b\"\r\n\r\n"
        );
        assert_eq!(value(&out, b"nats-subject"), Some(&b"a.b"[..]));
    }

    #[test]
    fn a_replaced_header_is_there_once() {
        #[track_caller]
        fn check(block: &str, expected: &str) {
            let mut out = Vec::new();
            replace(&mut out, block.as_bytes(), b"Who", b"me");
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        check("", "NATS/1.0\r\nWho: me\r\n\r\n");
        check("NATS/1.0\r\n\r\n", "NATS/1.0\r\nWho: me\r\n\r\n");
        check(
            "NATS/1.0\r\nwho: x\r\nA: b\r\nWHO : y\r\nWho: z\r\n\r\n",
            "NATS/1.0\r\nA: b\r\nWho: me\r\n\r\n",
        );
        check("NATS/1.0 503\r\nWhole: w\r\n\r\n", "NATS/1.0 503\r\nWhole: w\r\nWho: me\r\n\r\n");
    }
}
