//! OCSP stapling: a certificate is shown together with its authority's word that it is still good.
//!
//! [`Staples`] is one listener's: it says which certificates need a staple, gets each from the store or from a responder,
//! and gets the next one when half of its time is over. Nobody waits for it but the start, a reload and the thread that
//! watches certificates.

pub(crate) mod cache;
mod der;
mod fetch;
mod message;
pub(crate) mod peer;
#[cfg(test)]
mod tests;

use super::choice::Certificates;
use crate::clock;
use crate::times::duration;
use dialtone_config::options::{Ocsp, OcspMode};
use message::{Answer, Question, Status, Wishes};
use parking_lot::Mutex;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When the next staple is asked for if the responder does not say until when this one counts. The official figure.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// The same when the time of this one is over. The official figure.
const INTERVAL_OUTDATED: Duration = Duration::from_secs(120);
/// How long one request for a staple may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a staple.
const STAPLE_BYTES_MAX: usize = 64 * 1024;
/// The folder of staples in `store_dir`. The official name.
const FOLDER: &str = "ocsp";

/// Why a certificate cannot be used with OCSP as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum StapleError {
    /// The certificate that signed it is neither behind it nor in `ca_file`.
    #[error("no issuers found for the certificate at '{}': OCSP needs it in the chain or in ca_file", .0.display())]
    Issuer(PathBuf),
    /// Nobody says how it stands.
    #[error("bad OCSP status update for certificate at '{}': {why}", file.display())]
    Nothing {
        /// The certificate.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// It may not be used.
    #[error("found existing OCSP status for certificate at '{}': {status}", file.display())]
    Bad {
        /// The certificate.
        file: PathBuf,
        /// How it stands.
        status: String,
    },
    /// The store cannot be used.
    #[error("could not create OCSP storage directory {}: {cause}", folder.display())]
    Store {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// What came of looking after the staples.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A certificate is still good.
    Good(String),
    /// There is no other staple than before.
    Failed(String),
    /// A certificate is not good; whether the server is to stop.
    Bad(String, Stop),
}

/// Whether a certificate that is revoked stops the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Yes,
    No,
}

/// The staples of a listener's certificates.
#[derive(Debug, Default)]
pub(super) struct Staples(Vec<Stapling>);

/// One certificate that is shown with a staple.
#[derive(Debug)]
struct Stapling {
    /// Its place among the listener's.
    place: usize,
    file: PathBuf,
    question: Question,
    responders: Vec<String>,
    /// Where its staple is kept.
    stored: Option<PathBuf>,
    stop: Stop,
    state: Mutex<State>,
}

/// How a certificate stands.
#[derive(Clone, Copy, Debug)]
struct State {
    answer: Answer,
    /// When to ask again; `None`: there is nothing more to ask.
    again: Option<Instant>,
    /// It is the first of this server, and has not been logged.
    is_first: bool,
}

impl Staples {
    /// Finds the certificates that need a staple, and gets it. Blocks.
    ///
    /// Errors: a certificate that needs one has none, or is revoked and that stops the server.
    pub(super) fn begin(
        certificates: &Certificates,
        files: &[PathBuf],
        authorities: &[CertificateDer<'static>],
        algorithms: WebPkiSupportedAlgorithms,
        options: &Ocsp,
        store: Option<&Path>,
    ) -> Result<Self, StapleError> {
        let mut out = Vec::new();
        for (place, (certified, file)) in certificates.all().iter().zip(files).enumerate() {
            let Some((certificate, chain)) = certified.cert.split_first() else { continue };
            let wishes = Wishes::of(certificate);
            let Some(stop) = wanted(options.mode, wishes.must_staple) else { continue };
            let issuers: Vec<_> = chain.iter().chain(authorities).cloned().collect();
            let question = Question::new(certificate, &issuers, algorithms)
                .ok_or_else(|| StapleError::Issuer(file.clone()))?;
            let responders = if options.urls.is_empty() { wishes.responders } else { options.urls.clone() };
            let folder = store.map(|store| store.join(FOLDER));
            if let Some(folder) = &folder {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)
                    .map_err(|cause| StapleError::Store { folder: folder.clone(), cause })?;
            }
            // The whole certificate and not only its key: another one with the same key has a status of its own.
            let name = data_encoding::HEXLOWER.encode(&Sha256::digest(certificate));
            let stored = folder.map(|folder| folder.join(name));
            let nothing = |why| StapleError::Nothing { file: file.clone(), why };
            let (staple, answer) = match kept(&question, stored.as_deref()) {
                Some(kept) => kept,
                None => get(&question, &responders, stored.as_deref()).map_err(nothing)?,
            };
            if answer.status != Status::Good && stop == Stop::Yes {
                return Err(StapleError::Bad { file: file.clone(), status: answer.status.to_string() });
            }
            certificates.set_staple(place, Some(staple));
            let now = clock::now();
            let again = (answer.status == Status::Good).then(|| Instant::now() + interval(&answer, now));
            let state = Mutex::new(State { answer, again, is_first: true });
            out.push(Stapling { place, file: file.clone(), question, responders, stored, stop, state });
        }
        Ok(Self(out))
    }

    /// Whether there are any.
    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Gets what is due at `now`. Blocks. What is worth telling of it.
    pub(super) fn look_after(&self, certificates: &Certificates, now: Instant) -> Vec<News> {
        self.0.iter().filter_map(|stapling| stapling.look_after(certificates, now)).collect()
    }
}

/// Whether a certificate is to have a staple, and whether the server stops if it is revoked.
fn wanted(mode: OcspMode, must_staple: bool) -> Option<Stop> {
    match mode {
        OcspMode::Always => Some(Stop::Yes),
        OcspMode::Must if must_staple => Some(Stop::Yes),
        OcspMode::Auto if must_staple => Some(Stop::No),
        OcspMode::Auto | OcspMode::Must | OcspMode::Never => None,
    }
}

impl Stapling {
    fn look_after(&self, certificates: &Certificates, now: Instant) -> Option<News> {
        let state = *self.state.lock();
        if state.is_first {
            self.state.lock().is_first = false;
            let wait = state.again.map(|at| at.saturating_duration_since(now));
            let (verb, at) = if wait.is_some() { ("Found", "at ") } else { ("Received", "") };
            return Some(self.news(verb, at, &state.answer, wait));
        }
        if state.again.is_none_or(|at| at > now) {
            return None;
        }
        match get(&self.question, &self.responders, self.stored.as_deref()) {
            Ok((staple, answer)) => {
                certificates.set_staple(self.place, Some(staple));
                let wait = (answer.status == Status::Good).then(|| interval(&answer, clock::now()));
                let again = wait.map(|wait| now + wait);
                *self.state.lock() = State { answer, again, is_first: false };
                Some(self.news("Received", "", &answer, wait))
            }
            Err(why) => {
                let wall = clock::now();
                if state.answer.next_update.is_some_and(|until| until < wall) {
                    // What is outdated convinces nobody; who insists on a staple goes.
                    certificates.set_staple(self.place, None);
                }
                let wait = interval(&state.answer, wall);
                self.state.lock().again = Some(now + wait);
                Some(News::Failed(format!(
                    "Bad OCSP status update for certificate '{}': {why}, trying again in {}",
                    self.file.display(),
                    duration(wait)
                )))
            }
        }
    }

    fn news(&self, verb: &str, at: &str, answer: &Answer, wait: Option<Duration>) -> News {
        let (file, status) = (self.file.display(), answer.status);
        let text = format!("{verb} OCSP status for Client certificate {at}'{file}': {status}");
        let Some(wait) = wait else { return News::Bad(text, self.stop) };
        let next = answer.next_update.and_then(|at| jiff::Timestamp::from_second(at).ok());
        let next = next.map_or_else(|| "not told".to_owned(), |at| at.to_string());
        News::Good(format!("{text}, next update {next}, checking again in {}", duration(wait)))
    }
}

/// How long after `now`, in seconds since 1970, the next staple is asked for: half of what is left of this one.
fn interval(answer: &Answer, now: i64) -> Duration {
    match answer.next_update {
        None => INTERVAL_DEFAULT,
        Some(until) => match u64::try_from(until - now) {
            Ok(left) if left > 0 => Duration::from_secs(left) / 2,
            _ => INTERVAL_OUTDATED,
        },
    }
}

/// The staple that was kept, if it still counts.
fn kept(question: &Question, stored: Option<&Path>) -> Option<(Vec<u8>, Answer)> {
    let staple = fs::read(stored?).ok().filter(|staple| staple.len() <= STAPLE_BYTES_MAX)?;
    let answer = question.read(&staple, clock::now()).ok()?;
    Some((staple, answer))
}

/// A staple of a responder, which is kept.
fn get(
    question: &Question,
    responders: &[String],
    stored: Option<&Path>,
) -> Result<(Vec<u8>, Answer), String> {
    let staple = fetch::fetch(&question.request(), responders, TIMEOUT)?;
    let answer =
        question.read(&staple, clock::now()).map_err(|why| format!("failed to get remote status: {why}"))?;
    if let Some(file) = stored {
        keep(file, &staple).map_err(|cause| format!("failed to write OCSP status: {cause}"))?;
    }
    Ok((staple, answer))
}

/// Writes a file of its own and then gives it its name: there is never half a staple.
fn keep(file: &Path, staple: &[u8]) -> io::Result<()> {
    let unfinished = file.with_extension("unfinished");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    out.write_all(staple)?;
    fs::rename(unfinished, file)
}

/// A certificate with another staple.
pub(super) fn with_staple(certified: &CertifiedKey, staple: Option<Vec<u8>>) -> Arc<CertifiedKey> {
    let mut certified = certified.clone();
    certified.ocsp = staple;
    Arc::new(certified)
}
