//! Clients of MQTT 5 that show by AUTH who they are.

use crate::common::mqtt::{CONNECT, Device, properties};
use crate::common::{options, start};
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_server::Server;
use dialtone_wire::mqtt::{Auth, Connect, Packet, Property, Qos, Reason};
use tempfile::TempDir;

fn server(seed: &Seed) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}\n\
         authorization {{ users: [ {{ nkey: {}, permissions: {{ subscribe: 'own.>' }} }} ] }}",
        folder.path().display(),
        seed.public()
    );
    (start(options(&text)), folder)
}

fn auth(device: &mut Device, reason: Reason, data: &[u8]) {
    let own = properties(&[Property::AuthMethod("NKEY"), Property::AuthData(data)]);
    device.send(&Packet::Auth(Auth { reason, properties: own.properties() }));
}

/// What the server asks to be signed.
fn nonce(device: &mut Device) -> Vec<u8> {
    let nonce = device.next_as(|packet| match packet {
        Packet::Auth(Auth { reason: Reason::ContinueAuthentication, properties }) => {
            properties.find(|property| match property {
                Property::AuthData(data) => Some(data.to_vec()),
                _ => None,
            })
        }
        other => panic!("{other:?}"),
    });
    nonce.flatten().expect("a nonce")
}

/// A client that has named the method, and shown a key.
fn begin(server: &Server, method: &str, shown: &str) -> Device {
    let own = properties(&[Property::AuthMethod(method), Property::AuthData(shown.as_bytes())]);
    Device::connect(server, Connect { properties: own.properties(), ..CONNECT })
}

#[test]
fn a_client_signs_and_signs_again_and_has_the_rights_of_its_key() {
    let [seed, other] = [1, 2].map(|byte| Seed::from_bytes(Kind::User, [byte; 32]));
    let (server, _folder) = server(&seed);
    let key = seed.public().to_string();
    let mut device = begin(&server, "NKEY", &key);
    let first = nonce(&mut device);
    auth(&mut device, Reason::ContinueAuthentication, &seed.sign(&first));
    let connack = device.next();
    assert!(connack.contains("reason: Success") && connack.contains("NKEY"), "{connack}");
    assert!(device.subscribe("own/a", Qos::AtMostOnce).contains("[Success]"));
    assert!(device.subscribe("else/a", Qos::AtMostOnce).contains("[NotAuthorized]"));
    // Again, by another nonce.
    auth(&mut device, Reason::ReAuthenticate, key.as_bytes());
    let second = nonce(&mut device);
    assert_ne!(first, second);
    auth(&mut device, Reason::ContinueAuthentication, &seed.sign(&second));
    let again = device.next();
    assert!(again.contains("Auth") && again.contains("reason: Success"), "{again}");
    device.send(&Packet::PingReq);
    assert_eq!(device.next(), "PingResp");
    // A signature by another key ends it.
    auth(&mut device, Reason::ReAuthenticate, key.as_bytes());
    let third = nonce(&mut device);
    auth(&mut device, Reason::ContinueAuthentication, &other.sign(&third));
    assert!(device.next().contains("Disconnect(Disconnect { reason: NotAuthorized"));
    assert_eq!(device.next_or_end(), None);
}

#[test]
fn who_does_not_sign_is_not_let_in() {
    let [seed, other] = [1, 2].map(|byte| Seed::from_bytes(Kind::User, [byte; 32]));
    let (server, _folder) = server(&seed);
    let key = seed.public().to_string();
    let refused = |mut device: Device, reason: &str| {
        let said = device.next();
        assert!(said.starts_with("ConnAck") && said.contains(reason), "{said}");
        assert_eq!(device.next_or_end(), None);
    };
    refused(begin(&server, "SCRAM", &key), "BadAuthenticationMethod");
    for shown in [&*key, &*other.public().to_string(), ""] {
        let mut device = begin(&server, "NKEY", shown);
        let nonce = nonce(&mut device);
        auth(&mut device, Reason::ContinueAuthentication, &other.sign(&nonce));
        refused(device, "NotAuthorized");
    }
    // Nothing but AUTH may come.
    let mut device = begin(&server, "NKEY", &key);
    nonce(&mut device);
    device.send(&Packet::PingReq);
    assert_eq!(device.next_or_end(), None);
    // Who named no method sends none.
    let mut device = Device::connect(&server, CONNECT);
    assert!(device.next().contains("NotAuthorized"));
}
