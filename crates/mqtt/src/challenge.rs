//! Enhanced authentication of MQTT 5 by an NKey: the client shows a public key or a JWT, and signs what the server made up. MQTT 5.0 §4.12.

use dialtone_wire::mqtt::encode;
use dialtone_wire::mqtt::{Auth, Packet, Properties, PropertiesBuf, Property, Reason, Version};

/// The name of the method, in CONNECT, CONNACK and every AUTH. It is the only one.
pub const METHOD: &str = "NKEY";

/// What the client shows, and what it is to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Its public NKey, or the JWT of a user.
    pub shown: Box<str>,
    /// What it is to sign.
    pub nonce: Box<str>,
}

/// What an AUTH of the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It authenticates again, and shows this.
    Again(Box<str>),
    /// It has signed: the 64 bytes of its signature.
    Signed(Challenge, Box<[u8]>),
}

/// What is under way between a client and the server.
#[derive(Debug, Default)]
pub struct Challenges {
    open: Option<Challenge>,
}

/// What a CONNECT or AUTH shows; texts alone are shown.
///
/// # Errors
/// It shows no text.
pub fn shown(properties: Properties<'_>) -> Result<Box<str>, Reason> {
    std::str::from_utf8(data(properties)).map(Box::from).map_err(|_| Reason::NotAuthorized)
}

fn data(properties: Properties<'_>) -> &[u8] {
    let data = properties.find(|property| match property {
        Property::AuthData(data) => Some(data),
        _ => None,
    });
    data.unwrap_or_default()
}

impl Challenges {
    /// Has the client sign what the server made up: appends AUTH. [MQTT-4.12.0-2]
    ///
    /// # Errors
    /// The client takes no packets of this size.
    pub fn challenge(
        &mut self,
        challenge: Challenge,
        packet_bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let nonce = Property::AuthData(challenge.nonce.as_bytes());
        put(out, Reason::ContinueAuthentication, Some(nonce), packet_bytes_max)?;
        self.open = Some(challenge);
        Ok(())
    }

    /// Takes an AUTH. `is_in`: the client was let in before. [MQTT-4.12.0-3], [MQTT-4.12.1-1]
    ///
    /// # Errors
    /// It may not come, or is of another method: the connection ends.
    pub fn receive(&mut self, auth: &Auth<'_>, is_in: bool) -> Result<Step, Reason> {
        let is_method = |property| matches!(property, Property::AuthMethod(METHOD));
        if !auth.properties.iter().any(is_method) {
            return Err(Reason::BadAuthenticationMethod);
        }
        match (auth.reason, self.open.take()) {
            (Reason::ContinueAuthentication, Some(challenge)) => {
                Ok(Step::Signed(challenge, data(auth.properties).into()))
            }
            (Reason::ReAuthenticate, None) if is_in => shown(auth.properties).map(Step::Again),
            _ => Err(Reason::ProtocolError),
        }
    }

    /// Tells a client that was let in before that it still is: appends AUTH.
    ///
    /// # Errors
    /// The client takes no packets of this size.
    pub fn succeed(&self, packet_bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        put(out, Reason::Success, None, packet_bytes_max)
    }
}

/// Appends AUTH. [MQTT-4.12.0-5]
fn put(out: &mut Vec<u8>, reason: Reason, data: Option<Property<'_>>, max: usize) -> Result<(), Reason> {
    let mut properties = PropertiesBuf::default();
    for property in std::iter::once(Property::AuthMethod(METHOD)).chain(data) {
        properties.push(property).map_err(|_| Reason::ImplementationSpecificError)?;
    }
    let auth = Packet::Auth(Auth { reason, properties: properties.properties() });
    encode::packet(out, &auth, Version::V5, max).map_err(|_| Reason::PacketTooLarge)
}
