//! The same of MQTT, by TCP and WebSocket, and of MQTT-SN, by datagrams: as many as there may be of each, that begin and go no further.

use super::waiting::{Bounded, PATIENCE};
use super::{Server, many};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;

/// Bytes of memory that one of them may cost, by TCP; what is sent comes on top.
const PEER_BYTES_MAX: usize = 8 * 1024;
/// The same of one by datagrams.
const SENDER_BYTES_MAX: usize = 2 * 1024;
/// Bytes of a CONNECT that has more.
const HALF_BYTES: usize = 1000;
/// Clients of MQTT-SN.
const SENDERS: usize = 10_000;

const UPGRADE: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn begin(folder: &Path) -> Server {
    let configuration = format!(
        "server_name: one, jetstream {{ store_dir: '{}' }}, authorization {{ timeout: 5, users: [ {{ user: a, password: a }} ] }}
         mqtt {{ listen: '127.0.0.1:-1', authorization {{ timeout: 5 }} }}
         websocket {{ listen: '127.0.0.1:-1', no_tls: true, handshake_timeout: 5 }}
         mqtt_sn {{ listen: '127.0.0.1:-1', no_auth_user: a }}",
        folder.display()
    );
    Server::start(folder, &configuration, None)
}

fn closed(mut peer: TcpStream) {
    // A reset says the same.
    let _ = peer.read_to_end(&mut Vec::new());
}

#[test]
fn peers_of_mqtt_that_begin_and_go_no_further_hold_little_and_not_for_long() {
    let folder = tempfile::tempdir().expect("folder");
    let server = begin(folder.path());
    let mut client = server.client(r#"{"verbose":false,"user":"a","pass":"a"}"#);
    let (_alone, count) = many();
    let before = server.resident();
    // CONNECT, which says that it has 64 KB.
    let half =
        [&[0x10, 0x80, 0x80, 0x04, 0, 4][..], b"MQTT", &[4, 0xC2, 0, 60], &[b'a'; HALF_BYTES]].concat();
    let peers: Vec<TcpStream> = (0..count)
        .map(|number| {
            let scheme = if number % 4 > 1 { "ws" } else { "mqtt" };
            let mut peer = TcpStream::connect(server.others[scheme]).expect("connected").bounded();
            match number % 4 {
                0 => {}
                1 => peer.write_all(&half).expect("sent"),
                2 => peer.write_all(UPGRADE).expect("sent"),
                _ => peer.write_all(&UPGRADE[..40]).expect("sent"),
            }
            peer
        })
        .collect();
    client.ping();
    let grown = server.resident().saturating_sub(before);
    let most = PEER_BYTES_MAX + HALF_BYTES / 4;
    assert!(grown / count <= most, "{count} peers hold {} bytes each", grown / count);
    peers.into_iter().for_each(closed);
    client.ping();
}

#[test]
fn senders_of_datagrams_that_begin_and_go_no_further_hold_little() {
    let folder = tempfile::tempdir().expect("folder");
    let server = begin(folder.path());
    let mut client = server.client(r#"{"verbose":false,"user":"a","pass":"a"}"#);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.others["udp"]).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let before = server.resident();
    for number in 0..SENDERS {
        // CONNECT with a will, which the server asks for, forwarded for a node of its own.
        let id = format!("d{number:06}");
        let connect = [&[6 + id.len() as u8, 0x04, 0x0C, 0x01, 0xFF, 0x00], id.as_bytes()].concat();
        let forwarded = [&[7, 0xFE, 0][..], &(number as u32).to_be_bytes(), &connect].concat();
        socket.send(&forwarded).expect("sent");
        if number % 50 == 49 {
            // No more are under way than sockets hold.
            for _ in 0..50 {
                socket.recv(&mut [0; 64]).expect("the will is asked for");
            }
        }
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown / SENDERS <= SENDER_BYTES_MAX, "{SENDERS} senders hold {} bytes each", grown / SENDERS);
    client.ping();
}
