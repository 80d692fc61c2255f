//! Clients of MQTT-SN, by datagrams, and clients of NATS.

use crate::common::{Client, waiting};
use dialtone_config::Options;
use dialtone_server::Server;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// The options, though what they are about may not be carried out yet. Streams stay in `folder`.
fn options(folder: &Path, more: &str) -> Options {
    let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}\n\
         mqtt_sn {{ listen: '127.0.0.1:-1', predefined_topics: {{ 7: sensors/7 }}, {more}",
        folder.display()
    );
    let partial = dialtone_config::load_partial_text(&text, "t.conf", &mut files, &|_| None);
    partial.expect("read").options
}

fn start(more: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), more);
    (Server::builder().options(options).in_process_only().quiet().start().expect("started"), folder)
}

/// A device that speaks MQTT-SN.
struct Device(UdpSocket);

impl Device {
    fn new(server: &Server) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(server.mqtt_sn_address().expect("a gateway")).expect("connected");
        socket.set_read_timeout(Some(waiting::PATIENCE)).expect("a limit");
        Self(socket)
    }

    fn send(&self, datagram: &[u8]) {
        self.0.send(datagram).expect("sent");
    }

    #[track_caller]
    fn expect(&self, datagram: &[u8]) {
        let mut buffer = [0; 2000];
        let bytes = self.0.recv(&mut buffer).expect("an answer");
        assert_eq!(buffer[..bytes].escape_ascii().to_string(), datagram.escape_ascii().to_string());
    }

    #[track_caller]
    fn ask(&self, datagram: &[u8], answer: &[u8]) {
        self.send(datagram);
        self.expect(answer);
    }

    #[track_caller]
    fn connect(&self) {
        self.ask(b"\x08\x04\x04\x01\x00\x3Cdv", b"\x03\x05\x00");
    }
}

/// Subject and payload of the next message, which has one header.
fn heard(client: &mut Client) -> String {
    let head = client.line();
    assert!(head.starts_with("HMSG "), "{head}");
    let lines: Vec<String> = (0..4).map(|_| client.line()).collect();
    format!("{} {}", head.split(' ').nth(1).expect("a subject"), lines[3])
}

#[test]
fn a_device_and_a_client_exchange_messages() {
    let (server, _folder) = start("}");
    let device = Device::new(&server);
    device.ask(b"\x03\x01\x00", b"\x03\x02\x01");
    device.connect();
    let mut client = Client::connect(&server, "");
    client.send("SUB sensors.* 1\r\n");
    client.sync();
    // By a number that was registered, and by one that both know.
    device.ask(b"\x0F\x0A\x00\x00\x00\x01sensors/1", b"\x07\x0B\x00\x01\x00\x01\x00");
    device.send(b"\x09\x0C\x00\x00\x01\x00\x0021");
    assert_eq!(heard(&mut client), "sensors.1 21");
    device.send(b"\x09\x0C\x01\x00\x07\x00\x0022");
    assert_eq!(heard(&mut client), "sensors.7 22");
    // One that does not connect.
    Device::new(&server).send(b"\x09\x0C\x61\x00\x07\x00\x0023");
    assert_eq!(heard(&mut client), "sensors.7 23");
    device.ask(b"\x0D\x12\x00\x00\x02commands", b"\x08\x13\x00\x00\x02\x00\x02\x00");
    client.send("PUB commands 2\r\non\r\n");
    device.expect(b"\x09\x0C\x00\x00\x02\x00\x00on");
    // While it sleeps, what comes waits.
    device.ask(b"\x04\x18\x00\x3C", b"\x02\x18");
    client.send("PUB commands 3\r\noff\r\n");
    client.sync();
    let mut heard = Vec::new();
    for () in waiting::tries("the message that waited") {
        device.send(b"\x04\x16dv");
        let mut buffer = [0; 100];
        let bytes = device.0.recv(&mut buffer).expect("an answer");
        heard.push(buffer[..bytes].to_vec());
        if heard.iter().any(|datagram| datagram == b"\x0A\x0C\x00\x00\x02\x00\x00off") {
            break;
        }
    }
    server.stop();
}

#[test]
fn a_device_that_is_connected_is_told_when_the_server_stops() {
    let (server, _folder) = start("}");
    let device = Device::new(&server);
    device.connect();
    server.stop();
    device.expect(b"\x02\x18");
}

#[test]
fn devices_are_the_user_that_the_block_names() {
    let users = "authorization { users: [ { user: a, password: p }, { user: d, password: p, permissions: { publish: sensors.7, subscribe: x } } ] }";
    let (server, _folder) = start(&format!("no_auth_user: d }}\n{users}"));
    let device = Device::new(&server);
    device.connect();
    // What it may not subscribe to is refused.
    device.ask(b"\x06\x12\x00\x00\x02x", b"\x08\x13\x00\x00\x01\x00\x02\x00");
    device.ask(b"\x06\x12\x00\x00\x03y", b"\x08\x13\x00\x00\x00\x00\x03\x03");
    // Of one that is listed, it is not the right of the default user that counts, also for its will.
    let listed = "no_auth_user: a, clients: [ { client_id: 'd*', address: '127.0.0.0/8', user: d } ]";
    let (server, _folder) = start(&format!("{listed} }}\n{users}"));
    let device = Device::new(&server);
    device.connect();
    device.ask(b"\x06\x12\x00\x00\x03y", b"\x08\x13\x00\x00\x00\x00\x03\x03");
    let other = Device::new(&server);
    other.ask(b"\x08\x04\x04\x01\x00\x3Cxv", b"\x03\x05\x00");
    other.ask(b"\x06\x12\x00\x00\x03y", b"\x08\x13\x00\x00\x01\x00\x03\x00");
    let (server, _folder) = start(&format!("}}\n{users}"));
    let device = Device::new(&server);
    device.ask(b"\x08\x04\x04\x01\x00\x3Cdv", b"\x03\x05\x03");
}

/// A key that a device shares with the server.
struct Shared;

impl dimpl::PskResolver for Shared {
    fn resolve(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(b"0123456789abcdef".to_vec())
    }
}

/// By DTLS a device is the user whose key it has, and nobody hears or is heard without one.
#[test]
fn devices_that_share_a_key_are_its_user() {
    let users = "authorization { users: [ { user: a, password: p }, { user: d, password: p, permissions: { publish: sensors.7, subscribe: x } } ] }";
    let key = "30313233343536373839616263646566";
    let dtls = format!("dtls {{ psk: [ {{ identity: m1, key: '{key}', user: d }} ] }}");
    let (server, _folder) = start(&format!("no_auth_user: a, {dtls} }}\n{users}"));
    let device = Device::new(&server);
    device.send(b"\x08\x04\x04\x01\x00\x3Cdv");
    let config = dimpl::Config::builder()
        .with_psk_client(b"m1".to_vec(), std::sync::Arc::new(Shared))
        .dtls12_cipher_suites(&[dimpl::crypto::Dtls12CipherSuite::PSK_AES128_CCM_8]);
    let config = std::sync::Arc::new(config.build().expect("a client"));
    let mut dtls = dimpl::Dtls::new_12_psk(config, Instant::now());
    dtls.set_active(true);
    let mut asked = vec![
        (&b"\x06\x12\x00\x00\x03y"[..], "\\x08\\x13\\x00\\x00\\x00\\x00\\x03\\x03"),
        (b"\x08\x04\x04\x01\x00\x3Cdv", "\\x03\\x05\\x00"),
    ];
    let (mut buffer, mut awaited) = (vec![0; 65_536], None);
    while !asked.is_empty() || awaited.is_some() {
        dtls.handle_timeout(Instant::now()).expect("goes on");
        loop {
            match dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(bytes) => device.send(bytes),
                dimpl::Output::ApplicationData(bytes) => {
                    assert_eq!(awaited.take(), Some(&*bytes.escape_ascii().to_string()));
                }
                dimpl::Output::Timeout(_) => break,
                _ => {}
            }
        }
        if awaited.is_none()
            && let Some((said, answer)) = asked.pop()
        {
            dtls.send_application_data(said).expect("sent when it is connected");
            awaited = Some(answer);
            continue;
        }
        if awaited.is_some() {
            let bytes = device.0.recv(&mut buffer).expect("an answer");
            dtls.handle_packet(&buffer[..bytes]).expect("good");
        }
    }
}
