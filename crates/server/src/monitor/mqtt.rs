//! The block `mqtt` of `/varz`, in the official fields and their order. Without a listener it is empty.

use crate::documents::{is_default, nanos, seconds};
use crate::policy::{ListenerKind, Policy};
use dialtone_config::options::{MqttStreams, Tls};
use serde::Serialize;
use serde_json::Value;

#[derive(Default, Serialize)]
pub(super) struct Block {
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_default")]
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_auth_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<Value>,
    #[serde(skip_serializing_if = "is_default")]
    tls_map: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_timeout: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_pinned_certs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    js_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_wait: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ack_pending: Option<u16>,
    #[serde(skip_serializing_if = "is_default")]
    tls_ocsp_peer_verify: bool,
}

impl Block {
    /// What the configuration makes of it. What is as by default is not shown, as officially.
    pub(super) fn of(policy: &Policy) -> Self {
        let Some(own) = &policy.options.mqtt else { return Self::default() };
        let (listener, defaults) = (policy.of(ListenerKind::Mqtt), MqttStreams::default());
        let (tls, streams) = (own.tls.as_ref(), &own.streams);
        Self {
            host: listener.info.host.clone(),
            port: listener.info.port,
            no_auth_user: own.no_auth_user.clone(),
            auth_timeout: own.users.timeout.map(seconds),
            tls_map: tls.is_some_and(|tls| tls.map),
            tls_timeout: Some(seconds(tls.map_or(Tls::TIMEOUT, |tls| tls.timeout))),
            tls_pinned_certs: tls.map(|tls| tls.pinned_certs.clone()).unwrap_or_default(),
            js_domain: streams.domain.clone(),
            ack_wait: Some(streams.ack_wait).filter(|wait| *wait != defaults.ack_wait).map(nanos),
            max_ack_pending: Some(streams.ack_pending_max)
                .filter(|max| *max != defaults.ack_pending_max)
                .map(std::num::NonZeroU16::get),
            tls_ocsp_peer_verify: listener.tls.as_ref().is_some_and(|tls| tls.peer_check().is_some()),
        }
    }
}
