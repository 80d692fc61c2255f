//! Whom a server trusts that it dials, and what it shows.

use super::super::tests::{Authority, Folder};
use super::super::{Dialings, TlsSetup};
use super::*;
use rustls::{ClientConnection, ServerConnection};

/// Shakes hands with a server that is dialled at `host`. How many certificates the server saw, or who did not go on and why.
fn dial(server: &TlsSetup, dialing: &TlsDialing, host: &str, name: Option<&str>) -> Result<usize, String> {
    let tls = dialing.to(host, name).ok_or("no name")?;
    let mut client = ClientConnection::new(tls.config, tls.name).map_err(|e| e.to_string())?;
    let mut server = ServerConnection::new(server.config()).map_err(|e| e.to_string())?;
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("written");
        server.read_tls(&mut wire.as_slice()).expect("read");
        server.process_new_packets().map_err(|e| format!("server: {e}"))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("written");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("read");
            client.process_new_packets().map_err(|e| format!("client: {e}"))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(server.peer_certificates().map_or(0, <[_]>::len))
}

const FILES: &str = "cert_file: '{}/0.pem', key_file: '{}/0.key', ca_file: '{}/ca.pem'";

/// Certificates for these names, and `ca.pem` with their authority.
fn folder(authority: &Authority, names: &[&[&str]]) -> Folder {
    let folder = Folder::new(authority, names);
    std::fs::write(folder.path("ca.pem"), &authority.pem).expect("written");
    folder
}

fn load(folder: &Folder, more: &str) -> (TlsSetup, TlsDialing) {
    let options = folder.options(&format!("{FILES}, {more}"));
    let server = TlsSetup::load(&Tls { verify: true, ..options.clone() }).expect("loaded");
    (server, TlsDialing::load(&options).expect("loaded"))
}

#[track_caller]
fn refused(outcome: Result<usize, String>, expected: &str) {
    let why = outcome.expect_err("refused");
    assert!(why.starts_with(expected), "{why}");
}

#[test]
fn both_ends_show_a_certificate_of_the_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = folder(&authority, &[&["one.example"]]);
    let (server, dialing) = load(&folder, "");
    assert_eq!(dial(&server, &dialing, "one.example", None), Ok(1));
    let elsewhere = self::folder(&other, &[&["one.example"]]);
    let (stranger, distrusting) = load(&elsewhere, "");
    refused(
        dial(&server, &distrusting, "one.example", None),
        "client: invalid peer certificate: BadSignature",
    );
    refused(dial(&stranger, &dialing, "one.example", None), "client: invalid peer certificate: BadSignature");
    // Who is not verified still has to verify.
    let (_, careless) = load(&elsewhere, "insecure: true");
    refused(dial(&server, &careless, "one.example", None), "server: invalid peer certificate: UnknownIssuer");
    let (_, careless) = load(&folder, "insecure: true");
    assert_eq!(dial(&stranger_trusting(&elsewhere, &folder), &careless, "two.example", None), Ok(1));
}

/// A server with a certificate of one folder that trusts the authority of another one.
fn stranger_trusting(own: &Folder, trusted: &Folder) -> TlsSetup {
    let options = own.options(FILES);
    let ca_file = Some(trusted.path("ca.pem"));
    TlsSetup::load(&Tls { verify: true, ca_file, ..options }).expect("loaded")
}

/// An address that another server spoke of is seldom in a certificate: then it must be for a host of the configuration. A host that was
/// asked for must be in it itself.
#[test]
fn a_name_of_the_configuration_will_do_for_an_address() {
    let authority = Authority::new();
    let folder = folder(&authority, &[&["one.example"]]);
    let (server, dialing) = load(&folder, "");
    assert_eq!(dial(&server, &dialing, "192.0.2.1", Some("one.example")), Ok(1));
    let wrong = "client: invalid peer certificate: certificate not valid for name";
    refused(dial(&server, &dialing, "192.0.2.1", None), wrong);
    refused(dial(&server, &dialing, "192.0.2.1", Some("two.example")), wrong);
    refused(dial(&server, &dialing, "two.example", Some("one.example")), wrong);
    refused(dial(&server, &dialing, "a b", None), "no name");
    let folder = self::folder(&authority, &[&["192.0.2.1", "2001:db8::1"]]);
    let (server, dialing) = load(&folder, "");
    for address in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(dial(&server, &dialing, address, None), Ok(1));
        assert_eq!(dial(&server, &dialing, address, Some("one.example")), Ok(1));
    }
    refused(dial(&server, &dialing, "192.0.2.2", Some("one.example")), wrong);
}

#[test]
fn a_certificate_that_is_not_pinned_is_refused_whatever_else_it_is() {
    let authority = Authority::new();
    let folder = folder(&authority, &[&["one.example"]]);
    let pin = certificate::public_key_sha256(&folder.certificates[0]).expect("a certificate");
    let (server, dialing) = load(&folder, &format!("pinned_certs: ['{pin}']"));
    assert_eq!(dial(&server, &dialing, "one.example", None), Ok(1));
    let other = "0".repeat(64);
    for more in ["", ", insecure: true"] {
        let (_, dialing) = load(&folder, &format!("pinned_certs: ['{other}']{more}"));
        refused(
            dial(&server, &dialing, "one.example", None),
            "client: unexpected error: certificate not pinned",
        );
    }
}

/// The usual tools make certificates that are authorities; one that stands in `ca_file` itself is good, for its names.
#[test]
fn a_certificate_that_is_listed_itself_is_good() {
    let authority = Authority::new();
    let folder = folder(&authority, &[]);
    let (pem, key) = authority.own(&["one.example"]);
    for (name, text) in [("0.pem", &pem), ("ca.pem", &pem), ("0.key", &key)] {
        std::fs::write(folder.path(name), text).expect("written");
    }
    let (server, dialing) = load(&folder, "");
    assert_eq!(dial(&server, &dialing, "one.example", None), Ok(1));
    assert!(dial(&server, &dialing, "two.example", None).is_err());
}

#[test]
fn versions_and_suites_are_those_of_the_configuration() {
    let authority = Authority::new();
    let folder = folder(&authority, &[&["one.example"]]);
    let old = "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]";
    let (server, _) = load(&folder, "min_version: '1.3'");
    let (_, dialing) = load(&folder, "");
    assert_eq!(dial(&server, &dialing, "one.example", None), Ok(1));
    let (_, dialing) = load(&folder, "curve_preferences: [CurveP384]");
    let (server, _) = load(&folder, "curve_preferences: [X25519]");
    assert!(dial(&server, &dialing, "one.example", None).is_err());
    assert!(TlsDialing::load(&folder.options(&format!("{FILES}, {old}"))).is_ok());
    assert!(TlsDialing::load(&folder.options(&format!("{FILES}, cipher_suites: [x]"))).is_err());
}

/// Each remote has its own block, and that alone: one that is not known any more is not dialled by another's.
#[test]
fn each_remote_is_dialled_by_its_own_block() {
    let authority = Authority::new();
    let folder = folder(&authority, &[&["one.example"]]);
    let (one, two) = (folder.options(FILES), folder.options(&format!("{FILES}, timeout: 7")));
    let three = folder.options(&format!("{FILES}, timeout: 8"));
    let dialings = Dialings::load(None, [&one, &two].into_iter()).expect("loaded");
    let timeout = |block: &Tls| dialings.of(block).map(|dialing| dialing.timeout.as_secs());
    assert_eq!((timeout(&one), timeout(&two)), (Ok(2), Ok(7)));
    assert!(timeout(&three).is_err() && dialings.usual().is_none() && !dialings.is_outdated());
    let usual = Dialings::load(Some(&three), [&one].into_iter()).expect("loaded");
    assert_eq!(usual.usual().map(|dialing| dialing.timeout.as_secs()), Some(8));
    let file = std::fs::File::options().write(true).open(folder.path("ca.pem")).expect("opened");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
    assert!(dialings.is_outdated() && usual.is_outdated());
}
