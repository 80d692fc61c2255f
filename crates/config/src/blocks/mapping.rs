//! Subjects whose messages go elsewhere.

use super::block;
use super::keys::Status::Reloads;
use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::Within;
use crate::error::{ConfigError, Position};
use crate::language::{Entry, Kind, Map, Value};
use dialtone_subject::Literal;
use dialtone_subject::set::is_valid_filter;
use std::collections::{BTreeMap, BTreeSet};

/// A subject whose messages go elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// Where it stands.
    pub at: Position,
    /// The original subject; wildcards are allowed.
    pub subject: String,
    /// Where they go. What the weights leave of 100 keeps its subject, unless that is a destination itself: then it is lost.
    pub destinations: Vec<Destination>,
}

block! {
    /// Where a part of the messages goes.
    #[derive(Eq)]
    pub struct Destination in "destination" {
        /// `$1` stands for the first wildcard.
        subject: String = String::new(),
            destination | "dest": "Subject that takes the place of the original one.", read (reader::text), Within(Reloads);
        weight: u8 = 0,
            weight: "Percent of messages.", read (weight), Within(Reloads);
        cluster: Option<String> = None,
            cluster: "Only in this cluster.", read (|v| reader::text(v).map(Some)), Within(Reloads);
    }
}

/// `{ SUBJECT: destination, … }`, a destination being a subject, a block, or a list of blocks.
pub(crate) fn mappings(value: &Value, notes: &mut Notes) -> Vec<Mapping> {
    let map = noted(reader::map(value), &mut notes.errors).unwrap_or(const { &Map::EMPTY });
    map.iter().filter(|entry| !entry.variable).filter_map(|entry| mapping(entry, notes)).collect()
}

fn mapping(entry: &Entry, notes: &mut Notes) -> Option<Mapping> {
    let subject = entry.key.clone();
    if !is_valid_filter(subject.as_bytes()) {
        let problem = format!("Subject {subject:?} is not a valid subject");
        notes.errors.push(ConfigError::new(&entry.at, problem));
        return None;
    }
    let destinations = match &entry.value.kind {
        Kind::String(to) => vec![Destination { subject: to.clone(), weight: 100, cluster: None }],
        Kind::Array(values) => values.iter().filter_map(|value| destination(value, notes)).collect(),
        _ => destination(&entry.value, notes).into_iter().collect(),
    };
    let adding = |problem: String| {
        ConfigError::new(&entry.at, format!("Error adding mapping for {subject:?} : {problem}"))
    };
    let mut seen = BTreeSet::new();
    let mut weights: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    for destination in &destinations {
        if !seen.insert(&destination.subject) {
            notes.errors.push(adding(format!("duplicate entry for {:?}", destination.subject)));
        }
        *weights.entry(destination.cluster.as_deref()).or_default() += u64::from(destination.weight);
    }
    if weights.values().any(|weight| *weight > 100) {
        notes.errors.push(adding("total weight needs to be <= 100".into()));
    }
    Some(Mapping { at: entry.at.clone().into(), subject, destinations })
}

fn destination(value: &Value, notes: &mut Notes) -> Option<Destination> {
    let Kind::Map(map) = &value.kind else {
        notes.errors.push(ConfigError::new(&value.at, "Expected an entry for the mapping destination"));
        return None;
    };
    let before = notes.errors.len();
    let block = Block::new("destination", map, &mut notes.errors);
    let mut out = Destination::default();
    out.read(&block, notes);
    if out.subject.is_empty() {
        notes.errors.push(ConfigError::new(&value.at, "a mapping destination needs a `destination`"));
    }
    if block.get("weight").is_none() {
        let problem = format!("Missing weight for mapping destination {:?}", out.subject);
        notes.errors.push(ConfigError::new(&value.at, problem));
    }
    (notes.errors.len() == before).then_some(out)
}

fn weight(value: &Value) -> Result<u8, ConfigError> {
    match percent(value)? {
        Some(n @ 0..=100) => Ok(n as u8),
        Some(n) => Err(ConfigError::new(&value.at, format!("Invalid weight {n} for mapping destination"))),
        None => Err(ConfigError::new(&value.at, "Invalid weight for mapping destination")),
    }
}

/// A number, or a number and `%`. `None`: the text is no number.
pub(crate) fn percent(value: &Value) -> Result<Option<i64>, ConfigError> {
    match &value.kind {
        Kind::String(text) => Ok(text.strip_suffix('%').unwrap_or(text).trim().parse().ok()),
        _ => reader::integer(value).map(Some),
    }
}

/// A subject, with wildcards or without.
pub(crate) fn subject(value: &Value) -> Result<String, ConfigError> {
    let subject = reader::text(value)?;
    if is_valid_filter(subject.as_bytes()) {
        return Ok(subject);
    }
    Err(ConfigError::new(&value.at, format!("subject {subject:?} is not a valid subject")))
}

/// A subject without wildcards.
pub(crate) fn literal(value: &Value) -> Result<Literal, ConfigError> {
    let subject = reader::text(value)?;
    Literal::parse(&subject).map_err(|_| {
        ConfigError::new(&value.at, format!("subject {subject:?} is not a valid subject to publish on"))
    })
}
