//! Tokens by HTTP: from an address with the account's key behind it.

use crate::call::Call;
use dialtone_config::operator::ResolverTls;
use dialtone_identity::jwt::JWT_BYTES_MAX;
use dialtone_identity::operator::is_account;
use hyper::Uri;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::Duration;

/// How long an answer may take. The official figure.
const TIMEOUT: Duration = Duration::from_millis(1900);

/// Where tokens are asked for.
#[derive(Clone)]
pub struct Address {
    /// The address, with a slash at its end.
    base: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("could not fetch <{address:?}>: {why}")]
pub struct FetchError {
    address: String,
    why: String,
}

impl Address {
    /// An address that tokens are asked at.
    ///
    /// Errors: it is no address, or the certificates cannot be used.
    pub fn new(base: &str, tls: &ResolverTls) -> Result<Self, FetchError> {
        let base = format!("{}/", base.trim_end_matches('/'));
        let fail = |why: String| FetchError { address: base.clone(), why };
        let uri: Uri = base.parse().map_err(|_| fail("no address".into()))?;
        let config = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(Arc::new(config(tls).map_err(fail)?)),
            other => {
                return Err(fail(format!("unsupported protocol scheme {:?}", other.unwrap_or_default())));
            }
        };
        if uri.host().is_none() {
            return Err(fail("no host".into()));
        }
        Ok(Self { base, tls: config })
    }

    /// Whether there is somebody at the address.
    pub fn check(&self) -> Result<(), FetchError> {
        self.get("").map(|_| ())
    }

    /// The token of an account.
    pub fn fetch(&self, key: &str) -> Option<String> {
        // Only a key becomes part of an address.
        is_account(key).then(|| self.get(key).ok())?
    }

    fn get(&self, path: &str) -> Result<String, FetchError> {
        let address = format!("{}{path}", self.base);
        let call = Call {
            address: &address,
            body: None,
            tls: self.tls.as_ref(),
            timeout: TIMEOUT,
            answer_bytes_max: JWT_BYTES_MAX,
        };
        let text = call
            .make()
            .and_then(|body| String::from_utf8(body).map_err(|_| "the answer is no text".to_owned()));
        text.map(|text| text.trim().to_owned()).map_err(|why| FetchError { address, why })
    }
}

fn config(tls: &ResolverTls) -> Result<rustls::ClientConfig, String> {
    let certificates = |file| CertificateDer::pem_file_iter(file).map_err(|e| e.to_string());
    let mut roots = rustls::RootCertStore::empty();
    match &tls.ca_file {
        Some(ca) => {
            for certificate in certificates(ca)? {
                roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("there is no certificate to verify it with: give resolver_tls a ca_file".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    match (&tls.cert_file, &tls.key_file) {
        (Some(chain), Some(key)) => {
            let chain: Result<Vec<_>, _> = certificates(chain)?.collect();
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| e.to_string())?;
            builder.with_client_auth_cert(chain.map_err(|e| e.to_string())?, key).map_err(|e| e.to_string())
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

#[cfg(test)]
mod tests;
