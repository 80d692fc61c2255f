//! Archives, written and read again, cut at every byte, and one of the official server.

use super::*;
use crate::api::StreamState;
use crate::config::ConsumerConfig;
use proptest::prelude::*;

/// Made by the official server 2.15.0: eight messages of which the third is deleted, and a consumer with three deliveries, one of them acknowledged.
const OFFICIAL: &[u8] = include_bytes!("../../tests/stream.archive");

fn read(archive: &[u8], piece_bytes: usize) -> (Vec<Entry>, Result<(), ArchiveError>) {
    let (mut entries, mut reader) = (Vec::new(), Reader::new(1024));
    for piece in archive.chunks(piece_bytes.max(1)) {
        if let Err(error) = reader.read(piece, &mut |entry| entries.push(entry)) {
            return (entries, Err(error));
        }
    }
    (entries, reader.finish())
}

#[test]
fn an_archive_of_the_official_server_is_read() {
    let (entries, end) = read(OFFICIAL, 100);
    assert_eq!(end, Ok(()));
    let Entry::State(state) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!((state.messages, state.first_seq, state.last_seq, state.consumer_count), (7, 1, 8, 1));
    let Entry::Consumer(name, consumer) = &entries[1] else { panic!("{entries:?}") };
    let state = consumer.state.as_ref().expect("its state");
    assert_eq!(name, "c");
    assert_eq!(consumer.config.as_ref().map(|config| config.durable_name.as_str()), Some("c"));
    assert_eq!((state.delivered.consumer_seq, state.delivered.stream_seq), (3, 4));
    assert_eq!(state.pending.0.keys().copied().collect::<Vec<_>>(), [1, 4]);
    let Entry::Message { subject, seq, headers, payload, .. } = &entries[3] else { panic!("{entries:?}") };
    assert_eq!((subject.as_str(), *seq, payload.as_slice()), ("a.1", 2, &b"payload 1"[..]));
    assert_eq!(headers, b"NATS/1.0\r\nK: v\r\n\r\n");
    let sequences = entries.iter().filter_map(|entry| match entry {
        Entry::Message { seq, .. } => Some(*seq),
        _ => None,
    });
    assert_eq!(sequences.collect::<Vec<_>>(), [1, 2, 4, 5, 6, 7, 8]);
    assert_eq!(entries.last(), Some(&Entry::End));
    for piece_bytes in 1..40 {
        assert_eq!(read(OFFICIAL, piece_bytes), (entries.clone(), Ok(())), "in pieces of {piece_bytes}");
    }
    for end in 0..OFFICIAL.len() {
        assert_eq!(read(&OFFICIAL[..end], 7).1, Err(ArchiveError::Truncated), "cut at {end}");
    }
}

#[test]
fn a_flipped_bit_is_found() {
    let (entries, _) = read(OFFICIAL, OFFICIAL.len());
    for at in 0..OFFICIAL.len() {
        for bit in 0..8 {
            let mut archive = OFFICIAL.to_vec();
            archive[at] ^= 1 << bit;
            let (read, end) = read(&archive, archive.len());
            // What is handed over before the end is found wrong is right, and the kind of a chunk that may be skipped hides the rest.
            assert!(entries.starts_with(&read) && end.is_err() || read == entries, "{at} {bit}: {end:?}");
        }
    }
}

fn written(messages: &[(String, u64, Vec<u8>, Vec<u8>)], consumers: &[(String, ConsumerEntry)]) -> Vec<u8> {
    let (mut out, mut writer) = (Vec::new(), Writer::new());
    let consumer_count = i64::try_from(consumers.len()).expect("few");
    writer.state(&StreamState { consumer_count, ..StreamState::default() }, 5, &mut out);
    for (name, consumer) in consumers {
        writer.consumer(name, consumer, 5, &mut out);
    }
    let mut seq = 0;
    for (subject, gap, headers, payload) in messages {
        seq += gap;
        writer.message(subject, (seq, -7), headers, payload, &mut out);
    }
    writer.end(&mut out);
    out
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        messages in prop::collection::vec(
            ("[a-z.]{1,9}", 1_u64..1 << 40, prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..900)),
            0..200,
        ),
        names in prop::collection::vec("[a-z]{1,5}", 0..3),
        piece_bytes in 1_usize..5000,
    ) {
        let consumer = |name: &String| {
            let mut state = ConsumerState::default();
            state.pending.0.insert(9, PendingAck { sequence: 3, timestamp: -1 });
            state.redelivered.0.insert(10, 2);
            let config = ConsumerConfig { name: name.clone(), ..ConsumerConfig::default() };
            (name.clone(), ConsumerEntry { config: Some(config), state: Some(state) })
        };
        let consumers: Vec<_> = names.iter().map(consumer).collect();
        let (entries, end) = read(&written(&messages, &consumers), piece_bytes);
        prop_assert_eq!(end, Ok(()));
        let mut expected: Vec<Entry> = consumers
            .into_iter()
            .map(|(name, consumer)| Entry::Consumer(name, Box::new(consumer)))
            .collect();
        let mut last = 0;
        for (subject, gap, headers, payload) in messages {
            last += gap;
            expected.push(Entry::Message { subject, seq: last, time: -7, headers, payload });
        }
        expected.push(Entry::End);
        prop_assert_eq!(&entries[1..], &expected[..]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), magic: bool) {
        let mut plain = if magic { MAGIC.to_vec() } else { Vec::new() };
        plain.extend_from_slice(&bytes);
        let mut archive = Vec::new();
        let mut scratch = dialtone_wire::s2::Scratch::default();
        let mut writer = dialtone_wire::s2::Writer::new(dialtone_wire::s2::Level::Fast);
        writer.frame(std::iter::once(plain.as_slice()), &mut scratch, &mut archive);
        let (entries, end) = read(&archive, 11);
        prop_assert!(end.is_err() || entries.last() == Some(&Entry::End));
        let _ = read(&bytes, 13);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let message = |seq: u64, bytes: usize| ("a".to_owned(), seq, Vec::new(), vec![0; bytes]);
    assert_eq!(read(&written(&[message(3, 2000)], &[]), 9).1, Err(ArchiveError::MessageTooLarge(3)));
    let (mut out, mut writer) = (Vec::new(), Writer::new());
    writer.state(&StreamState { consumer_count: 1, ..StreamState::default() }, 0, &mut out);
    writer.message("a", (5, 0), b"", b"", &mut out);
    writer.end(&mut out);
    assert_eq!(read(&out, 9).1, Err(ArchiveError::ConsumerExpected("a".to_owned())));
    let (mut out, mut writer) = (Vec::new(), Writer::new());
    writer.state(&StreamState::default(), 0, &mut out);
    writer.message("a", (5, 0), b"", b"", &mut out);
    writer.message("a", (5, 0), b"", b"", &mut out);
    writer.end(&mut out);
    assert_eq!(read(&out, 9).1, Err(ArchiveError::OutOfOrder(5)));
    let (mut out, mut writer) = (Vec::new(), Writer::new());
    writer.message("a", (5, 0), b"", b"", &mut out);
    writer.end(&mut out);
    assert_eq!(read(&out, 9).1, Err(ArchiveError::StateFirst));
}
