//! Archives of servers before 2.15, written and read again in pieces, cut, and with flipped bits.

use super::*;
use crate::archive::{Compressor, ConsumerEntry, ConsumerState, PendingAck};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::official::SnapshotWriter;
use crate::time::Time;
use proptest::prelude::*;

type Message = (String, u64, Vec<u8>, Vec<u8>);

fn consumer(name: &str) -> ConsumerEntry {
    let mut state = ConsumerState::default();
    (state.ack_floor.stream_seq, state.ack_floor.consumer_seq) = (3, 2);
    (state.delivered.stream_seq, state.delivered.consumer_seq) = (12, 9);
    state.pending.0.insert(9, PendingAck { sequence: 5, timestamp: 7_000_000_000 });
    state.redelivered.0.insert(9, 2);
    let config = ConsumerConfig { name: name.to_owned(), ..ConsumerConfig::default() };
    ConsumerEntry { config: Some(config), state: Some(state) }
}

/// An archive of stream S, whose last sequence is 1000 more than that of the last message.
fn written(messages: &[Message], names: &[String]) -> Vec<u8> {
    let (mut compressor, mut out) = (Compressor::new(), Vec::new());
    let config = StreamConfig { name: "S".into(), ..StreamConfig::default() };
    let mut writer = SnapshotWriter::new(&config, Time::from_unix_nanos(5), &mut compressor.gathered);
    let mut seq = 0;
    for (subject, gap, headers, payload) in messages {
        seq += gap;
        writer.message(subject.as_bytes(), (seq, -7), headers, payload, &mut compressor.gathered);
        compressor.go_on(&mut out);
    }
    writer.messages_end(seq + 1000, 8, &mut compressor.gathered);
    for name in names {
        let times = (Time::from_unix_nanos(6), 50_000_000_000);
        writer.consumer(name, &consumer(name), times, &mut compressor.gathered);
    }
    writer.end(&mut compressor.gathered);
    compressor.end(&mut out);
    out
}

fn read(archive: &[u8], piece_bytes: usize) -> (Vec<Entry>, Result<(), ArchiveError>) {
    let (mut entries, mut reader) = (Vec::new(), BackupReader::new("S", 1 << 20));
    for piece in archive.chunks(piece_bytes.max(1)) {
        if let Err(error) = reader.read(piece, &mut |entry| entries.push(entry)) {
            return (entries, Err(error));
        }
    }
    (entries, reader.finish())
}

fn some() -> Vec<u8> {
    let message = |seq: u64| ("a.b".to_owned(), seq, b"NATS/1.0\r\nK: v\r\n\r\n".to_vec(), vec![b'x'; 90]);
    written(&[message(2), message(1), message(7)], &["c".to_owned(), "d".repeat(200)])
}

#[test]
fn an_archive_that_is_cut_is_refused() {
    let archive = some();
    let (whole, end) = read(&archive, archive.len());
    assert_eq!(end, Ok(()));
    for cut in 0..archive.len() {
        let (entries, end) = read(&archive[..cut], 1000);
        assert!(whole.starts_with(&entries), "cut at {cut}");
        assert_eq!(end, Err(ArchiveError::Truncated), "cut at {cut}");
    }
}

#[test]
fn both_forms_are_told_apart() {
    let official = include_bytes!("../../tests/stream.archive");
    let (mut entries, mut reader) = (0, BackupReader::new("S", 1024));
    for piece in official.chunks(3) {
        reader.read(piece, &mut |_| entries += 1).expect("it is read");
    }
    assert_eq!((entries, reader.finish()), (10, Ok(())));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../meta.inf", "/etc/passwd", "msgs/../../x", "obs/../meta.inf", "obs/a/b/meta.inf", "x", ""]
    {
        let mut plain = Vec::new();
        crate::official::put_tar_file(name, b"{}", &mut plain);
        let mut compressor = Compressor::new();
        compressor.gathered = plain;
        let mut archive = Vec::new();
        compressor.end(&mut archive);
        let end = read(&archive, 100).1;
        assert!(matches!(end, Err(ArchiveError::Unexpected(_))), "{name}: {end:?}");
    }
}

#[test]
fn the_name_of_the_stream_is_that_of_the_archive() {
    let (archive, mut reader) = (some(), BackupReader::new("OTHER", 1024));
    let read = reader.read(&archive, &mut |_| {});
    assert_eq!(read, Err(ArchiveError::OtherStream("S".to_owned())));
}

#[test]
fn a_message_that_is_damaged_is_left_out() {
    let message = |number: u8| ("a".to_owned(), 1, Vec::new(), vec![number; 40]);
    let (mut compressor, mut archive) = (Compressor::new(), Vec::new());
    let plain = {
        let mut reader = s2::Reader::new(s2::BLOCK_BYTES_MAX);
        let mut plain = Vec::new();
        reader.decode(&written(&[message(1), message(2), message(3)], &[]), &mut plain);
        plain
    };
    compressor.gathered = plain;
    let at = compressor.gathered.windows(40).position(|window| window == [2; 40]).expect("it is there");
    compressor.gathered[at] ^= 1;
    compressor.end(&mut archive);
    let (entries, end) = read(&archive, 1000);
    assert_eq!(end, Ok(()));
    let kinds: Vec<String> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Message { seq, .. } => format!("message {seq}"),
            Entry::Damaged { bytes } => format!("{bytes} damaged"),
            Entry::Deleted { seq, .. } => format!("deleted {seq}"),
            Entry::State(_) => "state".into(),
            Entry::Consumer(..) => "consumer".into(),
            Entry::End => "end".into(),
        })
        .collect();
    assert_eq!(kinds, ["state", "message 1", "71 damaged", "message 3", "deleted 1003", "end"]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        messages in prop::collection::vec(
            ("[a-z.]{1,9}", 1_u64..1 << 40, prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..900)),
            0..100,
        ),
        names in prop::collection::btree_set("[a-z]{1,5}", 0..3),
        piece_bytes in 1_usize..5000,
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let (entries, end) = read(&written(&messages, &names), piece_bytes);
        prop_assert_eq!(end, Ok(()));
        let mut expected = vec![Entry::State(Box::default())];
        let mut last = 0;
        for (subject, gap, headers, payload) in messages {
            last += gap;
            expected.push(Entry::Message { subject, seq: last, time: -7, headers, payload });
        }
        expected.push(Entry::Deleted { seq: last + 1000, time: 8 });
        expected.extend(names.iter().map(|name| Entry::Consumer(name.clone(), Box::new(consumer(name)))));
        expected.push(Entry::End);
        prop_assert_eq!(entries, expected);
    }

    #[test]
    fn any_flip_is_refused_or_handed_over_alike(at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut archive = some();
        let at = at.index(archive.len());
        archive[at] ^= 1_u8 << bit;
        prop_assert_eq!(read(&archive, 1), read(&archive, archive.len()));
    }

    #[test]
    fn any_file_is_read_or_refused(at in any::<prop::sample::Index>(), byte: u8) {
        let mut plain = Vec::new();
        let mut reader = s2::Reader::new(s2::BLOCK_BYTES_MAX);
        reader.decode(&some(), &mut plain);
        let at = at.index(plain.len());
        plain[at] = byte;
        let (mut compressor, mut archive) = (Compressor::new(), Vec::new());
        compressor.gathered = plain;
        compressor.end(&mut archive);
        prop_assert_eq!(read(&archive, 7), read(&archive, archive.len()));
    }
}
