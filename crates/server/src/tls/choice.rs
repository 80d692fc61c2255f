//! Which of several certificates a client gets.

use super::ocsp::with_staple;
use parking_lot::RwLock;
use rustls::client::verify_server_name;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::ServerName;
use std::sync::Arc;

/// The certificates of a listener, in the order of the configuration; there is at least one. Staples change, the rest
/// does not.
#[derive(Debug)]
pub(super) struct Certificates(Vec<RwLock<Arc<CertifiedKey>>>);

impl Certificates {
    pub(super) fn new(certified: Vec<CertifiedKey>) -> Self {
        Self(certified.into_iter().map(|certified| RwLock::new(Arc::new(certified))).collect())
    }

    /// All of them as they are now.
    pub(super) fn all(&self) -> Vec<Arc<CertifiedKey>> {
        self.0.iter().map(|place| place.read().clone()).collect()
    }

    /// The certificate at this place is shown with this staple from now on.
    pub(super) fn set_staple(&self, place: usize, staple: Option<Vec<u8>>) {
        if let Some(place) = self.0.get(place) {
            let stapled = with_staple(&place.read().clone(), staple);
            *place.write() = stapled;
        }
    }

    /// The first that is for the name the client asks for, of those whose kind of key it knows. If none is, the first,
    /// as with the official server: a client that does not like it says so.
    fn choose(&self, name: Option<&str>, knows: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let fits = |certified: &&Arc<CertifiedKey>| {
            knows(certified) && name.as_ref().is_none_or(|name| is_for(certified, name))
        };
        let all = self.all();
        all.iter().find(fits).or_else(|| all.first()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.0.as_slice() {
            [only] => Some(only.read().clone()),
            _ => self.choose(hello.server_name(), |certified| {
                certified.key.choose_scheme(hello.signature_schemes()).is_some()
            }),
        }
    }
}

fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let Some(certificate) = certified.cert.first() else { return false };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}
