//! DTLS of the gateway for MQTT-SN: the certificate, which has to be an ECDSA one, and whose certificates are accepted.

use super::{ClientVerifier, TlsError, authorities, certified, file_error, provider};
use dialtone_config::options::{CertPair, MqttSnDtls};
use dialtone_net::dtls::{Certificate, DtlsOptions, Judge, SharedKey};
use rustls::SignatureAlgorithm;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use std::collections::HashMap;
use std::sync::Arc;

/// The user that a verified certificate names.
pub(crate) type NameOf = Box<dyn Fn(&[u8]) -> Option<Arc<str>> + Send + Sync>;

/// Certificates and keys, read and tried.
pub(crate) struct DtlsSetup {
    keys: HashMap<Vec<u8>, SharedKey>,
    /// The certificate with its key, DER.
    own: Option<(Vec<u8>, Vec<u8>)>,
    verifier: Option<ClientVerifier>,
    maps: bool,
}

impl DtlsSetup {
    /// Reads and tries them.
    ///
    /// # Errors
    /// A file cannot be read, or has a certificate of another kind.
    pub(crate) fn load(options: &MqttSnDtls) -> Result<Self, TlsError> {
        let keys = options.psk.iter().map(|psk| {
            let shared = SharedKey { key: psk.bytes(), user: psk.user.as_str().into() };
            (psk.identity.clone().into_bytes(), shared)
        });
        let mut out = Self { keys: keys.collect(), own: None, verifier: None, maps: options.map };
        let Some(tls) = options.tls() else { return Ok(out) };
        let provider = provider(&tls)?;
        let pair = CertPair { cert_file: tls.cert_file.clone(), key_file: tls.key_file.clone() };
        let loaded = certified(&pair, &provider)?;
        if loaded.key.algorithm() != SignatureAlgorithm::ECDSA {
            let kind = match loaded.key.algorithm() {
                SignatureAlgorithm::RSA => "an RSA one",
                _ => "one of another kind",
            };
            let problem = format!("it is {kind}, and DTLS takes ECDSA ones (P-256 or P-384)");
            return Err(file_error(&pair.cert_file, "certificate", problem));
        }
        let key = PrivateKeyDer::from_pem_file(&pair.key_file)
            .map_err(|e| file_error(&pair.key_file, "private key", e))?;
        let first = loaded.cert.first().map(|first| first.to_vec());
        out.own = first.map(|first| (first, key.secret_der().to_vec()));
        let (roots, authorities) = authorities(&tls)?;
        if tls.verify {
            let web_pki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider))
                .build()
                .map_err(|e| TlsError::Setup(e.to_string()))?;
            out.verifier = Some(ClientVerifier { web_pki, authorities });
        }
        Ok(out)
    }

    /// What peers are met with. `name_of` finds the user that a certificate names.
    pub(crate) fn options(self, peers_max: usize, name_of: NameOf) -> DtlsOptions {
        let maps = self.maps;
        let judge = self.verifier.map(|verifier| -> Judge {
            Box::new(move |der| {
                let certificate = CertificateDer::from(der);
                // Those between it and an authority are not to be had: they have to stand in `ca_file`.
                verifier.verify_client_cert(&certificate, &[], UnixTime::now()).ok()?;
                if maps { name_of(der).map(Some) } else { Some(None) }
            })
        });
        let certificate = self.own.map(|(certificate, key)| Certificate { certificate, key, judge });
        DtlsOptions { keys: self.keys, certificate, peers_max }
    }
}
