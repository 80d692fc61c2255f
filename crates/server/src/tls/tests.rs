//! What clients get of the certificates, and what a session is good for. Files in, handshakes in memory.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::{ClientConnection, Resumption};
use rustls::{ClientConfig, HandshakeKind, ServerConnection};
use std::path::PathBuf;

pub(super) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub(super) pem: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let pem = params.self_signed(&key).expect("certificate").pem();
        Self { params, key, pem }
    }

    /// Its certificate with these names in it, and its key, as PEM.
    pub(super) fn own(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&self.key).expect("certificate");
        (certificate.pem(), self.key.serialize_pem())
    }

    /// Certificate and key for these names, as PEM and DER.
    fn issue(&self, names: &[&str]) -> (String, KeyPair, CertificateDer<'static>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate =
            CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("signed");
        (certificate.pem(), key, certificate.der().clone())
    }
}

/// A folder with certificates for servers: `0.pem`, `0.key`, `1.pem`, …
pub(super) struct Folder {
    folder: tempfile::TempDir,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl Folder {
    pub(super) fn new(authority: &Authority, names: &[&[&str]]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut certificates = Vec::new();
        for (number, names) in names.iter().enumerate() {
            let (pem, key, der) = authority.issue(names);
            std::fs::write(folder.path().join(format!("{number}.pem")), pem).expect("written");
            std::fs::write(folder.path().join(format!("{number}.key")), key.serialize_pem())
                .expect("written");
            certificates.push(der);
        }
        Self { folder, certificates }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The options of a `tls` block with this in it; `{}` stands for the folder.
    pub(super) fn options(&self, block: &str) -> Tls {
        let block = block.replace("{}", &self.folder.path().display().to_string());
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let text = format!("tls {{ {block} }}");
        let options = dialtone_config::load_text(&text, "t.conf", &mut files, &|_| None).expect("read");
        options.clients.tls.expect("tls")
    }

    fn load(&self, block: &str) -> TlsSetup {
        TlsSetup::load(&self.options(block)).expect("loaded")
    }
}

fn client(authority: &Authority, identity: Option<(CertificateDer<'static>, &KeyPair)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM")).expect("root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).expect("key");
            builder.with_client_auth_cert(vec![certificate], key).expect("identity")
        }
    }
}

/// Shakes hands; then the server says something, so that tickets arrive. The client's end, or what went wrong.
fn handshake(
    server: &TlsSetup,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<ClientConnection, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("name");
    let mut client = ClientConnection::new(client.clone(), name)?;
    let mut server = ServerConnection::new(server.config())?;
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("written");
        server.read_tls(&mut wire.as_slice()).expect("read");
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("written");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("read");
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(client)
}

use rustls_pki_types::ServerName;

fn served(connection: &ClientConnection) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates().and_then(|chain| chain.first())
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let authority = Authority::new();
    let folder = Folder::new(&authority, &[&["a.test", "*.a.test"], &["b.test"]]);
    let server = folder.load(
        "certs: [ { cert_file: '{}/0.pem', key_file: '{}/0.key' }, { cert_file: '{}/1.pem', key_file: '{}/1.key' } ]",
    );
    let client = Arc::new(client(&authority, None));
    for (name, number) in [("a.test", 0), ("x.a.test", 0), ("b.test", 1)] {
        let connection = handshake(&server, &client, name).expect(name);
        assert_eq!(served(&connection), folder.certificates.get(number), "{name}");
    }
    // A name that no certificate has gets the first, and the client says what it thinks of it.
    let refused = handshake(&server, &client, "c.test").expect_err("refused");
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let authority = Authority::new();
    let folder = Folder::new(&authority, &[&["a.test"], &["b.test"]]);
    let block = "certs: [ { cert_file: '{}/0.pem', key_file: '{}/1.key' } ]";
    let problem = TlsSetup::load(&folder.options(block)).err().expect("refused").to_string();
    assert!(problem.contains("0.pem: cannot read the certificate and its key"), "{problem}");
}

#[test]
fn each_file_is_watched() {
    let authority = Authority::new();
    let folder = Folder::new(&authority, &[&["a.test"], &["b.test"]]);
    std::fs::write(folder.path("ca.pem"), &authority.pem).expect("written");
    let block = "ca_file: '{}/ca.pem', certs: [ { cert_file: '{}/0.pem', key_file: '{}/0.key' }, \
                 { cert_file: '{}/1.pem', key_file: '{}/1.key' } ]";
    let server = folder.load(block);
    assert!(!server.is_outdated());
    for name in ["ca.pem", "0.pem", "0.key", "1.pem", "1.key"] {
        let file = std::fs::File::options().append(true).open(folder.path(name)).expect("open");
        let before = file.metadata().and_then(|m| m.modified()).expect("time");
        file.set_modified(before + Duration::from_secs(1)).expect("touched");
        assert!(server.is_outdated(), "{name}");
        file.set_modified(before).expect("touched");
        assert!(!server.is_outdated(), "{name}");
    }
}

/// CVE-2025-68121: a session of one listener does not open another, which believes other authorities; nor does one from
/// before a reload.
#[test]
fn sessions_are_good_where_they_were_made() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = Folder::new(&authority, &[&["a.test"]]);
    std::fs::write(folder.path("ca.pem"), &authority.pem).expect("written");
    std::fs::write(folder.path("other.pem"), &other.pem).expect("written");
    let block = "cert_file: '{}/0.pem', key_file: '{}/0.key', verify: true";
    let server = folder.load(&format!("{block}, ca_file: '{{}}/ca.pem'"));
    let stricter = folder.load(&format!("{block}, ca_file: '{{}}/other.pem'"));
    let (_, key, certificate) = authority.issue(&["client"]);
    let mut client = client(&authority, Some((certificate, &key)));
    client.resumption = Resumption::in_memory_sessions(8);
    let client = Arc::new(client);
    let kind = |server| handshake(server, &client, "a.test").map(|connection| connection.handshake_kind());
    assert_eq!(kind(&server), Ok(Some(HandshakeKind::Full)));
    assert_eq!(kind(&server), Ok(Some(HandshakeKind::Resumed)), "the test must have a session to abuse");
    kind(&stricter).expect_err("the certificate is of an authority that this listener does not believe");
    let reloaded = folder.load(&format!("{block}, ca_file: '{{}}/ca.pem'"));
    assert_ne!(kind(&reloaded), Ok(Some(HandshakeKind::Resumed)));
}

/// CVE-2021-32026: what is negotiated is what was asked for.
#[test]
fn cipher_suites_and_versions_are_kept_to() {
    let authority = Authority::new();
    let folder = Folder::new(&authority, &[&["a.test"]]);
    let ask = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM")).expect("root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    let (old, new) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for (suite, version) in
        [("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", old), ("TLS_CHACHA20_POLY1305_SHA256", new)]
    {
        let server = folder
            .load(&format!("cert_file: '{{}}/0.pem', key_file: '{{}}/0.key', cipher_suites: [{suite}]"));
        let connection = handshake(&server, &ask(&[version]), "a.test").expect(suite);
        // A list of one version's suites leaves the suites of TLS 1.3, and none of TLS 1.2.
        assert_eq!(handshake(&server, &ask(&[new]), "a.test").err(), None);
        assert_eq!(handshake(&server, &ask(&[old]), "a.test").is_ok(), version.version == old.version);
        let agreed =
            connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str()).unwrap_or_default();
        assert_eq!(agreed.replace("TLS13_", "TLS_"), suite);
    }
    let server = folder.load(
        "cert_file: '{}/0.pem', key_file: '{}/0.key', min_version: '1.3', curve_preferences: [CurveP384]",
    );
    handshake(&server, &ask(&[old]), "a.test").expect_err("too old");
    let connection = handshake(&server, &ask(&[old, new]), "a.test").expect("agreed");
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = connection.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name);
    assert_eq!(group, Some(rustls::NamedGroup::secp384r1));
}
