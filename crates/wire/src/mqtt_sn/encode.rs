//! From a message to its datagram.

use super::DATAGRAM_BYTES_MAX;
use super::decode::{CLEAN_SESSION, DUP, ENCAPSULATED, LONG, PROTOCOL, RETAIN, WILL};
use super::message::{Datagram, Filter, Forwarder, Message, Qos, Topic, WillTopic};

/// The message, with what wraps it, is longer than a datagram can be. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message of {0} bytes does not fit a datagram")]
pub struct TooLarge(pub usize);

/// Bytes of a length in one byte, or in three, and the message type.
const HEAD_BYTES: usize = 4;

/// Appends a datagram.
///
/// # Errors
/// It would be too long.
pub fn encode(out: &mut Vec<u8>, datagram: &Datagram<'_>) -> Result<(), TooLarge> {
    let begin = out.len();
    if let Some(Forwarder { radius, node }) = datagram.forwarder {
        let bytes = 3 + node.len();
        let short = u8::try_from(bytes).map_err(|_| TooLarge(bytes))?;
        out.extend_from_slice(&[short, ENCAPSULATED, radius & 0b11]);
        out.extend_from_slice(node);
    }
    let head = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    body(out, &datagram.message);
    let kind = datagram.message.kind() as u8;
    let body_bytes = out.len() - head - HEAD_BYTES;
    match u8::try_from(body_bytes + 2) {
        Ok(short) => {
            out.splice(head..head + HEAD_BYTES, [short, kind]);
        }
        Err(_) => {
            // What is longer than this can say is longer than a datagram, too.
            let [high, low] = u16::try_from(body_bytes + HEAD_BYTES).unwrap_or_default().to_be_bytes();
            out.splice(head..head + HEAD_BYTES, [LONG, high, low, kind]);
        }
    }
    let bytes = out.len() - begin;
    if bytes > DATAGRAM_BYTES_MAX {
        out.truncate(begin);
        return Err(TooLarge(bytes));
    }
    Ok(())
}

fn body(out: &mut Vec<u8>, message: &Message<'_>) {
    match *message {
        Message::Advertise { gateway, seconds } => {
            out.push(gateway);
            put(out, seconds);
        }
        Message::SearchGw(radius) => out.push(radius),
        Message::GwInfo(gateway, address) => {
            out.push(gateway);
            out.extend_from_slice(address);
        }
        Message::Connect(connect) => {
            let flags = flag(connect.will, WILL) | flag(connect.clean_session, CLEAN_SESSION);
            out.extend_from_slice(&[flags, PROTOCOL]);
            put(out, connect.keep_alive);
            out.extend_from_slice(connect.client_id.as_bytes());
        }
        Message::ConnAck(code) | Message::WillTopicResp(code) | Message::WillMsgResp(code) => {
            out.push(code as u8);
        }
        Message::WillTopicReq | Message::WillMsgReq | Message::PingResp => {}
        Message::WillTopic(will) | Message::WillTopicUpd(will) => {
            if let Some(WillTopic { qos, retain, topic }) = will {
                out.push(qos_bits(qos) | flag(retain, RETAIN));
                out.extend_from_slice(topic.as_bytes());
            }
        }
        Message::WillMsg(payload) | Message::WillMsgUpd(payload) => out.extend_from_slice(payload),
        Message::Register { topic_id, id, topic } => {
            put(out, topic_id);
            put(out, id);
            out.extend_from_slice(topic.as_bytes());
        }
        Message::RegAck { topic_id, id, code } | Message::PubAck { topic_id, id, code } => {
            put(out, topic_id);
            put(out, id);
            out.push(code as u8);
        }
        Message::Publish(publish) => {
            let kind = match publish.topic {
                Topic::Registered(_) => 0,
                Topic::Predefined(_) => 1,
                Topic::Short(_) => 2,
            };
            out.push(flag(publish.dup, DUP) | qos_bits(publish.qos) | flag(publish.retain, RETAIN) | kind);
            out.extend_from_slice(&publish.topic.bytes());
            put(out, publish.id);
            out.extend_from_slice(publish.payload);
        }
        Message::PubRec(id) | Message::PubRel(id) | Message::PubComp(id) | Message::UnsubAck(id) => {
            put(out, id);
        }
        Message::Subscribe(subscribe) => {
            put_filter(
                out,
                flag(subscribe.dup, DUP) | qos_bits(subscribe.qos),
                subscribe.id,
                subscribe.filter,
            );
        }
        Message::SubAck { qos, topic_id, id, code } => {
            out.push(qos_bits(qos));
            put(out, topic_id);
            put(out, id);
            out.push(code as u8);
        }
        Message::Unsubscribe(unsubscribe) => put_filter(out, 0, unsubscribe.id, unsubscribe.filter),
        Message::PingReq(client_id) => out.extend_from_slice(client_id.as_bytes()),
        Message::Disconnect(None) => {}
        Message::Disconnect(Some(seconds)) => put(out, seconds),
    }
}

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_filter(out: &mut Vec<u8>, flags: u8, id: u16, filter: Filter<'_>) {
    let kind = match filter {
        Filter::Name(_) => 0,
        Filter::Predefined(_) => 1,
        Filter::Short(_) => 2,
    };
    out.push(flags | kind);
    put(out, id);
    match filter {
        Filter::Name(name) => out.extend_from_slice(name.as_bytes()),
        Filter::Predefined(topic_id) => put(out, topic_id),
        Filter::Short(name) => out.extend_from_slice(&name),
    }
}

fn flag(is_set: bool, bit: u8) -> u8 {
    if is_set { bit } else { 0 }
}

fn qos_bits(qos: Qos) -> u8 {
    let number = match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
        Qos::Unconnected => 3,
    };
    number << 5
}
