//! Looking at all that is in a store: each message is read, each checksum checked.

use super::opened::Opened;
use super::{OfflineError, folder};
use crate::streams::{Recovering, State};
use dialtone_config::options::JetStream;
use dialtone_jetstream::messages::Body;
use dialtone_jetstream::stream::unpack;
use dialtone_jetstream::time::Time;
use dialtone_store::{Damage, GroupId, Lost, Place, ReadError, Store};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Damaged places that are listed; what is beyond is counted.
const DAMAGE_MAX: usize = 10_000;

/// What a store holds.
#[derive(Debug, Default, Serialize)]
pub struct Checked {
    /// The store's folder.
    pub folder: PathBuf,
    /// By account and name.
    pub streams: Vec<StreamFound>,
    /// What cannot be read, by file and range.
    pub damage: Vec<DamageFound>,
    /// Damaged places that are not listed since there are too many.
    pub damage_beyond: u64,
    /// What else is wrong, in words.
    pub problems: Vec<String>,
    /// Bytes at the end of the log that had not been acknowledged: they are left out at the next start, and no damage.
    pub torn_bytes: u64,
    /// Restores and takeovers that did not come to their end, which are deleted at the next start.
    pub unfinished: usize,
}

/// A stream of a store.
#[derive(Debug, Default, Serialize)]
pub struct StreamFound {
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Whether its state can be read; if not, nothing else is known.
    pub is_readable: bool,
    /// Messages.
    pub messages: u64,
    /// Their bytes, as the stream counts them.
    pub bytes: u64,
    /// The first sequence.
    pub first: u64,
    /// When it was stored.
    pub first_time: Option<String>,
    /// The last sequence.
    pub last: u64,
    /// When it was stored.
    pub last_time: Option<String>,
    /// Different subjects.
    pub subjects: u64,
    /// Messages that cannot be read.
    pub unreadable: u64,
    /// Its consumers, by name.
    pub consumers: Vec<ConsumerFound>,
}

/// A consumer of a stream.
#[derive(Debug, Default, Serialize)]
pub struct ConsumerFound {
    /// Its name.
    pub name: String,
    /// The last sequence of the stream that was delivered.
    pub delivered: u64,
    /// Up to this sequence of the stream all is acknowledged.
    pub ack_floor: u64,
    /// Messages that were delivered and wait for their acknowledgement.
    pub waiting: u64,
}

/// Something that cannot be read.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DamageFound {
    /// The file, within the store's folder.
    pub file: String,
    /// The first byte.
    pub from: u64,
    /// The byte behind the last.
    pub to: u64,
    /// Account and stream, where it is of one.
    pub stream: Option<(String, String)>,
    /// What is lost.
    pub what: String,
}

impl Checked {
    /// Whether everything that was written can be read.
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.problems.is_empty()
    }
}

/// Reads all that a store has; `own` has its key, if it is encrypted. Nothing of it changes.
///
/// # Errors
/// There is none, a server runs with it, or it cannot be opened. Damage is no error.
pub fn check(dir: &Path, own: Option<&JetStream>) -> Result<Checked, OfflineError> {
    let folder = folder::store(dir)?;
    let opened = Opened::new(&folder, own)?;
    let mut found = Damaged::default();
    opened.damage.iter().for_each(|damage| found.note(damage, &opened));
    scrub(&opened, &mut found)?;
    let mut checked = Checked {
        folder,
        problems: opened.problems.clone(),
        torn_bytes: opened.torn_bytes,
        unfinished: opened.unfinished,
        ..Checked::default()
    };
    for stream in &opened.streams {
        checked.streams.push(look(&opened, stream, &mut found, &mut checked.problems));
    }
    (checked.damage, checked.damage_beyond) = found.take();
    Ok(checked)
}

/// What is damaged, each place once.
#[derive(Default)]
struct Damaged {
    places: BTreeMap<(String, u64, u64), DamageFound>,
    beyond: u64,
}

impl Damaged {
    fn note(&mut self, damage: &Damage, opened: &Opened) {
        let (from, to) = (damage.range.start, damage.range.end);
        let key = (damage.file.clone(), from, to);
        // What says what is lost there stands for what says that nobody knows.
        if self.places.get(&key).is_some_and(|known| known.stream.is_some()) {
            return;
        }
        if self.places.len() >= DAMAGE_MAX {
            self.beyond += 1;
            return;
        }
        let (group, what) = match damage.what {
            Lost::Message { group, seq } => (Some(group), format!("message {seq}")),
            Lost::Record { group } => (Some(group), "a change of the stream or of its consumers".to_owned()),
            Lost::State { group } => (Some(group), "the state of the stream".to_owned()),
            Lost::Block { group } => {
                (Some(group), "a part of the table of subjects, which is made anew".to_owned())
            }
            Lost::Unknown { .. } | Lost::Nothing => (None, damage.what.to_string()),
        };
        let stream = group.and_then(|group| opened.name(group).cloned());
        let file = damage.file.clone();
        self.places.insert(key, DamageFound { file, from, to, stream, what });
    }

    fn take(self) -> (Vec<DamageFound>, u64) {
        (self.places.into_values().collect(), self.beyond)
    }
}

/// Reads all segments from front to back.
fn scrub(opened: &Opened, found: &mut Damaged) -> Result<(), OfflineError> {
    let mut after = 0;
    loop {
        match opened.store.scrub(after) {
            Ok(Some(scrubbed)) => {
                scrubbed.damage.iter().for_each(|damage| found.note(damage, opened));
                after = scrubbed.segment;
            }
            Ok(None) => return Ok(()),
            Err(ReadError::Disk { file, cause }) => return Err(OfflineError::Disk(file.into(), cause)),
            Err(_) => return Ok(()),
        }
    }
}

/// Reads all messages of a stream.
fn look(
    opened: &Opened,
    stream: &Recovering,
    found: &mut Damaged,
    problems: &mut Vec<String>,
) -> StreamFound {
    let (account, name) = (stream.account.clone(), stream.name.clone());
    let Some(state) = &stream.state else { return StreamFound { account, name, ..StreamFound::default() } };
    let (totals, messages) = (state.machine.totals(), state.machine.messages());
    let time = |nanos: i64| (nanos != 0).then(|| Time::from_unix_nanos(nanos).to_string());
    let mut unreadable = 0;
    each_message(&opened.store, stream.group, state, &mut |seq, body| {
        if let Err(why) = body {
            unreadable += 1;
            match why {
                Why::Damaged(damage) => found.note(&damage, opened),
                Why::Other(why) => {
                    problems.push(format!("stream {name:?} of account {account:?}: message {seq}: {why}"))
                }
            }
        }
    });
    StreamFound {
        is_readable: true,
        messages: totals.count,
        bytes: totals.bytes,
        first: totals.first,
        first_time: messages.head(totals.first).and_then(|head| time(head.time)),
        last: totals.last,
        last_time: time(totals.last_time),
        subjects: messages.subjects_count() as u64,
        unreadable,
        consumers: consumers(state),
        account,
        name,
    }
}

fn consumers(state: &State) -> Vec<ConsumerFound> {
    let all = state.archived_consumers(u64::MAX);
    let shown = all.into_iter().map(|(name, entry)| {
        let state = entry.state.unwrap_or_default();
        ConsumerFound {
            name,
            delivered: state.delivered.stream_seq,
            ack_floor: state.ack_floor.stream_seq,
            waiting: state.pending.0.len() as u64,
        }
    });
    shown.collect()
}

/// Why a message cannot be read.
pub(super) enum Why {
    Damaged(Damage),
    Other(String),
}

/// Who takes a message: its sequence, and its body or why there is none.
pub(super) type TakeMessage<'a> = dyn FnMut(u64, Result<&[u8], Why>) + 'a;

/// Hands over each message of a stream with its body: headers, then payload.
pub(super) fn each_message(store: &Store, group: GroupId, state: &State, each: &mut TakeMessage<'_>) {
    let messages = state.machine.messages();
    let (mut reader, mut whole) = (store.reader(), Vec::new());
    for head in messages.iter_from(0) {
        let place = match messages.body(head.seq) {
            Some(Body::Hot(body)) => {
                each(head.seq, Ok(body));
                continue;
            }
            Some(Body::Cold(place)) => Place::from_bytes(place.0),
            None => {
                each(head.seq, Err(Why::Other("it has no body".to_owned())));
                continue;
            }
        };
        match reader.read(group, head.seq, place) {
            Ok(body) if body.len() == head.body_bytes as usize => each(head.seq, Ok(body)),
            Ok(body) => {
                whole.clear();
                whole.extend_from_slice(body);
                let is_unpacked = unpack(&mut whole, 0, head.body_bytes);
                each(
                    head.seq,
                    if is_unpacked {
                        Ok(&whole)
                    } else {
                        Err(Why::Damaged(store.damage_of(group, head.seq, place)))
                    },
                );
            }
            Err(ReadError::Damaged(damage)) => each(head.seq, Err(Why::Damaged(damage))),
            Err(error) => each(head.seq, Err(Why::Other(error.to_string()))),
        }
    }
}
