//! What stands between the head and the body of a delivery, in whatever protocol: `[reply ][header_bytes ]body_bytes CRLF`.

/// Every pair of decimal digits, as it stands in memory.
const PAIRS: [u16; 100] = {
    let mut pairs = [0; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = u16::from_le_bytes([b'0' + n as u8 / 10, b'0' + n as u8 % 10]);
        n += 1;
    }
    pairs
};

/// A short text in a register, its first byte lowest.
#[derive(Clone, Copy, Debug)]
struct Packed {
    text: u128,
    bytes: usize,
}

impl Packed {
    const BLANK: Self = Self { text: b' ' as u128, bytes: 1 };
    const CRLF: Self = Self { text: u16::from_le_bytes(*b"\r\n") as u128, bytes: 2 };

    /// `n` in decimal in front of it: up to 14 digits, of which no size of a message has more than ten.
    #[inline(always)]
    fn behind(self, n: usize) -> Self {
        let (mut out, mut n) = (self, n);
        while n >= 100 {
            out = out.behind_pair(n % 100);
            n /= 100;
        }
        if n >= 10 {
            return out.behind_pair(n);
        }
        Self { text: out.text << 8 | (b'0' as usize + n) as u128, bytes: out.bytes + 1 }
    }

    #[inline(always)]
    fn behind_pair(self, pair: usize) -> Self {
        let digits = PAIRS.get(pair).copied().unwrap_or_default();
        Self { text: self.text << 16 | u128::from(digits), bytes: self.bytes + 2 }
    }

    /// Appends it: all of the register at once, and then what is too much goes.
    #[inline(always)]
    fn append(self, out: &mut Vec<u8>) {
        let end = out.len().wrapping_add(self.bytes);
        out.extend_from_slice(&self.text.to_le_bytes());
        out.truncate(end);
    }
}

/// Reply and sizes of a delivery: the same for all who get a message.
#[derive(Clone, Copy, Debug)]
pub struct Middle<'a> {
    reply: Option<&'a [u8]>,
    header_bytes: Option<Packed>,
    body_bytes: Packed,
}

impl<'a> Middle<'a> {
    /// For a message of these sizes; `body_bytes` are headers and payload.
    #[inline(always)]
    pub fn new(reply: Option<&'a [u8]>, header_bytes: Option<usize>, body_bytes: usize) -> Self {
        Self {
            reply,
            header_bytes: header_bytes.map(|bytes| Packed::BLANK.behind(bytes)),
            body_bytes: Packed::CRLF.behind(body_bytes),
        }
    }

    /// Appends it.
    #[inline(always)]
    pub fn append(&self, out: &mut Vec<u8>) {
        if let Some(reply) = self.reply {
            out.extend_from_slice(reply);
            out.push(b' ');
        }
        self.append_sizes(out);
    }

    /// Appends what stands behind the reply.
    #[inline(always)]
    pub fn append_sizes(&self, out: &mut Vec<u8>) {
        if let Some(header_bytes) = self.header_bytes {
            header_bytes.append(out);
        }
        self.body_bytes.append(out);
    }

    /// Where an answer is expected.
    pub fn reply(&self) -> Option<&'a [u8]> {
        self.reply
    }
}

/// Appends a number in decimal.
pub(crate) fn decimal(out: &mut Vec<u8>, n: usize) {
    Packed { text: 0, bytes: 0 }.behind(n).append(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn sizes_are_written_in_decimal(
            reply in proptest::option::of("[a-z.]{1,9}"), header_bytes in proptest::option::of(0usize..2_000_000_000),
            body_bytes in 0usize..20_000_000_000, shift in 0u32..34,
        ) {
            let (header_bytes, body_bytes) = (header_bytes.map(|bytes| bytes >> shift), body_bytes >> shift);
            let mut expected = String::from("before ");
            reply.iter().for_each(|reply| expected += &format!("{reply} "));
            header_bytes.iter().for_each(|bytes| expected += &format!("{bytes} "));
            expected += &format!("{body_bytes}\r\n");
            let mut out = b"before ".to_vec();
            Middle::new(reply.as_ref().map(String::as_bytes), header_bytes, body_bytes).append(&mut out);
            proptest::prop_assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
