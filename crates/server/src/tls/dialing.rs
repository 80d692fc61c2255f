//! TLS of connections that this server dials: whom it trusts, and the certificate that it shows.

use super::{TlsError, authorities, certified, file_error, is_pinned, pairs, provider, stamps, versions};
use dialtone_config::options::Tls;
use dialtone_identity::certificate::{self, Purpose};
use dialtone_net::ClientTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a certificate is refused for that is not one of those in `pinned_certs`.
const NOT_PINNED: &str = "certificate not pinned";

/// TLS of connections that are dialled, ready for use. A reload replaces it.
pub(crate) struct TlsDialing {
    config: ClientConfig,
    trust: Arc<Trust>,
    timeout: Duration,
    /// What it was read from, and when that was last written.
    options: Tls,
    stamps: Vec<Option<SystemTime>>,
}

impl TlsDialing {
    /// Reads certificates and keys.
    pub(crate) fn load(options: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(provider(options)?);
        let trust = Arc::new(Trust::load(options, &provider)?);
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(options))
            .map_err(|e| TlsError::Setup(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { trust: trust.clone(), also: None }));
        let mut config = match identity(options, &provider)? {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
            None => builder.with_no_client_auth(),
        };
        // Such connections last, and each shows what it has: nothing is remembered of one for another.
        config.resumption = Resumption::disabled();
        Ok(Self {
            config,
            trust,
            timeout: options.timeout,
            options: options.clone(),
            stamps: stamps(options),
        })
    }

    /// What a connection to `host` begins with. Where that is an address, `name` is the host that it may be, too: servers tell each
    /// other of third ones by addresses, which certificates seldom name. `None`: no certificate can be for either.
    pub(crate) fn to(&self, host: &str, name: Option<&str>) -> Option<ClientTls> {
        let server = |text: &str| ServerName::try_from(text.to_owned()).ok();
        let host = server(host);
        let name = name.and_then(server).filter(|_| !matches!(host, Some(ServerName::DnsName(_))));
        let (name, also) = match name {
            Some(name) => (name, host),
            None => (host?, None),
        };
        let mut config = self.config.clone();
        let verifier = Verifier { trust: self.trust.clone(), also };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        Some(ClientTls { config: Arc::new(config), name, timeout: self.timeout })
    }

    /// Whether the certificate of a server is one of those that are pinned.
    pub(crate) fn is_pinned(&self, certificate: Option<&[u8]>) -> bool {
        is_pinned(&self.options.pinned_certs, certificate)
    }

    /// Whether it was made from this block.
    pub(super) fn is_of(&self, block: &Tls) -> bool {
        self.options == *block
    }

    /// Whether a file has been written since it was read.
    pub(crate) fn is_outdated(&self) -> bool {
        stamps(&self.options) != self.stamps
    }
}

/// The certificate that this server shows, if it has one.
fn identity(options: &Tls, provider: &CryptoProvider) -> Result<Option<CertifiedKey>, TlsError> {
    let pairs = pairs(options);
    let first = pairs.first().filter(|pair| *pair.cert_file != *Path::new(""));
    first.map(|pair| certified(pair, provider)).transpose()
}

/// Whose certificates are good.
#[derive(Debug)]
struct Trust {
    /// `None`: any certificate is good, if the other end has its key.
    web_pki: Option<Arc<WebPkiServerVerifier>>,
    /// Those of `ca_file`, which may be shown themselves: the usual tools make such certificates, and the official server takes them.
    authorities: Vec<CertificateDer<'static>>,
    /// In lower-case hex; empty: any.
    pins: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    fn load(options: &Tls, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let (mut roots, authorities) = authorities(options)?;
        if options.ca_file.is_none() && !options.servers.insecure {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let web_pki = match options.servers.insecure {
            true => None,
            false => Some(verifier(options, roots, provider)?),
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { web_pki, authorities, pins: options.pinned_certs.clone(), algorithms })
    }

    /// Whether a certificate stands in `ca_file` itself, and is for this name at this time.
    fn is_listed(&self, own: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.authorities.iter().any(|authority| authority == own)
            && certificate::is_valid(own, Purpose::Server, at)
            && ParsedCertificate::try_from(own).is_ok_and(|own| verify_server_name(&own, name).is_ok())
    }
}

fn verifier(
    options: &Tls,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    if roots.is_empty() && options.ca_file.is_none() {
        let problem = "there is nothing to verify certificates of servers with: `ca_file` names it";
        return Err(TlsError::Setup(problem.into()));
    }
    let file = options.ca_file.as_deref().unwrap_or(Path::new(""));
    WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|e| file_error(file, "CA certificates", e))
}

/// Judges the certificates of the servers that one connection may lead to.
#[derive(Debug)]
struct Verifier {
    trust: Arc<Trust>,
    /// Another name that a certificate may have.
    also: Option<ServerName<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !is_pinned(&self.trust.pins, Some(own)) {
            return Err(Error::General(NOT_PINNED.into()));
        }
        let Some(web_pki) = &self.trust.web_pki else { return Ok(ServerCertVerified::assertion()) };
        let verify = |name: &ServerName<'_>| {
            let verified = web_pki.verify_server_cert(own, others, name, ocsp_response, now);
            match verified {
                Err(_) if self.trust.is_listed(own, name, now) => Ok(ServerCertVerified::assertion()),
                verified => verified,
            }
        };
        match (verify(name), &self.also) {
            (
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )),
                Some(also),
            ) => verify(also),
            (verified, _) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, own, signed, &self.trust.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, own, signed, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
