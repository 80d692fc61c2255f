//! Message headers: `NATS/1.0`, an optional status, `Key: value` lines, an empty line (ADR-4).

/// The first line of every header block.
pub const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

/// Appends the block of a no-responders answer for `subject`: status 503 with the subject that was asked.
pub fn no_responders(out: &mut Vec<u8>, subject: &[u8]) {
    out.extend_from_slice(b"NATS/1.0 503\r\nNats-Subject: ");
    out.extend_from_slice(subject);
    out.extend_from_slice(b"\r\n\r\n");
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
}
