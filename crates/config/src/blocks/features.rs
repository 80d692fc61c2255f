//! Flags of features: behaviour that is being introduced, or taken back.

use super::reader::{self, Notes, noted};
use super::rule::Show;
use crate::error::ConfigError;
use crate::language::Value;
use std::collections::BTreeMap;

/// The flags of official 2.15, and what holds where nothing is said.
const DEFAULTS: [(&str, bool); 4] = [
    ("js_ack_fc_v2", false),
    ("js_api_reply_v2", false),
    // The last two are about servers of a cluster, which keep copies of a stream.
    ("js_raft_delete_range", true),
    ("js_snapshot_sources", false),
];

/// Which features are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    said: BTreeMap<String, bool>,
}

impl Features {
    /// Whether the subjects of acknowledgements and flow control name domain and account: `$JS.ACK.<domain>.<account>.<stream>…` (ADR-15).
    pub fn ack_subjects_v2(&self) -> bool {
        self.is_on("js_ack_fc_v2")
    }

    /// Whether the same holds for the subjects at which a stream is answered that asks another one for its messages.
    pub fn api_replies_v2(&self) -> bool {
        self.is_on("js_api_reply_v2")
    }

    /// All flags by name, and whether they are on.
    pub fn all(&self) -> BTreeMap<&'static str, bool> {
        DEFAULTS.iter().map(|(name, _)| (*name, self.is_on(name))).collect()
    }

    fn is_on(&self, name: &str) -> bool {
        let default = || DEFAULTS.iter().any(|(known, is_on)| *known == name && *is_on);
        self.said.get(name).copied().unwrap_or_else(default)
    }
}

impl Show for Features {
    fn show(&self) -> String {
        let said: Vec<String> = self.said.iter().map(|(name, is_on)| format!("{name}:{is_on}")).collect();
        format!("map[{}]", said.join(" "))
    }
}

/// Names of flags, and whether they are on. One that is not known is noted, and has no effect.
pub(super) fn features(value: &Value, notes: &mut Notes) -> Features {
    let mut out = Features::default();
    let Some(map) = noted(reader::map(value), &mut notes.errors) else { return out };
    for entry in map.iter() {
        let Some(is_on) = noted(reader::boolean(&entry.value), &mut notes.errors) else { continue };
        if !DEFAULTS.iter().any(|(known, _)| *known == entry.key) {
            let problem = format!("feature flag {:?} is not known and has no effect", entry.key);
            notes.doubts.push(ConfigError::new(&entry.value.at, problem));
        }
        out.said.insert(entry.key.clone(), is_on);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language;
    use std::path::Path;

    fn read(text: &str) -> (Features, Notes) {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let map = language::parse_text(&format!("f: {text}"), "t.conf", &mut files, &|_| None);
        let map = map.expect("parsed");
        let mut notes = Notes::default();
        (features(&map.iter().next().expect("a key").value, &mut notes), notes)
    }

    #[test]
    fn what_is_said_counts_and_the_rest_is_as_it_was() {
        let (none, _) = read("{}");
        assert_eq!((none.ack_subjects_v2(), none.api_replies_v2()), (false, false));
        assert!(none.all()["js_raft_delete_range"]);
        let (some, notes) = read("{ js_ack_fc_v2: true, js_raft_delete_range: false }");
        assert!(notes.errors.is_empty() && notes.doubts.is_empty());
        assert_eq!(some.show(), "map[js_ack_fc_v2:true js_raft_delete_range:false]");
        assert_eq!((some.ack_subjects_v2(), some.all()["js_raft_delete_range"]), (true, false));
    }

    #[test]
    fn a_flag_is_true_or_false() {
        let (out, notes) = read("{ js_ack_fc_v2: 1, nope: true }");
        assert_eq!((notes.errors.len(), notes.doubts.len()), (1, 1));
        assert!(!out.ack_subjects_v2() && !out.all().contains_key("nope"));
        assert_eq!(read("x").1.errors.len(), 1);
    }
}
