//! From a datagram to its message. MQTT-SN 1.2 §5.

use super::error::DecodeError;
use super::message::{
    Connect, Datagram, Filter, Forwarder, Kind, Message, Publish, Qos, ReturnCode, Subscribe, Topic,
    Unsubscribe, WillTopic,
};
use crate::mqtt::topic::has_wildcard_character;

/// The first byte where the length follows in two more.
pub(super) const LONG: u8 = 0x01;
/// The message type of what a forwarder wraps.
pub(super) const ENCAPSULATED: u8 = 0xFE;
/// The only protocol that CONNECT may name.
pub(super) const PROTOCOL: u8 = 0x01;

pub(super) const DUP: u8 = 0b1000_0000;
pub(super) const RETAIN: u8 = 0b0001_0000;
pub(super) const WILL: u8 = 0b0000_1000;
pub(super) const CLEAN_SESSION: u8 = 0b0000_0100;

/// Reads a datagram.
///
/// # Errors
/// See [`DecodeError`].
pub fn parse(datagram: &[u8]) -> Result<Datagram<'_>, DecodeError> {
    let (announced, kind, behind) = head(datagram)?;
    if kind != ENCAPSULATED {
        return Ok(Datagram { forwarder: None, message: message(datagram)? });
    }
    // Its length is that of the wrapping alone, and of one byte. §5.4.20
    let is_short = datagram.first() != Some(&LONG);
    let (Some(wrapping), Some(inner), true) =
        (behind.get(..announced.saturating_sub(2)), datagram.get(announced..), is_short)
    else {
        return Err(DecodeError::Length { bytes: datagram.len(), announced });
    };
    let Some((&control, node)) = wrapping.split_first() else {
        return Err(DecodeError::Length { bytes: datagram.len(), announced });
    };
    if head(inner)?.1 == ENCAPSULATED {
        return Err(DecodeError::Nested);
    }
    Ok(Datagram { forwarder: Some(Forwarder { radius: control & 0b11, node }), message: message(inner)? })
}

/// The announced length, the message type and what follows it.
fn head(bytes: &[u8]) -> Result<(usize, u8, &[u8]), DecodeError> {
    match *bytes {
        [LONG, high, low, kind, ref behind @ ..] => {
            Ok((usize::from(u16::from_be_bytes([high, low])), kind, behind))
        }
        [short, kind, ref behind @ ..] if short != LONG => Ok((usize::from(short), kind, behind)),
        _ => Err(DecodeError::Length { bytes: bytes.len(), announced: 0 }),
    }
}

fn message(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (announced, kind, rest) = head(bytes)?;
    if announced != bytes.len() {
        return Err(DecodeError::Length { bytes: bytes.len(), announced });
    }
    let kind = Kind::of(kind).ok_or(DecodeError::Type(kind))?;
    let mut fields = Fields { kind, rest };
    let message = read(&mut fields)?;
    if fields.rest.is_empty() { Ok(message) } else { Err(DecodeError::Trailing(kind)) }
}

fn read<'a>(fields: &mut Fields<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(match fields.kind {
        Kind::Advertise => Message::Advertise { gateway: fields.u8()?, seconds: fields.u16()? },
        Kind::SearchGw => Message::SearchGw(fields.u8()?),
        Kind::GwInfo => Message::GwInfo(fields.u8()?, fields.all()),
        Kind::Connect => Message::Connect(connect(fields)?),
        Kind::ConnAck => Message::ConnAck(fields.code()?),
        Kind::WillTopicReq => Message::WillTopicReq,
        Kind::WillTopic => Message::WillTopic(will_topic(fields)?),
        Kind::WillMsgReq => Message::WillMsgReq,
        Kind::WillMsg => Message::WillMsg(fields.all()),
        Kind::Register => {
            Message::Register { topic_id: fields.u16()?, id: fields.u16()?, topic: fields.topic()? }
        }
        Kind::RegAck => Message::RegAck { topic_id: fields.u16()?, id: fields.u16()?, code: fields.code()? },
        Kind::Publish => Message::Publish(publish(fields)?),
        Kind::PubAck => Message::PubAck { topic_id: fields.u16()?, id: fields.u16()?, code: fields.code()? },
        Kind::PubComp => Message::PubComp(fields.u16()?),
        Kind::PubRec => Message::PubRec(fields.u16()?),
        Kind::PubRel => Message::PubRel(fields.u16()?),
        Kind::Subscribe => {
            let (flags, id) = (fields.u8()?, fields.u16()?);
            let (dup, qos) = (flags & DUP != 0, qos_of_connected(flags)?);
            Message::Subscribe(Subscribe { dup, qos, id, filter: filter(fields, flags)? })
        }
        Kind::SubAck => Message::SubAck {
            qos: qos_of_connected(fields.u8()?)?,
            topic_id: fields.u16()?,
            id: fields.u16()?,
            code: fields.code()?,
        },
        Kind::Unsubscribe => {
            let (flags, id) = (fields.u8()?, fields.u16()?);
            Message::Unsubscribe(Unsubscribe { id, filter: filter(fields, flags)? })
        }
        Kind::UnsubAck => Message::UnsubAck(fields.u16()?),
        Kind::PingReq => Message::PingReq(fields.text()?),
        Kind::PingResp => Message::PingResp,
        Kind::Disconnect if fields.rest.is_empty() => Message::Disconnect(None),
        Kind::Disconnect => Message::Disconnect(Some(fields.u16()?)),
        Kind::WillTopicUpd => Message::WillTopicUpd(will_topic(fields)?),
        Kind::WillTopicResp => Message::WillTopicResp(fields.code()?),
        Kind::WillMsgUpd => Message::WillMsgUpd(fields.all()),
        Kind::WillMsgResp => Message::WillMsgResp(fields.code()?),
    })
}

fn qos(flags: u8) -> Qos {
    match flags >> 5 & 0b11 {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        2 => Qos::ExactlyOnce,
        _ => Qos::Unconnected,
    }
}

fn qos_of_connected(flags: u8) -> Result<Qos, DecodeError> {
    Some(qos(flags)).filter(|qos| *qos != Qos::Unconnected).ok_or(DecodeError::Qos)
}

fn connect<'a>(fields: &mut Fields<'a>) -> Result<Connect<'a>, DecodeError> {
    let (flags, protocol) = (fields.u8()?, fields.u8()?);
    if protocol != PROTOCOL {
        return Err(DecodeError::Protocol(protocol));
    }
    Ok(Connect {
        will: flags & WILL != 0,
        clean_session: flags & CLEAN_SESSION != 0,
        keep_alive: fields.u16()?,
        client_id: fields.text()?,
    })
}

/// Without flags and topic it says that there is no will. §5.4.7
fn will_topic<'a>(fields: &mut Fields<'a>) -> Result<Option<WillTopic<'a>>, DecodeError> {
    if fields.rest.is_empty() {
        return Ok(None);
    }
    let flags = fields.u8()?;
    Ok(Some(WillTopic { qos: qos_of_connected(flags)?, retain: flags & RETAIN != 0, topic: fields.topic()? }))
}

fn publish<'a>(fields: &mut Fields<'a>) -> Result<Publish<'a>, DecodeError> {
    let flags = fields.u8()?;
    let topic = match flags & 0b11 {
        0 => Topic::Registered(fields.u16()?),
        1 => Topic::Predefined(fields.u16()?),
        2 => {
            let name = fields.u16()?.to_be_bytes();
            topic_name(text(&name)?)?;
            Topic::Short(name)
        }
        _ => return Err(DecodeError::TopicType),
    };
    Ok(Publish {
        dup: flags & DUP != 0,
        qos: qos(flags),
        retain: flags & RETAIN != 0,
        topic,
        id: fields.u16()?,
        payload: fields.all(),
    })
}

fn filter<'a>(fields: &mut Fields<'a>, flags: u8) -> Result<Filter<'a>, DecodeError> {
    match flags & 0b11 {
        0 => match fields.text()? {
            "" => Err(DecodeError::Topic),
            name => Ok(Filter::Name(name)),
        },
        1 => Ok(Filter::Predefined(fields.u16()?)),
        2 => {
            let name = fields.u16()?.to_be_bytes();
            text(&name)?;
            Ok(Filter::Short(name))
        }
        _ => Err(DecodeError::TopicType),
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(DecodeError::Text),
    }
}

fn topic_name(name: &str) -> Result<&str, DecodeError> {
    if name.is_empty() || has_wildcard_character(name) { Err(DecodeError::Topic) } else { Ok(name) }
}

/// What is left of a message.
struct Fields<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Short(self.kind))?;
        self.rest = rest;
        Ok(byte)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn code(&mut self) -> Result<ReturnCode, DecodeError> {
        let byte = self.u8()?;
        ReturnCode::of(byte).ok_or(DecodeError::ReturnCode(byte))
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        text(self.all())
    }

    fn topic(&mut self) -> Result<&'a str, DecodeError> {
        topic_name(self.text()?)
    }
}
