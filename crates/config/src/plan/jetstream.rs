//! What a reload does with JetStream: it goes on and off, its limits go up, and what requests may ask for changes. The rest needs a restart,
//! in the words of the official server.

use crate::blocks::rule::{Change, Difference, Rule, Show};
use crate::options::JetStream;
use crate::options::jetstream::Sync;

const DOMAIN: Rule<Option<String>> = Rule::Restarts("JetStreamDomain", Show::show);
const UNIQUE_TAG: Rule<Option<String>> = Rule::Restarts("JetStreamUniqueTag", Show::show);
const LAX: Rule<bool> = Rule::Restarts("NoJetStreamStrict", Show::show);

fn carried_out(words: &str) -> Difference {
    Difference { change: Some(Change::JetStream), lines: vec![words.to_owned()], refusal: None }
}

fn refused(what: &str) -> Difference {
    let refusal = Some(format!("config reload not supported for {what}"));
    Difference { change: None, lines: Vec::new(), refusal }
}

/// Notes what differs.
pub(super) fn compare(old: Option<&JetStream>, new: Option<&JetStream>, out: &mut Vec<Difference>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (Some(old), Some(new)) => (old, new),
        _ => return out.push(carried_out("JetStream")),
    };
    DOMAIN.compare("domain", &old.domain, &new.domain, out);
    UNIQUE_TAG.compare("unique_tag", &old.unique_tag, &new.unique_tag, out);
    LAX.compare("strict", &!old.strict, &!new.strict, out);
    // The official server logs both keys; these are named only.
    if old.encryption.key != new.encryption.key {
        out.push(refused("JetStreamKey"));
    }
    if old.encryption.previous != new.encryption.previous {
        out.push(refused("JetStreamOldKey"));
    }
    if old.encryption.cipher != new.encryption.cipher {
        let (old, new) = (old.encryption.cipher.name(), new.encryption.cipher.name());
        out.push(refused(&format!("JetStreamCipher: old={old}, new={new}")));
    }
    if old.store_dir != new.store_dir {
        out.push(refused("jetstream storage directory"));
    }
    if old.acks != new.acks {
        out.push(refused("ack_when of JetStream"));
    }
    if old.sync != new.sync {
        let shown = |sync: Sync| match sync {
            Sync::Always => "always".to_owned(),
            Sync::Every(interval) => interval.show(),
        };
        let (old, new) = (shown(old.sync), shown(new.sync));
        out.push(refused(&format!("SyncInterval: old={old}, new={new}")));
    }
    let sizes = [(old.memory_bytes_max, new.memory_bytes_max), (old.file_bytes_max, new.file_bytes_max)];
    out.extend(resized(&sizes));
    if old.memory_limit != new.memory_limit {
        out.push(carried_out("JetStream memory_limit"));
    }
    if old.limits != new.limits {
        out.push(carried_out("JetStream limits"));
    }
}

/// What becomes of other sizes, in memory and in files: what is given may grow. `None`: they are the same.
fn resized(sizes: &[(Option<u64>, Option<u64>)]) -> Option<Difference> {
    let has = |is: fn(&(Option<u64>, Option<u64>)) -> bool| sizes.iter().any(is);
    if has(|(old, new)| old.is_some() && new.is_none()) {
        Some(refused("jetstream max memory and max store"))
    } else if has(|(old, new)| old.is_none() && new.is_some()) {
        Some(refused("jetstream dynamic max memory and store"))
    } else if has(|(old, new)| old > new) {
        Some(refused("decreasing jetstream max memory and store"))
    } else if has(|(old, new)| old != new) {
        Some(carried_out("JetStream max memory and store"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use crate::options::jetstream::{Cipher, Encryption, JetStreamLimits};

    #[track_caller]
    fn check(old: &JetStream, new: &JetStream, expected: &str) {
        let mut out = Vec::new();
        compare(Some(old), Some(new), &mut out);
        let said = out.into_iter().map(|one| one.refusal.unwrap_or_else(|| one.lines.join(",")));
        assert_eq!(said.collect::<Vec<_>>().join("; "), expected);
    }

    /// As the official server was seen to answer.
    #[test]
    fn what_is_refused_and_what_is_not() {
        let sized = |memory_bytes_max, file_bytes_max| JetStream {
            memory_bytes_max,
            file_bytes_max,
            ..JetStream::default()
        };
        let (small, large, open) = (sized(Some(1), Some(2)), sized(Some(1), Some(3)), sized(None, None));
        check(&small, &small, "");
        check(&small, &large, "JetStream max memory and store");
        check(&large, &small, "config reload not supported for decreasing jetstream max memory and store");
        check(&open, &small, "config reload not supported for jetstream dynamic max memory and store");
        check(&small, &open, "config reload not supported for jetstream max memory and max store");
        let lax = JetStream { strict: false, domain: Some("x".into()), ..open.clone() };
        check(
            &open,
            &lax,
            "config reload not supported for JetStreamDomain: old=, new=x; config reload not supported for NoJetStreamStrict: old=false, new=true",
        );
        let always = JetStream { sync: Sync::Always, ..open.clone() };
        check(&open, &always, "config reload not supported for SyncInterval: old=2m0s, new=always");
        let keyed = |key: &str| JetStream {
            encryption: Encryption { key: Some(Secret::new(key)), ..Encryption::default() },
            ..open.clone()
        };
        check(&keyed("one"), &keyed("two"), "config reload not supported for JetStreamKey");
        check(&keyed("one"), &keyed("one"), "");
        let aes = Encryption { cipher: Cipher::Aes256Gcm, previous: Some(Secret::new("x")), key: None };
        let aes = JetStream { encryption: aes, ..open.clone() };
        check(
            &open,
            &aes,
            "config reload not supported for JetStreamOldKey; config reload not supported for JetStreamCipher: old=ChaCha20-Poly1305, new=AES-GCM",
        );
        let limits = JetStreamLimits { ack_pending_max: 5, ..JetStreamLimits::default() };
        check(&open, &JetStream { limits, ..open.clone() }, "JetStream limits");
        let held = |memory_limit| JetStream { memory_limit, ..open.clone() };
        check(&held(Some(3)), &held(Some(2)), "JetStream memory_limit");
        check(&held(Some(3)), &held(None), "JetStream memory_limit");
        let mut out = Vec::new();
        compare(None, Some(&open), &mut out);
        compare(Some(&open), None, &mut out);
        assert!(out.iter().all(|one| one.change == Some(Change::JetStream)) && out.len() == 2);
    }
}
