//! What a server says of itself, to others and in files.

use super::block;
use super::features::{Features, features};
use super::rule::{LogForm::Value as Shown, LogForm::Words, Rule::Reloads, Rule::Restarts, show};
use crate::blocks::reader;
use crate::blocks::rule::Change;
use crate::error::ConfigError;
use crate::language::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

block! {
    /// What a server says of itself, to others and in files.
    pub struct Server in "" {
        /// `None`: its id.
        name: Option<String> = None,
            server_name: "Name of the server. Default: its id.", read (reader::optional), Restarts("ServerName", show);
        /// In lower case.
        tags: Vec<String> = Vec::new(),
            server_tags: "Tags of the server, for placement and monitoring.",
            read (tags), Reloads(Change::Presentation, Words("tags"));
        metadata: BTreeMap<String, String> = BTreeMap::new(),
            server_metadata: "Keys and values shown by monitoring.",
            read (metadata), Reloads(Change::Presentation, Words("metadata"));
        features: Features = Features::default(),
            feature_flags: "Behaviour that is being introduced, such as `{ js_ack_fc_v2: true }`: subjects of acknowledgements and flow control that name domain and account; `js_api_reply_v2`: the same for answers to streams that have a mirror or sources; `js_raft_delete_range`, `js_snapshot_sources`: of replicated streams, which a server alone has not.",
            block (features), Restarts("FeatureFlags", show);
        pid_file: Option<PathBuf> = None,
            pid_file | "pidfile": "File that holds the process id.",
            read (reader::path), Reloads(Change::Process, Shown(show));
        ports_file_dir: Option<PathBuf> = None,
            ports_file_dir: "Folder for a file that lists the ports.",
            read (reader::path), Reloads(Change::Process, Shown(show));
    }
}

/// A list of tags, or several in one text with commas between them.
fn tags(value: &Value) -> Result<Vec<String>, ConfigError> {
    Ok(reader::texts(value)?
        .iter()
        .flat_map(|text| text.split(','))
        .map(|tag| tag.trim().to_ascii_lowercase())
        .filter(|tag| !tag.is_empty())
        .collect())
}

fn metadata(value: &Value) -> Result<BTreeMap<String, String>, ConfigError> {
    let entries = reader::map(value)?.iter();
    entries.map(|entry| Ok((entry.key.clone(), reader::text(&entry.value)?))).collect()
}
