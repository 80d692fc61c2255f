//! The block `cluster` of `/varz`, in the official fields and their order. Without a listener it is empty.

use crate::documents::{is_default, nanos, seconds};
use crate::node::Node;
use crate::policy::{ListenerKind, Policy};
use dialtone_config::options::Tls;
use serde::Serialize;
use serde_json::Value;

#[derive(Default, Serialize)]
pub(super) struct Block {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    addr: String,
    #[serde(skip_serializing_if = "is_default")]
    cluster_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_timeout: Option<Value>,
    #[serde(skip_serializing_if = "is_default")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_default")]
    tls_verify: bool,
    #[serde(skip_serializing_if = "is_default")]
    pool_size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_deadline: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_not_after: Option<String>,
}

impl Block {
    /// What the configuration and the other servers make of it.
    pub(super) fn of(node: &Node, policy: &Policy) -> Self {
        let Some(own) = policy.options.cluster.as_ref().filter(|own| own.is_on()) else {
            let gateway = policy.options.gateway.as_ref().and_then(|own| own.name.clone());
            return Self { name: gateway.unwrap_or_default(), ..Self::default() };
        };
        let listener = policy.of(ListenerKind::Cluster);
        let tls = own.listener.tls.as_ref();
        let url = |host: &str, port: Option<u16>| format!("{host}:{}", port.unwrap_or_default());
        Self {
            name: node.cluster_name().unwrap_or_default(),
            addr: own.listener.address.host.clone(),
            cluster_port: node.settings.identity.port(ListenerKind::Cluster),
            auth_timeout: Some(seconds(listener.auth_timeout)),
            urls: own.routes.iter().map(|route| url(&route.url.host, route.url.port)).collect(),
            tls_timeout: Some(seconds(tls.map_or(Tls::TIMEOUT, |tls| tls.timeout))),
            tls_required: tls.is_some(),
            tls_verify: tls.is_some(),
            pool_size: own.pool.size.map_or(-1, |size| size as i64),
            write_deadline: own.limits.writing.deadline.map(nanos),
            tls_cert_not_after: listener.tls.as_ref().and_then(|tls| tls.not_after()),
        }
    }
}
