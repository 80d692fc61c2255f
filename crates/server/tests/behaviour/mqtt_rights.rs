//! A permission holds for a message of MQTT however it comes: live, kept for who is away, retained, or as a will.

use crate::common::mqtt::{CONNECT, Device, id, properties};
use crate::common::waiting::Bounded;
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_sim::random::Random;
use dialtone_wire::mqtt::{
    Connect, Delivery, Filters, Packet, Properties, Property, Publish, Qos, Subscribe, SubscribeOptions,
    Subscription, Will,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use tempfile::TempDir;

const TOPICS: [&str; 6] = ["a", "a/a", "a/b", "b", "b/a", "b/a/b"];
/// Wide ones more than once.
const FILTERS: [&str; 10] = ["#", "#", "#", "+", "+/a", "a/#", "a/#", "a/+", "a/b", "b/a/b"];
const RULES: [&str; 8] = [">", "*", "*.a", "a.>", "a.*", "a.b", "b.>", "b.a.b"];
/// Where it is said that all was published: everybody may have it.
const END: &str = "end/of/all";
const USERS: u64 = 100;

/// What a user may subscribe to, and what it does subscribe to.
struct User {
    name: String,
    allowed: Vec<&'static str>,
    denied: Vec<&'static str>,
    filter: &'static str,
}

impl User {
    /// The user of a number, which decides everything.
    fn new(number: u64) -> Self {
        let mut random = Random::new(number);
        let mut rules = |from: usize, count: usize, more: usize| {
            let count = count + random.below(more);
            (0..count).map(|_| RULES[from + random.below(RULES.len() - from)]).collect()
        };
        let (allowed, denied) = (rules(0, 1, 3), rules(1, 0, 3));
        Self { name: format!("u{number}"), allowed, denied, filter: FILTERS[random.below(FILTERS.len())] }
    }

    /// The topics of which it asks for messages.
    fn asked(&self) -> impl Iterator<Item = &'static str> {
        let filter = self.filter.replace('/', ".").replace('+', "*").replace('#', ">");
        let parent = filter.strip_suffix(".>").unwrap_or(&filter).to_owned();
        let asks = move |subject: &str| matches(&filter, subject) || subject == parent;
        TOPICS.into_iter().filter(move |topic| asks(&topic.replace('/', ".")))
    }

    /// Those of which it is to get them.
    fn wanted(&self) -> BTreeSet<&'static str> {
        self.asked().filter(|topic| is_in(&self.allowed, topic) && !is_in(&self.denied, topic)).collect()
    }

    /// Whether it asks for what it is not allowed, and for what it is denied.
    fn oversteps(&self) -> [bool; 2] {
        let is_allowed = |topic: &&str| is_in(&self.allowed, topic);
        let denied = self.asked().filter(is_allowed).any(|topic| is_in(&self.denied, topic));
        [!self.asked().all(|topic| is_allowed(&topic)), denied]
    }
}

fn is_in(rules: &[&str], topic: &str) -> bool {
    rules.iter().any(|rule| matches(rule, &topic.replace('/', ".")))
}

/// The naive twin: whether a filter of NATS matches a subject.
fn matches(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(asked), Some(token)) if asked == "*" || asked == token => {}
            _ => return false,
        }
    }
}

fn server(users: &[User], more: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut listed = String::new();
    for User { name, allowed, denied, .. } in users {
        let _ = write!(
            listed,
            ", {{ user: {name}, password: p, permissions: {{ subscribe: {{ allow: {allowed:?}, deny: {denied:?} }} }} }}"
        );
    }
    // Nothing comes twice for want of an acknowledgement.
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1', ack_wait: 1h }}\n\
         authorization {{ users: [ {{ user: all, password: p }}{listed} ] }}\n{more}",
        folder.path().display()
    );
    (start(options(&text)), folder)
}

fn connect(server: &Server, user: &str, client_id: &str, will: Option<Will<'_>>) -> Device {
    let expiry = properties(&[Property::SessionExpiry(u32::MAX)]);
    let password = Some(&b"p"[..]);
    let properties = expiry.properties();
    let connect = Connect { client_id, username: Some(user), password, properties, will, ..CONNECT };
    let mut device = Device::connect(server, connect);
    let connack = device.next();
    assert!(connack.contains("reason: Success"), "{connack}");
    device
}

/// Subscribes to a filter and the end; whether the filter is granted.
fn subscribe(device: &mut Device, filter: &str, qos: Qos) -> bool {
    let mut filters = Vec::new();
    let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
    for filter in [filter, END] {
        Filters::push(&mut filters, Subscription { filter, options }).expect("short");
    }
    let (filters, properties) = (Filters::of(&filters), Properties::NONE);
    device.send(&Packet::Subscribe(Subscribe { id: id(9), properties, filters }));
    let answer = device.next();
    assert!(answer.starts_with("SubAck"), "{answer}");
    !answer.contains("NotAuthorized")
}

fn publish(device: &mut Device, topic: &str, payload: &[u8]) {
    let delivery = Delivery::AtLeastOnce { id: id(1), dup: false };
    device.send(&Packet::Publish(Publish {
        delivery,
        retain: true,
        topic,
        properties: Properties::NONE,
        payload,
    }));
    assert!(device.next().contains("PubAck"));
}

/// All that comes until the end was there so often, and so many messages: topics and payloads, sorted.
fn heard(device: &mut Device, mut ends: usize, count: usize) -> Vec<(String, String)> {
    let mut got = Vec::new();
    while ends > 0 || got.len() < count {
        let next = device.next_as(|packet| match packet {
            Packet::Publish(publish) => {
                let payload = String::from_utf8_lossy(publish.payload).into_owned();
                Some((publish.topic.to_owned(), payload))
            }
            _ => None,
        });
        match next.expect("the server has closed the connection").expect("a message") {
            (topic, _) if topic == END => ends = ends.saturating_sub(1),
            message => got.push(message),
        }
    }
    got.sort();
    got
}

#[test]
fn a_permission_holds_however_a_message_comes() {
    let mut users: Vec<User> = (0..USERS).map(User::new).collect();
    users.iter_mut().for_each(|user| user.allowed.push("end.of.all"));
    let (server, _folder) = server(&users, "");
    let mut observer = connect(&server, "all", "observer", None);
    assert!(subscribe(&mut observer, "#", Qos::AtMostOnce));
    // How many have a subscription that reaches beyond what is allowed, and into what is denied.
    let mut overstep = [0; 2];
    let mut listening: Vec<_> = users
        .iter()
        .map(|user| {
            let name = |of: &str| format!("{}{of}", user.name);
            let [mut live, mut kept, mut away] =
                ["live", "kept", "away"].map(|of| connect(&server, &user.name, &name(of), None));
            let is_granted = subscribe(&mut live, user.filter, Qos::AtMostOnce);
            assert_eq!(subscribe(&mut kept, user.filter, Qos::AtLeastOnce), is_granted);
            assert_eq!(subscribe(&mut away, user.filter, Qos::AtLeastOnce), is_granted);
            away.leave();
            if is_granted {
                overstep
                    .iter_mut()
                    .zip(user.oversteps())
                    .for_each(|(count, does)| *count += usize::from(does));
            }
            (user, is_granted, live, kept)
        })
        .collect();
    assert!(overstep.iter().all(|count| *count >= 3), "{overstep:?} say too little");
    let mut publisher = connect(&server, "all", "publisher", None);
    TOPICS.iter().for_each(|topic| publish(&mut publisher, topic, b"published"));
    for (number, topic) in (0..).zip(TOPICS) {
        let (properties, payload) = (Properties::NONE, &b"will"[..]);
        let will = Will { qos: Qos::AtLeastOnce, retain: false, topic, properties, payload };
        drop(connect(&server, "all", &format!("leaver{number}"), Some(will)));
    }
    // All wills are published before the end is said.
    heard(&mut observer, 0, 2 * TOPICS.len());
    for _ in 0..2 {
        publish(&mut publisher, END, b"over");
    }
    for (user, is_granted, live, kept) in &mut listening {
        let wanted = if *is_granted { user.wanted() } else { BTreeSet::new() };
        let of = |payloads: &[&str]| {
            let mut all: Vec<_> = wanted
                .iter()
                .flat_map(|topic| payloads.iter().map(|payload| ((*topic).to_owned(), (*payload).to_owned())))
                .collect();
            all.sort();
            all
        };
        let (once, both) = (of(&["published"]), of(&["published", "will"]));
        let told = format!("{} {:?} {:?} {}", user.name, user.allowed, user.denied, user.filter);
        assert_eq!(heard(live, 2, both.len()), both, "live: {told}");
        assert_eq!(heard(kept, 2, both.len()), both, "live, of quality of service 1: {told}");
        let mut back = connect(&server, &user.name, &format!("{}away", user.name), None);
        assert_eq!(heard(&mut back, 2, both.len()), both, "kept while it was away: {told}");
        let mut late = connect(&server, &user.name, &format!("{}late", user.name), None);
        assert_eq!(subscribe(&mut late, user.filter, Qos::AtLeastOnce), *is_granted);
        assert_eq!(heard(&mut late, 1, once.len()), once, "retained: {told}");
    }
    server.stop();
}

/// CVE-2026-33216: the password of a client of MQTT is a secret, whatever it may be.
#[test]
fn what_a_client_of_mqtt_comes_with_is_shown_nowhere() {
    const SECRET: &str = "canary-9d3f";
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}\nhttp: '127.0.0.1:-1'\n\
         log_file: {log:?}\ndebug: true\ntrace: true\nsystem_account: SYS\naccounts {{ SYS {{ users: [ {{ user: s }} ] }},\n\
         A {{ jetstream: enabled, users: [ {{ user: a, password: {SECRET} }} ] }} }}",
        folder.path().display()
    );
    let server = Server::builder().options(options(&text)).in_process_only().start().expect("started");
    let mut system = Client::connect(&server, "s");
    system.send("SUB $SYS.> 1\r\n");
    system.sync();
    let payload = &b"x"[..];
    let will =
        Will { qos: Qos::AtMostOnce, retain: false, topic: "t", properties: Properties::NONE, payload };
    for password in [SECRET, "canary-9d3f-and-wrong"] {
        let (username, password) = (Some("a"), Some(password.as_bytes()));
        let connect = Connect { client_id: "c", username, password, will: Some(will), ..CONNECT };
        let mut device = Device::connect(&server, connect);
        let connack = device.next();
        if !connack.contains("reason: Success") {
            assert!(connack.contains("NotAuthorized"), "{connack}");
            continue;
        }
        for path in [
            "/varz",
            "/connz?auth=1&subs=detail",
            "/subsz?subs=1",
            "/accountz?acc=A",
            "/jsz?streams=1&consumers=1&config=1",
        ] {
            let port = server.node().monitoring.ports().http;
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected").bounded();
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
            let mut page = String::new();
            stream.read_to_string(&mut page).expect("a page");
            assert!(page.contains("200 OK"), "{path}: {page}");
            assert!(!page.contains(SECRET), "{path}: {page}");
        }
        device.leave();
    }
    let events = system.sync();
    assert!(events.iter().any(|line| line.contains("CONNECT")), "{events:?}");
    let shown: Vec<_> = events.iter().filter(|line| line.contains(SECRET)).collect();
    assert!(shown.is_empty(), "{shown:?}");
    server.stop();
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.contains("CONNECT clientID=c"), "{log}");
    let shown: Vec<_> = log.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(shown.is_empty(), "{shown:?}");
}
