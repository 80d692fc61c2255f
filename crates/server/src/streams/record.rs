//! What the log of a stream holds beside its messages: a byte that says what it is, then its bytes.

/// A change of a stream or of its consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A proposal of the stream.
    Proposal(&'a [u8]),
    /// Changes of consumers.
    Changes(&'a [u8]),
    /// A `StreamMeta`.
    Stream(&'a [u8]),
    /// The same as [`Self::Consumer`], as older servers wrote it.
    OldConsumer(&'a [u8]),
    /// A `ConsumerMeta`: one that begins or has another configuration.
    Consumer(&'a [u8]),
    /// A consumer is gone: its number.
    Gone(&'a [u8]),
    /// How far a consumer is that came from elsewhere: its number, then its state.
    Progress(&'a [u8]),
    /// What follows comes from elsewhere: the stream is none before [`Record::Loaded`].
    Loading,
    /// All of it is there.
    Loaded,
}

impl<'a> Record<'a> {
    /// Appends it.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let (tag, bytes) = match self {
            Self::Proposal(bytes) => (1, bytes),
            Self::Changes(bytes) => (2, bytes),
            Self::Stream(bytes) => (3, bytes),
            Self::OldConsumer(bytes) => (4, bytes),
            Self::Consumer(bytes) => (6, bytes),
            Self::Gone(bytes) => (5, bytes),
            Self::Progress(bytes) => (16, bytes),
            Self::Loading => (17, &[][..]),
            Self::Loaded => (18, &[][..]),
        };
        out.push(tag);
        out.extend_from_slice(bytes);
    }

    /// Reads one. `None`: it is of a later version.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (tag, bytes) = bytes.split_first()?;
        Some(match tag {
            1 => Self::Proposal(bytes),
            2 => Self::Changes(bytes),
            3 => Self::Stream(bytes),
            4 => Self::OldConsumer(bytes),
            6 => Self::Consumer(bytes),
            5 => Self::Gone(bytes),
            16 => Self::Progress(bytes),
            17 => Self::Loading,
            18 => Self::Loaded,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for record in [
            Record::Proposal(b"p"),
            Record::Changes(b""),
            Record::Stream(b"{}"),
            Record::OldConsumer(b"{}"),
            Record::Consumer(b"p"),
            Record::Gone(b"\x01"),
            Record::Progress(b"\x01\x02"),
            Record::Loading,
            Record::Loaded,
        ] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(Record::decode(&bytes), Some(record));
        }
        assert_eq!(Record::decode(b""), None);
        assert_eq!(Record::decode(b"\x09x"), None);
    }
}
