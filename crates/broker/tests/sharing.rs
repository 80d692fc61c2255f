//! Random accounts with exports, imports, mappings and queue groups, against a naive model of who must receive what.
//!
//! Two things must hold in every case: who gets a message is what the model says, and nobody gets one in an account
//! that no agreement leads to.

use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::explain;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::stats::Counters;
use dialtone_broker::subscription::Subscription;
use dialtone_broker::trace::{Event, Trace};
use dialtone_config::sharing::{
    Destination, Export, ExportKind, Import, ImportKind, Mapping, ResponseType, ServiceExport, stream_subject,
};
use dialtone_subject::naive;
use dialtone_wire::client::Publish;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

/// Random worlds that are played.
const CASES: u64 = 10_000;
/// Messages that are published in each.
const MESSAGES: usize = 4;

/// splitmix64, so that a case can be played again by its number.
struct FastRandom(u64);

impl FastRandom {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn chance(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Filters of two or three tokens; the first is literal.
    fn filter(&mut self) -> String {
        let mut tokens: Vec<&str> = vec![*self.pick(&["a", "b"])];
        for _ in 0..1 + self.below(2) {
            tokens.push(*self.pick(&["a", "b", "*"]));
        }
        if self.chance(20) {
            tokens.push(">");
        }
        tokens.join(".")
    }

    fn subject(&mut self) -> String {
        let tokens = 2 + self.below(2);
        (0..tokens).map(|_| *self.pick(&["a", "b"])).collect::<Vec<_>>().join(".")
    }
}

#[derive(Debug, Default)]
struct Tenant {
    exports: Vec<Export>,
    imports: Vec<Import>,
    mappings: Vec<Mapping>,
    /// Peers, each with its subscriptions: filter and queue group; the sid is the place.
    peers: Vec<Vec<(String, Option<&'static str>)>>,
}

/// Accounts and what they agreed on; the account with number n is called `n`.
#[derive(Debug, Default)]
struct World(Vec<Tenant>);

impl World {
    fn random(random: &mut FastRandom) -> Self {
        let mut world = Self((0..2 + random.below(4)).map(|_| Tenant::random(random)).collect());
        let count = world.0.len();
        for _ in 0..4 + random.below(12) {
            let (from, to) = (random.below(count), random.below(count));
            if from != to && !world.0[from].exports.is_empty() {
                let export = random.pick(&world.0[from].exports).clone();
                world.import(from, to, &export, random);
            }
        }
        world
    }

    fn import(&mut self, from: usize, to: usize, export: &Export, random: &mut FastRandom) {
        // Sometimes only a part of what is exported is taken.
        let mut subject = export.subject.clone();
        if random.chance(30) {
            subject = subject.replacen('*', "b", 1);
        }
        let stars = subject.split('.').filter(|token| *token == "*").count();
        let tail = if subject.ends_with('>') { ".>" } else { "" };
        let other_name = match stars {
            0 => format!("b.z{tail}"),
            1 => format!("b.$1{tail}"),
            _ => format!("a.$2.$1{tail}"),
        };
        let kind = match &export.kind {
            ExportKind::Stream => {
                let (prefix, to) = match random.below(3) {
                    0 => (None, None),
                    1 => (Some("b".to_owned()), None),
                    _ => (None, Some(other_name)),
                };
                ImportKind::Stream { prefix, to, allow_trace: false }
            }
            ExportKind::Service(_) => {
                let to = if random.chance(50) { subject.clone() } else { other_name };
                ImportKind::Service { to, share: random.chance(50) }
            }
        };
        let import = Import { at: Default::default(), account: from.to_string(), subject, kind };
        let importer = to.to_string();
        let twice = self.0[to].imports.iter().any(|other| {
            other.account == import.account
                && (other.subject == import.subject || local(other) == local(&import))
        });
        // Which of several exports is meant must be clear.
        let exports = &self.0[from].exports;
        let meant = exports.iter().filter(|export| export.allows(&import, &importer)).count();
        if !twice && meant == 1 {
            self.0[to].imports.push(import);
        }
    }
}

impl Tenant {
    fn random(random: &mut FastRandom) -> Self {
        let mut tenant = Self::default();
        for _ in 0..1 + random.below(4) {
            let subject = random.filter();
            let kind = if random.chance(50) {
                ExportKind::Stream
            } else {
                let response = *random.pick(&[ResponseType::Single, ResponseType::Stream]);
                ExportKind::Service(ServiceExport { response, ..ServiceExport::default() })
            };
            let accounts = if random.chance(20) { vec!["1".to_owned()] } else { Vec::new() };
            let export =
                Export { at: Default::default(), subject, accounts, account_token_position: None, kind };
            if tenant.exports.iter().all(|other| other.subject != export.subject) {
                tenant.exports.push(export);
            }
        }
        for _ in 0..usize::from(random.chance(30)) {
            let subject = random.filter();
            let numbered = dialtone_subject::transform::number_wildcards(&subject);
            // To another subject, or nowhere.
            let destination = if random.chance(80) {
                Destination { subject: format!("a.{numbered}"), weight: 100, cluster: None }
            } else {
                let tail = if subject.ends_with('>') { ".>" } else { "" };
                Destination { subject: format!("lost.on.purpose{tail}"), weight: 100, cluster: None }
            };
            tenant.mappings.push(Mapping {
                at: Default::default(),
                subject,
                destinations: vec![destination],
            });
        }
        for _ in 0..1 + random.below(3) {
            let subscriptions = (0..random.below(4)).map(|_| {
                let filter = if random.chance(20) { ">".to_owned() } else { random.filter() };
                (filter, random.chance(40).then(|| *random.pick(&["q", "r"])))
            });
            tenant.peers.push(subscriptions.collect());
        }
        tenant
    }
}

fn local(import: &Import) -> String {
    match &import.kind {
        ImportKind::Stream { prefix, to, .. } => {
            stream_subject(&import.subject, prefix.as_deref(), to.as_deref())
        }
        ImportKind::Service { to, .. } => to.clone(),
    }
}

/// What wildcards of a filter match, and the rest behind `>`.
fn matched<'a>(filter: &str, subject: &'a str) -> Option<(Vec<&'a str>, Vec<&'a str>)> {
    if !naive::matches(filter.as_bytes(), subject.as_bytes()) {
        return None;
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    let of_filter: Vec<&str> = filter.split('.').collect();
    let stars = (0..of_filter.len()).filter(|&at| of_filter[at] == "*").map(|at| tokens[at]).collect();
    let rest =
        of_filter.iter().position(|token| *token == ">").map_or(Vec::new(), |at| tokens[at..].to_vec());
    Some((stars, rest))
}

/// A subject of a pattern: `*` stand for what is given, in order; `$1` for the first; `>` for the rest.
fn fill(pattern: &str, stars: &[&str], rest: &[&str]) -> String {
    let mut next = stars.iter();
    let mut out = Vec::new();
    for token in pattern.split('.') {
        match token.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok()) {
            Some(n) => out.push(stars[n - 1]),
            None if token == "*" => out.push(next.next().expect("as many as there are wildcards")),
            None if token == ">" => out.extend(rest),
            None => out.push(token),
        }
    }
    out.join(".")
}

/// Which subject of the exporter is asked by `subject` here, if the import is asked at all.
fn asked(import: &Import, subject: &str) -> Option<String> {
    let name = local(import);
    // In the order in which they stand here, what stood in place of the wildcards goes into those there.
    let filter = name.split('.').map(|token| if token.starts_with('$') { "*" } else { token });
    let (stars, rest) = matched(&filter.collect::<Vec<_>>().join("."), subject)?;
    if !name.contains('$') {
        return Some(fill(&import.subject, &stars, &rest));
    }
    let order = name.split('.').filter_map(|token| token.strip_prefix('$'));
    let order: Vec<usize> = order.map(|digits| digits.parse().expect("a number")).collect();
    let placed: Vec<&str> = order.iter().map(|n| stars[n - 1]).collect();
    Some(fill(&import.subject, &placed, &rest))
}

/// Account, peer, sid and subject of a delivery.
type Delivery = (usize, usize, usize, String);

/// Who must get a message.
#[derive(Debug, Default)]
struct Expected {
    each: Vec<Delivery>,
    /// One of each group.
    groups: Vec<Vec<Delivery>>,
}

impl World {
    fn mapped(&self, account: usize, subject: &str) -> String {
        let mapping = &self.0[account].mappings;
        let found = mapping.iter().find_map(|mapping| Some((mapping, matched(&mapping.subject, subject)?)));
        found.map_or(subject.to_owned(), |(mapping, (stars, rest))| {
            fill(&mapping.destinations[0].subject, &stars, &rest)
        })
    }

    fn subscribed(&self, account: usize, subject: &str) -> Vec<(Option<&'static str>, Delivery)> {
        let mut out = Vec::new();
        for (peer, subscriptions) in self.0[account].peers.iter().enumerate() {
            for (sid, (filter, queue)) in subscriptions.iter().enumerate() {
                if naive::matches(filter.as_bytes(), subject.as_bytes()) {
                    out.push((*queue, (account, peer, sid, subject.to_owned())));
                }
            }
        }
        out
    }

    /// `services` are those that were asked on the way here, by account and place.
    fn deliver(&self, account: usize, subject: &str, services: &[(usize, usize)], out: &mut Expected) {
        let mut here = self.subscribed(account, subject);
        if services.is_empty() {
            for (importer, tenant) in self.0.iter().enumerate() {
                for import in tenant.imports.iter().filter(|import| import.account == account.to_string()) {
                    if let (ImportKind::Stream { .. }, Some((stars, rest))) =
                        (&import.kind, matched(&import.subject, subject))
                    {
                        here.extend(self.subscribed(importer, &fill(&local(import), &stars, &rest)));
                    }
                }
            }
        }
        let mut groups: BTreeMap<&str, Vec<Delivery>> = BTreeMap::new();
        for (queue, delivery) in here {
            match queue {
                None => out.each.push(delivery),
                Some(queue) => groups.entry(queue).or_default().push(delivery),
            }
        }
        out.groups.extend(groups.into_values());
        for import in &self.0[account].imports {
            let ImportKind::Service { .. } = import.kind else { continue };
            let Some(there) = asked(import, subject) else { continue };
            let exporter: usize = import.account.parse().expect("a number");
            let exports = &self.0[exporter].exports;
            let service =
                exports.iter().position(|e| e.allows(import, &account.to_string())).expect("allowed");
            if !services.contains(&(exporter, service)) {
                let passed = [services, &[(exporter, service)]].concat();
                self.deliver(exporter, &self.mapped(exporter, &there), &passed, out);
            }
        }
    }

    /// Accounts that an agreement leads to from this one.
    fn reachable(&self, from: usize) -> BTreeSet<usize> {
        let takes = |to: usize, is: fn(&ImportKind) -> bool| {
            let imports = self.0[to].imports.iter().filter(move |import| is(&import.kind));
            imports.map(|import| import.account.parse::<usize>().expect("a number"))
        };
        let mut all = BTreeSet::from([from]);
        let mut services = vec![from];
        while let Some(account) = services.pop() {
            for exporter in takes(account, |kind| matches!(kind, ImportKind::Service { .. })) {
                if all.insert(exporter) {
                    services.push(exporter);
                }
            }
        }
        let streams =
            |to: &usize| takes(*to, |kind| matches!(kind, ImportKind::Stream { .. })).any(|f| f == from);
        all.extend((0..self.0.len()).filter(streams));
        all
    }
}

#[derive(Default)]
struct Wire(Mutex<Vec<u8>>);

impl Sink for Wire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut all = self.0.lock();
        let before = all.len();
        slices.iter().for_each(|slice| all.extend_from_slice(slice));
        Ok(all.len() - before)
    }
}

struct Deaf;

impl Wake for Deaf {
    fn wake(&self) {}
}

/// A world in the broker.
struct Played {
    accounts: Vec<Arc<Account>>,
    peers: Vec<Vec<(Arc<Peer>, Arc<Wire>)>>,
    turn: Turn,
}

/// A message that a peer got: sid, subject, reply, payload.
type Got = (usize, String, Option<String>, String);

impl Played {
    fn new(world: &World, now: Instant) -> Self {
        let accounts: Vec<_> =
            (0..world.0.len()).map(|n| Account::new(AccountId(n as u32), &n.to_string())).collect();
        let mut slot = 0;
        let peers = world.0.iter().zip(&accounts).map(|(tenant, account)| {
            let peer = |subscriptions: &Vec<(String, Option<&str>)>| {
                let wire = Arc::new(Wire::default());
                slot += 1;
                let id = ClientId(u64::from(slot));
                let peer =
                    Peer::new(id, slot, Arc::new(Counters::default()), wire.clone(), Box::new(Deaf), 1 << 20);
                peer.set_place(Place { account: Some(account.clone()), permissions: None });
                peer.set_understands_headers(true);
                for (sid, (filter, queue)) in subscriptions.iter().enumerate() {
                    let (sid, queue) = (sid.to_string(), queue.map(str::as_bytes));
                    let subscription =
                        Subscription::new(peer.clone(), filter.as_bytes(), queue, sid.as_bytes());
                    peer.subscriptions().insert(subscription.clone());
                    account.insert(&subscription);
                }
                (peer, wire)
            };
            tenant.peers.iter().map(peer).collect()
        });
        let peers = peers.collect();
        let mut played = Self { accounts, peers, turn: Turn::new(7, now) };
        played.share(world);
        played
    }

    fn share(&mut self, world: &World) {
        let find = |name: &str| self.accounts.get(name.parse::<usize>().ok()?).cloned();
        for (account, tenant) in self.accounts.iter().zip(&world.0) {
            account.set_exports(&tenant.exports);
            assert_eq!(account.set_mappings(&tenant.mappings), []);
        }
        for (account, tenant) in self.accounts.iter().zip(&world.0) {
            assert_eq!(account.set_imports(&tenant.imports, &find), []);
        }
    }

    fn publish(&mut self, account: usize, peer: usize, subject: &str, reply: Option<&str>, payload: &str) {
        let framed = format!("{payload}\r\n");
        let reply = reply.map(str::as_bytes);
        let (peer, _) = &self.peers[account][peer];
        let account = &self.accounts[account];
        let mut mapped = Vec::new();
        let subject = match self.turn.map(account, subject.as_bytes(), &mut mapped) {
            dialtone_broker::sharing::Mapped::To => mapped.as_slice(),
            _ => subject.as_bytes(),
        };
        let message = Publish { subject, reply, header_bytes: None, framed: framed.as_bytes() };
        let message = permission::publish(peer, None, message, Instant::now()).expect("all is allowed");
        self.turn.publish(Origin { peer, account, echo: true }, &message);
        self.turn.finish();
    }

    /// What a peer got since the last call.
    fn got(&self, account: usize, peer: usize) -> Vec<Got> {
        let bytes = std::mem::take(&mut *self.peers[account][peer].1.0.lock());
        let mut text = String::from_utf8(bytes).expect("text");
        let mut out = Vec::new();
        while let Some((line, rest)) = text.split_once("\r\n") {
            let words: Vec<&str> = line.split(' ').collect();
            let with_headers = words[0] == "HMSG";
            let reply = (words.len() == 5 + usize::from(with_headers)).then(|| words[3].to_owned());
            let size: usize = words[words.len() - 1].parse().expect("a size");
            let headers: usize =
                if with_headers { words[words.len() - 2].parse().expect("a size") } else { 0 };
            let sid = words[2].parse().expect("a sid");
            out.push((sid, words[1].to_owned(), reply, rest[headers..size].to_owned()));
            text = rest[size + 2..].to_owned();
        }
        out
    }

    fn all_got(&self) -> Vec<(usize, usize, Got)> {
        let mut out = Vec::new();
        for account in 0..self.peers.len() {
            for peer in 0..self.peers[account].len() {
                out.extend(self.got(account, peer).into_iter().map(|got| (account, peer, got)));
            }
        }
        out
    }
}

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
            let imports = &world.0[account].imports;
            let subject = if imports.is_empty() || random.chance(40) {
                random.subject()
            } else {
                let name = local(random.pick(imports));
                let literal = |token: &str| {
                    if matches!(token, "*" | ">" | "$1" | "$2") { "b" } else { token }.to_owned()
                };
                name.split('.').map(literal).collect::<Vec<_>>().join(".")
            };
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
                    accounts[3].set_mappings(&[mapping("b.y")]);
                    // What is the same is no change.
                    accounts[1].set_imports(&world.0[1].imports, &find);
                    accounts[0].set_exports(&world.0[0].exports);
                }
            }
        });
        let (peer, _) = &peers[0][0];
        for _ in 0..MESSAGES {
            let message = Publish { subject: b"a.x", reply: None, header_bytes: None, framed: b"m\r\n" };
            let message = permission::publish(peer, None, message, Instant::now()).expect("all is allowed");
            turn.publish(Origin { peer, account: &accounts[0], echo: true }, &message);
            turn.finish();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for account in [0, 1] {
        let bytes = peers[account][0].1.0.lock().len();
        assert_eq!(bytes, MESSAGES * b"MSG a.x 0 1\r\nm\r\n".len(), "account {account}");
    }
}
