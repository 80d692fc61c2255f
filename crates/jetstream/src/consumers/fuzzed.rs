//! What holds of all bytes, whatever they say: for fuzzing, and a property test.

use super::Step;
use crate::consumer::testing::{MapLog, Recorder, pull_settings};
use crate::consumer::*;

/// Bytes as a step of the log, as changes, as a snapshot, and as what a client sends. What is read is written so that it is read again as the
/// same, and no state that is read breaks the machine.
pub fn bytes_hold(input: &[u8]) {
    if let Ok(step) = Step::decode(input) {
        let mut written = vec![];
        step.encode(&mut written);
        assert_eq!(Step::decode(&written).as_ref(), Ok(&step));
    }
    let mut log = MapLog::default();
    for subject in ["s.1", "s.2", "s.1"] {
        log.store(subject, 5);
    }
    let (id, split) = (ConsumerId(1), input.len() / 2);
    let restore =
        |bytes: &[u8]| Consumer::restore(id, Prefixes::new("S", "C"), pull_settings(), bytes, &log, 10);
    let mut consumer = match restore(input) {
        Ok(consumer) => {
            let mut written = vec![];
            consumer.snapshot(&mut written);
            let again = restore(&written).map(|again| again.state().clone());
            assert_eq!(again.as_ref(), Ok(consumer.state()));
            consumer
        }
        Err(_) => {
            let settings = pull_settings();
            let start = Start::of(&settings, &log);
            Consumer::new(id, Prefixes::new("S", "C"), settings, start, &log, 10)
        }
    };
    let mut settled = vec![];
    for changes in [input, &input[split..]] {
        let _ = read_changes(changes, |_, at, change| consumer.apply(change, at, &log, &mut settled));
    }
    let (mut host, mut changes) = (Recorder::default(), Changes::new(20));
    let mut ctx = Context { now: 20, log: &log, host: &mut host, changes: &mut changes };
    consumer.request(&mut ctx, b"r", None, input);
    if let Some(subject) = AckSubject::parse(&input[..split]) {
        consumer.acknowledge(&mut ctx, &subject, Some(b"a"), None, &input[split..]);
    }
    consumer.request(&mut ctx, b"r", None, b"5");
    consumer.expire(&mut ctx);
    consumer.poll(&mut ctx, Budget { messages: 9, bytes: 999 });
    let info = consumer.info(&mut ctx);
    assert!(info.num_waiting <= 2 && info.num_pending <= 3 + input.len() as u64);
    // What was decided can be read.
    assert!(read_changes(changes.bytes(), |_, _, _| {}).is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that are nearly right: a snapshot or a record, with some of them changed.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let base = (0..2, proptest::collection::vec(1_u64..9, 0..9)).prop_map(|(which, seqs)| {
            let mut changes = Changes::new(7);
            for seq in seqs {
                changes.push(ConsumerId(1), Change::Deliver { seq });
                changes.push(ConsumerId(1), Change::Exhaust { seq: seq / 2 + 1 });
            }
            if which == 0 {
                return changes.bytes().to_vec();
            }
            let log = MapLog::default();
            let start = Start { next: 1, first: vec![] };
            let mut consumer =
                Consumer::new(ConsumerId(1), Prefixes::new("S", "C"), pull_settings(), start, &log, 0);
            let _ =
                read_changes(changes.bytes(), |_, at, change| consumer.apply(change, at, &log, &mut vec![]));
            let mut snapshot = vec![];
            consumer.snapshot(&mut snapshot);
            snapshot
        });
        (base, proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(
            |(mut bytes, changed)| {
                for (at, byte) in changed {
                    if !bytes.is_empty() {
                        let at = at.index(bytes.len());
                        bytes[at] = byte;
                    }
                }
                bytes
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(4000), ..ProptestConfig::default() })]

        #[test]
        fn all_bytes_hold(bytes in nearly()) {
            bytes_hold(&bytes);
        }

        #[test]
        fn acknowledgements_hold(seq: u64, consumer_seq: u64, payload in "[+-][A-Z]{3}.{0,9}") {
            let mut input = format!("$JS.ACK.S.C.1.{seq}.{consumer_seq}.0.0").into_bytes();
            let length = input.len();
            input.extend(payload.bytes().chain(std::iter::repeat(b' ')).take(length));
            bytes_hold(&input);
        }
    }
}
