//! Where consumers begin, and begin anew.

use super::*;

fn log() -> MapLog {
    let mut log = MapLog::default();
    for (at, subject) in ["s.1", "s.2", "s.1", "t.1", "s.2", "t.2"].into_iter().enumerate() {
        log.store(subject, at as i64);
    }
    log.messages.remove(&1);
    log
}

/// The numbers of what a consumer is sent that begins so, and its place before.
fn sent(start: StartAt, filters: &[&str]) -> (u64, String) {
    let filters = Filters::new(filters.iter().map(|filter| filter.as_bytes()));
    let mut bench = Bench::new(Settings { start, filters, ..pull_settings() }, log());
    let before = bench.floors()[1];
    let mut lines = bench.pull("9");
    lines.extend(bench.store("s.1"));
    let seq = |line: &String| line.split('.').nth(6).unwrap_or_default().to_owned();
    (before, lines.iter().map(seq).collect::<Vec<_>>().join(" "))
}

#[test]
fn consumers_begin_where_they_are_told() {
    for (start, filters, before, seqs) in [
        (StartAt::All, &[][..], 1, "2 3 4 5 6 7"),
        (StartAt::All, &["s.*"], 1, "2 3 5 7"),
        (StartAt::Last, &[], 5, "6 7"),
        (StartAt::Last, &["s.*"], 4, "5 7"),
        (StartAt::Last, &["x"], 1, ""),
        (StartAt::New, &[], 6, "7"),
        (StartAt::BySequence(4), &[], 3, "4 5 6 7"),
        (StartAt::BySequence(1), &[], 1, "2 3 4 5 6 7"),
        (StartAt::BySequence(9), &[], 8, ""),
        (StartAt::ByTime(3), &[], 3, "4 5 6 7"),
        (StartAt::ByTime(99), &[], 6, "7"),
        (StartAt::LastPerSubject, &[], 2, "3 4 5 6 7"),
        (StartAt::LastPerSubject, &["s.1", "t.2"], 2, "3 6 7"),
        (StartAt::LastPerSubject, &["x"], 5, ""),
    ] {
        let (place, sent) = sent(start, filters);
        assert_eq!((place, &*sent), (before, seqs), "{start:?} {filters:?}");
    }
}

#[test]
fn what_is_listed_and_goes_is_not_counted() {
    let mut bench = Bench::new(Settings { start: StartAt::LastPerSubject, ..pull_settings() }, log());
    assert_eq!(bench.consumer.info_at(0).num_pending, 4);
    bench.log.messages.remove(&4);
    bench.consumer.removed(4);
    bench.log.messages.remove(&2);
    bench.consumer.removed(2);
    assert_eq!(bench.consumer.info_at(0).num_pending, 3);
    assert!(bench.consumer.needs(3) && bench.consumer.needs(6));
    assert_eq!(bench.pull("9").len(), 3);
    assert_eq!(bench.consumer.info_at(0).num_pending, 0);
}

#[test]
fn a_reset_is_bound_by_where_it_began() {
    let reset = |start, seq| {
        let mut bench = Bench::new(Settings { start, ..pull_settings() }, log());
        bench.pull("2");
        let mut result = Ok(0);
        bench.work(|consumer, ctx| result = consumer.reset(ctx, seq));
        (result, bench.floors(), bench.consumer.info_at(0).num_pending)
    };
    assert_eq!(reset(StartAt::All, Some(5)), (Ok(5), [0, 4, 0, 4], 2));
    assert_eq!(reset(StartAt::All, None), (Ok(2), [0, 1, 0, 1], 5));
    assert_eq!(reset(StartAt::BySequence(4), Some(3)).0, Err(ResetError::BelowStartSequence));
    assert_eq!(reset(StartAt::BySequence(4), Some(4)).0, Ok(4));
    assert_eq!(reset(StartAt::ByTime(3), Some(3)).0, Err(ResetError::BelowStartTime));
    assert_eq!(reset(StartAt::New, Some(3)).0, Err(ResetError::NotAllowed));
    assert_eq!(reset(StartAt::New, None).0, Ok(7));
}

#[test]
fn a_purge_leaves_what_is_there() {
    let mut bench = Bench::new(pull_settings(), log());
    bench.pull("3");
    bench.log.messages.retain(|seq, _| *seq >= 4);
    bench.consumer.purged(&bench.log, None, None);
    let info = bench.consumer.info_at(0);
    assert_eq!((info.num_ack_pending, info.num_pending), (1, 2));
    bench.log.messages.clear();
    bench.consumer.purged(&bench.log, None, None);
    let info = bench.consumer.info_at(0);
    assert_eq!((info.num_ack_pending, info.num_pending, info.ack_floor.stream), (0, 0, 6));
    assert_eq!(bench.pull("1").len() + bench.store("s.1").len(), 1);
}

#[test]
fn an_update_counts_anew_and_sends_again_to_another_subject() {
    let mut bench = Bench::new(pull_settings(), log());
    let settings = Settings { filters: Filters::new([&b"s.*"[..]]), ..pull_settings() };
    bench.work(|consumer, ctx| consumer.update(ctx, settings));
    assert_eq!(bench.consumer.info_at(0).num_pending, 3);
    let mut bench = Bench::new(push_settings(), three());
    bench.work(|consumer, ctx| consumer.set_interest(ctx, true));
    let mut settings = push_settings();
    if let Mode::Push(push) = &mut settings.mode {
        push.deliver_subject = b"e"[..].into();
    }
    let lines = bench.work(|consumer, ctx| consumer.update(ctx, settings));
    check(
        lines,
        &[
            "e <- s.1 $JS.ACK.S.C.2.1.4.7.0",
            "e <- s.2 $JS.ACK.S.C.2.2.5.7.0",
            "e <- s.3 $JS.ACK.S.C.2.3.6.7.0",
        ],
    );
}

#[test]
fn headers_alone_and_samples() {
    let settings = Settings { headers_only: true, sample_percent: 100, ..pull_settings() };
    let mut bench = Bench::new(settings, three());
    check(bench.pull("1"), &["r <- s.1 $JS.ACK.S.C.1.1.1.7.2 headers"]);
    bench.now = 9;
    check(
        bench.ack("1.1.1", "+ACK"),
        &["Acknowledged(Handled { consumer_seq: 1, stream_seq: 1, deliveries: 1 }, 9)", "a <- ok"],
    );
    bench.pull("1");
    check(
        bench.ack("1.2.2", "+TERM no good"),
        &[
            &format!(
                "Terminated(Handled {{ consumer_seq: 2, stream_seq: 2, deliveries: 1 }}, {:?})",
                b"no good"
            ),
            "a <- ok",
        ],
    );
}
