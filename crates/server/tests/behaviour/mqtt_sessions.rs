//! Sessions of MQTT that end and begin without a pause in between: who comes next finds what the one before has left, and nothing of it
//! goes later.

use crate::common::{mqtt::start_with_streams, waiting::Bounded};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Each is a chance for the one that leaves and the one that comes to meet.
const ROUNDS: u32 = 40;
const LONG: u32 = 600;

/// A server that gives nobody's message up for lost.
/// A client of MQTT 5 that speaks in whole packets.
struct Client {
    stream: TcpStream,
    is_present: bool,
}

fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u8::try_from(body.len()).expect("a short packet");
    assert!(length < 0x80, "its length takes one byte");
    [&[kind, length][..], &body].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

impl Client {
    fn connect(server: &Server, id: &str, is_clean: bool, expiry: u32) -> Self {
        let port = server.node().settings.identity.port(ListenerKind::Mqtt);
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected").bounded();
        stream.set_nodelay(true).expect("set");
        let mut client = Self { stream, is_present: false };
        let flags = [5, u8::from(is_clean) << 1, 0, 0, 5, 0x11];
        client.send(&packet(0x10, &[&text("MQTT"), &flags, &expiry.to_be_bytes(), &text(id)]));
        let connack = client.receive(0x20);
        assert_eq!(connack[1], 0, "it is let in");
        client.is_present = connack[0] == 1;
        client
    }

    fn send(&mut self, packet: &[u8]) {
        self.stream.write_all(packet).expect("sent");
    }

    /// What stands in the next packet, which is of this kind.
    #[track_caller]
    fn receive(&mut self, kind: u8) -> Vec<u8> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a packet");
        let mut body = vec![0; usize::from(head[1])];
        self.stream.read_exact(&mut body).expect("a whole packet");
        assert_eq!(head[0] & 0xF0, kind, "{head:02x?} {body:02x?}");
        body
    }

    fn subscribe(&mut self) {
        self.send(&packet(0x82, &[&[0, 1, 0], &text("t"), &[1]]));
        assert_eq!(self.receive(0x90)[3], 1, "QoS 1 is granted");
    }

    /// Publishes, and awaits that and the acknowledgement, which may come in any order.
    fn hears_itself(&mut self) {
        self.send(&packet(0x32, &[&text("t"), &[0, 2, 0], b"x"]));
        for _ in 0..2 {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head).expect("a packet");
            let mut body = vec![0; usize::from(head[1])];
            self.stream.read_exact(&mut body).expect("a whole packet");
            match head[0] & 0xF0 {
                0x40 => {}
                0x30 => self.send(&packet(0x40, &[&body[3..5]])),
                _ => panic!("{head:02x?} {body:02x?}"),
            }
        }
    }

    /// Its session lives so many seconds more.
    fn disconnect(&mut self, expiry: u32) {
        self.send(&packet(0xE0, &[&[0, 5, 0x11], &expiry.to_be_bytes()]));
    }
}

/// In each round a session is left in some way, and begun in some way at once. Whether it is the same one must be certain, and its subscription work.
#[track_caller]
fn play(is_same: bool, leave: impl Fn(&mut Client), next: (bool, u32)) {
    let (server, _folder) = start_with_streams("ack_wait: 1h");
    for round in 0..ROUNDS {
        let id = format!("c{round}");
        let mut before = Client::connect(&server, &id, false, LONG);
        assert!(!before.is_present);
        before.subscribe();
        leave(&mut before);
        // Every other one does not wait until the server closes.
        let kept = (round % 2 == 0).then_some(before);
        let mut after = Client::connect(&server, &id, next.0, next.1);
        assert_eq!(after.is_present, is_same, "in round {round}");
        if !is_same {
            after.subscribe();
        }
        after.hears_itself();
        drop(kept);
    }
    server.stop();
}

#[test]
fn a_session_that_disconnect_ends_is_over_for_who_comes_at_once() {
    play(false, |client| client.disconnect(0), (false, LONG));
}

#[test]
fn a_session_that_disconnect_ends_may_be_followed_by_one_that_ends_by_itself() {
    play(false, |client| client.disconnect(0), (false, 0));
}

#[test]
fn a_session_goes_on_when_disconnect_changes_its_expiry() {
    play(true, |client| client.disconnect(2 * LONG), (false, LONG));
}

#[test]
fn a_session_goes_on_when_it_is_taken_over() {
    play(true, |_| {}, (false, LONG));
}

#[test]
fn a_session_is_forgotten_by_a_clean_start_of_who_takes_over() {
    play(false, |_| {}, (true, LONG));
}

#[test]
fn a_session_is_forgotten_by_a_clean_start_for_one_connection() {
    play(false, |client| client.disconnect(LONG), (true, 0));
}

#[test]
fn what_was_not_acknowledged_comes_at_once_to_the_next_connection() {
    let (server, _folder) = start_with_streams("ack_wait: 1h");
    let mut publisher = Client::connect(&server, "publisher", true, 0);
    let payloads = [b"1", b"2", b"3"];
    let ways: [fn(&mut Client); 3] = [
        |client| client.disconnect(LONG),
        |client| client.stream.shutdown(std::net::Shutdown::Both).expect("shut"),
        |_| {},
    ];
    for (id, leave) in ["orderly", "lost", "taken"].into_iter().zip(ways) {
        let mut before = Client::connect(&server, id, false, LONG);
        before.subscribe();
        for (id, payload) in (2..).zip(payloads) {
            publisher.send(&packet(0x32, &[&text("t"), &[0, id, 0], payload]));
            publisher.receive(0x40);
        }
        payloads.iter().for_each(|payload| assert_eq!(before.receive(0x30)[6..], payload[..]));
        leave(&mut before);
        let mut after = Client::connect(&server, id, false, LONG);
        assert!(after.is_present);
        payloads.iter().for_each(|payload| assert_eq!(after.receive(0x30)[6..], payload[..]));
    }
    server.stop();
}
