//! From packets to bytes. Everything is appended to a `Vec`, so a caller batches as it likes; nothing else is allocated.

use super::fields::{VARIABLE_MAX, put_binary, put_variable, variable_bytes};
use super::packet::{
    Ack, AckKind, ConnAck, Connect, Delivery, Packet, PacketKind, Publish, Subscribe, Version, Will,
};
use super::property::{Properties, TooLong};
use super::reason::Reason;

/// Why a packet is not sent. Nothing was appended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or data of more bytes than their length can say.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// More bytes than the other end accepts, or than any packet can have.
    #[error("packet of {bytes} bytes, at most {max}")]
    TooLarge {
        /// Its size with the first bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// This version has no such packet, or no code for this reason: it says the same by closing.
    #[error("this version has no such packet")]
    NotInVersion,
}

/// Appends a packet as `version` has it; what that does not know is left out. CONNECT goes by its own version.
///
/// `bytes_max` are the bytes that the other end accepts in a packet.
///
/// # Errors
/// See [`EncodeError`].
pub fn packet(
    out: &mut Vec<u8>,
    packet: &Packet<'_>,
    version: Version,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(packet) => connect(out, packet, bytes_max),
        Packet::ConnAck(packet) => connack(out, packet, version, bytes_max),
        Packet::Publish(packet) => publish(out, packet, version, bytes_max),
        Packet::Ack(packet) => ack(out, packet, version, bytes_max),
        Packet::Subscribe(packet) => subscribe(out, packet, version, bytes_max),
        Packet::SubAck(packet) => {
            let bytes = body_bytes(2, packet.properties, version) + packet.reasons.bytes.len();
            head(out, PacketKind::SubAck, 0, bytes, bytes_max)?;
            out.extend_from_slice(&packet.id.get().to_be_bytes());
            properties(out, packet.properties, version);
            match version {
                Version::V5 => out.extend_from_slice(packet.reasons.bytes),
                _ => out.extend(
                    packet.reasons.bytes.iter().map(|code| (*code).min(Reason::UnspecifiedError.code())),
                ),
            }
            Ok(())
        }
        Packet::Unsubscribe(packet) => {
            let bytes = body_bytes(2, packet.properties, version) + packet.filters.bytes.len();
            head(out, PacketKind::Unsubscribe, 0b0010, bytes, bytes_max)?;
            out.extend_from_slice(&packet.id.get().to_be_bytes());
            properties(out, packet.properties, version);
            out.extend_from_slice(packet.filters.bytes);
            Ok(())
        }
        Packet::UnsubAck(packet) => {
            let reasons = if version == Version::V5 { packet.reasons.bytes } else { &[] };
            let bytes = body_bytes(2, packet.properties, version) + reasons.len();
            head(out, PacketKind::UnsubAck, 0, bytes, bytes_max)?;
            out.extend_from_slice(&packet.id.get().to_be_bytes());
            properties(out, packet.properties, version);
            out.extend_from_slice(reasons);
            Ok(())
        }
        Packet::PingReq => head(out, PacketKind::PingReq, 0, 0, bytes_max),
        Packet::PingResp => head(out, PacketKind::PingResp, 0, 0, bytes_max),
        Packet::Disconnect(packet) => {
            end(out, PacketKind::Disconnect, None, (packet.reason, packet.properties), version, bytes_max)
        }
        Packet::Auth(_) if version != Version::V5 => Err(EncodeError::NotInVersion),
        Packet::Auth(packet) => {
            end(out, PacketKind::Auth, None, (packet.reason, packet.properties), version, bytes_max)
        }
    }
}

/// Appends the first bytes, for `bytes` behind them.
fn head(
    out: &mut Vec<u8>,
    kind: PacketKind,
    flags: u8,
    bytes: usize,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let too_large = |total, max| Err(EncodeError::TooLarge { bytes: total, max });
    let Some(remaining) = u32::try_from(bytes).ok().filter(|bytes| *bytes <= VARIABLE_MAX) else {
        return too_large(bytes, VARIABLE_MAX as usize);
    };
    let total = 1 + variable_bytes(remaining) + bytes;
    if total > bytes_max {
        return too_large(total, bytes_max);
    }
    out.push((kind as u8) << 4 | flags);
    put_variable(out, remaining);
    Ok(())
}

/// Bytes of a packet with so many in front of its properties, up to the end of these.
fn body_bytes(before: usize, properties: Properties<'_>, version: Version) -> usize {
    before + if version == Version::V5 { properties.framed_bytes() } else { 0 }
}

fn properties(out: &mut Vec<u8>, properties: Properties<'_>, version: Version) {
    if version == Version::V5 {
        properties.write(out);
    }
}

/// Bytes of a string or of data with the length in front.
fn framed(bytes: &[u8]) -> Result<usize, TooLong> {
    if bytes.len() > usize::from(u16::MAX) { Err(TooLong(bytes.len())) } else { Ok(2 + bytes.len()) }
}

fn connect(out: &mut Vec<u8>, connect: &Connect<'_>, bytes_max: usize) -> Result<(), EncodeError> {
    let Connect { version, will, username, password, .. } = *connect;
    let name = version.protocol_name().as_bytes();
    let mut bytes =
        body_bytes(2 + name.len() + 4, connect.properties, version) + framed(connect.client_id.as_bytes())?;
    if let Some(will) = will {
        bytes +=
            body_bytes(0, will.properties, version) + framed(will.topic.as_bytes())? + framed(will.payload)?;
    }
    for credential in [username.map(str::as_bytes), password].into_iter().flatten() {
        bytes += framed(credential)?;
    }
    head(out, PacketKind::Connect, 0, bytes, bytes_max)?;
    put_binary(out, name);
    let will_flags = will.map_or(0, |will| 1 << 2 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    let credentials = u8::from(password.is_some()) << 6 | u8::from(username.is_some()) << 7;
    out.extend_from_slice(&[version as u8, u8::from(connect.clean_start) << 1 | will_flags | credentials]);
    out.extend_from_slice(&connect.keep_alive.to_be_bytes());
    properties(out, connect.properties, version);
    put_binary(out, connect.client_id.as_bytes());
    if let Some(Will { topic, payload, properties: own, .. }) = will {
        properties(out, own, version);
        put_binary(out, topic.as_bytes());
        put_binary(out, payload);
    }
    for credential in [username.map(str::as_bytes), password].into_iter().flatten() {
        put_binary(out, credential);
    }
    Ok(())
}

fn connack(
    out: &mut Vec<u8>,
    connack: &ConnAck<'_>,
    version: Version,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let code = match version {
        Version::V5 => connack.reason.code(),
        _ => connack.reason.return_code().ok_or(EncodeError::NotInVersion)?,
    };
    let is_present = connack.session_present && version != Version::V31 && connack.reason == Reason::Success;
    head(out, PacketKind::ConnAck, 0, body_bytes(2, connack.properties, version), bytes_max)?;
    out.extend_from_slice(&[u8::from(is_present), code]);
    properties(out, connack.properties, version);
    Ok(())
}

fn publish(
    out: &mut Vec<u8>,
    publish: &Publish<'_>,
    version: Version,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    publish_head(out, publish, publish.payload.len(), version, bytes_max)?;
    out.extend_from_slice(publish.payload);
    Ok(())
}

/// Appends all of a PUBLISH but its payload, which has so many bytes and is sent from where it is.
///
/// # Errors
/// See [`EncodeError`].
pub fn publish_head(
    out: &mut Vec<u8>,
    publish: &Publish<'_>,
    payload_bytes: usize,
    version: Version,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let sent = publish.delivery.sent();
    let before = framed(publish.topic.as_bytes())? + if sent.is_some() { 2 } else { 0 };
    let bytes = body_bytes(before, publish.properties, version).saturating_add(payload_bytes);
    let dup = sent.is_some_and(|(_, dup)| dup);
    let flags = u8::from(dup) << 3 | (publish.delivery.qos() as u8) << 1 | u8::from(publish.retain);
    head(out, PacketKind::Publish, flags, bytes, bytes_max)?;
    put_binary(out, publish.topic.as_bytes());
    if let Delivery::AtLeastOnce { id, .. } | Delivery::ExactlyOnce { id, .. } = publish.delivery {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
    properties(out, publish.properties, version);
    Ok(())
}

/// Appends a PUBLISH of quality of service 0, whose topic has been encoded before: `framed_topic` has its length in front. Everything is
/// appended or, if the other end does not accept so many bytes, nothing.
///
/// # Errors
/// See [`EncodeError`].
#[inline]
pub fn at_most_once(
    out: &mut Vec<u8>,
    framed_topic: &[u8],
    retain: bool,
    own: Properties<'_>,
    payload: &[u8],
    version: Version,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let bytes = body_bytes(framed_topic.len(), own, version).saturating_add(payload.len());
    head(out, PacketKind::Publish, u8::from(retain), bytes, bytes_max)?;
    out.extend_from_slice(framed_topic);
    properties(out, own, version);
    out.extend_from_slice(payload);
    Ok(())
}

fn ack(out: &mut Vec<u8>, ack: &Ack<'_>, version: Version, bytes_max: usize) -> Result<(), EncodeError> {
    end(out, ack.kind.kind(), Some(ack.id.get()), (ack.reason, ack.properties), version, bytes_max)
}

/// Appends a packet that is an identifier, a reason code and properties, of which MQTT 5 lets the end be left out.
fn end(
    out: &mut Vec<u8>,
    kind: PacketKind,
    id: Option<u16>,
    (reason, own): (Reason, Properties<'_>),
    version: Version,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let is_short = version != Version::V5 || reason == Reason::Success && own.is_empty();
    let id_bytes = if id.is_some() { 2 } else { 0 };
    // In AUTH the length of the properties may be left out with the reason only. MQTT 5.0 §3.15.2.1.
    let has_properties = !is_short && (!own.is_empty() || kind == PacketKind::Auth);
    let bytes = match (is_short, has_properties) {
        (true, _) => id_bytes,
        (false, false) => id_bytes + 1,
        (false, true) => body_bytes(id_bytes + 1, own, version),
    };
    let flags = if kind == AckKind::PubRel.kind() { 0b0010 } else { 0 };
    head(out, kind, flags, bytes, bytes_max)?;
    out.extend(id.into_iter().flat_map(u16::to_be_bytes));
    if !is_short {
        out.push(reason.code());
        if has_properties {
            own.write(out);
        }
    }
    Ok(())
}

fn subscribe(
    out: &mut Vec<u8>,
    subscribe: &Subscribe<'_>,
    version: Version,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let bytes = body_bytes(2, subscribe.properties, version) + subscribe.filters.bytes.len();
    head(out, PacketKind::Subscribe, 0b0010, bytes, bytes_max)?;
    out.extend_from_slice(&subscribe.id.get().to_be_bytes());
    properties(out, subscribe.properties, version);
    let begin = out.len();
    out.extend_from_slice(subscribe.filters.bytes);
    if version != Version::V5 {
        keep_qos_only(out.get_mut(begin..).unwrap_or_default());
    }
    Ok(())
}

/// Takes from filters on the wire all options that 3.1 and 3.1.1 do not have.
fn keep_qos_only(mut filters: &mut [u8]) {
    while let Some((length, rest)) = std::mem::take(&mut filters).split_first_chunk_mut::<2>() {
        let at = usize::from(u16::from_be_bytes(*length));
        let Some((options, rest)) = rest.get_mut(at..).and_then(<[u8]>::split_first_mut) else { return };
        *options &= 0b11;
        filters = rest;
    }
}
