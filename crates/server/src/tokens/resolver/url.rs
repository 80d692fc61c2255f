//! Tokens by HTTP: from an address with the account's key behind it.

use dialtone_config::operator::ResolverTls;
use dialtone_identity::jwt::TOKEN_BYTES_MAX;
use dialtone_identity::operator::is_account;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

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

    /// Asks on a thread of its own, since whoever calls may be in a runtime already.
    fn get(&self, path: &str) -> Result<String, FetchError> {
        let address = format!("{}{path}", self.base);
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|cause| cause.to_string())?;
            let answer = async { tokio::time::timeout(TIMEOUT, self.ask(&address)).await };
            runtime.block_on(answer).unwrap_or_else(|_| Err("timeout".into()))
        };
        let answer = std::thread::scope(|scope| scope.spawn(ask).join());
        let answer = answer.unwrap_or_else(|_| Err("the request broke off".into()));
        answer.map_err(|why| FetchError { address: address.clone(), why })
    }

    async fn ask(&self, address: &str) -> Result<String, String> {
        let uri: Uri = address.parse().map_err(|_| "no address".to_owned())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((&*host, port)).await.map_err(|e| e.to_string())?;
        match &self.tls {
            None => send(TokioIo::new(stream), &uri).await,
            Some(config) => {
                let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
                send(TokioIo::new(stream), &uri).await
            }
        }
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: TokioIo<S>,
    uri: &Uri,
) -> Result<String, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|e| e.to_string())?;
    // Its error is that of the request.
    let driver = tokio::spawn(connection);
    let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(hyper::header::HOST, authority).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(answer.status().to_string());
    }
    let body =
        Limited::new(answer.into_body(), TOKEN_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
    driver.abort();
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| "the answer is no text".to_owned())?;
    Ok(text.trim().to_owned())
}

fn config(tls: &ResolverTls) -> Result<rustls::ClientConfig, String> {
    let Some(ca) = &tls.ca_file else {
        return Err("an https address needs resolver_tls with a ca_file".into());
    };
    let mut roots = rustls::RootCertStore::empty();
    let certificates = |file| CertificateDer::pem_file_iter(file).map_err(|e| e.to_string());
    for certificate in certificates(ca)? {
        roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
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
