//! How deliveries look to a peer: the only room of the broker that names codecs.
//!
//! A delivery is a *head* that depends on the target alone and is made once a route, a *middle* that depends on the message alone and
//! is made once a message and format, and the *body* as it came.

use crate::kind::Kind;
use dialtone_subject::ShortBytes;
use dialtone_wire::client::encode;
use dialtone_wire::interserver::encode as interserver;
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::{self, Version};

/// The protocol that a peer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// MSG and HMSG.
    #[default]
    Client,
    /// PUBLISH of MQTT.
    Mqtt(Version),
}

/// What all deliveries of one subject to one subscription begin with: `HMSG subject sid `. Without its first byte it is that of MSG. Of
/// MQTT it is the topic with its length in front.
#[derive(Debug)]
pub struct Head(ShortBytes<54>);

impl Head {
    /// The subject that is delivered under.
    pub fn subject(&self) -> &[u8] {
        self.0.as_slice().split(|&byte| byte == b' ').nth(1).unwrap_or_default()
    }

    /// The topic with its length in front, of MQTT.
    pub(crate) fn topic(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Appends it.
    #[inline(always)]
    pub fn append(&self, with_headers: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_slice().get(usize::from(!with_headers)..).unwrap_or_default());
    }
}

/// What a relay speaks: it gets a message once, with the account and the names of the queue groups in which it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayFormat {
    /// RMSG and HMSG.
    Route,
    /// LMSG and HMSG, without the account.
    Leaf,
}

/// What all messages of one subject in one account to a relay begin with, but for the first letter.
#[derive(Debug)]
pub struct RelayHead {
    /// The letter of messages without headers.
    plain: u8,
    text: ShortBytes<54>,
}

impl RelayFormat {
    /// What peers of a kind speak.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Hub | Kind::Spoke => Self::Leaf,
            Kind::Client | Kind::Server | Kind::Route | Kind::Gateway => Self::Route,
        }
    }

    /// The head of messages with `subject` in `account`; a connection of one account alone leaves its name out.
    pub fn head(self, account: Option<&[u8]>, subject: &[u8]) -> RelayHead {
        let (plain, account) = match self {
            Self::Route => (interserver::PLAIN_ROUTE, account),
            Self::Leaf => (interserver::PLAIN_LEAF, None),
        };
        RelayHead { plain, text: ShortBytes::concat(&interserver::message_head(None, account, subject)) }
    }

    /// What is between head and body: reply, queue groups in which it was chosen, sizes. Behind a head with an origin there is always a
    /// size of headers.
    pub fn append_middle<'q>(
        self,
        queues: impl Iterator<Item = &'q [u8]>,
        message: &Message<'_>,
        (with_headers, has_origin): (bool, bool),
        out: &mut Vec<u8>,
    ) {
        let middle = match (with_headers, has_origin) {
            (true, _) => Middle::new(message.reply, Some(message.header_bytes), message.body_bytes()),
            (false, true) => Middle::new(message.reply, Some(0), message.payload().len()),
            (false, false) => Middle::new(message.reply, None, message.payload().len()),
        };
        interserver::message_middle(&middle, queues, out);
    }
}

/// `MSG `, which stands behind the letter.
const VERB_BYTES: usize = 4;

impl RelayHead {
    /// Appends it.
    pub fn append(&self, with_headers: bool, out: &mut Vec<u8>) {
        out.push(if with_headers { interserver::WITH_HEADERS } else { self.plain });
        out.extend_from_slice(self.text.as_slice());
    }

    /// Appends it for a message that came from leaf nodes of a cluster, to a server that knows what that means.
    pub fn append_with_origin(&self, cluster: &[u8], out: &mut Vec<u8>) {
        let (verb, rest) = self.text.as_slice().split_at_checked(VERB_BYTES).unwrap_or_default();
        out.push(interserver::WITH_ORIGIN);
        [verb, cluster, b" ", rest].iter().for_each(|part| out.extend_from_slice(part));
    }
}

/// What is between the head and the body of each delivery of a message.
pub type Middle<'a> = dialtone_wire::middle::Middle<'a>;

impl Format {
    /// The head of deliveries under a subject to the subscription that the peer calls `sid`. `None`: the protocol has no way to deliver it.
    pub fn head(self, subject: &[u8], sid: &[u8]) -> Option<Head> {
        match self {
            Self::Client => {
                let [subject, gap, sid, end] = encode::delivery_target(subject, sid);
                Some(Head(ShortBytes::concat(&[b"HMSG ", subject, gap, sid, end])))
            }
            Self::Mqtt(_) => {
                let mut topic = String::with_capacity(subject.len());
                mqtt::subject::put_topic(&mut topic, subject).ok()?;
                let bytes = u16::try_from(topic.len()).ok()?.to_be_bytes();
                Some(Head(ShortBytes::concat(&[&bytes, topic.as_bytes()])))
            }
        }
    }

    /// Whether a filter of this protocol asks for a subject that it matches: those of MQTT that begin with a wildcard do not ask for
    /// topics that begin with `$`. [MQTT-4.7.2-1]
    pub fn asks_for(self, filter: &[u8], subject: &[u8]) -> bool {
        match self {
            Self::Client => true,
            Self::Mqtt(_) => !(subject.starts_with(b"$") && matches!(filter.first(), Some(b'*' | b'>'))),
        }
    }

    /// The middle of a message's deliveries to peers that understand headers, or that get it without.
    #[inline(always)]
    pub fn middle<'a>(self, message: &Message<'a>, with_headers: bool) -> Middle<'a> {
        match self {
            Self::Client if with_headers && message.has_headers() => {
                Middle::new(message.reply, Some(message.header_bytes), message.body_bytes())
            }
            Self::Client if message.has_headers() => {
                Middle::new(message.reply, None, message.payload().len())
            }
            Self::Client | Self::Mqtt(_) => Middle::new(message.reply, None, message.body_bytes()),
        }
    }

    /// The body of a message's deliveries.
    #[inline(always)]
    pub fn body<'a>(self, message: &Message<'a>, with_headers: bool) -> &'a [u8] {
        match self {
            Self::Client if with_headers => message.framed,
            Self::Client => message.framed_payload(),
            Self::Mqtt(_) => message.payload(),
        }
    }

    /// A whole delivery, for what is delivered so seldom that nothing of it is kept.
    pub fn write(self, head: &Head, message: &Message<'_>, with_headers: bool, out: &mut Vec<u8>) {
        head.append(with_headers && message.has_headers(), out);
        self.middle(message, with_headers).append(out);
        out.extend_from_slice(self.body(message, with_headers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_to_relays() {
        let head = RelayFormat::Route.head(Some(b"$G"), b"a.b");
        let written = |queues: &[&'static [u8]], reply, with_headers| {
            let framed = b"NATS/1.0\r\n\r\nhi\r\n";
            let message = Message { subject: b"a.b", reply, header_bytes: 12, framed };
            let mut out = Vec::new();
            head.append(with_headers, &mut out);
            RelayFormat::Route.append_middle(
                queues.iter().copied(),
                &message,
                (with_headers, false),
                &mut out,
            );
            String::from_utf8(out).expect("text")
        };
        let reply = Some(&b"r"[..]);
        assert_eq!(written(&[], None, false), "RMSG $G a.b 2\r\n");
        assert_eq!(written(&[], reply, true), "HMSG $G a.b r 12 14\r\n");
        assert_eq!(written(&[b"q1", b"q2"], reply, true), "HMSG $G a.b + r q1 q2 12 14\r\n");
        assert_eq!(written(&[b"q1"], None, false), "RMSG $G a.b | q1 2\r\n");
        let mut out = Vec::new();
        RelayFormat::Route.head(None, b"a.b").append(true, &mut out);
        assert_eq!(out, b"HMSG a.b ");
    }

    #[test]
    fn messages_of_leaf_nodes() {
        let message = Message { subject: b"a.b", reply: Some(b"r"), header_bytes: 0, framed: b"hi\r\n" };
        let queues = || [&b"q1"[..], b"q2"].into_iter();
        let mut out = Vec::new();
        RelayFormat::Leaf.head(Some(b"$G"), b"a.b").append(false, &mut out);
        RelayFormat::Leaf.append_middle(queues(), &message, (false, false), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "LMSG a.b + r q1 q2 2\r\n");
        out.clear();
        RelayFormat::Route.head(Some(b"$G"), b"a.b").append_with_origin(b"EDGE", &mut out);
        RelayFormat::Route.append_middle(queues(), &message, (false, true), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "LMSG EDGE $G a.b + r q1 q2 0 2\r\n");
    }

    #[test]
    fn clients_of_mqtt_get_what_is_a_topic_that_they_ask_for() {
        let format = Format::Mqtt(Version::V311);
        let head = |subject: &[u8]| format.head(subject, b"1").map(|head| head.topic().to_vec());
        assert_eq!(head(b"a.b").as_deref(), Some(&b"\0\x03a/b"[..]));
        for none in [&b"a.+"[..], b"a.#", b"\xFF", b"/", &[b'x'; 65536]] {
            assert_eq!(head(none), None);
        }
        for (filter, subject, asks) in [
            (&b">"[..], &b"a"[..], true),
            (b">", b"$SYS.a", false),
            (b"*.a", b"$x.a", false),
            (b"$SYS.>", b"$SYS.a", true),
            (b"a.>", b"a.$b", true),
        ] {
            assert_eq!(format.asks_for(filter, subject), asks);
            assert!(Format::Client.asks_for(filter, subject));
        }
    }

    #[test]
    fn deliveries_of_clients() {
        let head = Format::Client.head(b"a.b", b"7").expect("any subject");
        assert_eq!(head.subject(), b"a.b");
        let written = |header_bytes, reply, with_headers| {
            let message = Message { subject: b"a.b", reply, header_bytes, framed: b"NATS/1.0\r\n\r\nhi\r\n" };
            let mut out = Vec::new();
            Format::Client.write(&head, &message, with_headers, &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(written(12, None, true), "HMSG a.b 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(written(12, Some(&b"r"[..]), true), "HMSG a.b 7 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(written(12, Some(&b"r"[..]), false), "MSG a.b 7 r 2\r\nhi\r\n");
        assert_eq!(written(0, None, true), "MSG a.b 7 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    }
}
