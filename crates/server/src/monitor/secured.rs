//! The TLS of a connection.

use crate::profile::Profile;
use serde::Serialize;

/// Its fields in a document; none without TLS.
#[derive(Default, Serialize)]
pub(super) struct TlsSession {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cipher_suite: Option<String>,
}

impl TlsSession {
    pub(super) fn of(profile: &Profile) -> Self {
        let Some(secured) = &profile.secured else { return Self::default() };
        Self { tls_version: Some(secured.version), tls_cipher_suite: Some(secured.cipher_suite.clone()) }
    }
}
