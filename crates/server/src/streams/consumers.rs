//! Making, changing and ending the consumers of a stream.

use super::advisories;
use super::hosted::{Hosted, Tap};
use super::kept::KeptConfig;
use super::meta::ConsumerMeta;
use super::record::Record;
use super::session::Session;
use super::settings;
use super::shared::wall;
use dialtone_broker::inlet::Publish;
use dialtone_broker::subscription::Subscription;
use dialtone_jetstream::api::advisories::Action;
use dialtone_jetstream::config::{AckPolicy, ConsumerConfig, beyond, short_name};
use dialtone_jetstream::consumer::{ConsumerId, Info, Prefixes, Start};
use dialtone_store::{Lsn, Refused, Urgency};
use std::sync::Arc;

/// A consumer as the API shows it.
pub(crate) struct Shown {
    /// Its configuration and when it was made.
    pub(crate) meta: ConsumerMeta,
    /// Its figures.
    pub(crate) info: Info,
}

impl Hosted {
    /// Makes a consumer, or gives one another configuration. As it is before it delivers anything, and where the log ends that says so;
    /// `None` in memory. A new one that sends does not before `look_at_interest`.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) fn put_consumer(
        &self,
        name: &str,
        config: ConsumerConfig,
        turn: &mut dyn Publish,
    ) -> Option<Result<(Shown, Option<Lsn>), Refused>> {
        let is_taken_up_again = config.sourcing && !config.direct;
        let put = self.with(turn, |session| {
            let (upto, is_bound) = match session.inner.state.consumer_id(name) {
                Some(id) => {
                    let upto = update(session, id, config)?;
                    if is_taken_up_again {
                        // What was not acknowledged comes again, from the first of it.
                        let _ = session.consumer(id, |machine, ctx| machine.reset(ctx, None));
                    }
                    (upto, false)
                }
                None => create(session, name, config)?,
            };
            let mut shown = show(session, name);
            shown.iter_mut().for_each(|shown| shown.info.push_bound |= is_bound);
            Ok(shown.map(|shown| (shown, upto)))
        })?;
        put.transpose()
    }

    /// Looks at once whether somebody listens to a consumer that sends.
    pub(crate) fn look_at_interest(&self, name: &str, turn: &mut dyn Publish) {
        self.with(turn, |session| {
            let id = session.inner.state.consumer_id(name)?;
            session.look_at(id.0);
            Some(())
        });
    }

    /// Ends a consumer. `None`: there is none.
    pub(crate) fn delete_consumer(&self, name: &str, turn: &mut dyn Publish) -> Option<Option<Lsn>> {
        self.with(turn, |session| {
            let id = session.inner.state.consumer_id(name)?;
            Some(delete(session, id))
        })?
    }

    /// A consumer with its figures.
    pub(crate) fn show_consumer(&self, name: &str, turn: &mut dyn Publish) -> Option<Shown> {
        self.with(turn, |session| show(session, name))?
    }

    /// All consumers by name, as they are: requests that are over are not ended for it.
    pub(crate) fn shown_consumers(&self) -> Vec<Shown> {
        let (inner, now) = (self.lock(), wall());
        let by_name = inner.state.consumers.by_name(None);
        let shown = |(_, id)| {
            let info = inner.state.consumers.get(id)?.info_at(now);
            Some(Shown { meta: inner.state.consumers.about(id)?.meta.clone(), info })
        };
        by_name.filter_map(shown).collect()
    }

    /// The figures of all consumers, by their names.
    pub(crate) fn consumer_figures(&self) -> Vec<(String, Info)> {
        let (inner, now) = (self.lock(), wall());
        let all = inner.state.consumers.iter();
        let hold = self.hold(inner.awaits_disk());
        let figures = all.map(|(machine, held)| (held.meta.name().to_owned(), machine.info_at(now)));
        figures.map(|(name, info)| (name, Info { held_by: info.held_by.or(hold), ..info })).collect()
    }

    /// Names of the consumers, sorted, without those by which other streams take messages.
    pub(crate) fn consumer_names(&self) -> Vec<String> {
        let inner = self.lock();
        let shown = inner.state.consumers_by_name().filter(|held| !held.meta.common().direct);
        shown.map(|held| held.meta.name().to_owned()).collect()
    }

    /// Subscribes where the consumers are asked that the log has.
    pub(super) fn open_consumers(&self) {
        // One after the other: there may be very many.
        let all: Vec<ConsumerId> = self.lock().state.consumers.by_name(None).map(|(_, id)| id).collect();
        for id in all {
            let (name, config) = match self.lock().state.consumers.about(id) {
                Some(held) => (held.meta.name.clone(), held.meta.config()),
                None => continue,
            };
            let prefixes = self.prefixes(&name);
            self.lock().state.consumers.with(id, |machine| machine.set_prefixes(prefixes));
            let taps = self.open_consumer(id.0, &name, &config);
            if !config.is_pull() {
                self.look_at(id.0);
            }
            if let Some(held) = self.lock().state.consumers.about_mut(id) {
                held.taps = taps;
            }
        }
    }

    /// Has a consumer found where it is asked and acknowledged. The subscription that is for it alone, if there is one.
    fn open_consumer(&self, id: u64, name: &Arc<str>, config: &ConsumerConfig) -> Vec<Arc<Subscription>> {
        self.watch_listeners(id, config);
        self.name_consumer(id, name, config);
        match beyond::dead_letter(config) {
            Some(_) => self.subscribe(&[(Tap::Letter(id), Prefixes::letter(&self.name, name, "*"))]),
            None => Vec::new(),
        }
    }

    /// Has a consumer found where it is asked and acknowledged, as its configuration says.
    fn name_consumer(&self, id: u64, name: &Arc<str>, config: &ConsumerConfig) {
        let stream = &*self.name;
        // One that sends answers that it does.
        self.tap_all(Tap::Pull, "$JS.API.CONSUMER.MSG.NEXT.", stream, "");
        if let Some(domain) = &self.shared.domain {
            self.tap_all(Tap::Pull, &format!("$JS.{domain}.API.CONSUMER.MSG.NEXT."), stream, "");
        }
        // Nobody is asked in the second form, where it is not made.
        if config.flow_control
            && self.tap_all(Tap::FlowControl, "$JS.FC.", stream, ".>")
            && self.shared.forms.acks_v2
        {
            self.tap_all(Tap::FlowControl, "$JS.FC.", &self.with_account(), ".>");
        }
        // What was delivered before the flag was taken back is acknowledged, too.
        if config.ack_policy != AckPolicy::None && self.tap_all(Tap::Ack, "$JS.ACK.", stream, ".*.*.*.*.*") {
            self.tap_all(Tap::Ack, "$JS.ACK.", &self.with_account(), ".*.*.*.*.>");
        }
        self.names.add(name, id, config);
        self.forget_routes(name);
    }

    /// Subscribes for all consumers where they are asked: `before`, a stream, a consumer, `behind`. False if that is done.
    fn tap_all(&self, tap: fn(u64) -> Tap, before: &str, stream: &str, behind: &str) -> bool {
        let filter = format!("{before}{stream}.*{behind}");
        let is_it = |(known, _): &(Box<str>, Arc<Subscription>)| **known == *filter;
        if self.names.taps.lock().iter().any(is_it) {
            return false;
        }
        let at = before.matches('.').count() + stream.matches('.').count() + 1;
        let subscribed = self.subscribe(&[(tap(at as u64), filter.clone())]);
        let subscribed = subscribed.into_iter().map(|subscription| (filter.clone().into(), subscription));
        self.names.taps.lock().extend(subscribed);
        true
    }

    /// A consumer is there, or gone: whoever asked it before looks again.
    fn forget_routes(&self, name: &str) {
        let Some(account) = self.account() else { return };
        let (stream, domain) = (&*self.name, self.shared.domain.as_deref());
        let domain = domain.map(|domain| format!("$JS.{domain}.API.CONSUMER.MSG.NEXT.{stream}.{name}"));
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
        for filter in [next].into_iter().chain(domain).chain(["$JS.ACK.>", "$JS.FC.>"].map(str::to_owned)) {
            account.forget_matches_of(filter.as_bytes());
        }
    }

    /// A consumer is gone.
    fn forget_name(&self, name: &str) {
        self.names.remove(name);
        self.forget_routes(name);
    }

    /// The names in subjects that have domain and account, too, before that of the consumer.
    fn with_account(&self) -> String {
        let account = self.account().map(|account| short_name(&account.name)).unwrap_or_default();
        format!("{}.{account}.{}", self.shared.domain.as_deref().unwrap_or("_"), self.name)
    }

    /// What the subjects begin with that a consumer makes.
    fn prefixes(&self, consumer: &str) -> Prefixes {
        match self.shared.forms.acks_v2 {
            true => Prefixes::with_account(&format!("{}.{consumer}", self.with_account())),
            false => Prefixes::new(&self.name, consumer),
        }
    }
}

impl Hosted {
    /// Watches who listens to a consumer, if it sends; to be looked at afterwards.
    fn watch_listeners(&self, id: u64, config: &ConsumerConfig) {
        if let Some(account) = self.account().filter(|_| !config.is_pull()) {
            self.listeners.watch(&self.this, &account, id, config);
        }
    }
}

fn show(session: &mut Session<'_>, name: &str) -> Option<Shown> {
    let id = session.inner.state.consumer_id(name)?;
    let info = session.consumer(id, |machine, ctx| machine.info(ctx))?;
    let meta = session.inner.state.consumers.about(id)?.meta.clone();
    Some(Shown { meta, info })
}

/// Makes a consumer. Where the log ends that says so, and whether somebody listens to what it will send.
fn create(
    session: &mut Session<'_>,
    name: &str,
    config: ConsumerConfig,
) -> Result<(Option<Lsn>, bool), Refused> {
    let state = &session.inner.state;
    let settings = settings::consumer(&config, &state.meta.config, state.payload_max());
    let start = Start::of(&settings, &state.view());
    let id = state.next_consumer();
    let kept = KeptConfig::of(config.clone(), name);
    let meta = ConsumerMeta { id, created: session.now, start, name: name.into(), kept };
    // Another stream that takes messages asks again after a restart, from where it is.
    let upto = match config.direct {
        true => None,
        false => session.log_record(Record::Consumer(&meta.encode()), Urgency::Ordinary)?,
    };
    let prefixes = session.hosted.prefixes(meta.name());
    let taps = session.hosted.open_consumer(id, &meta.name, &config);
    let (now, is_push, paused) = (session.now, !config.is_pull(), config.pause_until);
    let id = session.inner.state.begin_consumer(meta, prefixes, now);
    if let Some(held) = session.inner.state.consumers.about_mut(id) {
        held.taps = taps;
    }
    advisories::consumer_acted(session, name, Action::Create);
    if paused.is_some() {
        advisories::consumer_paused(session, name, paused);
    }
    // It begins to send when the answer is out, or with whatever is done next for the stream.
    Ok((upto, is_push && session.hosted.listeners.note(id.0)))
}

fn update(session: &mut Session<'_>, id: ConsumerId, config: ConsumerConfig) -> Result<Option<Lsn>, Refused> {
    let Some(held) = session.inner.state.consumers.about(id) else { return Ok(None) };
    let old = held.meta.config();
    if old == config {
        return Ok(None);
    }
    let is_paused_anew = old.pause_until != config.pause_until;
    let listens_to = |config: &ConsumerConfig| (config.deliver_subject.clone(), config.deliver_group.clone());
    let has_moved = listens_to(&old) != listens_to(&config);
    let kept = KeptConfig::of(config.clone(), held.meta.name());
    let meta = ConsumerMeta { kept, ..held.meta.clone() };
    let pause = is_paused_anew.then(|| (meta.name().to_owned(), config.pause_until));
    let upto = session.log_record(Record::Consumer(&meta.encode()), Urgency::Ordinary)?;
    let state = &mut session.inner.state;
    let settings = settings::consumer(&config, &state.meta.config, state.payload_max());
    let before = state.consumers.get(id).map(|machine| machine.filters().clone());
    if has_moved {
        session.hosted.watch_listeners(id.0, &config);
    }
    if let Some(held) = state.consumers.about_mut(id) {
        let has_letters = |config| beyond::dead_letter(config).is_some();
        if has_letters(&config) && !has_letters(&old) {
            let filter = Prefixes::letter(&session.hosted.name, meta.name(), "*");
            held.taps.extend(session.hosted.subscribe(&[(Tap::Letter(id.0), filter)]));
        }
        session.hosted.name_consumer(id.0, &meta.name, &config);
        held.meta = meta;
    }
    session.consumers(id, |consumers, ctx| {
        consumers.update(id, settings, |machine, settings| machine.update(ctx, settings));
    });
    session.inner.state.let_go(&before.unwrap_or_default());
    if has_moved {
        session.look_at(id.0);
    }
    if let Some((name, until)) = pause {
        advisories::consumer_paused(session, &name, until);
    }
    Ok(upto)
}

/// Ends a consumer. Where the log ends that says so.
pub(super) fn delete(session: &mut Session<'_>, id: ConsumerId) -> Option<Lsn> {
    let is_logged = session.inner.state.consumers.about(id).is_some_and(|held| !held.meta.common().direct);
    let record = Record::Gone(&id.0.to_le_bytes());
    let upto = if is_logged { session.log_record(record, Urgency::FreesRoom).ok().flatten() } else { None };
    end(session, id);
    upto
}

/// The same where the log need not know it.
pub(super) fn end(session: &mut Session<'_>, id: ConsumerId) {
    let Some((mut machine, held)) = session.inner.state.end_consumer(id) else { return };
    advisories::consumer_acted(session, held.meta.name(), Action::Delete);
    session.hosted.listeners.forget(id.0);
    session.hosted.forget_name(held.meta.name());
    session.hosted.unsubscribe(&held.taps);
    session.consumers(id, |_, ctx| machine.deleted(ctx));
    session.inner.state.settle_all();
}
