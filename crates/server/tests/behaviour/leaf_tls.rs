//! TLS of leaf nodes: what a spoke says to a hub that is not what it should be, and certificates that change.

use crate::common::waiting::{accept, wait_until};
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// The first byte of a TLS handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// A hub that is a script.
struct Hub {
    listener: TcpListener,
    spoke: Server,
}

impl Hub {
    /// One that a spoke dials by a URL of this scheme, with this in its block.
    fn dialed_by(scheme: &str, block: &str) -> Self {
        let listener = TcpListener::bind("localhost:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let remote = format!("url: '{scheme}://localhost:{port}', {block}");
        let text = format!("leafnodes {{ reconnect: '10ms', remotes: [ {{ {remote} }} ] }}");
        Self { listener, spoke: start(options(&text)) }
    }

    /// The next connection, which hears this.
    fn greet(&self, greeting: &str) -> TcpStream {
        let mut stream = accept(&self.listener);
        stream.write_all(greeting.as_bytes()).expect("sent");
        stream
    }
}

fn info(more: &str) -> String {
    format!("INFO {{\"server_id\":\"H\",\"client_id\":5,\"proto\":3,\"info_on_connect\":true{more}}} \r\n")
}

/// All that comes before the connection ends.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was not read when it ended resets the connection.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// Somebody in between can take the call for TLS out of INFO, and learns nothing by it: neither CONNECT nor anything else comes.
#[test]
fn a_hub_without_tls_hears_nothing_from_who_needs_it() {
    for (scheme, block) in
        [("tls", "user: u"), ("nats", "tls { insecure: true }"), ("tls", "tls { insecure: true }")]
    {
        let block = block.replace("user: u", "no_randomize: true");
        let hub = Hub::dialed_by(scheme, &block);
        for _ in 0..3 {
            let stream = hub.greet(&info(""));
            assert_eq!(rest(stream), b"", "{scheme} {block}");
        }
        hub.spoke.stop();
    }
}

/// Who asks for TLS in plain may be asked back for nothing else, and what is said behind that in plain is not the hub's.
#[test]
fn behind_a_call_for_tls_nothing_in_plain_counts() {
    let hub = Hub::dialed_by("nats", "tls { insecure: true }");
    let call = info(",\"tls_required\":true");
    for behind in ["LS+ foo\r\n", "INFO {}\r\n", "x", &call] {
        let stream = hub.greet(&format!("{call}{behind}"));
        assert_eq!(rest(stream), b"", "{behind:?}");
    }
    let mut stream = hub.greet(&call);
    let mut begin = [0; 1];
    stream.read_exact(&mut begin).expect("a handshake");
    assert_eq!(begin, [HANDSHAKE_RECORD]);
    // In place of an answer.
    stream.write_all(call.as_bytes()).expect("sent");
    let rest = rest(stream);
    assert!(!rest.windows(7).any(|bytes| bytes == b"CONNECT"));
    assert_eq!(hub.spoke.node().delivery.leafs.len(), 0);
    hub.spoke.stop();
}

/// Without a word in the configuration, the hub alone can ask for TLS. The system's authorities do not know it.
#[test]
fn a_hub_may_ask_for_tls() {
    let hub = Hub::dialed_by("nats", "no_randomize: true");
    let mut stream = hub.greet(&info(",\"tls_required\":true"));
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(!said.windows(7).any(|bytes| bytes == b"CONNECT"));
    hub.spoke.stop();
}

#[test]
fn who_begins_with_tls_says_nothing_in_plain() {
    let hub = Hub::dialed_by("nats", "tls { insecure: true, handshake_first: true }");
    for greeting in [info(",\"tls_required\":true"), info("")] {
        let said = rest(hub.greet(&greeting));
        assert_eq!(said.first(), Some(&HANDSHAKE_RECORD));
        assert!(!said.windows(7).any(|bytes| bytes == b"CONNECT"));
    }
    hub.spoke.stop();
}

/// Writes a new authority, a certificate by it, and its key.
fn renew(folder: &Path) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("key");
    let authority = params.self_signed(&authority_key).expect("certificate").pem();
    let issuer = rcgen::Issuer::from_params(&params, &authority_key);
    let key = rcgen::KeyPair::generate().expect("key");
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    let own = own.signed_by(&key, &issuer).expect("signed").pem();
    for (name, text) in [("ca.pem", authority), ("own.pem", own), ("own.key", key.serialize_pem())] {
        // Another time of writing than before, however coarse the file system's clock is.
        let path = folder.join(name);
        let before = std::fs::metadata(&path).and_then(|known| known.modified()).ok();
        wait_until("another time of writing", || {
            std::fs::write(&path, &text).expect("written");
            std::fs::metadata(&path).and_then(|known| known.modified()).ok() != before
        });
    }
}

/// Waits until so many connections of leaf nodes are there.
fn wait_for(server: &Server, connections: usize) {
    let what = format!("{connections} connections of leaf nodes");
    wait_until(what, || server.node().delivery.leafs.len() == connections);
}

/// A message passes from the hub to the spoke.
fn pass(hub: &Server, spoke: &Server) {
    let (mut here, mut there) = (Client::connect(hub, ""), Client::connect(spoke, ""));
    there.send("SUB foo 1\r\n");
    there.sync();
    let wants = || {
        let leafs = hub.node().delivery.leafs.open();
        leafs.first().is_some_and(|leaf| leaf.interest.lock().has_filter(b"foo"))
    };
    wait_until("interest", wants);
    here.send("PUB foo 2\r\nhi\r\n");
    assert_eq!((there.line(), there.line()), ("MSG foo 1 2".to_owned(), "hi".to_owned()));
    there.send("UNSUB 1\r\n");
    there.sync();
    wait_until("the end of interest", || !wants());
}

/// Another TLS of a remote is for the next connection, but other pins are for those that are open, too, and so is TLS where there was none.
#[test]
fn a_reload_of_a_remotes_tls_keeps_the_connection_but_not_with_other_pins() {
    let folder = tempfile::tempdir().expect("folder");
    renew(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let own = format!("cert_file: '{}', key_file: '{}'", at("own.pem"), at("own.key"));
    let hub = start(options(&format!("leafnodes {{ listen: 'localhost:-1', tls {{ {own} }} }}")));
    let port = hub.node().settings.identity.port(ListenerKind::LeafNodes);
    let remote = |tls: &str| {
        let remote = format!("url: 'nats://localhost:{port}', tls {{ ca_file: '{}' {tls} }}", at("ca.pem"));
        options(&format!(
            "server_name: spoke, leafnodes {{ reconnect: '10ms', remotes: [ {{ {remote} }} ] }}"
        ))
    };
    let spoke = start(remote(""));
    wait_for(&hub, 1);
    wait_for(&spoke, 1);
    let id = || spoke.node().delivery.leafs.open().first().map(|leaf| leaf.session.peer.id);
    let before = id();
    for tls in [", timeout: 9", ", insecure: true", ", handshake_first: true"] {
        spoke.reload(Ok(remote(tls)));
        pass(&hub, &spoke);
        assert_eq!((id(), spoke.node().delivery.leafs.len()), (before, 1), "{tls}");
    }
    let pins = format!(", pinned_certs: [ '{}' ]", "0".repeat(64));
    spoke.reload(Ok(remote(&pins)));
    wait_for(&hub, 0);
    wait_for(&spoke, 0);
    spoke.reload(Ok(remote("")));
    wait_for(&hub, 1);
    spoke.stop();
    hub.stop();
}

/// Both ends read their certificates again: the next connection is by the new ones, which the old ones would not have let in.
#[test]
fn new_certificates_are_good_for_the_next_connection() {
    let folder = tempfile::tempdir().expect("folder");
    renew(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let tls = format!(
        "tls {{ cert_file: '{}', key_file: '{}', ca_file: '{}', verify: true }}",
        at("own.pem"),
        at("own.key"),
        at("ca.pem")
    );
    let hub = start(options(&format!("leafnodes {{ listen: 'localhost:-1', {tls} }}")));
    let port = hub.node().settings.identity.port(ListenerKind::LeafNodes);
    let spoke = format!(
        "server_name: spoke, leafnodes {{ reconnect: '10ms', remotes: [ {{ url: 'tls://localhost:{port}', {tls} }} ] }}"
    );
    let spoke = start(options(&spoke));
    wait_for(&hub, 1);
    wait_for(&spoke, 1);
    let id = |server: &Server| server.node().delivery.leafs.open().first().map(|leaf| leaf.session.peer.id);
    let before = id(&hub);
    renew(folder.path());
    for server in [&hub, &spoke] {
        server.reload(Ok(server.node().settings.policy().options.clone()));
    }
    // Open connections stay.
    assert_eq!(id(&hub), before);
    let leaf = hub.node().delivery.leafs.open().first().cloned().expect("a leaf node");
    leaf.session.peer.close(dialtone_wire::CloseReason::ClientClosed);
    wait_until("it comes again", || id(&hub).is_some_and(|now| Some(now) != before));
    pass(&hub, &spoke);
    spoke.stop();
    hub.stop();
}
