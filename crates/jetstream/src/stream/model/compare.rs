//! The stream beside its twin: every question, every figure.

use super::*;

impl World {
    /// Every question about messages, against the twin.
    pub(super) fn reads(&mut self) {
        let (messages, model) = (self.stream.messages(), &self.model);
        let filter = self.random.pick(&FILTERS);
        let selector = Selector::new([filter.as_bytes()]);
        let selected = model.selected(filter);
        let from = model.first.saturating_sub(1)
            + self.random.below(model.last + 3 - model.first.min(model.last + 1));
        assert_eq!(messages.next(&selector, from), selected.iter().find(|&&seq| seq >= from).copied());
        assert_eq!(messages.last_of(&selector), selected.last().copied());
        assert_eq!(
            messages.count_from(&selector, from),
            selected.iter().filter(|&&seq| seq >= from).count() as u64
        );
        let mut last = BTreeMap::new();
        let upto = self.random.pick(&[0, from]);
        for seq in selected.iter().filter(|&&seq| upto == 0 || seq <= upto) {
            last.insert(&model.messages[seq].subject, *seq);
        }
        let mut last: Vec<u64> = last.into_values().collect();
        last.sort_unstable();
        let expected = if last.len() > 3 { Err(TooMany) } else { Ok(last) };
        assert_eq!(messages.last_of_each(&selector, upto, 3), expected);
        let time = self.now - self.random.below(30) as i64 * SECOND / 2;
        let at = model
            .messages
            .iter()
            .find(|(_, message)| message.time >= time)
            .map_or(model.last + 1, |(&seq, _)| seq);
        assert_eq!(messages.seq_at(time), at);
        let gaps: Vec<u64> = messages.gaps().flat_map(|(first, last)| first..=last).collect();
        let expected: Vec<u64> =
            (model.first.max(1)..=model.last).filter(|seq| !model.messages.contains_key(seq)).collect();
        assert_eq!(gaps, expected);
        let before = model.messages.range(..=from).next_back().map(|(&seq, _)| seq);
        assert_eq!(messages.previous_live(from), before);
    }

    pub(super) fn compare(&self) {
        let (totals, model) = (self.stream.totals(), &self.model);
        assert_eq!((totals.first, totals.last), (model.first, model.last));
        assert_eq!((totals.count, totals.bytes), (model.messages.len() as u64, model.bytes()));
        let names: std::collections::BTreeSet<_> =
            model.messages.values().map(|message| &message.subject).collect();
        assert_eq!(self.stream.messages().subjects_count(), names.len());
        let mut known = model.messages.iter();
        for head in self.stream.messages().iter_from(0) {
            let (&seq, message) = known.next().expect("the twin has it");
            assert_eq!((head.seq, head.time, head.subject), (seq, message.time, message.subject.as_bytes()));
            assert_eq!((head.is_kept_forever, head.is_marker), (message.never, message.marker));
            match self.stream.messages().body(seq) {
                Some(Body::Hot(body)) => {
                    assert_eq!(body, [message.headers.as_bytes(), &message.payload].concat())
                }
                cold => {
                    assert_eq!((cold, model.settings.storage), (Some(Body::Cold(place(seq))), Storage::File))
                }
            }
        }
        assert!(known.next().is_none());
    }
}
