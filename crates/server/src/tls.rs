//! TLS: certificates, what is asked of the other end, and when its certificates are good. Of listeners here; `dialing` is for connections that
//! this server dials.

mod choice;
mod client_certificate;
mod dialing;
mod dialings;
mod dtls;
mod ocsp;
#[cfg(test)]
mod tests;

use choice::Certificates;
use client_certificate::ClientVerifier;
pub(crate) use dialing::TlsDialing;
pub(crate) use dialings::Dialings;
use dialtone_config::options::{CertPair, Ocsp, Tls, TlsFirst};
use dialtone_identity::certificate;
use dialtone_net::{HandshakeFirst, Transport};
pub(crate) use dtls::DtlsSetup;
pub use ocsp::StapleError;
use ocsp::Staples;
pub(crate) use ocsp::cache::PeerCache;
pub(crate) use ocsp::peer::{Judgement, PeerCheck};
pub(crate) use ocsp::{News, Stop};
use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM.
    #[error("{}: cannot read the {what}: {problem}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A cipher suite or group that is unknown or not secure.
    #[error("{name:?} is no known {what}; known are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// What it should be.
        what: &'static str,
        /// What there is.
        known: String,
    },
    /// The parts do not go together.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// A certificate has no staple, or may not be used.
    #[error(transparent)]
    Staple(#[from] StapleError),
}

/// TLS of a listener, ready for use.
pub struct TlsSetup {
    options: Tls,
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    staples: Staples,
    peer_check: Option<Arc<PeerCheck>>,
    /// When the files were last written.
    stamps: Vec<Option<SystemTime>>,
    rate: Mutex<(Instant, u32)>,
}

impl TlsSetup {
    /// Reads certificates and keys. Staples come later ([`TlsSetup::staple`]): this asks nobody.
    pub fn load(options: &Tls) -> Result<Self, TlsError> {
        let provider = provider(options)?;
        let provider = Arc::new(provider);
        let setup = |e: &dyn std::fmt::Display| TlsError::Setup(e.to_string());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(options))
            .map_err(|e| setup(&e))?;
        // Read even where no one needs it: a file that is named and missing is a mistake, as in the official server.
        let (roots, authorities) = authorities(options)?;
        let builder = if options.verify {
            if options.ca_file.is_none() {
                return Err(TlsError::Setup(
                    "`verify` needs `ca_file`: the certificates that clients' are verified with".into(),
                ));
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|e| setup(&e))?;
            let authorities = authorities.clone();
            builder.with_client_cert_verifier(Arc::new(ClientVerifier { web_pki: verifier, authorities }))
        } else {
            builder.with_no_client_auth()
        };
        let certified =
            pairs(options).iter().map(|pair| certified(pair, &provider)).collect::<Result<_, _>>()?;
        // Session tickets are of this configuration alone: one of another listener, or from before a reload, is not valid
        // (CVE-2025-68121).
        let certificates = Arc::new(Certificates::new(certified));
        let algorithms = provider.signature_verification_algorithms;
        let peer_check =
            options.ocsp_peer.clone().map(|options| Arc::new(PeerCheck { options, authorities, algorithms }));
        let config = builder.with_cert_resolver(certificates.clone());
        Ok(Self {
            options: options.clone(),
            config: Arc::new(config),
            certificates,
            staples: Staples::default(),
            peer_check,
            stamps: stamps(options),
            rate: Mutex::new((Instant::now(), 0)),
        })
    }

    /// Gets staples for the certificates that need one. Blocks.
    ///
    /// Errors: a certificate that needs one has none, or is revoked and that stops the server.
    pub fn staple(&mut self, options: &Ocsp, store: Option<&Path>) -> Result<(), TlsError> {
        let authorities = self.options.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let files: Vec<PathBuf> = pairs(&self.options).into_iter().map(|pair| pair.cert_file).collect();
        let algorithms = self.config.crypto_provider().signature_verification_algorithms;
        self.staples = Staples::begin(&self.certificates, &files, &authorities, algorithms, options, store)?;
        Ok(())
    }

    /// Whether clients get a staple.
    pub fn is_stapled(&self) -> bool {
        !self.staples.are_none()
    }

    /// Gets the staples that are due at `now`. Blocks. Returns what is worth logging.
    pub(crate) fn look_after_staples(&self, now: Instant) -> Vec<News> {
        self.staples.look_after(&self.certificates, now)
    }

    /// Whether a file has been written since it was read.
    pub fn is_outdated(&self) -> bool {
        stamps(&self.options) != self.stamps
    }

    /// How long a handshake may take.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Until when the certificate is good, RFC 3339; of several, the first.
    pub fn not_after(&self) -> Option<String> {
        let chain = certificates(&pairs(&self.options).first()?.cert_file).ok()?;
        certificate::not_after(chain.first()?)
            .and_then(|s| jiff::Timestamp::from_second(s).ok())
            .map(|t| t.to_string())
    }

    /// For other uses of the same certificates.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// What stands between a client's socket and the protocol.
    pub fn transport(&self, plain_allowed: bool) -> Transport {
        Transport::Tls {
            config: self.config.clone(),
            first: match self.options.first {
                TlsFirst::No => HandshakeFirst::No,
                TlsFirst::Yes => HandshakeFirst::Yes,
                TlsFirst::Within(delay) => HandshakeFirst::Within(delay),
            },
            timeout: self.options.timeout,
            plain_allowed,
        }
    }

    /// How clients' certificates are checked by OCSP, if they are.
    pub(crate) fn peer_check(&self) -> Option<&Arc<PeerCheck>> {
        self.peer_check.as_ref()
    }

    /// Whether another handshake fits into this second.
    pub fn admit(&self, now: Instant) -> bool {
        if self.options.rate_max == 0 {
            return true;
        }
        let mut rate = self.rate.lock();
        if now.saturating_duration_since(rate.0) >= Duration::from_secs(1) {
            *rate = (now, 0);
        }
        rate.1 += 1;
        rate.1 <= self.options.rate_max
    }

    /// Whether a client's certificate is one of those that are pinned.
    pub fn is_pinned(&self, certificate: Option<&[u8]>) -> bool {
        is_pinned(&self.options.pinned_certs, certificate)
    }
}

/// Whether a certificate is one of those that are pinned, if any are.
pub(crate) fn is_pinned(pins: &[String], certificate: Option<&[u8]>) -> bool {
    pins.is_empty()
        || certificate.and_then(certificate::public_key_sha256).is_some_and(|hash| pins.contains(&hash))
}

fn versions(options: &Tls) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static ALL: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    if options.agreed.only_1_3 { ALL.split_at(1).0 } else { &ALL }
}

/// The certificates that those of other ends are verified with, ready for use and as they were read.
fn authorities(options: &Tls) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &options.ca_file else { return Ok((roots, Vec::new())) };
    let authorities = certificates(file)?;
    for certificate in authorities.iter().cloned() {
        roots.add(certificate).map_err(|e| file_error(file, "CA certificates", e))?;
    }
    Ok((roots, authorities))
}

fn stamps(options: &Tls) -> Vec<Option<SystemTime>> {
    let pairs = pairs(options);
    let files = pairs.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]).chain(&options.ca_file);
    files.map(|file| std::fs::metadata(file).and_then(|m| m.modified()).ok()).collect()
}

/// The certificates with their keys, one or several.
fn pairs(options: &Tls) -> Vec<CertPair> {
    match options.certs.as_slice() {
        [] => vec![CertPair { cert_file: options.cert_file.clone(), key_file: options.key_file.clone() }],
        certs => certs.to_vec(),
    }
}

/// Reads a certificate chain and its key, which must be of one pair.
fn certified(pair: &CertPair, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&pair.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&pair.key_file)
        .map_err(|e| file_error(&pair.key_file, "private key", e))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|e| file_error(&pair.cert_file, "certificate and its key", e))
}

fn file_error(file: &Path, what: &'static str, problem: impl std::fmt::Display) -> TlsError {
    TlsError::File { file: file.to_owned(), what, problem: problem.to_string() }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(file_error(file, "certificates", "there are none in it"))
        }
        Ok(certificates) => Ok(certificates),
        Err(e) => Err(file_error(file, "certificates", e)),
    }
}

/// The cipher suites and groups that are asked for, of those that are secure.
fn provider(options: &Tls) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    let plain = |name: &str| {
        name.to_ascii_uppercase().replace("TLS13_", "TLS_").replace("_SHA256", "").replace("_SHA384", "")
    };
    let name_of =
        |suite: &rustls::SupportedCipherSuite| suite.suite().as_str().unwrap_or_default().to_owned();
    if !options.agreed.cipher_suites.is_empty() {
        let known: Vec<String> = provider.cipher_suites.iter().map(name_of).collect();
        if let Some(name) =
            options.agreed.cipher_suites.iter().find(|n| !known.iter().any(|k| plain(k) == plain(n)))
        {
            let (name, known) = (name.clone(), known.join(", "));
            return Err(TlsError::Unknown { name, what: "secure cipher suite", known });
        }
        let asked = |suite: &rustls::SupportedCipherSuite| {
            options.agreed.cipher_suites.iter().any(|n| plain(n) == plain(&name_of(suite)))
        };
        // A list of suites for TLS 1.2 alone says nothing of TLS 1.3, as for the official server.
        let any_1_3 = provider.cipher_suites.iter().any(|suite| suite.tls13().is_some() && asked(suite));
        provider.cipher_suites.retain(|suite| asked(suite) || (!any_1_3 && suite.tls13().is_some()));
    }
    if !options.agreed.curves.is_empty() {
        let group = |name: &str| match name.to_ascii_lowercase().as_str() {
            "x25519" => Some(rustls::NamedGroup::X25519),
            "curvep256" => Some(rustls::NamedGroup::secp256r1),
            "curvep384" => Some(rustls::NamedGroup::secp384r1),
            _ => None,
        };
        let mut groups = Vec::new();
        for name in &options.agreed.curves {
            let found = group(name).and_then(|g| provider.kx_groups.iter().find(|k| k.name() == g).copied());
            groups.push(found.ok_or_else(|| TlsError::Unknown {
                name: name.clone(),
                what: "key exchange group",
                known: "X25519, CurveP256, CurveP384".into(),
            })?);
        }
        provider.kx_groups = groups;
    }
    Ok(provider)
}
