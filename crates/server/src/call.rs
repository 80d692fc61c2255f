//! One request by HTTP to somebody else's server: no redirects, a bounded answer in a bounded time.

use dialtone_net::threads::apart;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is asked.
pub(crate) struct Call<'a> {
    /// The address, with its path.
    pub(crate) address: &'a str,
    /// What is sent, and of which type; `None` asks without a body.
    pub(crate) body: Option<(&'static str, &'a [u8])>,
    /// TLS, for an `https` address.
    pub(crate) tls: Option<&'a Arc<rustls::ClientConfig>>,
    /// How long all of it may take.
    pub(crate) timeout: Duration,
    /// Bytes that the answer may have.
    pub(crate) answer_bytes_max: usize,
}

impl Call<'_> {
    /// The body of the answer. Blocks.
    ///
    /// Errors: why there is no answer, in words; any status but 200 is an error.
    pub(crate) fn make(&self) -> Result<Vec<u8>, String> {
        // On a thread of its own, since whoever calls may be in a runtime already.
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|cause| cause.to_string())?;
            let answer = async { tokio::time::timeout(self.timeout, self.ask()).await };
            runtime.block_on(answer).unwrap_or_else(|_| Err("timeout".into()))
        };
        apart("request", ask).unwrap_or_else(|cause| Err(cause.to_string()))
    }

    async fn ask(&self) -> Result<Vec<u8>, String> {
        let uri: Uri = self.address.parse().map_err(|_| "no address".to_owned())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((&*host, port)).await.map_err(|e| e.to_string())?;
        match self.tls {
            None => self.send(TokioIo::new(stream), &uri).await,
            Some(config) => {
                let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
                self.send(TokioIo::new(stream), &uri).await
            }
        }
    }

    async fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: TokioIo<S>,
        uri: &Uri,
    ) -> Result<Vec<u8>, String> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|e| e.to_string())?;
        // Its error is that of the request.
        let driver = tokio::spawn(connection);
        let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().uri(path).header(HOST, authority);
        let mut body = Bytes::new();
        if let Some((kind, bytes)) = self.body {
            request = request.method(Method::POST).header(CONTENT_TYPE, kind);
            body = Bytes::copy_from_slice(bytes);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(answer.status().to_string());
        }
        let body = Limited::new(answer.into_body(), self.answer_bytes_max).collect().await;
        driver.abort();
        Ok(body.map_err(|e| e.to_string())?.to_bytes().to_vec())
    }
}
