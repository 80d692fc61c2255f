//! What is delivered in random worlds, held byte by byte: each peer gets the same bytes in the same order as when the digests were
//! made. A change that should deliver something else makes them anew: `DIGESTS=write cargo test -p dialtone-broker digests`.

use crate::played::Played;
use crate::world::{FastRandom, World};
use dialtone_broker::deliver::Origin;
use dialtone_broker::peer::Place;
use dialtone_broker::permission;
use dialtone_broker::sharing::Mapped;
use dialtone_broker::trace::Trace;
use dialtone_config::options::{self, Rules};
use dialtone_identity::permission::Permissions;
use dialtone_wire::CloseReason;
use dialtone_wire::message::Message;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Random worlds that are played.
const WORLDS: u64 = 10_000;
/// Worlds that one digest stands for.
const WORLDS_PER_DIGEST: u64 = 100;
/// Turns that are played in each world.
const TURNS: usize = 5;
const HEADERS: &str = "NATS/1.0\r\nA: b\r\n\r\n";

/// FNV-1a.
struct Digest(u64);

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn add_number(&mut self, number: usize) {
        self.add(&(number as u64).to_le_bytes());
    }
}

/// Peers of all kinds that there are: without headers, with rights, with subscriptions that end.
fn prepare(played: &Played, random: &mut FastRandom) {
    for (peers, account) in played.peers.iter().zip(&played.accounts) {
        for (peer, _) in peers {
            peer.set_understands_headers(random.chance(80));
            if random.chance(20) {
                let rules = |deny: String| Rules { deny: vec![deny], ..Rules::default() };
                let source = options::Permissions {
                    subscribe: rules(random.filter()),
                    ..options::Permissions::default()
                };
                let permissions = Some(Arc::new(Permissions::new(&source)));
                peer.set_place(Place { account: Some(account.clone()), permissions });
            }
            let mut all: Vec<_> = peer.subscriptions().iter().cloned().collect();
            all.sort_by_key(|subscription| subscription.sid().to_vec());
            for subscription in all {
                if random.chance(25) {
                    subscription.set_max(1 + random.below(3) as u64);
                }
            }
        }
    }
}

/// Something happens to a random peer: it ends, or one of its subscriptions does.
fn change(played: &mut Played, random: &mut FastRandom) {
    let peers = random.pick(&played.peers);
    let (peer, _) = random.pick(peers);
    let subscription = peer.subscriptions().find(random.below(4).to_string().as_bytes()).cloned();
    match subscription {
        _ if random.chance(20) => peer.close(CloseReason::ClientClosed),
        Some(subscription) => {
            played.turn.unsubscribe(&subscription);
        }
        None => {}
    }
}

/// Publishes one message; how many got it.
fn publish(
    played: &mut Played,
    account: usize,
    subject: &str,
    reply: Option<&str>,
    random: &mut FastRandom,
) -> usize {
    let (peer, _) = &played.peers[account][random.below(played.peers[account].len())];
    let account = &played.accounts[account];
    let headers = if random.chance(30) { HEADERS } else { "" };
    let payload_bytes = *random.pick(&[0, 1, 9, 10, 90, 99, 100, 999, 5000]);
    let framed = format!("{headers}{}\r\n", "x".repeat(payload_bytes));
    let mut mapped = Vec::new();
    let subject = match played.turn.map(account, subject.as_bytes(), &mut mapped) {
        Mapped::Unchanged => subject.as_bytes(),
        Mapped::To => mapped.as_slice(),
        Mapped::Lost => b"",
    };
    let message = Message {
        subject,
        reply: reply.map(str::as_bytes),
        header_bytes: headers.len(),
        framed: framed.as_bytes(),
    };
    let authorized = permission::publish(peer, None, &message, Instant::now()).expect("all is allowed");
    played.turn.publish(Origin { peer, account, echo: random.chance(70) }, authorized)
}

/// Where answers are expected by those who got these bytes.
fn expected_answers(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split_ascii_whitespace().filter(|word| word.starts_with("_R_."));
    words.map(str::to_owned).collect()
}

/// Adds what each peer got since the last call. By account, the answers that are expected.
fn add_deliveries(digest: &mut Digest, played: &Played) -> Vec<(usize, String)> {
    let mut answers = Vec::new();
    for (account, peers) in played.peers.iter().enumerate() {
        for (_, wire) in peers {
            let bytes = std::mem::take(&mut *wire.0.lock());
            digest.add_number(bytes.len());
            digest.add(&bytes);
            answers.extend(expected_answers(&bytes).into_iter().map(|subject| (account, subject)));
        }
    }
    answers
}

/// Plays the world of a seed.
fn play(seed: u64, now: Instant, digest: &mut Digest) {
    let mut random = FastRandom(seed);
    let mut world = World::random(&mut random);
    let mut played = Played::new(&world, now);
    prepare(&played, &mut random);
    let mut answers: Vec<(usize, String)> = Vec::new();
    for turn in 0..TURNS {
        if turn == 2 {
            let changed = random.below(world.0.len());
            world.0[changed].imports.pop();
            played.share(&world);
        }
        let subjects: Vec<_> = (0..1 + random.below(3))
            .map(|_| {
                let account = random.below(world.0.len());
                (account, world.subject(account, &mut random))
            })
            .chain(answers.drain(..))
            .collect();
        // A subject again and again, and others between.
        for _ in 0..2 + random.below(4) {
            let (account, subject) = random.pick(&subjects);
            let traced = random.chance(15).then(|| random.chance(30));
            if let Some(only) = traced {
                let to =
                    permission::trace(&played.peers[*account][0].0, None, b"traces").expect("all is allowed");
                let id = played.accounts[*account].id;
                played.turn.begin_trace(Trace::new(&to, only, id, || SystemTime::UNIX_EPOCH));
            }
            let reply = random.chance(50).then_some("_INBOX.1.2");
            digest.add_number(publish(&mut played, *account, subject, reply, &mut random));
            if let Some(trace) = played.turn.end_trace() {
                trace.events().iter().for_each(|(_, event)| digest.add(format!("{event:?}").as_bytes()));
            }
            if random.chance(15) {
                change(&mut played, &mut random);
            }
        }
        played.turn.finish();
        answers = add_deliveries(digest, &played);
    }
    for (peer, _) in played.peers.iter().flatten() {
        let traffic = peer.counters.read();
        digest.add_number(traffic.out_msgs as usize);
        digest.add_number(traffic.out_bytes as usize);
    }
}

#[test]
fn what_is_delivered_in_random_worlds_is_what_it_was() {
    let now = Instant::now();
    let mut found = String::new();
    for block in 0..WORLDS / WORLDS_PER_DIGEST {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        for seed in block * WORLDS_PER_DIGEST..(block + 1) * WORLDS_PER_DIGEST {
            play(seed, now, &mut digest);
        }
        writeln!(found, "{:016x}", digest.0).expect("a string takes all");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digests.txt");
    if std::env::var_os("DIGESTS").is_some_and(|wish| wish == "write") {
        std::fs::write(&file, &found).expect("written");
    }
    let expected = std::fs::read_to_string(&file).expect("digests.txt");
    for (block, (found, expected)) in (0..).zip(found.lines().zip(expected.lines())) {
        let first: u64 = block * WORLDS_PER_DIGEST;
        let last = first + WORLDS_PER_DIGEST - 1;
        assert_eq!(found, expected, "something else is delivered in a world of the seeds {first} to {last}");
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}
