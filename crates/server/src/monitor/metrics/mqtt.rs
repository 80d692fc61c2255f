//! Figures of MQTT, of all accounts together.

use crate::node::Node;
use crate::policy::ListenerKind;
use dialtone_broker::format::Format;
use dialtone_mqtt::streams::Stream;
use dialtone_wire::mqtt::Version;

/// What series are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MqttRow {
    /// Clients, by the version that they speak.
    pub(super) connections: [(&'static str, u64); 4],
    /// Messages in the streams of MQTT that are on this server, by what they are.
    pub(super) kept: [(&'static str, u64); 5],
}

pub(super) fn row(node: &Node) -> MqttRow {
    let mut connections = [("3.1", 0), ("3.1.1", 0), ("5.0", 0), ("sn", 0)];
    for session in node.connections.registry.open() {
        let profile = session.profile();
        let (Some(_), Format::Mqtt(version)) = (&profile.mqtt_client, session.peer.format()) else {
            continue;
        };
        let label = match (profile.listener, version) {
            (ListenerKind::MqttSn, _) => "sn",
            (_, Version::V31) => "3.1",
            (_, Version::V311) => "3.1.1",
            (_, Version::V5) => "5.0",
        };
        for (_, count) in connections.iter_mut().filter(|(of, _)| *of == label) {
            *count += 1;
        }
    }
    let mut kept = [("session", 0), ("message", 0), ("held", 0), ("released", 0), ("retained", 0)];
    for account in node.accounts.all() {
        for (stream, (_, count)) in Stream::ALL.into_iter().zip(&mut kept) {
            if let Some(hosted) = node.streams.all.find(&account, stream.name()) {
                *count += hosted.lock().state.machine.totals().count;
            }
        }
    }
    MqttRow { connections, kept }
}
