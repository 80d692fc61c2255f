//! Random accounts with exports, imports, mappings and queue groups, against a naive model of who must receive what.
//!
//! Two things must hold in every case: who gets a message is what the model says, and nobody gets one in an account
//! that no agreement leads to.

mod digests;
mod model;
mod played;
mod world;

use dialtone_broker::deliver::Origin;
use dialtone_broker::explain;
use dialtone_broker::permission;
use dialtone_broker::trace::{Event, Trace};
use dialtone_config::sharing::{Destination, Export, ExportKind, Import, ImportKind, Mapping, ResponseType};
use dialtone_wire::message::Message;
use model::{Delivery, Expected};
use played::{Got, Played};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use world::{FastRandom, Tenant, World};

/// Random worlds that are played.
const CASES: u64 = 10_000;
/// Messages that are published in each.
const MESSAGES: usize = 4;

/// Whether each group got exactly one of the deliveries, and nobody else got any.
fn one_of_each(groups: &[Vec<Delivery>], deliveries: &[Delivery]) -> bool {
    let Some((group, others)) = groups.split_first() else { return deliveries.is_empty() };
    (0..deliveries.len()).filter(|&at| group.contains(&deliveries[at])).any(|at| {
        let mut left = deliveries.to_vec();
        left.swap_remove(at);
        one_of_each(others, &left)
    })
}

/// Publishes a message and compares who got it. The answers that are wanted, by account and peer.
fn check(
    world: &World,
    played: &mut Played,
    account: usize,
    subject: &str,
    reply: Option<&str>,
    case: &str,
) -> Vec<(usize, usize, String)> {
    played.publish(account, 0, subject, reply, case);
    let got = played.all_got();
    if reply.is_none() && case.ends_with("message 0") {
        tracing_changes_nothing(world, played, account, subject, &got);
    }
    let mut expected = Expected::default();
    world.deliver(account, &world.mapped(account, subject), &[], &mut expected);
    let mut deliveries: Vec<Delivery> = got
        .iter()
        .map(|(account, peer, (sid, subject, ..))| (*account, *peer, *sid, subject.clone()))
        .collect();
    let told = |what: &str, deliveries: &[Delivery]| {
        format!(
            "{what}\n{case}: {subject} in {account}\n{world:#?}\nexpected {expected:#?}\nleft {deliveries:#?}"
        )
    };
    for delivery in &expected.each {
        let at = deliveries.iter().position(|got| got == delivery);
        let at = at.unwrap_or_else(|| panic!("{}", told(&format!("{delivery:?} is missing"), &deliveries)));
        deliveries.swap_remove(at);
    }
    let fits = one_of_each(&expected.groups, &deliveries);
    assert!(fits, "{}", told("queue groups got too little or too much", &deliveries));
    if reply.is_none() {
        agrees_with_explain(world, played, account, subject, &got);
    }
    let reachable = world.reachable(account);
    for (receiver, _, (.., payload)) in &got {
        assert!(reachable.contains(receiver), "{}", told("no agreement", &deliveries));
        assert_eq!(payload, case);
    }
    let wants = |(account, peer, (_, _, reply, _)): (usize, usize, Got)| Some((account, peer, reply?));
    got.into_iter().filter_map(wants).collect()
}

/// A message that is traced reaches the same plain subscriptions and as many queue groups, and each is noted that is
/// not behind a border that no trace crosses; one that is only traced reaches nobody.
fn tracing_changes_nothing(
    world: &World,
    played: &mut Played,
    account: usize,
    subject: &str,
    got: &[(usize, usize, Got)],
) {
    for only in [false, true] {
        let to = permission::trace(&played.peers[account][0].0, None, b"traces").expect("all is allowed");
        let id = played.accounts[account].id;
        played.turn.begin_trace(Trace::new(&to, only, id, std::time::SystemTime::now));
        played.publish(account, 0, subject, None, "traced");
        let trace = played.turn.end_trace().expect("it was begun");
        let traced = played.all_got();
        if only {
            assert_eq!(traced, []);
            continue;
        }
        let plain = |all: &[(usize, usize, Got)]| {
            let is_plain = |(account, peer, (sid, ..)): &&(usize, usize, Got)| {
                world.0[*account].peers[*peer][*sid].1.is_none()
            };
            let mut plain: Vec<_> = all.iter().filter(is_plain).collect::<Vec<_>>();
            plain.sort();
            plain
                .iter()
                .map(|(account, peer, (sid, subject, ..))| (*account, *peer, *sid, subject.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(plain(&traced), plain(got), "{subject} in {account}\n{world:#?}");
        assert_eq!(traced.len(), got.len(), "{subject} in {account}\n{world:#?}");
        let noted = trace.events().iter().filter(|(_, event)| matches!(event, Event::Arrival(_))).count();
        assert!(noted <= traced.len(), "{subject} in {account}\n{world:#?}");
        crossings_noted(trace.events().iter().map(|(_, event)| event), &traced, account);
    }
}

/// Whether nothing left the account, or a crossing is noted.
fn crossings_noted<'a>(
    mut events: impl Iterator<Item = &'a Event>,
    got: &[(usize, usize, Got)],
    account: usize,
) {
    let left = got.iter().any(|(to, ..)| *to != account);
    assert!(!left || events.any(|event| matches!(event, Event::Stream(..) | Event::Service(..))));
}

/// What is explained of the message is what was delivered.
fn agrees_with_explain(
    world: &World,
    played: &Played,
    account: usize,
    subject: &str,
    got: &[(usize, usize, Got)],
) {
    let chances = explain::publish(&played.accounts[account], &[None], subject.as_bytes());
    let mut expected: BTreeMap<(usize, String), usize> = BTreeMap::new();
    let mut groups = 0;
    for place in explain::places(&chances) {
        let name = place.account.name.parse().expect("a number");
        let there = String::from_utf8_lossy(&place.subject).into_owned();
        *expected.entry((name, there)).or_default() += place.listeners.plain;
        groups += place.listeners.groups.len();
        assert_eq!(place.listeners.withheld, 0);
    }
    expected.retain(|_, count| *count > 0);
    let mut plain: BTreeMap<(usize, String), usize> = BTreeMap::new();
    let mut queued = 0;
    for (account, peer, (sid, subject, ..)) in got {
        match world.0[*account].peers[*peer][*sid].1 {
            None => *plain.entry((*account, subject.clone())).or_default() += 1,
            Some(_) => queued += 1,
        }
    }
    assert_eq!(plain, expected, "{subject} in {account}\n{world:#?}\n{chances:#?}");
    // One group may have members in several accounts, and is served once then.
    assert!((queued > 0) == (groups > 0) && queued <= groups, "{subject} in {account}\n{world:#?}");
}

fn is_stream_service(export: &Export) -> bool {
    matches!(&export.kind, ExportKind::Service(service) if service.response != ResponseType::Single)
}

#[test]
fn who_gets_a_message_is_what_the_model_says() {
    let now = Instant::now();
    let mut crossed = 0;
    for case in 0..CASES {
        let mut random = FastRandom(case);
        let mut world = World::random(&mut random);
        let mut played = Played::new(&world, now);
        for n in 0..MESSAGES {
            if n == 2 {
                // Somebody changes what it shares; everybody's routes must notice.
                let changed = random.below(world.0.len());
                if random.chance(50) {
                    world.0[changed].imports.pop();
                } else {
                    world.0[changed].mappings.clear();
                }
                played.share(&world);
            }
            let account = random.below(world.0.len());
            let subject = world.subject(account, &mut random);
            let reply = random.chance(50).then_some("_INBOX.1.2");
            let name = format!("case {case} message {n}");
            // Twice: routes are worked out, then found.
            check(&world, &mut played, account, &subject, None, &name);
            let asked = check(&world, &mut played, account, &subject, reply, &name);
            crossed += asked.iter().filter(|(other, ..)| *other != account).count();
            let listeners = world.subscribed(account, "_INBOX.1.2");
            let plain = listeners.iter().filter(|(queue, _)| queue.is_none()).count();
            let groups: BTreeSet<_> = listeners.iter().filter_map(|(queue, _)| *queue).collect();
            // One of those who got the request answers. An answer of another one would end on the way if both were
            // asked by one service.
            let asked: Vec<_> = asked.into_iter().filter(|(.., reply)| reply.starts_with("_R_.")).collect();
            if asked.is_empty() {
                continue;
            }
            let (responder, peer, subject) = random.pick(&asked).clone();
            for answers_expected in [plain + groups.len(), 0] {
                played.publish(responder, peer, &subject, None, "answer");
                let got = played.all_got().into_iter();
                let answers: Vec<_> = got.filter(|(.., (_, subject, ..))| subject == "_INBOX.1.2").collect();
                let all_right =
                    answers.len() == answers_expected && answers.iter().all(|(to, ..)| *to == account);
                assert!(all_right, "{name}: {subject} in {responder}: {answers:?}\n{world:#?}");
                // Services whose answer is a stream go on; the others have one answer.
                if world.0.iter().flat_map(|tenant| &tenant.exports).any(is_stream_service) {
                    break;
                }
            }
        }
    }
    // So that a change of the generator cannot make the test idle.
    assert!(crossed > 5000, "only {crossed} requests crossed a border");
}

/// Accounts that nobody changes lose nothing and get nothing twice, whatever changes beside them.
#[test]
fn changes_beside_an_account_do_not_touch_it() {
    const MESSAGES: usize = 20_000;
    let export = |subject: &str| Export {
        at: Default::default(),
        subject: subject.to_owned(),
        accounts: Vec::new(),
        account_token_position: None,
        kind: ExportKind::Stream,
    };
    let import = |account: &str, subject: &str| Import {
        at: Default::default(),
        account: account.to_owned(),
        subject: subject.to_owned(),
        kind: ImportKind::Stream { prefix: None, to: None, allow_trace: false },
    };
    let subscribed = vec![vec![(">".to_owned(), None)]];
    let mut world =
        World((0..4).map(|_| Tenant { peers: subscribed.clone(), ..Tenant::default() }).collect());
    world.0[0].exports = vec![export("a.>"), export("b.>")];
    world.0[1].imports = vec![import("0", "a.>")];
    let played = Played::new(&world, Instant::now());
    let accounts = played.accounts.clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    let Played { peers, mut turn, .. } = played;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let find = |name: &str| accounts.get(name.parse::<usize>().ok()?).cloned();
            let mapping = |to: &str| Mapping {
                at: Default::default(),
                subject: "a.x".to_owned(),
                destinations: vec![Destination { subject: to.to_owned(), weight: 100, cluster: None }],
            };
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for imports in
                    [vec![import("0", "a.>"), import("0", "b.>")], vec![import("0", "b.>")], Vec::new()]
                {
                    accounts[2].set_imports(&imports, &find);
                    accounts[3].set_mappings(&[mapping("b.y")], None);
                    // What is the same is no change.
                    accounts[1].set_imports(&world.0[1].imports, &find);
                    accounts[0].set_exports(&world.0[0].exports);
                }
            }
        });
        let (peer, _) = &peers[0][0];
        for _ in 0..MESSAGES {
            let message = Message { subject: b"a.x", reply: None, header_bytes: 0, framed: b"m\r\n" };
            let authorized =
                permission::publish(peer, None, &message, Instant::now()).expect("all is allowed");
            turn.publish(Origin { peer, account: &accounts[0], echo: true }, authorized);
            turn.finish();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for account in [0, 1] {
        let bytes = peers[account][0].1.0.lock().len();
        assert_eq!(bytes, MESSAGES * b"MSG a.x 0 1\r\nm\r\n".len(), "account {account}");
    }
}
