//! Who is in after a reload, and with what rights, is who a fresh start with the second configuration lets in; and who
//! was allowed and still is never notices.

use crate::common::waiting::{Bounded, wait_until};
use data_encoding::BASE64URL_NOPAD;
use dialtone_broker::peer::ClientId;
use dialtone_config::Options;
use dialtone_config::options::Permissions;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_server::Server;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Pairs of configurations. Twenty take about a second in a debug build.
const PAIRS: u64 = 200;
/// Clients whose passwords are checked, or wait for it, while the configuration is replaced.
const LATE: usize = 24;

/// Passwords as they are presented, and as they may be configured: plain, or hashed at the lowest cost.
const PASSWORDS: [&str; 2] = ["p", "q"];

fn nkey(number: u8) -> Seed {
    Seed::from_bytes(Kind::User, [number; 32])
}

fn proxy() -> Seed {
    nkey(100)
}

fn options(config: &str) -> Options {
    let mut files = |_: &Path| Err(ErrorKind::NotFound.into());
    dialtone_config::load_text(config, "t.conf", &mut files, &|_| None).expect(config)
}

fn start(options: Options) -> Server {
    Server::builder().options(options).in_process_only().quiet().start().expect("started")
}

/// Configurations that may follow each other by a reload.
struct Configs {
    random: SmallRng,
    /// `no_auth_user` cannot be reloaded: both have it, or neither.
    silent_user: bool,
    hashes: Vec<Vec<String>>,
}

impl Configs {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let hash = |password: &&str| bcrypt::hash(password, 4).expect("hash");
        // Of each password there are two hashes: another hash of the same password is no change for its user.
        let hashes = PASSWORDS.iter().map(|password| vec![hash(password), hash(password)]).collect();
        let silent_user = random.random_bool(0.4);
        Self { random, silent_user, hashes }
    }

    fn choose<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.random).copied().unwrap_or_default()
    }

    fn password(&mut self) -> String {
        let which = self.random.random_range(0..PASSWORDS.len());
        match self.random.random_range(0..3) {
            hashed @ 0..2 => format!("{:?}", self.hashes[which][hashed]),
            _ => PASSWORDS[which].to_owned(),
        }
    }

    fn permissions(&mut self) -> &'static str {
        self.choose(&[
            "",
            "",
            ", permissions { publish: a }",
            ", permissions { subscribe: [ x, \"y q\" ] }",
            ", permissions { publish { deny: a }, subscribe { deny: [ \"x q\" ] } }",
            ", permissions { subscribe: [ \"> q\" ] }",
            ", permissions { publish: [ a, b ], subscribe: \">\" }",
        ])
    }

    fn way(&mut self) -> String {
        let types = [
            "",
            "",
            "",
            ", allowed_connection_types: [ IN_PROCESS ]",
            ", allowed_connection_types: [ MQTT ]",
        ];
        let proxied = ["", "", "", "", ", proxy_required: true"];
        format!("{}{}", self.choose(&types), self.choose(&proxied))
    }

    /// A list of some of the users, each of which is also left out sometimes.
    fn users(&mut self, users: &[&str], nkeys: &[u8], silent: bool) -> String {
        let mut list = Vec::new();
        for user in users {
            if self.random.random_bool(0.75) {
                let password = self.password();
                list.push(format!(
                    "{{ user: {user}, password: {password}{}{} }}",
                    self.way(),
                    self.permissions()
                ));
            }
        }
        for number in nkeys {
            if self.random.random_bool(0.7) {
                let key = nkey(*number).public();
                list.push(format!("{{ nkey: {key}{}{} }}", self.way(), self.permissions()));
            }
        }
        if silent {
            let password = self.password();
            list.push(format!("{{ user: n, password: {password}{}{} }}", self.way(), self.permissions()));
        }
        format!("users: [ {} ]", list.join(", "))
    }

    fn next(&mut self) -> String {
        // Where proxies are trusted everybody gets a nonce, and can sign.
        let head = format!("proxies {{ trusted: [ {{ key: {} }} ] }}\n", proxy().public());
        let silent = self.silent_user;
        let body = match self.random.random_range(if silent { 3..6 } else { 0..6 }) {
            0 => String::new(),
            1 => format!("authorization {{ token: {} }}", self.password()),
            2 => format!("authorization {{ user: u0, password: {} }}", self.password()),
            3 => format!("authorization {{ {} }}", self.users(&["u0", "u1", "u2"], &[1, 2], silent)),
            _ => {
                // Users move from one account to the other.
                let (in_a, in_b): (Vec<&str>, Vec<&str>) =
                    ["u0", "u1", "u2"].iter().partition(|_| self.random.random_bool(0.7));
                let at = self.random.random_bool(0.8);
                let (a, b) = (self.users(&in_a, &[1], silent && at), self.users(&in_b, &[2], silent && !at));
                format!("accounts {{\nA {{ {a} }}\nB {{ {b} }}\n}}")
            }
        };
        let tail = if silent { "\nno_auth_user: n" } else { "" };
        format!("{head}{body}{tail}")
    }
}

/// What a client says of itself. `None`: it does not say CONNECT.
type Hello = Option<fn(nonce: &str) -> Value>;

fn sign(seed: &Seed, nonce: &str) -> String {
    BASE64URL_NOPAD.encode(&seed.sign(nonce.as_bytes()))
}

fn with_nkey(number: u8, nonce: &str) -> Value {
    json!({ "nkey": nkey(number).public().to_string(), "sig": sign(&nkey(number), nonce) })
}

const HELLOS: &[Hello] = &[
    None,
    Some(|_| json!({})),
    Some(|_| json!({ "user": "u0", "pass": "p" })),
    Some(|_| json!({ "user": "u0", "pass": "q" })),
    Some(|_| json!({ "user": "u1", "pass": "p" })),
    Some(|_| json!({ "user": "u1", "pass": "q" })),
    Some(|_| json!({ "user": "u2", "pass": "p" })),
    Some(|_| json!({ "user": "u2", "pass": "" })),
    Some(|_| json!({ "user": "n", "pass": "p" })),
    Some(|_| json!({ "auth_token": "p" })),
    Some(|_| json!({ "auth_token": "q" })),
    Some(|_| json!({ "auth_token": "q", "user": "u0", "pass": "q" })),
    Some(|nonce| with_nkey(1, nonce)),
    Some(|nonce| with_nkey(2, nonce)),
    Some(|nonce| json!({ "nkey": nkey(1).public().to_string(), "sig": sign(&nkey(2), nonce) })),
    Some(|nonce| json!({ "user": "u0", "pass": "p", "proxy_sig": sign(&proxy(), nonce) })),
    Some(|nonce| json!({ "proxy_sig": sign(&proxy(), nonce) })),
];

/// A connection, and what a refusal or a reload made of it.
struct Client {
    stream: BufReader<UnixStream>,
    id: ClientId,
    /// What is being tried, for when it goes wrong.
    case: String,
}

/// Who a client is and what it may do.
#[derive(Debug, PartialEq)]
struct Standing {
    account: String,
    user: String,
    permissions: Option<Permissions>,
}

impl Client {
    /// Opens a connection, and reads INFO.
    fn begin(server: &Server) -> (Self, Value) {
        let stream = server.connect_in_process().expect("connected").bounded();
        let mut client = Self { stream: BufReader::new(stream), id: ClientId(0), case: String::new() };
        let info = client.line().expect("INFO");
        let info: Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("INFO");
        client.id = ClientId(info["client_id"].as_u64().expect("a number"));
        (client, info)
    }

    /// Opens a connection and says who it is. `None`: it is refused.
    fn open(server: &Server, hello: Hello) -> Option<Self> {
        let (mut client, info) = Self::begin(server);
        if let Some(hello) = hello {
            let mut fields = hello(info["nonce"].as_str().unwrap_or_default());
            fields["verbose"] = false.into();
            client.send(&format!("CONNECT {fields}\r\n"));
        }
        let (_, is_open) = client.sync();
        is_open.then_some(client)
    }

    fn send(&mut self, text: &str) {
        // What is sent to a connection that is being closed may not arrive.
        let _ = self.stream.get_mut().write_all(text.as_bytes());
    }

    /// The next line but +OK, and PING, which comes now and then; `None` at the end.
    fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) if line == "+OK\r\n" || line == "PING\r\n" => {}
                Ok(_) => return Some(line.trim_end().to_owned()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing comes: {error} ({})", self.case),
            }
        }
    }

    /// All lines up to the answer of a PING, or up to the end. Whether the connection is still there.
    fn sync(&mut self) -> (Vec<String>, bool) {
        self.send("PING\r\n");
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            match line.as_str() {
                "PONG" => return (lines, true),
                _ => lines.push(line),
            }
        }
        (lines, false)
    }

    fn standing(&self, server: &Server) -> Standing {
        let session = server.node().connections.registry.find(self.id).expect("it is there");
        let place = session.peer.place();
        Standing {
            account: place.account.expect("an account").name.to_string(),
            user: session.profile().known().map(|known| known.user.to_string()).unwrap_or_default(),
            permissions: place.permissions.map(|permissions| permissions.source().clone()),
        }
    }

    fn subscriptions(&self, server: &Server) -> BTreeSet<String> {
        let session = server.node().connections.registry.find(self.id).expect("it is there");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        session.peer.subscriptions().iter().map(|subscription| text(subscription.sid())).collect()
    }

    /// Subscribes to all that there is. The errors.
    fn subscribe(&mut self) -> Vec<String> {
        self.send("SUB x 1\r\nSUB x q 2\r\nSUB y 3\r\nSUB y q 4\r\n");
        self.sync().0
    }

    /// What it may not publish.
    fn publish(&mut self) -> Vec<String> {
        self.send("PUB a 0\r\n\r\nPUB b 0\r\n\r\nPUB c 0\r\n\r\n");
        self.sync().0
    }
}

/// What the error of a subscription names: `"x" using queue "q"`.
fn denied(error: &str) -> &str {
    let text =
        error.trim_start_matches("-ERR 'Permissions Violation for Subscription to ").trim_end_matches('\'');
    text.split(" (sid").next().unwrap_or(text)
}

/// One kind of client before and after the reload, and the same with a fresh start.
fn compare(
    case: &str,
    reloaded: &Server,
    fresh: &Server,
    before: (Client, Standing, BTreeSet<String>),
    hello: Hello,
) {
    let (mut client, standing, subscribed) = before;
    client.case = case.to_owned();
    let mut twin = Client::open(fresh, hello);
    let expected = twin.as_ref().map(|twin| twin.standing(fresh));
    // Whoever is in another account by the second configuration is closed: what it subscribed to is not there.
    let Some(expected) = expected.filter(|expected| expected.account == standing.account) else {
        wait_until("the end", || client.line().is_none());
        return;
    };
    // What it presented may be checked on another thread, which the reload does not wait for.
    let registry = &reloaded.node().connections.registry;
    wait_until(case, || registry.find(client.id).is_none() || client.standing(reloaded) == expected);
    let (lines, is_open) = client.sync();
    assert!(is_open, "{case}: closed: {lines:?}, but should be {expected:?}");
    assert_eq!(client.standing(reloaded), expected, "{case}");
    let twin = twin.as_mut().expect("it is in");
    let refused: BTreeSet<String> = twin.subscribe().iter().map(|error| denied(error).to_owned()).collect();
    let ended: BTreeSet<String> = lines.iter().map(|error| denied(error).to_owned()).collect();
    assert!(ended.is_subset(&refused), "{case}: lost {ended:?}, but {refused:?} is refused");
    let rest: BTreeSet<String> = subscribed.intersection(&twin.subscriptions(fresh)).cloned().collect();
    assert_eq!(client.subscriptions(reloaded), rest, "{case}");
    assert_eq!(lines.len(), subscribed.len() - rest.len(), "{case}: {lines:?}");
    assert_eq!(client.publish(), twin.publish(), "{case}");
}

#[test]
fn a_reload_is_a_fresh_start_that_nobody_notices() {
    for seed in 0..PAIRS {
        let mut configs = Configs::new(seed);
        let (first, second) = (configs.next(), configs.next());
        let case = |hello: usize| format!("seed {seed}, client {hello}\n{first}\n---\n{second}\n");
        let reloaded = start(options(&first));
        let mut clients = Vec::new();
        for (number, hello) in HELLOS.iter().enumerate() {
            if let Some(mut client) = Client::open(&reloaded, *hello) {
                client.subscribe();
                let standing = client.standing(&reloaded);
                let subscribed = client.subscriptions(&reloaded);
                clients.push((number, *hello, (client, standing, subscribed)));
            }
        }
        reloaded.reload(Ok(options(&second)));
        assert_eq!(reloaded.node().settings.generation(), 1, "{}", case(0));
        let fresh = start(options(&second));
        for (number, hello, before) in clients {
            compare(&case(number), &reloaded, &fresh, before, hello);
        }
    }
}

/// Some are checked before the reload and some after it, and in the end there is no difference.
#[test]
fn a_password_that_is_checked_late_is_judged_by_the_configuration_in_force() {
    let hash = bcrypt::hash("p", 8).expect("hash");
    let with = |more: &str| format!("authorization {{ users: [ {{ user: u, password: {hash:?}{more} }} ] }}");
    let denied = |subject: &str| format!("-ERR 'Permissions Violation for Publish to {subject:?}'");
    for (second, is_in) in [
        ("authorization { users: [ { user: v } ] }".to_owned(), false),
        (with(", allowed_connection_types: [ MQTT ]"), false),
        (with(", permissions { publish: a }"), true),
    ] {
        let server = start(options(&with("")));
        let mut clients: Vec<Client> = (0..LATE).map(|_| Client::begin(&server).0).collect();
        for client in &mut clients {
            client.send("CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\n");
        }
        server.reload(Ok(options(&second)));
        for mut client in clients {
            if is_in {
                assert_eq!(client.publish(), [denied("b"), denied("c")]);
            } else {
                wait_until("the end", || client.line().is_none());
            }
        }
    }
}
