//! What responders said of clients' certificates: kept in memory, and in a file that a restart reads.

use data_encoding::{BASE64, HEXLOWER};
use dialtone_config::ocsp::OcspCache;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::message::Status;
use super::{STAPLE_BYTES_MAX, keep};

/// Answers that are kept; of more, those that say the least are forgotten first: any that is not of a revoked certificate.
const ANSWERS_MAX: usize = 10_000;
/// The file in the folder. Its form is this server's own.
const FILE: &str = "ocsp.json";
/// What the file is called instead once something in it was not understood.
const ASIDE: &str = "json.damaged";

/// SHA-256 of a certificate.
pub(crate) type Fingerprint = [u8; 32];

pub(crate) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}

/// Answers by certificate.
#[derive(Debug, Default)]
pub(crate) struct PeerCache {
    options: Mutex<Option<OcspCache>>,
    answers: Mutex<HashMap<Fingerprint, Kept>>,
    hits: AtomicU64,
    misses: AtomicU64,
    is_changed: AtomicBool,
    saved: Mutex<Option<Instant>>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) response: Vec<u8>,
    pub(crate) status: Status,
}

impl PeerCache {
    /// Begins to go by these options, with what is in the file. What is in memory stays.
    ///
    /// # Errors
    ///
    /// Not everything in the file is understood. It is set aside, so that it is not written over, and the rest counts.
    pub(crate) fn configure(&self, options: Option<&OcspCache>) -> Result<(), String> {
        let mut current = self.options.lock();
        if current.as_ref() == options {
            return Ok(());
        }
        *current = options.cloned();
        let mut answers = self.answers.lock();
        let Some(options) = options else {
            answers.clear();
            return Ok(());
        };
        let file = options.local_store.join(FILE);
        let (found, problem) = match fs::read(&file) {
            Ok(bytes) => read(&bytes),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Err(cause) => (Vec::new(), Some(cause.to_string())),
        };
        for (key, kept) in found.into_iter().take(ANSWERS_MAX) {
            answers.entry(key).or_insert(kept);
        }
        let Some(problem) = problem else { return Ok(()) };
        self.is_changed.store(true, Relaxed);
        let aside = file.with_extension(ASIDE);
        let done = match fs::rename(&file, &aside) {
            Ok(()) => format!("it is set aside as {}", aside.display()),
            Err(cause) => format!("it cannot be set aside: {cause}"),
        };
        Err(format!("{}: {problem}; {done}", file.display()))
    }

    /// The answer about a certificate, whatever its age.
    pub(crate) fn get(&self, key: &Fingerprint) -> Option<Kept> {
        self.answers.lock().get(key).cloned()
    }

    /// Counts whether an answer could be used.
    pub(crate) fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn put(&self, key: Fingerprint, kept: Kept) {
        if self.options.lock().is_none() {
            return;
        }
        let mut answers = self.answers.lock();
        if answers.len() >= ANSWERS_MAX && !answers.contains_key(&key) {
            let least = answers.iter().find(|(_, kept)| kept.status != Status::Revoked);
            let least = least.or_else(|| answers.iter().next()).map(|(key, _)| *key);
            least.and_then(|least| answers.remove(&least));
        }
        answers.insert(key, kept);
        self.is_changed.store(true, Relaxed);
    }

    /// The time of an answer is over.
    pub(crate) fn outdated(&self, key: &Fingerprint) {
        let preserve = self.options.lock().as_ref().is_some_and(|options| options.preserve_revoked);
        let mut answers = self.answers.lock();
        if answers.get(key).is_some_and(|kept| !(preserve && kept.status == Status::Revoked)) {
            answers.remove(key);
            self.is_changed.store(true, Relaxed);
        }
    }

    /// Writes the file if there is something new and it is time for it.
    pub(crate) fn look_after(&self, now: Instant) -> io::Result<()> {
        let interval = self.options.lock().as_ref().map(|options| options.save_interval);
        let mut saved = self.saved.lock();
        let last = *saved.get_or_insert(now);
        match interval {
            Some(interval) if now.saturating_duration_since(last) >= interval => {
                *saved = Some(now);
                self.save()
            }
            _ => Ok(()),
        }
    }

    /// Writes the file if there is something new.
    pub(crate) fn save(&self) -> io::Result<()> {
        let Some(options) = self.options.lock().clone() else { return Ok(()) };
        if !self.is_changed.swap(false, Relaxed) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&options.local_store)?;
        let text = write(&self.answers.lock());
        keep(&options.local_store.join(FILE), text.as_bytes())
    }

    /// What `/varz` says of it; figures that are 0 are left out.
    pub(crate) fn figures(&self) -> Value {
        let kind = if self.options.lock().is_some() { "local" } else { "none" };
        let answers = self.answers.lock();
        let of = |status| answers.values().filter(|kept| kept.status == status).count() as u64;
        let mut out = Map::new();
        out.insert("cache_type".into(), kind.into());
        for (key, figure) in [
            ("cache_hits", self.hits.load(Relaxed)),
            ("cache_misses", self.misses.load(Relaxed)),
            ("cached_responses", answers.len() as u64),
            ("cached_revoked_responses", of(Status::Revoked)),
            ("cached_good_responses", of(Status::Good)),
            ("cached_unknown_responses", of(Status::Unknown)),
        ] {
            if figure > 0 {
                out.insert(key.into(), figure.into());
            }
        }
        out.into()
    }
}

fn write(answers: &HashMap<Fingerprint, Kept>) -> String {
    let one = |(key, kept): (&Fingerprint, &Kept)| {
        let value = json!({ "status": kept.status.to_string(), "response": BASE64.encode(&kept.response) });
        (HEXLOWER.encode(key), value)
    };
    Value::Object(answers.iter().map(one).collect::<Map<_, _>>()).to_string()
}

/// What is understood of a file, and what is wrong with the rest. Answers are signed, and looked at again when they are used.
fn read(bytes: &[u8]) -> (Vec<(Fingerprint, Kept)>, Option<String>) {
    let answers = match serde_json::from_slice(bytes) {
        Ok(Value::Object(answers)) => answers,
        Ok(_) => return (Vec::new(), Some("it is not a JSON object".into())),
        Err(problem) => return (Vec::new(), Some(problem.to_string())),
    };
    let one = |(key, value): (String, Value)| {
        let key = HEXLOWER.decode(key.as_bytes()).ok()?.try_into().ok()?;
        let response = BASE64.decode(value.get("response")?.as_str()?.as_bytes()).ok()?;
        let status = match value.get("status")?.as_str()? {
            "good" => Status::Good,
            "revoked" => Status::Revoked,
            "unknown" => Status::Unknown,
            _ => return None,
        };
        (response.len() <= STAPLE_BYTES_MAX).then_some((key, Kept { response, status }))
    };
    let total = answers.len();
    let understood: Vec<_> = answers.into_iter().filter_map(one).collect();
    let rest = total - understood.len();
    (understood, (rest > 0).then(|| format!("{rest} of {total} answers are not understood")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn kept(byte: u8, status: Status) -> Kept {
        Kept { response: vec![byte; 3], status }
    }

    fn options(folder: &tempfile::TempDir, preserve_revoked: bool) -> OcspCache {
        let local_store = folder.path().join("kept");
        OcspCache { local_store, preserve_revoked, ..OcspCache::default() }
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let options = options(&folder, true);
        let (cache, now) = (PeerCache::default(), Instant::now());
        cache.configure(Some(&options)).expect("configured");
        cache.put([1; 32], kept(1, Status::Good));
        cache.put([2; 32], kept(2, Status::Revoked));
        cache.look_after(now).expect("nothing to do");
        assert!(!options.local_store.exists(), "it is not time yet");
        cache.look_after(now + Duration::from_secs(300)).expect("saved");
        let again = PeerCache::default();
        again.configure(Some(&options)).expect("configured");
        assert_eq!(again.get(&[1; 32]), Some(kept(1, Status::Good)));
        // Only what is revoked outlives its time.
        again.outdated(&[1; 32]);
        again.outdated(&[2; 32]);
        assert_eq!((again.get(&[1; 32]), again.get(&[2; 32])), (None, Some(kept(2, Status::Revoked))));
        again.configure(Some(&OcspCache { preserve_revoked: false, ..options })).expect("configured");
        again.outdated(&[2; 32]);
        assert_eq!(again.get(&[2; 32]), None);
    }

    #[test]
    fn a_file_that_is_not_understood_is_set_aside() {
        let folder = tempfile::tempdir().expect("folder");
        let options = options(&folder, true);
        let (file, aside) = (options.local_store.join(FILE), options.local_store.join("ocsp.json.damaged"));
        let first = PeerCache::default();
        first.configure(Some(&options)).expect("no file yet");
        first.put([1; 32], kept(1, Status::Good));
        first.save().expect("saved");
        let whole = fs::read_to_string(&file).expect("file");
        for text in [whole.replacen('{', r#"{"x":5,"#, 1), whole.replace('}', ""), String::new()] {
            fs::write(&file, &text).expect("written");
            let cache = PeerCache::default();
            let problem = cache.configure(Some(&options)).expect_err("not understood");
            assert!(problem.ends_with(&format!("it is set aside as {}", aside.display())), "{problem}");
            assert_eq!(fs::read_to_string(&aside).expect("aside"), text);
            cache.put([2; 32], kept(2, Status::Good));
            cache.save().expect("saved");
            let again = PeerCache::default();
            again.configure(Some(&options)).expect("understood");
            assert_eq!(again.get(&[1; 32]).is_some(), text.contains('x'), "what is understood counts");
            assert!(again.get(&[2; 32]).is_some());
        }
    }

    #[test]
    fn without_a_cache_nothing_is_kept() {
        let cache = PeerCache::default();
        cache.put([1; 32], kept(1, Status::Good));
        assert_eq!(cache.get(&[1; 32]), None);
        assert_eq!(cache.figures()["cache_type"], "none");
    }

    #[test]
    fn what_is_revoked_is_forgotten_last() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = PeerCache::default();
        cache.configure(Some(&options(&folder, false))).expect("configured");
        let key = |n: usize| fingerprint(&n.to_be_bytes());
        cache.put(key(0), kept(0, Status::Revoked));
        for n in 1..=ANSWERS_MAX + 5 {
            cache.put(key(n), kept(1, Status::Good));
        }
        assert_eq!(cache.figures()["cached_responses"], ANSWERS_MAX);
        assert!(cache.get(&key(0)).is_some() && cache.get(&key(ANSWERS_MAX + 5)).is_some());
    }

    proptest! {
        /// A file that somebody else wrote is no reason to stop.
        #[test]
        fn any_file_is_read(text in ".*", key in "[0-9a-f]{62,66}", response in ".{0,9}", status in "good|bad") {
            read(text.as_bytes());
            read(format!(r#"{{"{key}":{{"status":"{status}","response":{response:?}}},"x":5}}"#).as_bytes());
        }
    }
}
