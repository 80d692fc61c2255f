//! INFO: what a server says of itself or of another gateway, and commands about the interest that it sends.

use crate::interserver::json::{self, JsonError, is_default};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// The fields of INFO on a gateway connection, in the official server's order. Empty, false and zero ones are left out, as there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The server's public NKey.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The version of the official server that it is, or is compatible with.
    pub version: String,
    /// Version of the protocol: 3 knows how messages are traced.
    pub proto: i64,
    /// Which toolchain built it. Official servers leave it empty here.
    pub go: String,
    /// The host that it listens on for gateways, or advertises.
    pub host: String,
    /// The port that it listens on for gateways, or advertises.
    pub port: u16,
    /// Whether it understands headers.
    pub headers: bool,
    /// Whether a user and password are needed.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_required: bool,
    /// Whether TLS is needed.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Whether a certificate of who dials is needed.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// Bytes of headers and payload that its clients may send.
    pub max_payload: i64,
    /// What who dials could sign; nobody does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The name of the sender's cluster as a gateway; in gossip that of the gateway that it tells of. Empty: no port of gateways.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Where servers of that cluster listen for gateways: `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway_urls: Vec<String>,
    /// Where this server does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway_url: String,
    /// Number of a command, see [`Info::command`].
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_cmd: u8,
    /// What the command is about, base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway_cmd_payload: String,
    /// Whether it knows replies with the prefix `_GR_`; others know `$GR`.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_nrp: bool,
    /// Whether all accounts are in interest-only mode from the beginning.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_iom: bool,
}

/// What an INFO asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// To connect to the gateway that it names, by its URLs.
    Gossip,
    /// From here on all interest of this account comes: it is changing to interest-only mode.
    AllInterestBegins(Vec<u8>),
    /// All interest of this account has come: nothing else may be sent.
    AllInterestEnds(Vec<u8>),
    /// A command of a later version, to be passed over.
    Unknown(u8),
}

const GOSSIP: u8 = 1;
const ALL_INTEREST_BEGINS: u8 = 2;
const ALL_INTEREST_ENDS: u8 = 3;

impl Info {
    /// Reads the JSON behind INFO.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn parse(json: &[u8]) -> Result<Self, JsonError> {
        json::read(json)
    }

    /// Appends `INFO {…}` and CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        json::write(out, "INFO", self, "\r\n");
    }

    /// What it asks for, if it is more than a description.
    ///
    /// # Errors
    /// [`JsonError::Type`] if a command about an account names none.
    pub fn command(&self) -> Result<Option<Command>, JsonError> {
        let account = || match BASE64.decode(self.gateway_cmd_payload.as_bytes()) {
            Ok(account) if !account.is_empty() => Ok(account),
            _ => Err(JsonError::Type),
        };
        Ok(Some(match self.gateway_cmd {
            0 => return Ok(None),
            GOSSIP => Command::Gossip,
            ALL_INTEREST_BEGINS => Command::AllInterestBegins(account()?),
            ALL_INTEREST_ENDS => Command::AllInterestEnds(account()?),
            number => Command::Unknown(number),
        }))
    }

    /// A server of the cluster `gateway` says that all its interest in an account begins to come.
    pub fn all_interest_begins(gateway: &str, account: &[u8]) -> Self {
        Self::about_account(gateway, ALL_INTEREST_BEGINS, account)
    }

    /// A server of the cluster `gateway` says that all its interest in an account has come.
    pub fn all_interest_ends(gateway: &str, account: &[u8]) -> Self {
        Self::about_account(gateway, ALL_INTEREST_ENDS, account)
    }

    /// The server with this id tells of a gateway.
    pub fn gossip(server_id: &str, gateway: &str, urls: Vec<String>) -> Self {
        let (server_id, gateway) = (server_id.to_owned(), gateway.to_owned());
        Self { server_id, gateway, gateway_urls: urls, gateway_cmd: GOSSIP, ..Self::default() }
    }

    fn about_account(gateway: &str, command: u8, account: &[u8]) -> Self {
        Self {
            gateway: gateway.to_owned(),
            gateway_cmd: command,
            gateway_cmd_payload: BASE64.encode(account),
            ..Self::default()
        }
    }
}
