//! What a responder is asked, and what its answer is worth. Source: RFC 6960.

use super::der::{self, ENUMERATED, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, context, element};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, ParsedExtension, X509Certificate};

/// Seconds that a responder's clock may be ahead of ours.
const CLOCK_SKEW_SECONDS: i64 = 60;
/// Certificates of an answer that are looked at: a responder has one.
const CERTIFICATES_MAX: usize = 4;
/// `id-pkix-ocsp-basic`, the one kind of answer there is.
const BASIC: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 0x30, 1, 1];
/// SHA-1 as an algorithm: what responders know certificates by. It secures nothing here.
const SHA1: &[u8] = &[0x30, 9, 6, 5, 0x2B, 0x0E, 3, 2, 0x1A, 5, 0];
/// `status_request`, as a TLS feature that a certificate may demand (RFC 7633).
const STATUS_REQUEST: u8 = 5;

/// What an authority says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It may be used.
    Good,
    /// It may not be used any more.
    Revoked,
    /// The authority does not know it.
    Unknown,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        })
    }
}

/// A responder's answer, its signature and times found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What it says.
    pub(crate) status: Status,
    /// Until when it counts, in seconds since 1970; `None`: the responder does not say.
    pub(crate) next_update: Option<i64>,
    /// Since when.
    pub(crate) this_update: i64,
}

/// Why an answer is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is no OCSP response")]
    Malformed,
    #[error("error from OCSP server: {}", refusal(*.0))]
    Refused(u8),
    #[error("it is about other certificates")]
    Other,
    #[error("bad OCSP signature")]
    Signature,
    #[error("invalid OCSP ThisUpdate, it is in the future")]
    Future,
    #[error("invalid OCSP NextUpdate, it is past")]
    Past,
}

/// The words for the codes of RFC 6960, section 4.2.1.
fn refusal(code: u8) -> &'static str {
    match code {
        1 => "malformed request",
        2 => "internal error",
        3 => "try later",
        5 => "signature required",
        6 => "unauthorized",
        _ => "unknown status",
    }
}

/// What a server's certificate says of OCSP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// The addresses of responders.
    pub(super) responders: Vec<String>,
    /// Clients are to insist on a staple.
    pub(super) must_staple: bool,
}

impl Wishes {
    /// Reads them; a certificate that cannot be read has none.
    pub(super) fn of(certificate: &[u8]) -> Self {
        let mut wishes = Self::default();
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return wishes };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => {
                    for description in &access.accessdescs {
                        if description.access_method.to_id_string() == "1.3.6.1.5.5.7.48.1"
                            && let GeneralName::URI(address) = description.access_location
                        {
                            wishes.responders.push(address.to_owned());
                        }
                    }
                }
                _ if extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.24" => {
                    let mut features = Reader(extension.value).enter(SEQUENCE);
                    while let Some(feature) = features.as_mut().and_then(|list| list.element(INTEGER)) {
                        wishes.must_staple |= feature.data == [STATUS_REQUEST];
                    }
                }
                _ => {}
            }
        }
        wishes
    }
}

/// The question about one certificate.
#[derive(Debug)]
pub(super) struct Question {
    /// How responders know the certificate.
    id: Vec<u8>,
    issuer: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Question {
    /// About this certificate, which one of these has signed. `None`: none of them has.
    pub(super) fn new(
        certificate: &[u8],
        issuers: &[CertificateDer<'static>],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Option<Self> {
        let (_, subject) = X509Certificate::from_der(certificate).ok()?;
        let signed = Signed::read(&mut Reader(certificate))?;
        let is_issuer = |issuer: &&CertificateDer<'static>| {
            let Ok((_, issuer)) = X509Certificate::from_der(issuer) else { return false };
            issuer.subject().as_raw() == subject.issuer().as_raw()
                && Key::of(&issuer).is_some_and(|key| signed.is_by(&key, &algorithms))
        };
        let issuer = issuers.iter().find(is_issuer)?.clone();
        let (_, parsed) = X509Certificate::from_der(&issuer).ok()?;
        let hash = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
        let id = element(
            SEQUENCE,
            &[
                SHA1,
                &element(OCTET_STRING, &[hash(parsed.subject().as_raw()).as_ref()]),
                &element(OCTET_STRING, &[hash(Key::of(&parsed)?.bits).as_ref()]),
                &element(INTEGER, &[subject.raw_serial()]),
            ],
        );
        Some(Self { id, issuer, algorithms })
    }

    /// The question as it is sent.
    pub(super) fn request(&self) -> Vec<u8> {
        [1, 2, 3, 4].iter().fold(self.id.clone(), |inner, _| element(SEQUENCE, &[&inner]))
    }

    /// Reads an answer, `now` being seconds since 1970.
    ///
    /// Errors: it is about something else, not signed by the issuer or whom the issuer allows to, or not of this time.
    pub(super) fn read(&self, response: &[u8], now: i64) -> Result<Answer, Unusable> {
        let answer = self.read_within(response, now, CLOCK_SKEW_SECONDS)?;
        match answer.next_update {
            Some(next) if next < now => Err(Unusable::Past),
            _ => Ok(answer),
        }
    }

    /// The same, where clocks may differ by so many seconds both ways.
    pub(super) fn read_within(&self, response: &[u8], now: i64, skew: i64) -> Result<Answer, Unusable> {
        let basic = body(response)?;
        let signed = Signed::read(&mut Reader(basic)).ok_or(Unusable::Malformed)?;
        self.check_signature(&signed, basic, now)?;
        self.find(signed.content.data, now, skew)
    }

    /// Who has signed the certificate.
    pub(super) fn issuer(&self) -> &CertificateDer<'static> {
        &self.issuer
    }

    fn check_signature(&self, signed: &Signed<'_>, basic: &[u8], now: i64) -> Result<(), Unusable> {
        let Ok((_, issuer)) = X509Certificate::from_der(&self.issuer) else {
            return Err(Unusable::Malformed);
        };
        let key = Key::of(&issuer).ok_or(Unusable::Malformed)?;
        if signed.is_by(&key, &self.algorithms) {
            return Ok(());
        }
        // Certificates behind the signature: one of them may speak for the issuer, if the issuer has signed that.
        let mut list = certificates(basic).unwrap_or(Reader(&[]));
        for _ in 0..CERTIFICATES_MAX {
            let Some(delegate) = list.element(SEQUENCE) else { break };
            if self.may_speak(delegate.raw, &key, signed, now) {
                return Ok(());
            }
        }
        Err(Unusable::Signature)
    }

    fn may_speak(&self, delegate: &[u8], issuer: &Key<'_>, answer: &Signed<'_>, now: i64) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(delegate) else { return false };
        let Ok(now) = ASN1Time::from_timestamp(now) else { return false };
        let allowed =
            certificate.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.ocsp_signing);
        allowed
            && certificate.validity().is_valid_at(now)
            && Signed::read(&mut Reader(delegate))
                .is_some_and(|signed| signed.is_by(issuer, &self.algorithms))
            && Key::of(&certificate).is_some_and(|key| answer.is_by(&key, &self.algorithms))
    }

    /// Finds this certificate among those that the answer is about.
    fn find(&self, data: &[u8], now: i64, skew: i64) -> Result<Answer, Unusable> {
        let mut data = Reader(data);
        let mut responses = (|| {
            data.optional(context(0))?;
            // The signature shows who answers.
            data.any()?;
            data.time()?;
            data.enter(SEQUENCE)
        })()
        .ok_or(Unusable::Malformed)?;
        while !responses.0.is_empty() {
            let mut single = responses.enter(SEQUENCE).ok_or(Unusable::Malformed)?;
            let id = single.element(SEQUENCE).ok_or(Unusable::Malformed)?;
            if !self.is_about(id.data) {
                continue;
            }
            let answer = single_answer(single).ok_or(Unusable::Malformed)?;
            if answer.this_update > now.saturating_add(skew) {
                return Err(Unusable::Future);
            }
            if answer.next_update.is_some_and(|next| next < now.saturating_sub(skew)) {
                return Err(Unusable::Past);
            }
            return Ok(answer);
        }
        Err(Unusable::Other)
    }

    /// Whether this is the certificate: all but the algorithm's parameters, which some leave out.
    fn is_about(&self, id: &[u8]) -> bool {
        let behind_algorithm = |id: &[u8]| {
            let mut id = Reader(id);
            let algorithm = id.enter(SEQUENCE)?.element(OID)?.data.to_vec();
            Some((algorithm, id.0.to_vec()))
        };
        let ours = Reader(&self.id).enter(SEQUENCE).and_then(|id| behind_algorithm(id.0));
        ours.is_some() && behind_algorithm(id) == ours
    }
}

/// What is said of one certificate, and since when.
fn single_answer(mut single: Reader<'_>) -> Option<Answer> {
    let status = match single.tag()? {
        0x80 => Status::Good,
        0xA1 => Status::Revoked,
        0x82 => Status::Unknown,
        _ => return None,
    };
    single.any()?;
    let this_update = single.time()?;
    let next_update = match single.optional(context(0))? {
        Some(mut next) => Some(next.time()?),
        None => None,
    };
    Some(Answer { status, next_update, this_update })
}

/// The signed part of an answer that is no refusal.
fn body(response: &[u8]) -> Result<&[u8], Unusable> {
    let mut response = Reader(response).enter(SEQUENCE).ok_or(Unusable::Malformed)?;
    match response.element(ENUMERATED).ok_or(Unusable::Malformed)?.data {
        [0] => {}
        [code] => return Err(Unusable::Refused(*code)),
        _ => return Err(Unusable::Malformed),
    }
    let bytes = response.enter(context(0)).and_then(|mut bytes| bytes.enter(SEQUENCE));
    let mut bytes = bytes.ok_or(Unusable::Malformed)?;
    let kind = bytes.element(OID).ok_or(Unusable::Malformed)?;
    let content = bytes.element(OCTET_STRING).ok_or(Unusable::Malformed)?;
    if kind.data == BASIC { Ok(content.data) } else { Err(Unusable::Malformed) }
}

/// The certificates that come with an answer.
fn certificates(basic: &[u8]) -> Option<Reader<'_>> {
    let mut basic = Reader(basic).enter(SEQUENCE)?;
    for _ in 0..3 {
        basic.any()?;
    }
    basic.enter(context(0))?.enter(SEQUENCE)
}

/// Something signed, a certificate or an answer: content, algorithm, signature.
struct Signed<'a> {
    content: der::Element<'a>,
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let mut parts = reader.enter(SEQUENCE)?;
        Some(Self {
            content: parts.element(SEQUENCE)?,
            algorithm: parts.element(SEQUENCE)?.data,
            signature: parts.bits()?,
        })
    }

    fn is_by(&self, key: &Key<'_>, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        algorithms
            .all
            .iter()
            .filter(|a| {
                a.signature_alg_id().as_ref() == self.algorithm
                    && a.public_key_alg_id().as_ref() == key.algorithm
            })
            .any(|a| a.verify_signature(key.bits, self.content.raw, self.signature).is_ok())
    }
}

/// A public key.
struct Key<'a> {
    algorithm: &'a [u8],
    bits: &'a [u8],
}

impl<'a> Key<'a> {
    fn of(certificate: &'a X509Certificate<'a>) -> Option<Self> {
        let mut parts = Reader(certificate.public_key().raw).enter(SEQUENCE)?;
        Some(Self { algorithm: parts.element(SEQUENCE)?.data, bits: parts.bits()? })
    }
}
