//! Replies across gateways: a server puts its cluster and itself in front of a reply subject, so that the answer goes there alone, for
//! the interest in that subject may not have come to the other cluster yet.

use crate::interserver::short_hash;
use ring::digest::{SHA256, digest};

/// Bytes of a hash in [`Prefix`].
const HASH_BYTES: usize = 6;
/// The same before servers knew [`Prefix`].
const OLD_HASH_BYTES: usize = 4;
const PREFIX: &[u8] = b"_GR_.";
const OLD_PREFIX: &[u8] = b"$GR.";

/// What a server puts in front of replies: `_GR_.<cluster>.<server>.`, hashes of its cluster's name and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    cluster: [u8; HASH_BYTES],
    server: [u8; HASH_BYTES],
    old_cluster: [u8; OLD_HASH_BYTES],
}

/// A reply subject with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixed<'a> {
    /// Hash of the cluster that it leads to.
    pub cluster: &'a [u8],
    /// Hash of the server that it leads to; `None` in the older form.
    pub server: Option<&'a [u8]>,
    /// The reply subject itself.
    pub subject: &'a [u8],
}

impl Prefix {
    /// Of a server in a cluster.
    pub fn new(cluster: &[u8], server_id: &[u8]) -> Self {
        let mut old_cluster = [0; OLD_HASH_BYTES];
        let hash = data_encoding::HEXLOWER.encode(digest(&SHA256, cluster).as_ref());
        old_cluster.iter_mut().zip(hash.bytes()).for_each(|(slot, byte)| *slot = byte);
        Self { cluster: short_hash(cluster), server: short_hash(server_id), old_cluster }
    }

    /// Appends a reply subject with the prefix. All servers since 2.1.2 know it; the one before, `$GR` with the cluster alone, is only read.
    pub fn wrap(&self, reply: &[u8], out: &mut Vec<u8>) {
        let parts: [&[u8]; 6] = [PREFIX, &self.cluster, b".", &self.server, b".", reply];
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }

    /// Whether a reply leads to this cluster.
    pub fn is_of_cluster(&self, reply: &Prefixed<'_>) -> bool {
        match reply.server {
            Some(_) => reply.cluster == self.cluster,
            None => reply.cluster == self.old_cluster,
        }
    }

    /// Whether a reply that leads to this cluster leads to this server, as far as it says.
    pub fn is_of_server(&self, reply: &Prefixed<'_>) -> bool {
        reply.server.is_none_or(|server| server == self.server)
    }
}

/// The parts of a subject with a prefix of either form; `None` if it has none.
#[inline]
pub fn unwrap(subject: &[u8]) -> Option<Prefixed<'_>> {
    let (cluster, server, subject) = match subject {
        [b'_', b'G', b'R', b'_', b'.', rest @ ..] => {
            let (cluster, rest) = hash::<HASH_BYTES>(rest)?;
            let (server, subject) = hash::<HASH_BYTES>(rest)?;
            (cluster, Some(server), subject)
        }
        [b'$', b'G', b'R', b'.', rest @ ..] => {
            let (cluster, subject) = hash::<OLD_HASH_BYTES>(rest)?;
            (cluster, None, subject)
        }
        _ => return None,
    };
    (!subject.is_empty()).then_some(Prefixed { cluster, server, subject })
}

/// What answers to all clusters match, in either form: whoever passes them on has interest in it.
pub const ALL: [&[u8]; 2] = [b"$GR.*.>", b"_GR_.>"];

/// Whether a filter or a subject is of such answers.
pub fn is_prefixed(subject: &[u8]) -> bool {
    subject.starts_with(PREFIX) || subject.starts_with(OLD_PREFIX)
}

/// A hash, and what follows the dot behind it.
fn hash<const N: usize>(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    match rest.split_at_checked(N)? {
        (hash, [b'.', rest @ ..]) if !hash.contains(&b'.') => Some((hash, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVER: &[u8] = b"NBFJHK5CBPJR4OR7342FN3FVXR4562BOYBCKIPOLOOHUMFIMIRGX7TNI";

    /// As an official server of the cluster X wrote it.
    #[test]
    fn replies_are_wrapped_as_by_the_official_server() {
        let prefix = Prefix::new(b"X", SERVER);
        let mut out = Vec::new();
        prefix.wrap(b"_INBOX.1", &mut out);
        assert_eq!(out.escape_ascii().to_string(), "_GR_.Dglu96.KtiPFv._INBOX.1");
        let reply = unwrap(&out).expect("wrapped");
        assert_eq!(reply, Prefixed { cluster: b"Dglu96", server: Some(b"KtiPFv"), subject: b"_INBOX.1" });
        assert!(prefix.is_of_cluster(&reply) && prefix.is_of_server(&reply));
        let neighbour = Prefix::new(b"X", b"NOTHER");
        assert!(neighbour.is_of_cluster(&reply) && !neighbour.is_of_server(&reply));
        assert!(!Prefix::new(b"Y", SERVER).is_of_cluster(&reply));
        // The first digits of the name's SHA-256.
        let reply = unwrap(b"$GR.4b68.r").expect("wrapped");
        assert!(prefix.is_of_cluster(&reply) && neighbour.is_of_server(&reply));
    }

    #[test]
    fn what_only_looks_like_a_prefix_is_none() {
        for subject in [
            "",
            "_GR_",
            "_GR_.",
            "_GR_.Dglu96.KtiPFv",
            "_GR_.Dglu96.KtiPFv.",
            "_GR_.Dglu96xKtiPFv.r",
            "_GR_.Dglu9.KtiPFvx.r",
            "_gr_.Dglu96.KtiPFv.r",
            "_GR_.Dglu96.KtiPFvxr",
            "$GR.",
            "$GR.4b68",
            "$GR.4b68.",
            "$GR.4b68r",
            "$GR.4b6.r",
            "_R_.x.y",
            "foo",
        ] {
            assert_eq!(unwrap(subject.as_bytes()), None, "{subject}");
        }
    }

    proptest! {
        #[test]
        fn what_was_wrapped_is_unwrapped(
            cluster in ".{1,9}", server in "[A-Z0-9]{1,9}", reply in prop::collection::vec(any::<u8>(), 1..20), old in any::<bool>(),
        ) {
            let prefix = Prefix::new(cluster.as_bytes(), server.as_bytes());
            let mut out = b"before".to_vec();
            if old {
                out.extend_from_slice(&[b"$GR.", &prefix.old_cluster[..], b".", &reply].concat());
            } else {
                prefix.wrap(&reply, &mut out);
            }
            let found = unwrap(&out[6..]).expect("wrapped");
            prop_assert_eq!(found.subject, &reply[..]);
            prop_assert!(prefix.is_of_cluster(&found) && prefix.is_of_server(&found));
        }

        #[test]
        fn any_bytes_are_taken(subject in prop::collection::vec(prop::sample::select(b"_GR$.ab".to_vec()), 0..24)) {
            if let Some(found) = unwrap(&subject) {
                prop_assert!(subject.ends_with(found.subject) && !found.subject.is_empty());
            }
        }
    }
}
