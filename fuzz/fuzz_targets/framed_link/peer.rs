//! The other server: which links there are, what it says on each until it is let in, and the framings of what it sends.

use dialtone_server::policy::ListenerKind;
use dialtone_wire::s2::{self, Level, Scratch};
use dialtone_wire::websocket::frame::Agreed;
use dialtone_wire::websocket::stream::{self, Stream};
use dialtone_wire::websocket::{Masking, Request, Terms, upgrade};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Route,
    Gateway,
    Leaf,
}

/// What stands between the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    Plain,
    S2,
    WebSocket { deflate: bool, s2: bool },
}

/// A link that the fuzzed end speaks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub protocol: Protocol,
    /// The server under test has dialled.
    pub is_dialed: bool,
    pub carried: Carried,
}

const fn link(protocol: Protocol, is_dialed: bool, carried: Carried) -> Link {
    Link { protocol, is_dialed, carried }
}

const fn websocket(deflate: bool, s2: bool) -> Carried {
    Carried::WebSocket { deflate, s2 }
}

pub const LINKS: [Link; 16] = [
    link(Protocol::Route, false, Carried::Plain),
    link(Protocol::Route, false, Carried::S2),
    link(Protocol::Route, true, Carried::Plain),
    link(Protocol::Route, true, Carried::S2),
    link(Protocol::Gateway, false, Carried::Plain),
    link(Protocol::Gateway, true, Carried::Plain),
    link(Protocol::Leaf, false, Carried::Plain),
    link(Protocol::Leaf, false, Carried::S2),
    link(Protocol::Leaf, true, Carried::Plain),
    link(Protocol::Leaf, true, Carried::S2),
    link(Protocol::Leaf, false, websocket(false, false)),
    link(Protocol::Leaf, false, websocket(true, false)),
    link(Protocol::Leaf, false, websocket(false, true)),
    link(Protocol::Leaf, true, websocket(false, false)),
    link(Protocol::Leaf, true, websocket(true, false)),
    link(Protocol::Leaf, true, websocket(false, true)),
];

/// How far the two ends have come when the fuzzed bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing was said.
    Connected,
    /// The framing has begun, if there is one.
    Framed,
    /// The other end is let in.
    Joined,
}

/// Where the server under test listens for it, or how it calls what it dialled.
pub fn listener(link: Link) -> ListenerKind {
    match (link.protocol, link.carried) {
        (Protocol::Route, _) => ListenerKind::Cluster,
        (Protocol::Gateway, _) => ListenerKind::Gateway,
        (Protocol::Leaf, Carried::WebSocket { .. }) if !link.is_dialed => ListenerKind::WebSocket,
        (Protocol::Leaf, _) => ListenerKind::LeafNodes,
    }
}

/// The port of the remote that it stands for, if the server under test dials. A remote's block decides whether its WebSocket compresses.
pub fn remote_port(link: Link) -> u16 {
    match (link.protocol, link.carried) {
        (Protocol::Route, _) => 1,
        (Protocol::Gateway, _) => 2,
        (Protocol::Leaf, Carried::WebSocket { deflate: false, .. }) => 4,
        (Protocol::Leaf, Carried::WebSocket { deflate: true, .. }) => 5,
        (Protocol::Leaf, _) => 3,
    }
}

/// Wraps what the other server sends. The layer that comes last is the outermost.
#[derive(Default)]
pub struct Layers(Vec<Layer>);

enum Layer {
    S2(s2::Writer, Scratch),
    WebSocket(Box<Stream>),
}

impl Layers {
    pub fn wrap(&mut self, plain: &[u8]) -> Vec<u8> {
        self.0.iter_mut().fold(plain.to_vec(), |bytes, layer| layer.wrap(&bytes))
    }

    pub fn is_plain(&self) -> bool {
        self.0.is_empty()
    }

    fn begin_s2(&mut self) {
        self.0.push(Layer::S2(s2::Writer::new(Level::Fast), Scratch::default()));
    }

    fn begin_websocket(&mut self, deflate: bool, masks: bool) {
        let masking = if masks { Masking::Keys(|| [1, 2, 3, 4]) } else { Masking::Off };
        let agreed = Agreed { masked: !masks, deflate };
        self.0.push(Layer::WebSocket(Box::new(Stream::new(agreed, masking, usize::MAX))));
    }
}

impl Layer {
    fn wrap(&mut self, mut plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while !plain.is_empty() {
            let slices = std::iter::once(plain);
            let (taken, is_head) = match self {
                Self::S2(writer, scratch) => match writer.frame(slices, scratch, &mut out) {
                    s2::Framed::Head(bytes) => (bytes, true),
                    s2::Framed::Whole(bytes) => (bytes, false),
                },
                Self::WebSocket(stream) => match stream.frame(slices, &mut out) {
                    stream::Framed::Head(bytes) => (bytes, true),
                    stream::Framed::Whole(bytes) => (bytes, false),
                },
            };
            let (front, rest) = plain.split_at(taken);
            if is_head {
                out.extend_from_slice(front);
            }
            plain = rest;
        }
        out
    }
}

/// What is sent until that stage. `exchange` sends bytes, and returns all that the server has sent so far.
pub fn shake_hands(link: Link, stage: Stage, exchange: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Layers {
    let mut layers = Layers::default();
    if stage == Stage::Connected {
        return layers;
    }
    if let Carried::WebSocket { deflate, .. } = link.carried {
        if link.is_dialed {
            let request = exchange(b"");
            let terms = Terms { compression: deflate, ..Terms::default() };
            exchange(&upgrade::decide(&request, &terms).expect("a request").response);
        } else {
            let request = Request::leaf_node("10.0.0.1:8080", "", [7; 16]).offer_deflate(deflate);
            exchange(&request.encode());
        }
        layers.begin_websocket(deflate, !link.is_dialed);
    }
    let s2 = matches!(link.carried, Carried::S2 | Carried::WebSocket { s2: true, .. });
    let compression = if s2 { "s2_fast" } else { "off" };
    let (before, behind) = lines(link, compression);
    if s2 {
        exchange(&layers.wrap(before.as_bytes()));
        layers.begin_s2();
        if stage == Stage::Joined {
            exchange(&layers.wrap(behind.as_bytes()));
        }
    } else if stage == Stage::Joined {
        exchange(&layers.wrap((before + &behind).as_bytes()));
    }
    layers
}

/// What is said before compression begins, and behind that.
fn lines(link: Link, compression: &str) -> (String, String) {
    let is_s2 = compression != "off";
    let who = r#""server_id":"X","server_name":"X","version":"2.15.0","proto":1,"headers":true"#;
    match (link.protocol, link.is_dialed) {
        (Protocol::Route, is_dialed) => {
            let info = format!(
                "INFO {{{who},\"cluster\":\"C\",\"host\":\"10.0.0.9\",\"port\":1,\"compression\":\"{compression}\"}}\r\n"
            );
            let connect = "CONNECT {\"user\":\"r\",\"pass\":\"p\",\"name\":\"X\",\"cluster\":\"C\",\"headers\":true}\r\n";
            let connect = if is_dialed { "" } else { connect };
            (format!("{connect}{info}"), if is_s2 { info } else { String::new() })
        }
        (Protocol::Gateway, is_dialed) => {
            let connect = "CONNECT {\"user\":\"r\",\"pass\":\"p\",\"name\":\"X\",\"gateway\":\"D\",\"headers\":true}\r\n";
            let connect = if is_dialed { "" } else { connect };
            let info = format!("INFO {{{who},\"gateway\":\"D\",\"gateway_url\":\"10.0.0.9:2\"}}\r\n");
            (connect.to_owned() + &info, String::new())
        }
        (Protocol::Leaf, false) => {
            let info = format!("INFO {{\"compression\":\"{compression}\"}}\r\n");
            let connect = "CONNECT {\"user\":\"B\",\"pass\":\"p\",\"name\":\"X\",\"server_id\":\"X\",\"headers\":true}\r\n";
            (if is_s2 { info } else { String::new() }, connect.to_owned())
        }
        (Protocol::Leaf, true) => {
            let info = format!(
                "INFO {{{who},\"client_id\":7,\"info_on_connect\":true,\"compression\":\"{compression}\"}}\r\n"
            );
            let connected = format!("INFO {{{who},\"client_id\":7,\"connect_info\":true}}\r\n");
            let behind = if is_s2 { info.clone() + &connected } else { connected };
            (info, behind)
        }
    }
}
