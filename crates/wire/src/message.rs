//! A message on its way through the server, as every codec makes it and takes it.

/// A message. Borrows from the buffer it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The subject; not yet validated.
    pub subject: &'a [u8],
    /// Where an answer is expected.
    pub reply: Option<&'a [u8]>,
    /// Bytes of the header block at the front of the body; 0: it has no headers.
    pub header_bytes: usize,
    /// Headers, payload and the CRLF behind them: what is copied to each subscriber.
    pub framed: &'a [u8],
}

impl<'a> Message<'a> {
    /// Whether it has headers.
    #[inline]
    pub fn has_headers(&self) -> bool {
        self.header_bytes > 0
    }

    /// Bytes of headers and payload, without the CRLF.
    #[inline]
    pub fn body_bytes(&self) -> usize {
        self.framed.len().saturating_sub(2)
    }

    /// Headers and payload.
    pub fn body(&self) -> &'a [u8] {
        self.framed.get(..self.body_bytes()).unwrap_or_default()
    }

    /// The header block, empty if it has no headers.
    pub fn headers(&self) -> &'a [u8] {
        self.framed.get(..self.header_bytes).unwrap_or_default()
    }

    /// The payload behind the headers.
    pub fn payload(&self) -> &'a [u8] {
        self.body().get(self.header_bytes..).unwrap_or_default()
    }

    /// The payload and the CRLF behind it.
    pub fn framed_payload(&self) -> &'a [u8] {
        self.framed.get(self.header_bytes..).unwrap_or_default()
    }
}
