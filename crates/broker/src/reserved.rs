//! Subjects that servers keep for themselves: who may not use which, as a subject or as a reply. Which kinds of peers are bound by
//! them is a column of [`crate::kind`].

/// Who is bound by the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is no client.
    Free,
    /// A client in the system account.
    SystemClient,
    /// Any other client.
    Client,
}

/// What a message uses a subject for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is the one published to.
    Subject,
    /// It is where the answer is to go.
    Reply,
}

/// A reserved prefix, and who may not use it as what.
struct Row {
    prefix: &'static [u8],
    subject: &'static [Bound],
    reply: &'static [Bound],
}

const CLIENTS: &[Bound] = &[Bound::Client, Bound::SystemClient];

/// What the subjects of services' answers begin with.
pub const ANSWER_PREFIX: &[u8] = b"_R_.";

/// What a consumer is asked for messages by. It has interest in that itself, in the account of its stream.
pub(crate) const NEXT_MESSAGE_PREFIX: &[u8] = b"$JS.API.CONSUMER.MSG.NEXT.";

/// The official server's reserved prefixes. A subject is refused with `Permissions Violation`, and the connection stays.
const TABLE: [Row; 4] = [
    // What the members of a replicated group send each other.
    Row { prefix: b"$NRG.", subject: &[Bound::Client], reply: &[] },
    // Answers on their way between clusters.
    Row { prefix: b"_GR_.", subject: CLIENTS, reply: CLIENTS },
    // Answers on their way between accounts; services publish them.
    Row { prefix: ANSWER_PREFIX, subject: &[], reply: CLIENTS },
    // Acknowledgements; consumers of a stream publish them.
    Row { prefix: b"$JS.ACK.", subject: &[], reply: CLIENTS },
];

/// Subjects that the server itself obeys or reports on. Being asked with such a reply gives nobody the right to publish
/// there; the official server lets a requester choose any.
const NO_ANSWER: [&[u8]; 2] = [b"$SYS.", b"$JS.API."];
/// Subjects of JetStream that stay on this side of a connection of leaf nodes: each side has its own, and the other's is asked by its domain
/// (`$JS.<domain>.API`). The official ones.
const NOT_TO_LEAFS: [&[u8]; 3] = [b"$JS.API.", b"$KV.", b"$OBJ."];
/// The same in the system account.
const NOT_TO_LEAFS_OF_SYSTEM: [&[u8]; 3] = [b"$JS.API.", b"$JSC.", b"$NRG."];
/// Where answers to the server's own requests go.
const ANSWER: &[u8] = b"$SYS._INBOX.";

/// Whether such a peer may not put the subject there.
#[inline]
pub fn is_reserved(bound: impl FnOnce() -> Bound, used_as: Use, subject: &[u8]) -> bool {
    may_be(subject) && is_in_table(bound(), used_as, subject)
}

/// A quick look, since every publish gets it: two bytes that most subjects and inboxes do not begin with.
#[inline(always)]
pub fn may_be(subject: &[u8]) -> bool {
    matches!(subject, [b'$' | b'_', b'N' | b'G' | b'R' | b'J', ..])
}

#[cold]
fn is_in_table(bound: Bound, used_as: Use, subject: &[u8]) -> bool {
    TABLE.iter().any(|row| {
        let refused = match used_as {
            Use::Subject => row.subject,
            Use::Reply => row.reply,
        };
        subject.starts_with(row.prefix) && refused.contains(&bound)
    })
}

/// Whether a request with this reply gives the right to publish there.
pub fn may_be_answered(reply: &[u8]) -> bool {
    reply.starts_with(ANSWER) || !NO_ANSWER.iter().any(|prefix| reply.starts_with(prefix))
}

/// Whether messages to this subject, or all that this filter matches, go over no connection of leaf nodes.
pub fn stays_from_leafs(is_system: bool, filter: &[u8]) -> bool {
    let prefixes = if is_system { &NOT_TO_LEAFS_OF_SYSTEM } else { &NOT_TO_LEAFS };
    filter.first() == Some(&b'$') && prefixes.iter().any(|prefix| filter.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the official server was seen to have it.
    #[test]
    fn each_peer_is_refused_what_the_table_says() {
        use Bound::{Client, Free, SystemClient};
        use Use::{Reply, Subject};
        let refused = |bound, used_as, subject: &str| is_reserved(|| bound, used_as, subject.as_bytes());
        for (subject, expected) in [
            ("$NRG.x", [true, false, false, false]),
            ("_GR_.x", [true, true, true, true]),
            ("_R_.x", [false, false, true, true]),
            ("$JS.ACK.x", [false, false, true, true]),
            ("$GR.x", [false; 4]),
            ("$GNR.x", [false; 4]),
            ("$LDS.x", [false; 4]),
            ("$SYS.x", [false; 4]),
            ("$JS.ACK", [false; 4]),
            ("_R_", [false; 4]),
            ("_INBOX.x", [false; 4]),
            ("$NRGX.x", [false; 4]),
            ("x.$NRG.x", [false; 4]),
            ("", [false; 4]),
        ] {
            let uses = [(Client, Subject), (SystemClient, Subject), (Client, Reply), (SystemClient, Reply)];
            let found = uses.map(|(bound, used_as)| refused(bound, used_as, subject));
            assert_eq!(found, expected, "{subject}");
            assert!(!refused(Free, Subject, subject) && !refused(Free, Reply, subject), "{subject}");
        }
    }

    #[test]
    fn the_quick_look_overlooks_no_row() {
        assert!(TABLE.iter().all(|row| may_be(row.prefix)));
    }

    #[test]
    fn the_jetstream_of_each_side_stays_there_and_domains_pass() {
        for (filter, expected) in [
            ("$JS.API.INFO", [true, true]),
            ("$JS.API.>", [true, true]),
            ("$JS.D.API.INFO", [false, false]),
            ("$JS.>", [false, false]),
            ("$JS.ACK.S.C.1", [false, false]),
            ("$KV.b.k", [true, false]),
            ("$OBJ.b.>", [true, false]),
            ("$JSC.x", [false, true]),
            ("$NRG.x", [false, true]),
            ("x.$KV.b", [false, false]),
            (">", [false, false]),
            ("", [false, false]),
        ] {
            let found = [false, true].map(|is_system| stays_from_leafs(is_system, filter.as_bytes()));
            assert_eq!(found, expected, "{filter}");
        }
    }

    #[test]
    fn no_requester_makes_others_publish_where_the_server_listens() {
        for (reply, expected) in [
            ("$SYS.REQ.USER.AUTH", false),
            ("$SYS.ACCOUNT.A.CONNECT", false),
            ("$JS.API.STREAM.DELETE.S", false),
            ("$JS.ACK.S.C.1.1.1.1.0", true),
            ("$SYS._INBOX.1234", true),
            ("_INBOX.a", true),
            ("_R_.a.b", true),
            ("SYS.REQ", true),
        ] {
            assert_eq!(may_be_answered(reply.as_bytes()), expected, "{reply}");
        }
    }
}
