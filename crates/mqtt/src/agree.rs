//! What is agreed with a client by CONNECT.

use crate::challenge::METHOD;
use crate::options::Options;
use crate::session::Expiry;
use dialtone_wire::mqtt::topic::is_name;
use dialtone_wire::mqtt::{Connect, Properties, PropertiesBuf, Property, Qos, Reason, Version};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// What becomes of a session that the client had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It goes on.
    Resume,
    /// It is forgotten, with all that is kept for it.
    Discard,
}

/// What holds for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version.
    pub version: Version,
    /// What becomes of the session of before.
    pub keep: Keep,
    /// How long the session outlives the connection.
    pub expiry: Expiry,
    /// Seconds of keep alive; 0: none.
    pub keep_alive: u16,
    /// Messages that may be in flight to the client.
    pub window: NonZeroU16,
    /// Bytes of a packet to the client.
    pub packet_bytes_max: usize,
    /// Topic aliases to the client.
    pub topic_alias_max: u16,
    /// Whether reasons may be told in packets other than PUBLISH, CONNACK and DISCONNECT.
    pub problem_info: bool,
    /// Whether the client came without an identifier, and is given one.
    pub needs_client_id: bool,
    /// Whether the client authenticates by the method [`METHOD`].
    pub is_challenged: bool,
}

impl Agreed {
    /// After how much silence the client is gone. [MQTT-3.1.2-22]
    pub fn silence_max(&self) -> Option<Duration> {
        (self.keep_alive > 0).then(|| Duration::from_millis(u64::from(self.keep_alive) * 1500))
    }
}

/// Decides on what a CONNECT asks for; who it is from has been decided elsewhere.
///
/// # Errors
/// Why the client is not let in. One that CONNACK of its version has no code for closes the connection without an answer.
pub fn agree(connect: &Connect<'_>, options: &Options) -> Result<Agreed, Reason> {
    let is_v5 = connect.version == Version::V5;
    let needs_client_id = connect.client_id.is_empty();
    // [MQTT-3.1.3-8]; 3.1 has no clients without an identifier. MQTT 5.0 [MQTT-3.1.3-6]
    let may_be_without = match connect.version {
        Version::V31 => false,
        Version::V311 => connect.clean_start,
        Version::V5 => true,
    };
    if needs_client_id && !may_be_without {
        return Err(Reason::ClientIdentifierNotValid);
    }
    if let Some(will) = connect.will {
        if !is_name(will.topic) {
            return Err(Reason::TopicNameInvalid);
        }
        if will.qos == Qos::ExactlyOnce && options.reject_qos2_publish {
            return Err(Reason::QosNotSupported);
        }
    }
    let asked = Asked::of(connect.properties);
    // [MQTT-4.12.0-1]
    if asked.method.is_some_and(|method| method != METHOD) {
        return Err(Reason::BadAuthenticationMethod);
    }
    let expiry = match connect.version {
        Version::V5 => Expiry::of(asked.session_expiry, options.session_expiry_max),
        _ if connect.clean_start => Expiry::AtEnd,
        _ => Expiry::Never,
    };
    let keep_alive = match (connect.keep_alive, options.keep_alive_max) {
        (asked, max) if !is_v5 || max == 0 => asked,
        (0, max) => max,
        (asked, max) => asked.min(max),
    };
    Ok(Agreed {
        version: connect.version,
        keep: if connect.clean_start { Keep::Discard } else { Keep::Resume },
        expiry,
        keep_alive,
        window: asked.receive_maximum.min(options.ack_pending_max),
        packet_bytes_max: asked.packet_bytes_max.map_or(usize::MAX, |max| max.get() as usize),
        topic_alias_max: asked.topic_alias_max.min(options.topic_alias_max),
        problem_info: asked.problem_info,
        needs_client_id,
        is_challenged: asked.method.is_some(),
    })
}

/// What properties of CONNECT ask for. MQTT 5.0 §3.1.2.11.
struct Asked<'a> {
    session_expiry: u32,
    receive_maximum: NonZeroU16,
    packet_bytes_max: Option<NonZeroU32>,
    topic_alias_max: u16,
    problem_info: bool,
    method: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(properties: Properties<'a>) -> Self {
        let mut asked = Self {
            session_expiry: 0,
            receive_maximum: NonZeroU16::MAX,
            packet_bytes_max: None,
            topic_alias_max: 0,
            problem_info: true,
            method: None,
        };
        for property in properties.iter() {
            match property {
                Property::SessionExpiry(seconds) => asked.session_expiry = seconds,
                Property::ReceiveMaximum(max) => asked.receive_maximum = max,
                Property::MaximumPacketSize(bytes) => asked.packet_bytes_max = Some(bytes),
                Property::TopicAliasMaximum(max) => asked.topic_alias_max = max,
                Property::RequestProblemInfo(wanted) => asked.problem_info = wanted,
                Property::AuthMethod(method) => asked.method = Some(method),
                _ => {}
            }
        }
        asked
    }
}

impl Agreed {
    /// What CONNACK tells an MQTT 5 client of it, and of the server's limits. `client_id` is the one that it was given.
    ///
    /// MQTT 5.0 §3.2.2.3. [MQTT-3.1.3-7], [MQTT-3.2.2-21]
    pub fn properties(&self, connect: &Connect<'_>, client_id: &str, options: &Options) -> PropertiesBuf {
        let mut properties = PropertiesBuf::default();
        if self.version != Version::V5 {
            return properties;
        }
        let mut push = |property| {
            // What is too long for a packet is none of what is sent here but the client identifier, which came in one.
            let _ = properties.push(property);
        };
        let asked = Asked::of(connect.properties);
        if Expiry::of(asked.session_expiry, u32::MAX) != self.expiry {
            push(Property::SessionExpiry(options.session_expiry_max));
        }
        push(Property::ReceiveMaximum(options.receive_maximum));
        if options.reject_qos2_publish {
            push(Property::MaximumQos(true));
        }
        if let Some(bytes) = NonZeroU32::new(options.packet_bytes_max) {
            push(Property::MaximumPacketSize(bytes));
        }
        if self.needs_client_id {
            push(Property::AssignedClientId(client_id));
        }
        push(Property::TopicAliasMaximum(options.topic_alias_max));
        if self.keep_alive != connect.keep_alive {
            push(Property::ServerKeepAlive(self.keep_alive));
        }
        if self.is_challenged {
            push(Property::AuthMethod(METHOD));
        }
        properties
    }
}
