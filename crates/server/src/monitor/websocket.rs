//! The block `websocket` of `/varz`, in the official fields and their order. Without a listener it is empty.

use crate::documents::{is_default, nanos, seconds};
use crate::policy::{ListenerKind, Policy};
use serde::Serialize;
use serde_json::Value;

#[derive(Default, Serialize)]
pub(super) struct Block {
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_default")]
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_auth_user: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    jwt_cookie: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<Value>,
    #[serde(skip_serializing_if = "is_default")]
    no_tls: bool,
    #[serde(skip_serializing_if = "is_default")]
    tls_map: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_pinned_certs: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    same_origin: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_origins: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    compression: bool,
    #[serde(skip_serializing_if = "is_default")]
    tls_ocsp_peer_verify: bool,
}

impl Block {
    /// What the configuration makes of it.
    pub(super) fn of(policy: &Policy) -> Self {
        let Some(own) = &policy.options.websocket else { return Self::default() };
        let listener = policy.of(ListenerKind::WebSocket);
        let tls = own.tls.as_ref();
        Self {
            host: listener.info.host.clone(),
            port: listener.info.port,
            advertise: own.advertise.clone(),
            no_auth_user: own.no_auth_user.clone(),
            jwt_cookie: own.cookies.jwt.clone(),
            handshake_timeout: own.handshake_timeout.map(nanos),
            auth_timeout: own.users.timeout.map(seconds),
            no_tls: own.no_tls,
            tls_map: tls.is_some_and(|tls| tls.map),
            tls_pinned_certs: tls.map(|tls| tls.pinned_certs.clone()).unwrap_or_default(),
            same_origin: own.same_origin,
            allowed_origins: own.allowed_origins.clone(),
            compression: own.compression,
            tls_ocsp_peer_verify: listener.tls.as_ref().is_some_and(|tls| tls.peer_check().is_some()),
        }
    }
}
