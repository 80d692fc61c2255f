//! What the store holds, made into streams again.

use super::capture::Returning;
use super::index::Index;
use super::meta::StreamMeta;
use super::record::Record;
use super::settings;
use super::state::{State, Unreadable};
use dialtone_jetstream::messages::{Place, Resumed};
use dialtone_jetstream::stream::Proposal;
use dialtone_store::{Damage, GroupId, Lost, Recovered};
use std::collections::BTreeMap;

/// The streams of a store that is being opened.
pub(crate) struct Recovery {
    groups: BTreeMap<GroupId, Found>,
    /// The group of the last checkpoint whose messages are being handed over.
    returning: Option<(GroupId, Returning)>,
    /// Groups whose state at the last checkpoint cannot be read.
    stateless: Vec<GroupId>,
    /// Nanoseconds since 1970.
    now: i64,
    payload_max: u32,
    index: Index,
    /// What cannot be read, in words.
    pub(crate) problems: Vec<String>,
    /// Bytes of a batch that was being written when everything stopped.
    pub(crate) torn_bytes: u64,
}

struct Found {
    account: String,
    name: String,
    stage: Stage,
    /// Places in segments that no message uses.
    unused: Unused,
    /// It was being made of something from elsewhere, and is not whole yet.
    is_loading: bool,
}

/// How far a stream is.
enum Stage {
    /// It has no configuration yet.
    Begun,
    Here(Box<State>),
    /// It cannot be read.
    Broken,
}

/// A stream that the store has.
pub(crate) struct Recovering {
    pub(crate) group: GroupId,
    /// The name of its account.
    pub(crate) account: String,
    /// Its own name.
    pub(crate) name: String,
    /// `None`: it cannot be read.
    pub(crate) state: Option<State>,
    /// Places of messages that are gone: the store is to be told.
    pub(crate) unused: Unused,
}

/// What of segments no message uses.
#[derive(Default)]
pub(crate) struct Unused {
    places: Vec<dialtone_store::Place>,
    /// All of messages up to this sequence.
    upto: Option<u64>,
}

impl Unused {
    /// Tells the store.
    pub(crate) fn drop_all(self, store: &dialtone_store::Store, group: GroupId) {
        if let Some(upto) = self.upto {
            store.dropped_upto(group, upto);
        }
        self.places.into_iter().for_each(|place| store.dropped(group, place));
    }
}

impl Recovery {
    /// Begins.
    pub(crate) fn new(now: i64, payload_max: u32, index: Index) -> Self {
        let (groups, problems) = (BTreeMap::new(), Vec::new());
        Self {
            groups,
            returning: None,
            stateless: Vec::new(),
            now,
            payload_max,
            index,
            problems,
            torn_bytes: 0,
        }
    }

    /// Takes in what the store has.
    pub(crate) fn take(&mut self, found: Recovered<'_>) {
        match found {
            Recovered::Group { id, meta, state, heads, is_asked_for } => {
                is_asked_for.set(self.begin(id, meta, (state, heads)));
            }
            Recovered::Message { group, seq, head, place, body_bytes } if place.lsn().is_none() => {
                self.returned(group, (seq, head, body_bytes), place);
            }
            Recovered::Message { group, seq, head, place, body_bytes } => self.within(group, |state, _| {
                state.recover_message(seq, head, body_bytes)?;
                state.machine.set_place(seq, Place(place.to_bytes()));
                Ok(())
            }),
            Recovered::Record { group, bytes } => self.record(group, bytes),
            Recovered::Deleted { group } => {
                self.end_return();
                self.groups.remove(&group);
            }
            Recovered::Damage(damage) => self.damaged(&damage),
            Recovered::TornTail { bytes } => self.torn_bytes += bytes,
        }
    }

    /// A stream begins; whether it asks for its messages when it needs them.
    fn begin(
        &mut self,
        id: GroupId,
        meta: &[u8],
        (state, heads): (Option<&[u8]>, &dialtone_store::Heads),
    ) -> bool {
        self.end_return();
        let Ok((account, name)) = serde_json::from_slice::<(String, String)>(meta) else {
            self.problems.push(format!("group {} has no name that is known", id.0));
            return false;
        };
        let heads = (self.index.of(&name, heads.clone()), self.index.budget.clone());
        let found =
            Found { account, name, stage: Stage::Begun, unused: Unused::default(), is_loading: false };
        self.groups.insert(id, found);
        match state.map(|state| Returning::new(state, self.payload_max, heads)) {
            Some(Ok(returning)) => {
                let is_whole = returning.is_whole();
                self.returning = Some((id, returning));
                if is_whole {
                    self.end_return();
                }
                return is_whole;
            }
            Some(Err(_)) => self.break_off(id, "its state is not known"),
            None if self.stateless.contains(&id) => self.break_off(id, "its state is damaged"),
            None => {}
        }
        false
    }

    /// A stream cannot be read. What the store has of it stays.
    fn break_off(&mut self, id: GroupId, why: &str) {
        if let Some(found) = self.groups.get_mut(&id) {
            found.stage = Stage::Broken;
            let Found { account, name, .. } = found;
            self.problems.push(format!("stream {name:?} of account {account:?}: {why}"));
        }
    }

    /// A message that was there at the last checkpoint, or was gone already.
    fn returned(
        &mut self,
        group: GroupId,
        (seq, head, body_bytes): (u64, &[u8], u32),
        place: dialtone_store::Place,
    ) {
        let Some((_, returning)) = self.returning.as_mut().filter(|(id, _)| *id == group) else { return };
        match returning.message(seq, head, body_bytes, Place(place.to_bytes())) {
            Ok(None) => {}
            Ok(Some(unused)) => {
                if let Some(found) = self.groups.get_mut(&group) {
                    found.unused.places.push(dialtone_store::Place::from_bytes(unused.0));
                }
            }
            Err(Unreadable) => {
                self.returning = None;
                self.break_off(group, "a message has a head that is not known");
            }
        }
    }

    /// All messages of the stream at hand have come.
    fn end_return(&mut self) {
        let Some((id, returning)) = self.returning.take() else { return };
        match returning.finish(self.now) {
            Ok((state, Resumed { missing, has_lost_subjects })) => {
                if let Some(found) = self.groups.get_mut(&id) {
                    found.stage = Stage::Here(Box::new(state));
                    let Found { account, name, .. } = found;
                    if has_lost_subjects {
                        self.problems.push(format!(
                            "stream {name:?} of account {account:?}: its table of subjects cannot be read, and is made anew from its messages"
                        ));
                    }
                    if missing > 0 {
                        self.problems.push(format!(
                            "stream {name:?} of account {account:?}: {missing} messages cannot be read"
                        ));
                    }
                }
            }
            Err(Unreadable) => self.break_off(id, "the state of a consumer is not known"),
        }
    }

    fn record(&mut self, group: GroupId, bytes: &[u8]) {
        self.end_return();
        if let (Some(mark @ (Record::Loading | Record::Loaded)), Some(found)) =
            (Record::decode(bytes), self.groups.get_mut(&group))
        {
            found.is_loading = mark == Record::Loading;
            return;
        }
        // The first record of a stream makes it.
        let begun = self.groups.get_mut(&group).filter(|found| matches!(found.stage, Stage::Begun));
        if let (Some(found), Some(Record::Stream(meta))) = (begun, Record::decode(bytes))
            && let Ok(meta) = StreamMeta::decode(meta)
        {
            let settings = settings::stream(&meta.config, self.payload_max);
            found.stage = Stage::Here(Box::new(State::new(meta, settings)));
            return;
        }
        self.within(group, |state, now| state.recover_record(bytes, now));
    }

    fn within(&mut self, group: GroupId, act: impl FnOnce(&mut State, i64) -> Result<(), Unreadable>) {
        self.end_return();
        let now = self.now;
        let Some(found) = self.groups.get_mut(&group) else { return };
        let done = match &mut found.stage {
            Stage::Here(state) => act(state, now),
            Stage::Begun => Err(Unreadable),
            Stage::Broken => return,
        };
        if let Stage::Here(state) = &mut found.stage {
            take_unused(state, &mut found.unused);
        }
        if done.is_err() {
            self.break_off(group, "its log has an entry that is not known");
        }
    }

    /// Something cannot be read. No sequence comes again that could have been given to what is lost.
    fn damaged(&mut self, damage: &Damage) {
        self.problems.push(damage.to_string());
        // The states of checkpoints know what sequences there were.
        let is_log = !damage.file.starts_with("segments/");
        match damage.what {
            Lost::State { group } => self.stateless.push(group),
            Lost::Message { group, seq } if is_log => self.within(group, |state, _| {
                state.apply(&Proposal::SkipTo(seq));
                Ok(())
            }),
            Lost::Unknown { sequences_max } if is_log => {
                self.end_return();
                for found in self.groups.values_mut() {
                    if let Stage::Here(state) = &mut found.stage {
                        let last = state.machine.totals().last;
                        state.apply(&Proposal::SkipTo(last.saturating_add(sequences_max)));
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes out what is not whole: a restore or a takeover that did not come to its end. Nobody was told of it.
    pub(crate) fn unfinished(&mut self) -> Vec<GroupId> {
        let all = self.groups.iter();
        let unfinished: Vec<GroupId> =
            all.filter(|(_, found)| found.is_loading).map(|(group, _)| *group).collect();
        unfinished.iter().for_each(|group| drop(self.groups.remove(group)));
        unfinished
    }

    /// All streams, in the order in which they were made.
    pub(crate) fn streams(mut self) -> impl Iterator<Item = Recovering> {
        self.end_return();
        self.groups.into_iter().map(|(group, Found { account, name, stage, unused, .. })| {
            let state = match stage {
                Stage::Here(mut state) => {
                    state.recovered();
                    Some(*state)
                }
                Stage::Begun | Stage::Broken => None,
            };
            Recovering { group, account, name, state, unused }
        })
    }
}

/// Places of segments in which messages were that are gone.
fn take_unused(state: &mut State, unused: &mut Unused) {
    let freed = state.machine.freed();
    let places = freed.single.drain(..).map(|place| dialtone_store::Place::from_bytes(place.0));
    unused.places.extend(places.filter(|place| place.lsn().is_none()));
    if let Some(upto) = freed.upto.take() {
        // Among them are those before.
        unused.places.clear();
        unused.upto = Some(upto);
    }
}
