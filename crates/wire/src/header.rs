//! Message headers: `NATS/1.0`, an optional status, `Key: value` lines, an empty line (ADR-4).

/// What the first line of every header block begins with.
const VERSION: &[u8] = b"NATS/1.0";
/// The first line of a header block without a status.
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
///
/// Receivers do not agree on what ends a line, nor on what they pass over around a name. So that all of them see the same
/// lines, each ends with CRLF here and has no other control character within but tabs; an empty line, where a receiver
/// would stop to read, is left out; and a line's name is compared by its visible characters alone.
pub fn replace(out: &mut Vec<u8>, block: &[u8], name: &[u8], value: &[u8]) {
    rewrite(out, block, (name, value), Where::End);
}

/// The same, with the header where the first one of that name was, if there was one.
pub fn replace_in_place(out: &mut Vec<u8>, block: &[u8], name: &[u8], value: &[u8]) {
    rewrite(out, block, (name, value), Where::First);
}

/// Where a header is put that replaces others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    End,
    First,
}

fn rewrite(out: &mut Vec<u8>, block: &[u8], (name, value): (&[u8], &[u8]), place: Where) {
    let mut lines = block.split(|&byte| byte == b'\n').peekable();
    match lines.next_if(|first| first.starts_with(VERSION)) {
        Some(first) => push_line(out, first),
        None => out.extend_from_slice(VERSION_LINE),
    }
    let (mut follows_dropped, mut is_there) = (false, false);
    for line in lines.filter(|line| !is_blank(line)) {
        let continues = follows_dropped && line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        follows_dropped = continues || is_named(line, name);
        if !follows_dropped {
            push_line(out, line);
        } else if !is_there && place == Where::First {
            push_header(out, name, value);
            is_there = true;
        }
    }
    if !is_there {
        push_header(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

fn push_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Whether a receiver might take the line for a header of this name.
fn is_named(line: &[u8], name: &[u8]) -> bool {
    let key = line.split(|&byte| byte == b':').next().unwrap_or_default();
    let visible = key.iter().filter(|byte| byte.is_ascii_graphic());
    visible.map(u8::to_ascii_lowercase).eq(name.iter().map(u8::to_ascii_lowercase))
}

/// Whether there is nothing in a line that can be seen.
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|&byte| byte == b' ' || byte.is_ascii_control())
}

/// Appends a line, spaces standing for control characters as RFC 9110 (5.5) has it.
fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let plain = |&byte: &u8| if byte.is_ascii_control() && byte != b'\t' { b' ' } else { byte };
    out.extend(line.iter().map(plain));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    /// The lines of a block, as by a receiver for which `ends` matches where a line ends.
    fn lines_by(block: &[u8], ends: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut line, mut rest) = (Vec::new(), Vec::new(), block);
        while let Some((&byte, behind)) = rest.split_first() {
            match ends.iter().find(|end| rest.starts_with(end)) {
                Some(end) => {
                    lines.push(std::mem::take(&mut line));
                    rest = rest.get(end.len()..).unwrap_or_default();
                }
                None => {
                    line.push(byte);
                    rest = behind;
                }
            }
        }
        lines.push(line);
        lines
    }

    /// All receivers that are thought of: what ends their lines. Python's `splitlines` takes all of the last.
    const RECEIVERS: [&[&[u8]]; 5] = [
        &[b"\r\n"],
        &[b"\n"],
        &[b"\r"],
        &[b"\r\n", b"\n", b"\r"],
        &[b"\r\n", b"\n", b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\0"],
    ];

    /// Values of `name` that a receiver finds before the empty line that ends a block, or anywhere if it reads on. Names
    /// count without what is not visible around them, and the first line is read like any other.
    fn found(block: &[u8], ends: &[&[u8]], name: &str, reads_on: bool) -> Vec<String> {
        let mut out = Vec::new();
        for line in lines_by(block, ends) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let trimmed = line.trim_matches(|c: char| c.is_whitespace() || c.is_control());
            if trimmed.is_empty() && !reads_on {
                break;
            }
            if let Some((key, value)) = trimmed.split_once(':')
                && key.trim_matches(|c: char| c.is_whitespace() || c.is_control()).eq_ignore_ascii_case(name)
            {
                out.push(value.trim().to_owned());
            }
        }
        out
    }

    /// Bytes of which forged headers are made.
    fn forgery() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b"Nats-Request-Info".to_vec()),
            1 => Just(b"nats-request-INFO".to_vec()),
            3 => Just(b": x".to_vec()),
            1 => Just(b"NATS/1.0".to_vec()),
            1 => Just(b"A: b".to_vec()),
            3 => Just(b"\r\n".to_vec()),
            4 => prop::sample::select(b"\r\n\t \0\x0b\x0c\x1c\x1d\x1e\x7f:x".to_vec()).prop_map(|b| vec![b]),
            1 => any::<u8>().prop_map(|b| vec![b]),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Whatever bytes, every receiver finds one header of the name: the server's.
        #[test]
        fn a_forged_header_is_seen_by_no_receiver(forged in forgery(), behind_version in any::<bool>()) {
            let block = if behind_version { [VERSION_LINE, &forged].concat() } else { forged };
            let mut out = Vec::new();
            replace(&mut out, &block, b"Nats-Request-Info", b"{}");
            prop_assert!(out.starts_with(VERSION));
            for ends in RECEIVERS {
                // Who ends lines at every CR or LF by itself sees an empty line within each CRLF.
                let is_split = ends == [b"\n".as_slice()] || ends == [b"\r".as_slice()];
                for reads_on in [is_split, true] {
                    let found = found(&out, ends, "Nats-Request-Info", reads_on);
                    prop_assert_eq!(found, ["{}"], "{:?} by {:?}", String::from_utf8_lossy(&out), ends);
                }
            }
        }

        /// What is well formed and of other names goes through as it is.
        #[test]
        fn other_headers_stay_as_they_are(values in prop::collection::vec("[ -~]{0,8}", 0..4)) {
            let lines: String = values.iter().map(|value| format!("A: {value}\r\n")).collect();
            let mut out = Vec::new();
            replace(&mut out, format!("NATS/1.0\r\n{lines}\r\n").as_bytes(), b"Who", b"me");
            prop_assert_eq!(out, format!("NATS/1.0\r\n{lines}Who: me\r\n\r\n").into_bytes());
        }
    }

    #[test]
    fn forgeries_by_name() {
        #[track_caller]
        fn check(block: &[u8], expected: &str) {
            let mut out = Vec::new();
            replace(&mut out, block, b"Who", b"me");
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        check(b"NATS/1.0\r\nA: b\rWho: x\r\n\r\n", "NATS/1.0\r\nA: b Who: x\r\nWho: me\r\n\r\n");
        check(b"NATS/1.0\r\nA: b\x0bWho: x\r\n\r\n", "NATS/1.0\r\nA: b Who: x\r\nWho: me\r\n\r\n");
        check(b"NATS/1.0\r\n\0Who: x\r\n\r\n", "NATS/1.0\r\nWho: me\r\n\r\n");
        check(b"NATS/1.0\rWho: x\r\n\r\n", "NATS/1.0 Who: x\r\nWho: me\r\n\r\n");
        check(b"Who: x\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: b\r\nWho: me\r\n\r\n");
        check(b"NATS/1.0\r\nWho: x\r\n y: z\r\nA: b\n\r\n", "NATS/1.0\r\nA: b\r\nWho: me\r\n\r\n");
    }
}
