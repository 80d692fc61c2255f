//! What a server says of itself.

use super::block;
use super::rule::{LogForm::Words, Rule::Reloads, Rule::Restarts, show};
use crate::blocks::reader;
use crate::blocks::rule::Change;
use crate::error::ConfigError;
use crate::language::Value;
use std::collections::BTreeMap;

block! {
    /// What a server says of itself.
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
