//! Which certificates of clients are accepted: those that an authority signed, and the authorities' own.

use dialtone_identity::certificate::{self, Purpose};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;

/// The rules of WebPKI, and one more: a client may show a certificate that stands in `ca_file` itself, though it is an authority's.
/// Self-signed certificates of clients are authorities by default of the usual tools, and the official server takes them.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) web_pki: Arc<dyn ClientCertVerifier>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.web_pki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.web_pki.verify_client_cert(own, others, now);
        let at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let is_listed = || self.authorities.iter().any(|authority| authority == own);
        if verified.is_err() && is_listed() && certificate::is_valid(own, Purpose::Client, at) {
            return Ok(ClientCertVerified::assertion());
        }
        // Whoever signed it has the name of an authority, and is another one: the alert of a bad signature would speak of the key exchange,
        // and clients look for one about the certificate.
        verified.map_err(|why| match why {
            Error::InvalidCertificate(CertificateError::BadSignature) => {
                Error::InvalidCertificate(CertificateError::UnknownIssuer)
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web_pki.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web_pki.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web_pki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use rustls::RootCertStore;
    use rustls::crypto::ring;
    use rustls::server::WebPkiClientVerifier;
    use std::time::Duration;

    /// In 2026.
    const NOW: Duration = Duration::from_secs(1_790_000_000);

    fn authority(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        params.self_signed(&KeyPair::generate().expect("key")).expect("certificate").der().clone()
    }

    fn accepts(listed: &CertificateDer<'static>, shown: &CertificateDer<'static>) -> bool {
        verified(listed, shown).is_ok()
    }

    fn verified(listed: &CertificateDer<'static>, shown: &CertificateDer<'static>) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(listed.clone()).expect("an authority");
        let provider = Arc::new(ring::default_provider());
        let web_pki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier =
            ClientVerifier { web_pki: web_pki.expect("a verifier"), authorities: vec![listed.clone()] };
        verifier.verify_client_cert(shown, &[], UnixTime::since_unix_epoch(NOW)).map(drop)
    }

    #[test]
    fn a_certificate_that_is_listed_itself_is_accepted() {
        let listed = authority(|_| {});
        assert!(accepts(&listed, &listed));
        assert!(!accepts(&listed, &authority(|_| {})), "another with the same name");
    }

    #[test]
    fn the_alert_about_another_authority_of_the_same_name_is_about_the_certificate() {
        let (listed, other) = (authority(|_| {}), KeyPair::generate().expect("key"));
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let other = Issuer::new(params, other);
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let shown = params.signed_by(&key, &other).expect("certificate").der().clone();
        let why = verified(&listed, &shown).expect_err("of another authority");
        assert_eq!(why, Error::InvalidCertificate(CertificateError::UnknownIssuer));
    }

    #[test]
    fn a_listed_certificate_must_be_valid_and_for_clients() {
        let year = |from, to| {
            authority(move |params| {
                params.not_before = rcgen::date_time_ymd(from, 1, 1);
                params.not_after = rcgen::date_time_ymd(to, 1, 1);
            })
        };
        let used = |purpose| authority(|params| params.extended_key_usages = vec![purpose]);
        for (certificate, expected) in [
            (year(2020, 2040), true),
            (year(2020, 2021), false),
            (year(2040, 2041), false),
            (used(ExtendedKeyUsagePurpose::ClientAuth), true),
            (used(ExtendedKeyUsagePurpose::Any), true),
            (used(ExtendedKeyUsagePurpose::ServerAuth), false),
        ] {
            assert_eq!(accepts(&certificate, &certificate), expected);
        }
    }
}
