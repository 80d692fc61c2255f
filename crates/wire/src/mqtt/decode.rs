//! From bytes to packets. One call reads one packet, so that the caller decides after each whether to go on.

use super::error::DecodeError;
use super::fields::{Fields, text, variable, variable_bytes};
use super::limits::{Limits, Sender};
use super::packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Delivery, Disconnect, Filters, Packet, PacketId, PacketKind,
    Publish, Qos, Reasons, SubAck, Subscribe, SubscribeOptions, Topics, UnsubAck, Unsubscribe, Version, Will,
};
use super::property::{Place, Properties, Property};
use super::reason::Reason;
use super::topic;

/// What stands at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole packet and the bytes it took.
    Packet(Packet<'a>, usize),
    /// The beginning of a packet.
    Partial {
        /// Bytes of the whole packet, or 0 while that is not known.
        total: usize,
    },
}

/// Reads the packet at the front of `input`. Never looks further than that packet, so any split of the same bytes gives the same
/// packets.
///
/// # Errors
/// See [`DecodeError`]; the connection cannot go on after any of them. What is wrong with the first byte or the length is said
/// before the packet is whole.
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, DecodeError> {
    let Some((&first, behind)) = input.split_first() else { return Ok(Parsed::Partial { total: 0 }) };
    let kind = PacketKind::of(first).ok_or(DecodeError::PacketType)?;
    check_first(kind, first & 0x0F, limits)?;
    let Some((remaining, length_bytes)) = variable(behind)? else { return Ok(Parsed::Partial { total: 0 }) };
    let head = 1 + length_bytes;
    let total = head + remaining as usize;
    if total > limits.packet_bytes_max {
        return Err(DecodeError::TooLarge { bytes: total, max: limits.packet_bytes_max });
    }
    let Some(rest) = input.get(head..total) else { return Ok(Parsed::Partial { total }) };
    let fields = Fields { kind, rest };
    let packet = read(fields, first, limits)?;
    let version = match packet {
        Packet::Connect(connect) => Some(connect.version),
        _ => limits.version,
    };
    // Earlier versions do not say that the length has to be written in as few bytes as it needs.
    if version == Some(Version::V5) && length_bytes != variable_bytes(remaining) {
        return Err(DecodeError::VariableInteger);
    }
    Ok(Parsed::Packet(packet, total))
}

/// Whether such a packet may come, with these flags. [MQTT-2.1.3-1], [MQTT-3.1.0-1], [MQTT-3.1.0-2]
fn check_first(kind: PacketKind, flags: u8, limits: &Limits) -> Result<(), DecodeError> {
    use PacketKind as K;
    match (limits.sender, limits.version) {
        (Sender::Client, None) if kind != K::Connect => return Err(DecodeError::NotConnected(kind)),
        (Sender::Client, Some(_)) if kind == K::Connect => return Err(DecodeError::ConnectedAlready),
        _ => {}
    }
    let is_v5 = limits.version == Some(Version::V5);
    let may_come = match kind {
        K::Connect | K::Subscribe | K::Unsubscribe | K::PingReq => limits.sender == Sender::Client,
        K::ConnAck | K::SubAck | K::UnsubAck | K::PingResp => limits.sender == Sender::Server,
        K::Publish | K::PubAck | K::PubRec | K::PubRel | K::PubComp => true,
        K::Disconnect => is_v5 || limits.sender == Sender::Client,
        K::Auth => is_v5,
    };
    if !may_come {
        return Err(DecodeError::Direction(kind));
    }
    let are_good = match (kind, limits.version) {
        (K::Publish, _) => true,
        // DUP of 3.1, which has no rule for flags that mean nothing.
        (K::PubRel | K::Subscribe | K::Unsubscribe, Some(Version::V31)) => flags & 0b0110 == 0b0010,
        (_, Some(Version::V31)) => true,
        (K::PubRel | K::Subscribe | K::Unsubscribe, _) => flags == 0b0010,
        _ => flags == 0,
    };
    if are_good { Ok(()) } else { Err(DecodeError::Flags { kind, flags }) }
}

fn read<'a>(fields: Fields<'a>, first: u8, limits: &Limits) -> Result<Packet<'a>, DecodeError> {
    use PacketKind as K;
    match fields.kind {
        K::Connect => connect(fields, limits).map(Packet::Connect),
        K::ConnAck => connack(fields, limits).map(Packet::ConnAck),
        K::Publish => publish(fields, first, limits).map(Packet::Publish),
        K::PubAck => ack(fields, AckKind::PubAck, limits).map(Packet::Ack),
        K::PubRec => ack(fields, AckKind::PubRec, limits).map(Packet::Ack),
        K::PubRel => ack(fields, AckKind::PubRel, limits).map(Packet::Ack),
        K::PubComp => ack(fields, AckKind::PubComp, limits).map(Packet::Ack),
        K::Subscribe => subscribe(fields, limits).map(Packet::Subscribe),
        K::SubAck => suback(fields, limits).map(Packet::SubAck),
        K::Unsubscribe => unsubscribe(fields, limits).map(Packet::Unsubscribe),
        K::UnsubAck => unsuback(fields, limits).map(Packet::UnsubAck),
        K::PingReq => fields.end().map(|()| Packet::PingReq),
        K::PingResp => fields.end().map(|()| Packet::PingResp),
        K::Disconnect => end_or_auth(fields, limits)
            .map(|(reason, properties)| Packet::Disconnect(Disconnect { reason, properties })),
        K::Auth => {
            end_or_auth(fields, limits).map(|(reason, properties)| Packet::Auth(Auth { reason, properties }))
        }
    }
}

fn connect<'a>(mut fields: Fields<'a>, limits: &Limits) -> Result<Connect<'a>, DecodeError> {
    let name = fields.binary()?;
    let level = fields.u8()?;
    let version = match (name, level) {
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT" | b"MQIsdp", _) => return Err(DecodeError::ProtocolLevel(level)),
        _ => return Err(DecodeError::ProtocolName),
    };
    let flags = fields.u8()?;
    let has = |bit: u8| flags & 1 << bit != 0;
    let (is_will, will_qos, is_will_retained) = (has(2), flags >> 3 & 0b11, has(5));
    let (has_password, has_username) = (has(6), has(7));
    // MQTT 3.1.1 [MQTT-3.1.2-22]
    let is_password_alone = version == Version::V311 && has_password && !has_username;
    // [MQTT-3.1.2-3], [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15]; 3.1 has no rule for flags that mean nothing.
    let is_v31 = version == Version::V31;
    if is_password_alone || !is_v31 && (has(0) || !is_will && (will_qos != 0 || is_will_retained)) {
        return Err(DecodeError::ConnectFlags(flags));
    }
    if is_will && will_qos == 3 {
        return Err(DecodeError::Qos);
    }
    let keep_alive = fields.u16()?;
    let properties = match version {
        Version::V5 => Properties::read(&mut fields, Place::Packet(PacketKind::Connect), limits)?,
        _ => Properties::NONE,
    };
    let client_id = text(fields.binary()?).map_err(|_| DecodeError::ClientId)?;
    let will = match is_will {
        true => Some(Will {
            qos: Qos::of(will_qos).ok_or(DecodeError::Qos)?,
            retain: is_will_retained,
            properties: match version {
                Version::V5 => Properties::read(&mut fields, Place::Will, limits)?,
                _ => Properties::NONE,
            },
            topic: fields.text()?,
            payload: fields.binary()?,
        }),
        false => None,
    };
    // The length has precedence over these flags. MQTT 3.1, CONNECT, *Payload*.
    let is_there = |flag: bool, fields: &Fields<'_>| flag && !(is_v31 && fields.is_empty());
    let username = if is_there(has_username, &fields) { Some(fields.text()?) } else { None };
    let password = if is_there(has_password, &fields) { Some(fields.binary()?) } else { None };
    fields.end()?;
    let clean_start = has(1);
    Ok(Connect { version, clean_start, keep_alive, client_id, will, username, password, properties })
}

/// Reads properties, which only MQTT 5 has.
fn properties<'a>(fields: &mut Fields<'a>, limits: &Limits) -> Result<Properties<'a>, DecodeError> {
    match limits.version {
        Some(Version::V5) => Properties::read(fields, Place::Packet(fields.kind), limits),
        _ => Ok(Properties::NONE),
    }
}

fn reason(code: u8, kind: PacketKind) -> Result<Reason, DecodeError> {
    Reason::of(code).filter(|reason| reason.is_for(kind)).ok_or(DecodeError::ReasonCode(code))
}

fn connack<'a>(mut fields: Fields<'a>, limits: &Limits) -> Result<ConnAck<'a>, DecodeError> {
    let (flags, code) = (fields.u8()?, fields.u8()?);
    let version = limits.version.unwrap_or(Version::V311);
    let reason = match version {
        Version::V5 => reason(code, PacketKind::ConnAck)?,
        _ => Reason::of_return_code(code).ok_or(DecodeError::ReasonCode(code))?,
    };
    // [MQTT-3.2.2-1], [MQTT-3.2.2-4]
    let is_good = match version {
        Version::V31 => true,
        _ => flags == 0 || flags == 1 && reason == Reason::Success,
    };
    if !is_good {
        return Err(DecodeError::Flags { kind: fields.kind, flags });
    }
    let properties = properties(&mut fields, limits)?;
    fields.end()?;
    Ok(ConnAck { session_present: flags & 1 != 0 && version != Version::V31, reason, properties })
}

fn packet_id(fields: &mut Fields<'_>) -> Result<PacketId, DecodeError> {
    PacketId::new(fields.u16()?).ok_or(DecodeError::PacketId(fields.kind))
}

fn publish<'a>(mut fields: Fields<'a>, first: u8, limits: &Limits) -> Result<Publish<'a>, DecodeError> {
    let dup = first & 0b1000 != 0;
    let qos = Qos::of(first >> 1 & 0b11).ok_or(DecodeError::Qos)?;
    // [MQTT-3.3.1-2]; 3.1 has no such rule, and the official server does not hold clients of 3.1.1 to it.
    if dup && qos == Qos::AtMostOnce && limits.version == Some(Version::V5) {
        return Err(DecodeError::Flags { kind: fields.kind, flags: first & 0x0F });
    }
    let topic = fields.text()?;
    if topic::has_wildcard_character(topic) {
        return Err(DecodeError::TopicWildcard);
    }
    let delivery = match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce { id: packet_id(&mut fields)?, dup },
        Qos::ExactlyOnce => Delivery::ExactlyOnce { id: packet_id(&mut fields)?, dup },
    };
    let properties = properties(&mut fields, limits)?;
    let has_alias = || properties.iter().any(|property| matches!(property, Property::TopicAlias(_)));
    if topic.is_empty() && !has_alias() {
        return Err(DecodeError::TopicEmpty);
    }
    Ok(Publish { delivery, retain: first & 1 != 0, topic, properties, payload: fields.rest })
}

fn ack<'a>(mut fields: Fields<'a>, kind: AckKind, limits: &Limits) -> Result<Ack<'a>, DecodeError> {
    let id = packet_id(&mut fields)?;
    let (reason, properties) = end_or_auth(fields, limits)?;
    Ok(Ack { kind, id, reason, properties })
}

/// What DISCONNECT and AUTH are, and acknowledgements end with in MQTT 5: a reason code and properties, of which the end may be
/// left out.
fn end_or_auth<'a>(mut fields: Fields<'a>, limits: &Limits) -> Result<(Reason, Properties<'a>), DecodeError> {
    if limits.version != Some(Version::V5) || fields.is_empty() {
        fields.end()?;
        return Ok((Reason::Success, Properties::NONE));
    }
    let reason = reason(fields.u8()?, fields.kind)?;
    // In AUTH the length of the properties may be left out with the reason only. MQTT 5.0 §3.15.2.1.
    let is_short = fields.is_empty() && fields.kind != PacketKind::Auth;
    let properties = if is_short { Properties::NONE } else { properties(&mut fields, limits)? };
    fields.end()?;
    Ok((reason, properties))
}

fn subscribe<'a>(mut fields: Fields<'a>, limits: &Limits) -> Result<Subscribe<'a>, DecodeError> {
    let id = packet_id(&mut fields)?;
    let properties = properties(&mut fields, limits)?;
    let version = limits.version.unwrap_or(Version::V311);
    let filters = Filters { bytes: fields.rest, version };
    each(fields, limits.filters_max, |fields| {
        filter(fields)?;
        let byte = fields.u8()?;
        match SubscribeOptions::of(byte, version) {
            Some(_) => Ok(()),
            None if byte & 0b11 == 0b11 => Err(DecodeError::Qos),
            None => Err(DecodeError::SubscribeOptions(byte)),
        }
    })?;
    Ok(Subscribe { id, properties, filters })
}

/// Reads a filter. [MQTT-4.7.3-1]
fn filter(fields: &mut Fields<'_>) -> Result<(), DecodeError> {
    if fields.text()?.is_empty() { Err(DecodeError::FilterEmpty) } else { Ok(()) }
}

/// Reads what is left, item by item: at least one, at most `max`.
fn each(
    mut fields: Fields<'_>,
    max: usize,
    mut item: impl FnMut(&mut Fields<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    if fields.is_empty() {
        return Err(DecodeError::Empty(fields.kind));
    }
    let mut count = 0;
    while !fields.is_empty() {
        count += 1;
        if count > max {
            return Err(DecodeError::Filters(max));
        }
        item(&mut fields)?;
    }
    Ok(())
}

fn suback<'a>(mut fields: Fields<'a>, limits: &Limits) -> Result<SubAck<'a>, DecodeError> {
    let id = packet_id(&mut fields)?;
    let properties = properties(&mut fields, limits)?;
    let reasons = Reasons { bytes: fields.rest };
    let is_v5 = limits.version == Some(Version::V5);
    each(fields, limits.filters_max, |fields| {
        let code = fields.u8()?;
        let reason = reason(code, fields.kind)?;
        let is_known = is_v5 || !reason.is_error() || reason == Reason::UnspecifiedError;
        if is_known { Ok(()) } else { Err(DecodeError::ReasonCode(code)) }
    })?;
    Ok(SubAck { id, properties, reasons })
}

fn unsubscribe<'a>(mut fields: Fields<'a>, limits: &Limits) -> Result<Unsubscribe<'a>, DecodeError> {
    let id = packet_id(&mut fields)?;
    let properties = properties(&mut fields, limits)?;
    let filters = Topics { bytes: fields.rest };
    each(fields, limits.filters_max, filter)?;
    Ok(Unsubscribe { id, properties, filters })
}

fn unsuback<'a>(mut fields: Fields<'a>, limits: &Limits) -> Result<UnsubAck<'a>, DecodeError> {
    let id = packet_id(&mut fields)?;
    if limits.version != Some(Version::V5) {
        fields.end()?;
        return Ok(UnsubAck { id, properties: Properties::NONE, reasons: Reasons { bytes: &[] } });
    }
    let properties = properties(&mut fields, limits)?;
    let reasons = Reasons { bytes: fields.rest };
    each(fields, limits.filters_max, |fields| {
        let code = fields.u8()?;
        reason(code, fields.kind).map(|_| ())
    })?;
    Ok(UnsubAck { id, properties, reasons })
}
