//! Checkpoints, and what a start makes of them and of the log behind them.

use super::*;

impl World {
    pub(super) fn check_point(&mut self) {
        self.checkpoint.clear();
        self.stream.snapshot(self.whole, &mut self.checkpoint);
        self.short.clear();
        self.stream.snapshot(Whole::Sequences, &mut self.short);
        self.indexed.clear();
        self.stream.snapshot(Whole::Indexed, &mut self.indexed);
        self.begin_table();
        self.log.clear();
        if self.whole == Whole::Heads {
            self.settle();
        }
    }

    /// Captures the same with its table of subjects in runs, once it has many.
    pub(super) fn begin_table(&mut self) {
        self.in_runs = None;
        let mut state = Vec::new();
        let whole = self.stream.brief();
        self.stream.snapshot(whole, &mut state);
        self.captured = (whole == Whole::Runs).then_some(state);
    }

    /// Takes out some of what was captured, or goes on to write it.
    pub(super) fn write_table(&mut self) {
        if self.captured.is_none() || self.stream.capture_some(self.random.below(3) as usize) {
            return;
        }
        let Some(state) = self.captured.take() else { return };
        let outgoing = self.stream.outgoing().expect("it was captured");
        let mut runs = Vec::new();
        let mut sink = Sink { had: &self.heads, used: Vec::new(), moving: self.random.pick(&[0, 0, 3, 1]) };
        let written = outgoing.write(&*self.heads, &mut sink, &mut runs).expect("all blocks are there");
        self.in_runs = Some((state, runs, sink.used));
        self.stream.set_runs(Some(written));
    }

    /// What is on disk of the table is lost: who asks for it learns that, and it is made anew.
    pub(super) fn lose_table(&mut self) {
        let lost = std::mem::take(&mut *self.heads.blocks());
        let messages = self.stream.messages();
        let found = messages.all_subjects().count();
        if messages.is_unsure() {
            let batches = &mut Batches::new(BatchLimits::default());
            let publish = Publish { subject: b"a", headers: b"", payload: b"" };
            let refused = self.stream.admit(batches, &publish, &Interest(true), self.now);
            assert_eq!(refused, Err(Refusal::StoreFailed("subjects cannot be read")));
            assert!(self.stream.renew_subjects());
            assert!(!self.stream.messages().is_unsure());
            (self.captured, self.in_runs) = (None, None);
        } else {
            assert_eq!(found, messages.subjects_count(), "all are in memory");
            *self.heads.blocks() = lost;
        }
    }

    /// What the store has may go from memory, with its links as they are, or without.
    pub(super) fn settle(&mut self) {
        self.settled = self.model.last;
        let has_links = !self.random.chance(4);
        let mut all = self.heads.all();
        for (seq, at, links) in self.stream.messages().moving(0, self.settled) {
            assert_eq!(at, place(seq));
            if let Some(known) = all.get_mut(&seq).filter(|_| has_links) {
                known.2 = links;
            }
        }
        drop(all);
        if self.random.chance(2) {
            let bytes_max = self.random.pick(&[0, 0, 2000]);
            let settled = self.settled;
            self.stream.page_out(bytes_max, |place| seq_of(place) <= settled);
        }
        let mut places = Vec::new();
        for (_, cold) in self.stream.messages().cold(0, u64::MAX) {
            cold.read(&*self.heads, |seq, at, _| places.push((seq, at)));
        }
        places.extend(self.stream.messages().moving(0, u64::MAX).map(|(seq, place, _)| (seq, place)));
        let expected: Vec<_> = self.model.messages.keys().map(|&seq| (seq, place(seq))).collect();
        assert_eq!(places, expected, "what moves is what there is");
        self.stream.messages().check_figures();
    }

    /// The last checkpoint, in one piece or with the messages of the store.
    pub(super) fn restored(&mut self) -> Stream {
        let settings = self.model.settings.clone();
        let whole = Stream::restore(settings.clone(), &self.checkpoint).expect("a snapshot is read");
        if self.whole == Whole::Bodies {
            return whole;
        }
        let mut restoring = Restoring::new(settings, &self.short).expect("a snapshot is read");
        for (&seq, (head, body_bytes, _)) in &*self.heads.all() {
            let unused = restoring.message(seq, head, *body_bytes, place(seq)).expect("a head is read");
            assert_eq!(unused, whole.get(seq).is_none().then(|| place(seq)));
            if unused.is_none() && self.random.chance(4) {
                // Another segment has it, too.
                let before = restoring.message(seq, head, *body_bytes, place(seq));
                assert_eq!(before, Ok(Some(place(seq))));
            }
        }
        let (stream, missing) = restoring.finish();
        assert_eq!(missing, 0);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        whole.snapshot(Whole::Heads, &mut one);
        stream.snapshot(Whole::Heads, &mut other);
        assert_eq!(one, other, "both ways make the same stream");
        let resumed = Stream::resume(
            self.model.settings.clone(),
            (&self.indexed, &[]),
            self.heads.clone(),
            self.budget.clone(),
        );
        let (resumed, missing) = resumed.expect("a snapshot is read");
        assert_eq!(missing, Resumed::default());
        assert_eq!(resumed.totals(), stream.totals());
        other.clear();
        resumed.snapshot(Whole::Heads, &mut other);
        assert_eq!(one, other, "and so does the third");
        while self.captured.is_some() && self.random.chance(2) {
            self.write_table();
        }
        let Some((state, runs, used)) = self.in_runs.clone() else {
            return if self.random.chance(3) { stream } else { resumed };
        };
        // What is not in use is gone, and sometimes more than that.
        let is_damaged = !used.is_empty() && self.random.chance(6);
        let damaged = if is_damaged { self.random.pick(&used).0 } else { [0; 16] };
        self.heads.blocks().retain(|(_, at), _| *at != damaged && used.contains(&Place(*at)));
        let in_runs = Stream::resume(
            self.model.settings.clone(),
            (&state, &runs),
            self.heads.clone(),
            self.budget.clone(),
        );
        let (mut in_runs, found) = in_runs.expect("a snapshot is read");
        assert_eq!(found.missing, 0);
        other.clear();
        in_runs.snapshot(Whole::Heads, &mut other);
        // A start finds what it reads, and whoever looks the rest.
        assert!(is_damaged || !found.has_lost_subjects && !in_runs.messages().is_unsure());
        if in_runs.messages().is_unsure() {
            assert!(in_runs.renew_subjects());
            other.clear();
            in_runs.snapshot(Whole::Heads, &mut other);
        }
        assert_eq!(one, other, "and the fourth");
        match self.random.below(4) {
            0 => stream,
            1 => resumed,
            _ => in_runs,
        }
    }

    /// The stream as it is after a start: the last checkpoint and what the log holds behind it. File streams know heads alone.
    pub(super) fn restart(&mut self) {
        let restored = self.restored();
        let mut before = std::mem::replace(&mut self.stream, restored);
        if self.stream.messages().heads().is_none() {
            self.attach();
        }
        for bytes in std::mem::take(&mut self.log) {
            let proposal = Proposal::decode(&bytes).expect("the log is read");
            match &proposal {
                Proposal::Store(store) if self.whole == Whole::Heads => {
                    let mut head = Vec::new();
                    store.encode_head(&mut head);
                    let store =
                        Store::decode_head(store.seq, &head, store.body_bytes).expect("a head is read");
                    self.stream.apply(&Proposal::Store(store), &mut self.effects);
                }
                proposal => self.stream.apply(proposal, &mut self.effects),
            }
            self.place();
        }
        let (mut then, mut since) = (Vec::new(), Vec::new());
        before.snapshot(self.whole, &mut then);
        if before.messages().is_unsure() {
            // A block that was taken from the other one was its own, too.
            assert!(before.renew_subjects());
            then.clear();
            before.snapshot(self.whole, &mut then);
        }
        self.stream.snapshot(self.whole, &mut since);
        assert_eq!(then, since, "a start makes the same stream");
        self.check_point();
    }
}
