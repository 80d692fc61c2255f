//! What the store holds, made into streams again.

use super::meta::StreamMeta;
use super::record::Record;
use super::settings;
use super::state::State;
use dialtone_jetstream::messages::Place;
use dialtone_store::{GroupId, Recovered};
use std::collections::BTreeMap;

/// The streams of a store that is being opened.
pub(crate) struct Recovery {
    groups: BTreeMap<GroupId, Found>,
    /// Nanoseconds since 1970.
    now: i64,
    payload_max: u32,
    /// What cannot be read, in words.
    pub(crate) problems: Vec<String>,
}

struct Found {
    account: String,
    name: String,
    state: Option<State>,
    is_broken: bool,
}

/// A stream that the store has.
pub(crate) struct Recovering {
    pub(crate) group: GroupId,
    /// The name of its account.
    pub(crate) account: String,
    pub(crate) name: String,
    /// `None`: it cannot be read.
    pub(crate) state: Option<State>,
}

impl Recovery {
    /// Begins.
    pub(crate) fn new(now: i64, payload_max: u32) -> Self {
        Self { groups: BTreeMap::new(), now, payload_max, problems: Vec::new() }
    }

    /// Takes in what the store has.
    pub(crate) fn take(&mut self, found: Recovered<'_>) {
        match found {
            Recovered::Group { id, meta, .. } => self.begin(id, meta),
            Recovered::Message { group, seq, head, place, body_bytes } => {
                self.within(group, |state, _, _| {
                    state.recover_message(seq, head, body_bytes)?;
                    state.machine.set_place(seq, Place(place.to_bytes()));
                    Ok(())
                });
            }
            Recovered::Record { group, bytes } => self.record(group, bytes),
            Recovered::Deleted { group } => {
                self.groups.remove(&group);
            }
            Recovered::Damage(damage) => self.problems.push(damage.to_string()),
            Recovered::TornTail { bytes } => {
                self.problems
                    .push(format!("{bytes} bytes that had not been acknowledged were left out at the end"));
            }
        }
    }

    fn begin(&mut self, id: GroupId, meta: &[u8]) {
        match serde_json::from_slice::<(String, String)>(meta) {
            Ok((account, name)) => {
                self.groups.insert(id, Found { account, name, state: None, is_broken: false });
            }
            Err(_) => self.problems.push(format!("group {} has no name that is known", id.0)),
        }
    }

    fn record(&mut self, group: GroupId, bytes: &[u8]) {
        // The first record of a stream makes it.
        let is_new = self.groups.get(&group).is_some_and(|found| found.state.is_none() && !found.is_broken);
        if is_new && let Some(Record::Stream(meta)) = Record::decode(bytes) {
            let made = StreamMeta::decode(meta);
            if let (Ok(meta), Some(found)) = (made, self.groups.get_mut(&group)) {
                let settings = settings::stream(&meta.config, self.payload_max);
                found.state = Some(State::new(meta, settings));
                return;
            }
        }
        self.within(group, |state, now, _| state.recover_record(bytes, now));
    }

    fn within(
        &mut self,
        group: GroupId,
        act: impl FnOnce(&mut State, i64, u32) -> Result<(), super::state::Unreadable>,
    ) {
        let Some(found) = self.groups.get_mut(&group).filter(|found| !found.is_broken) else { return };
        let done = found.state.as_mut().map(|state| act(state, self.now, self.payload_max));
        if !matches!(done, Some(Ok(()))) {
            found.is_broken = true;
            let Found { account, name, .. } = found;
            self.problems.push(format!(
                "stream {name:?} of account {account:?}: its log has an entry that is not known"
            ));
        }
    }

    /// All streams, in the order in which they were made.
    pub(crate) fn streams(self) -> impl Iterator<Item = Recovering> {
        self.groups.into_iter().map(|(group, Found { account, name, state, is_broken })| {
            let state = state.filter(|_| !is_broken);
            let state = state.map(|mut state| {
                state.recovered();
                state
            });
            Recovering { group, account, name, state }
        })
    }
}
