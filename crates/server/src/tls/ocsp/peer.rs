//! The check of clients' certificates: each link of the chain that names a responder must be good.

use super::cache::{Kept, PeerCache, fingerprint};
use super::fetch;
use super::message::{Answer, Question, Status, Wishes};
use dialtone_config::ocsp::OcspPeer;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::CertificateDer;

/// Links of a chain that are looked at.
const LINKS_MAX: usize = 10;

/// How clients' certificates are checked.
#[derive(Clone, Debug)]
pub(crate) struct PeerCheck {
    pub(crate) options: OcspPeer,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

/// What came of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// The links that are not good, each with the reason.
    pub(crate) bad: Vec<(CertificateDer<'static>, String)>,
    /// What the log is to say.
    pub(crate) warnings: Vec<String>,
    /// The client may not come in.
    pub(crate) is_rejected: bool,
}

impl Judgement {
    /// Nobody was asked, for this reason.
    pub(crate) fn not_asked(why: &str) -> Self {
        Self { warnings: vec![why.to_owned()], is_rejected: true, ..Self::default() }
    }
}

impl PeerCheck {
    /// Checks the chain that a client has shown, which TLS has found good. Asks responders and blocks. `now` is in seconds since
    /// 1970.
    pub(crate) fn check(&self, shown: &[CertificateDer<'static>], cache: &PeerCache, now: i64) -> Judgement {
        let mut out = Judgement::default();
        let Some(leaf) = shown.first() else { return out };
        let issuers: Vec<_> = shown.iter().skip(1).chain(&self.authorities).cloned().collect();
        let mut link = leaf.clone();
        for _ in 0..LINKS_MAX {
            let question = Question::new(&link, &issuers, self.algorithms);
            let responders = Wishes::of(&link).responders;
            if !responders.is_empty() {
                let checked = match &question {
                    Some(question) => self.link(&link, question, &responders, cache, now, &mut out.warnings),
                    None => Err("no issuer found for the certificate".to_owned()),
                };
                if let Err(reason) = checked {
                    out.bad.push((link.clone(), reason));
                }
            }
            match question {
                Some(question) if *question.issuer() != link => link = question.issuer().clone(),
                _ => break,
            }
        }
        if !out.bad.is_empty() && self.options.warn_only {
            out.warnings.push("allowing OCSP peer due warn_only".into());
        }
        out.is_rejected = !out.bad.is_empty() && !self.options.warn_only;
        out
    }

    fn link(
        &self,
        link: &CertificateDer<'static>,
        question: &Question,
        responders: &[String],
        cache: &PeerCache,
        now: i64,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
        let key = fingerprint(link);
        let name = subject(link);
        let known = cache.get(&key);
        if let Some(known) = &known
            && let Ok(answer) = self.read(question, &known.response, now)
        {
            cache.count(true);
            return self.judge(&name, answer.status, warnings);
        }
        cache.count(false);
        if known.is_some() {
            cache.outdated(&key);
        }
        let response = match fetch::fetch(&question.request(), responders, self.options.ca_timeout) {
            Ok(response) => response,
            Err(why) => {
                warnings.push(format!("OCSP responders of [{name}] cannot be asked: {why}"));
                let is_revoked = known.is_some_and(|known| known.status == Status::Revoked);
                return match self.options.allow_when_ca_unreachable && !is_revoked {
                    true => {
                        warnings.push(format!("allowing OCSP peer [{name}] due allow_when_ca_unreachable"));
                        Ok(())
                    }
                    false => Err(format!("failed to obtain OCSP CA response: {why}")),
                };
            }
        };
        let answer =
            self.read(question, &response, now).map_err(|why| format!("unusable OCSP CA response: {why}"))?;
        cache.put(key, Kept { response, status: answer.status });
        self.judge(&name, answer.status, warnings)
    }

    /// Reads an answer, and whether it still counts.
    fn read(&self, question: &Question, response: &[u8], now: i64) -> Result<Answer, String> {
        let skew = self.options.clock_skew.as_secs() as i64;
        let answer = question.read_within(response, now, skew).map_err(|why| why.to_string())?;
        let ttl = self.options.ttl_when_next_update_unset.as_secs() as i64;
        if answer.next_update.is_none() && answer.this_update.saturating_add(ttl) < now - skew {
            return Err("it is too old, and does not say until when it counts".into());
        }
        Ok(answer)
    }

    fn judge(&self, name: &str, status: Status, warnings: &mut Vec<String>) -> Result<(), String> {
        if status == Status::Good || (status == Status::Unknown && self.options.unknown_is_good) {
            return Ok(());
        }
        warnings.push(format!("OCSP verify fail for [{name}] with CA status [{status}]"));
        Err(format!("Invalid OCSP response status: {status}"))
    }
}

/// Whom a certificate is about, as monitoring shows it.
pub(crate) fn subject(certificate: &[u8]) -> String {
    dialtone_identity::certificate::parties(certificate).map(|(subject, _)| subject).unwrap_or_default()
}
