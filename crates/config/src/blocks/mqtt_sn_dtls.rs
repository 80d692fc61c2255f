//! DTLS of the gateway for MQTT-SN clients.

use super::block;
use super::rule::Rule::Within;
use crate::Secret;
use crate::blocks::keys::Status::Restarts;
use crate::blocks::reader::{self, Block, Notes, noted};
use crate::blocks::tls::Tls;
use crate::error::{ConfigError, Position};
use crate::language::Value;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Bytes of a shared key: guessing a shorter one is no work, and no peer has to take a longer one (RFC 4279 §5.3).
const KEY_BYTES: RangeInclusive<usize> = 16..=64;
/// Bytes of an identity (RFC 4279 §5.3).
const IDENTITY_BYTES_MAX: usize = 128;

block! {
    /// DTLS of the gateway: by keys that clients share with it, by certificates, or both.
    pub struct MqttSnDtls in "mqtt_sn_dtls" {
        /// Where the block stands.
        at: Position = Position::default();
        psk: Vec<MqttSnKey> = Vec::new(),
            psk: "Keys that clients share with the server, each with its user.", block (psk), Within(Restarts);
        cert_file: Option<PathBuf> = None,
            cert_file: "Certificate, PEM: ECDSA with P-256 or P-384.", read (reader::path), Within(Restarts);
        key_file: Option<PathBuf> = None,
            key_file: "Its private key, PEM.", read (reader::path), Within(Restarts);
        ca_file: Option<PathBuf> = None,
            ca_file: "Certificates that clients' are verified with, PEM.", read (reader::path), Within(Restarts);
        verify: bool = false,
            verify: "Clients without a shared key need a certificate.", read (reader::boolean), Within(Restarts);
        map: bool = false,
            verify_and_map: "The same, and it says which user they are.", read (reader::boolean), Within(Restarts);
    }
}

block! {
    /// A key that clients share with the server.
    pub struct MqttSnKey in "mqtt_sn_psk" {
        /// Where it stands.
        at: Position = Position::default();
        identity: String = String::new(),
            identity: "What clients call it.", read (reader::text), Within(Restarts);
        key: Secret = Secret::default(),
            key: "The key in hex: 16 to 64 bytes.", read (key), Within(Restarts);
        user: String = String::new(),
            user: "The user or public NKey, of the configuration.", read (reader::text), Within(Restarts);
    }
}

impl MqttSnDtls {
    /// The certificates, as those of any listener.
    pub fn tls(&self) -> Option<Tls> {
        let (cert_file, key_file) = (self.cert_file.clone()?, self.key_file.clone()?);
        let (ca_file, verify) = (self.ca_file.clone(), self.verify || self.map);
        let at = self.at.clone();
        Some(Tls { at, cert_file, key_file, ca_file, verify, map: self.map, ..Tls::default() })
    }
}

impl MqttSnKey {
    /// The bytes of the key, which has been checked.
    pub fn bytes(&self) -> Vec<u8> {
        hex(self.key.expose()).unwrap_or_default()
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

fn key(value: &Value) -> Result<Secret, ConfigError> {
    let text = reader::credential(value, "key")?;
    match hex(&text) {
        Some(bytes) if KEY_BYTES.contains(&bytes.len()) => Ok(Secret::new(text)),
        // It is not repeated: it may be a secret all the same.
        _ => Err(ConfigError::new(&value.at, "the key is no 16 to 64 bytes in hex")
            .help("such as what `openssl rand -hex 16` prints")),
    }
}

/// Reads the block.
pub(crate) fn dtls(value: &Value, notes: &mut Notes) -> Option<MqttSnDtls> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let mut own = MqttSnDtls { at: value.at.clone().into(), ..MqttSnDtls::default() };
    own.read(&Block::new("mqtt_sn_dtls", map, &mut notes.errors), notes);
    let verifies = own.verify || own.map;
    let problem = match (own.cert_file.is_some(), own.key_file.is_some()) {
        (true, false) | (false, true) => Some("dtls needs cert_file and key_file together"),
        (false, false) if own.psk.is_empty() => Some("dtls needs psk, or cert_file and key_file"),
        (false, false) if verifies => Some("verify and verify_and_map need cert_file and key_file"),
        _ if verifies && own.ca_file.is_none() => Some("verify and verify_and_map need ca_file"),
        _ => None,
    };
    notes.errors.extend(problem.map(|problem| ConfigError::new(&value.at, problem)));
    Some(own)
}

fn psk(value: &Value, notes: &mut Notes) -> Vec<MqttSnKey> {
    let Some(values) = noted(reader::array(value), &mut notes.errors) else { return Vec::new() };
    let mut identities = std::collections::HashSet::new();
    reader::each(values, |value| {
        let map = noted(reader::map(value), &mut notes.errors)?;
        let mut own = MqttSnKey { at: value.at.clone().into(), ..MqttSnKey::default() };
        own.read(&Block::new("mqtt_sn_psk", map, &mut notes.errors), notes);
        let is_named = (1..=IDENTITY_BYTES_MAX).contains(&own.identity.len());
        let problem = if !is_named {
            Some(format!("a psk needs an identity of at most {IDENTITY_BYTES_MAX} bytes"))
        } else if own.key.expose().is_empty() || own.user.is_empty() {
            Some("a psk needs a key and a user".into())
        } else if !identities.insert(own.identity.clone()) {
            Some(format!("identity {:?} is there twice", own.identity))
        } else {
            None
        };
        notes.errors.extend(problem.map(|problem| ConfigError::new(&value.at, problem)));
        Some(own)
    })
}

#[cfg(test)]
mod tests {
    use crate::options::Options;
    use std::path::Path;

    fn read(dtls: &str) -> Result<Options, String> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let text = format!(
            "mqtt_sn {{ port: 1, dtls {{ {dtls} }} }}, jetstream: enabled, mqtt {{ port: 1 }}\n\
             authorization {{ users: [ {{ user: u, password: p }} ] }}"
        );
        let partial = crate::load_partial_text(&text, "t.conf", &mut files, &|_| None);
        partial.map(|partial| partial.options).map_err(|errors| errors.to_string())
    }

    const KEY: &str = "00112233445566778899aAbBcCdDeEfF";

    #[test]
    fn every_key_is_read() {
        let psk = format!("psk: [ {{ identity: m1, key: '{KEY}', user: u }} ]");
        let own = read(&psk).expect("read").mqtt_sn.expect("a gateway").dtls.expect("dtls");
        let [key] = own.psk.as_slice() else { panic!("one key") };
        assert_eq!((&*key.identity, &*key.user), ("m1", "u"));
        assert_eq!(key.bytes(), std::array::from_fn::<u8, 16, _>(|at| at as u8 * 0x11));
        assert_eq!(own.tls(), None);
        let files = format!("{psk}, cert_file: a, key_file: b, ca_file: c, verify_and_map: true");
        let own = read(&files).expect("read").mqtt_sn.expect("a gateway").dtls.expect("dtls");
        let tls = own.tls().expect("certificates");
        assert_eq!((tls.cert_file.as_path(), tls.key_file.as_path()), (Path::new("a"), Path::new("b")));
        assert!(tls.ca_file.is_some() && tls.verify && tls.map);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (dtls, why) in [
            ("", "dtls needs psk, or cert_file and key_file"),
            ("cert_file: a", "dtls needs cert_file and key_file together"),
            ("cert_file: a, key_file: b, verify: true", "need ca_file"),
            ("psk: [ { identity: a, key: 'KEY', user: u } ], ca_file: c, verify: true", "need cert_file"),
            ("psk: [ { key: 'KEY', user: u } ]", "a psk needs an identity"),
            ("psk: [ { identity: a, user: u } ]", "a psk needs a key and a user"),
            ("psk: [ { identity: a, key: 'KEY' } ]", "a psk needs a key and a user"),
            ("psk: [ { identity: a, key: '00ff', user: u } ]", "the key is no 16 to 64 bytes in hex"),
            ("psk: [ { identity: a, key: 'KEYx', user: u } ]", "the key is no 16 to 64 bytes in hex"),
            ("psk: [ { identity: a, key: 'KEY', user: x } ]", "\"x\" not present as user or nkey"),
            (
                "psk: [ { identity: a, key: 'KEY', user: u }, { identity: a, key: 'KEY', user: u } ]",
                "identity \"a\" is there twice",
            ),
            ("frob: 1", "unknown field \"frob\""),
        ] {
            let found = read(&dtls.replace("KEY", KEY)).expect_err(dtls);
            assert!(found.contains(why), "{dtls}: {found}");
        }
    }
}
