//! `dialtone identity` from the first key to running servers: what it makes lets in, and what it takes back lets in no longer.

#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::Seed;
use dialtone_identity::{creds, jwt};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use waiting::{Bounded, NextLine};

/// A person's stores and keys.
struct Home {
    dir: PathBuf,
}

impl Home {
    fn new(dir: &Path, name: &str) -> Self {
        Self { dir: dir.join(name) }
    }

    /// Whether the command ends well, and all that it says.
    fn try_run(&self, line: &str) -> (bool, String) {
        self.try_words(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn try_words(&self, words: &[String]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_dialtone"))
            .arg("identity")
            .args(words)
            .env("HOME", &self.dir)
            .env("XDG_DATA_HOME", self.dir.join("data"))
            .env("XDG_CONFIG_HOME", self.dir.join("config"))
            .output()
            .expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).expect("text"))
    }

    #[track_caller]
    fn run(&self, line: &str) -> String {
        let (good, text) = self.try_run(line);
        assert!(good, "{line}: {text}");
        text
    }

    /// The command ends with an error that says this.
    #[track_caller]
    fn refused(&self, line: &str, why: &str) {
        let (good, text) = self.try_run(line);
        assert!(!good && text.contains(why), "{line}: {text}");
    }

    fn creds(&self, account: &str, user: &str) -> PathBuf {
        PathBuf::from(self.run(&format!("creds {user} --account {account} --path")).trim())
    }
}

/// A server in a process of its own, on a port that is free.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts with this file, and keeps what it is told in a folder beside it.
    fn start(file: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dialtone"))
            .args(["-a", "127.0.0.1", "-p", "-1", "-c"])
            .arg(file)
            .current_dir(file.parent().expect("a folder"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let said = "Listening for client connections on ";
        let mut log = String::new();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            log += &format!("{line}\n");
            line.split_once(said)?.1.rsplit_once(':')?.1.parse().ok()
        });
        // Whatever else it says is of no interest, but must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port: port.unwrap_or_else(|| panic!("it does not listen: {log}")) }
    }

    /// Enters with these creds. The answer to the first PING, and the connection.
    fn enter(&self, file: &Path) -> (String, Connection) {
        let user = creds::parse(&std::fs::read_to_string(file).expect("creds")).expect("creds");
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected").bounded();
        let mut connection = Connection(BufReader::new(stream));
        let info = connection.line();
        let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("INFO");
        let nonce = info["nonce"].as_str().expect("a nonce");
        let signature = BASE64URL_NOPAD.encode(&user.seed.sign(nonce.as_bytes()));
        let connect = serde_json::json!({ "verbose": false, "jwt": user.jwt, "sig": signature });
        connection.send(&format!("CONNECT {connect}\r\nPING\r\n"));
        (connection.line(), connection)
    }

    #[track_caller]
    fn lets_in(&self, file: &Path) -> Connection {
        let (answer, connection) = self.enter(file);
        assert_eq!(answer, "PONG");
        connection
    }

    #[track_caller]
    fn refuses(&self, file: &Path) {
        assert_eq!(self.enter(file).0, "-ERR 'Authorization Violation'");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        self.0.next_line().trim_end().to_owned()
    }

    /// What comes until the server closes it.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("the end");
        rest
    }
}

/// An operator with a server that keeps accounts in a folder, and knows them all.
fn with_server(dir: &Path) -> (Home, Server, String) {
    let home = Home::new(dir, "home");
    home.run("init acme");
    home.run("add account shop");
    home.run("add signing-key device --account shop --allow-pubsub own.{{name()}}");
    home.run("add user bob --account shop");
    home.run("add user sensor --account shop --sign-with device");
    let file = dir.join("server.conf");
    home.run(&format!("config --resolver full --allow-delete --output {}", file.display()));
    let server = Server::start(&file);
    let to = format!("--server nats://127.0.0.1:{}", server.port);
    server.refuses(&home.creds("shop", "bob"));
    home.run(&format!("push {to}"));
    (home, server, to)
}

#[test]
fn the_server_of_the_first_five_minutes_lets_in() {
    let dir = tempfile::tempdir().expect("dir");
    let home = Home::new(dir.path(), "home");
    home.run("init acme");
    let file = dir.path().join("server.conf");
    home.run(&format!("config --output {}", file.display()));
    home.refused(&format!("config --output {}", file.display()), "--force");
    let server = Server::start(&file);
    server.lets_in(&home.creds("acme", "acme"));
    server.lets_in(&home.creds("SYS", "sys"));
    home.run("add user late --account acme --expires 1h");
    server.lets_in(&home.creds("acme", "late"));
    home.refused(&format!("push --server nats://127.0.0.1:{}", server.port), "no server answers");
    let described = home.run("describe acme/late");
    // A public key may have these letters anywhere but in front.
    let has_seed = described.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with("SU"));
    assert!(described.contains("late") && !has_seed, "{described}");
}

#[test]
fn what_is_pushed_counts_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let (home, server, to) = with_server(dir.path());
    let (bob, sensor) = (home.creds("shop", "bob"), home.creds("shop", "sensor"));
    let connection = server.lets_in(&bob);
    let mut device = server.lets_in(&sensor);
    device.send("PUB own.sensor 0\r\n\r\nPUB alarm 0\r\n\r\n");
    assert_eq!(device.line(), "-ERR 'Permissions Violation for Publish to \"alarm\"'");

    home.run("edit signing-key device --account shop --allow-pub alarm");
    home.run("revoke user bob --account shop");
    assert!(home.run("validate").contains("warning: it is revoked"));
    home.run(&format!("push shop {to}"));
    assert_eq!(connection.rest(), "-ERR 'User Authentication Revoked'\r\n");
    server.refuses(&bob);
    device.send("PUB alarm 0\r\n\r\nPING\r\n");
    assert_eq!(device.line(), "PONG");

    home.run("unrevoke user bob --account shop");
    home.run(&format!("push shop {to}"));
    server.lets_in(&bob);

    let before = std::fs::read(&sensor).expect("creds");
    home.run("rotate device --account shop");
    home.run(&format!("push shop {to}"));
    // The old key signs no longer: its user is out until it has the file that was written for it.
    assert_eq!(device.rest(), "");
    assert!(before != std::fs::read(&sensor).expect("creds"));
    server.lets_in(&sensor);
    let old = dir.path().join("old.creds");
    std::fs::write(&old, before).expect("written");
    server.refuses(&old);
}

#[test]
fn an_operators_signing_key_is_rotated() {
    let dir = tempfile::tempdir().expect("dir");
    let (home, server, _) = with_server(dir.path());
    drop(server);
    let described = home.run("describe --json");
    let operator: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    let key = operator["nats"]["signing_keys"][0].as_str().expect("a signing key").to_owned();
    assert!(home.run(&format!("rotate {key}")).contains("3 accounts"));
    home.run("validate");
    let file = dir.path().join("server.conf");
    home.run(&format!("config --force --output {}", file.display()));
    let server = Server::start(&file);
    server.lets_in(&home.creds("shop", "bob"));
    server.lets_in(&home.creds("SYS", "sys"));
}

#[test]
fn accounts_are_pulled_into_another_store() {
    let dir = tempfile::tempdir().expect("dir");
    let (home, server, to) = with_server(dir.path());
    let other = Home::new(dir.path(), "other");
    let operator = dir.path().join("operator.jwt");
    std::fs::write(&operator, home.run("describe --raw")).expect("written");
    other.run(&format!("import jwt {}", operator.display()));
    let sys = home.creds("SYS", "sys");
    let to_as_sys = format!("{to} --creds {}", sys.display());
    other.refused(&format!("pull {to}"), "say --creds FILE");

    let told = other.run(&format!("pull {to_as_sys}"));
    for name in ["SYS", "acme", "shop"] {
        assert!(told.contains(&format!("account {name} is taken")), "{told}");
    }
    assert_eq!(other.run("describe shop --raw"), home.run("describe shop --raw"));
    assert!(other.run(&format!("pull shop {to_as_sys}")).contains("account shop is the same"));

    home.run("edit account shop --max-connections 5");
    home.run(&format!("push shop {to}"));
    assert!(other.run(&format!("pull shop {to_as_sys}")).contains("account shop is taken"));
    assert!(other.run("describe shop").contains("| 5 "), "{}", other.run("describe shop"));
    other.refused(&format!("pull nosuch {to_as_sys}"), "nosuch");

    // One that the store has newer is only taken if that is asked for.
    let token = jwt::decode(other.run("describe shop --raw").trim()).expect("a JWT");
    let keys = home.run("export keys --show-secret");
    let seed = keys.split_whitespace().last().and_then(|seed| Seed::parse(seed).ok()).expect("a seed");
    let newer = Draft::from(&token).sign(&seed, token.issued_at + 100).expect("signed");
    let file = dir.path().join("newer.jwt");
    std::fs::write(&file, &newer).expect("written");
    other.run(&format!("import jwt {}", file.display()));
    assert!(other.run(&format!("pull shop {to_as_sys}")).contains("is newer in the store"));
    assert_eq!(other.run("describe shop --raw").trim(), newer);
    assert!(other.run(&format!("pull shop --overwrite {to_as_sys}")).contains("account shop is taken"));
    assert_eq!(other.run("describe shop --raw"), home.run("describe shop --raw"));

    let unknown = home.run("keygen account --show-secret");
    let unknown = unknown.lines().last().expect("a key");
    other.refused(&format!("pull {unknown} --timeout 300ms {to_as_sys}"), "no server has account");
    drop(server);
    other.refused(&format!("pull {to_as_sys}"), "cannot connect");
}

#[test]
fn accounts_are_deleted_from_servers() {
    let dir = tempfile::tempdir().expect("dir");
    let (home, server, to) = with_server(dir.path());
    let bob = home.creds("shop", "bob");
    assert!(home.run(&format!("resolver list {to}")).contains(" shop "));
    let connection = server.lets_in(&bob);
    home.refused(&format!("resolver delete SYS {to}"), "not allowed to delete system account");
    assert!(home.run(&format!("resolver delete shop {to}")).contains("deleted 1 accounts"));
    assert!(connection.rest().contains("Account Authentication Expired"));
    server.refuses(&bob);
    assert!(!home.run(&format!("resolver list {to}")).contains(" shop "));

    home.run(&format!("push {to}"));
    server.lets_in(&bob);
    assert!(home.run(&format!("push --prune {to}")).contains("there is nothing to delete"));
    let key = home.run("describe shop --json");
    let key: serde_json::Value = serde_json::from_str(&key).expect("JSON");
    home.run("remove account shop --force");
    let told = home.run(&format!("push --prune {to}"));
    assert!(told.contains(&format!("deleting {}", key["sub"].as_str().expect("a key"))), "{told}");
    server.refuses(&bob);
    server.lets_in(&home.creds("acme", "acme"));
}

/// What a server would refuse is refused when it is written, and the store stays as it was.
#[test]
fn nothing_is_written_that_a_server_refuses() {
    let dir = tempfile::tempdir().expect("dir");
    let home = Home::new(dir.path(), "home");
    home.run("init acme");
    home.run("add account shop");
    home.run("add user bob --account shop");
    let before =
        ["describe --raw", "describe shop --raw", "describe shop/bob --raw"].map(|line| home.run(line));
    for (line, why) in [
        ("add export a..b --account shop", "cannot contain consecutive"),
        ("add export .a --account shop", "cannot start or end"),
        (
            "add export a.> --account shop --service --latency b.*",
            "results subject can not contain wildcards",
        ),
        (
            "add import a..b --account shop --from ADUB7VVVWTZIB7UBKXT623WGDQ7REMQDDVKSCZCUHCXESGTMGOEH3RXS",
            "consecutive",
        ),
        ("add mapping a b..c --account shop", "consecutive"),
        ("add signing-key r --account shop --allow-pub a..b", "a..b"),
        ("edit account shop --allow-sub a..b", "consecutive"),
        ("edit account shop --info-url nowhere", "info url"),
        ("edit user bob --account shop --allow-pub a.>.b", "a.>.b"),
        ("edit user bob --account shop --source 10.0.0.0", "cidr"),
        ("edit user bob --account shop --locale Mars/Sea", "time zone"),
        ("add user eve --account shop --deny-sub a..b", "consecutive"),
        ("edit operator --service-url http://a", "protocol not supported"),
        ("edit operator --server-version 1", "must be of the form"),
        ("edit operator --strict-signing-keys yes", "user shop/bob: signed by the account's own key"),
    ] {
        home.refused(line, why);
    }
    // A subject with a space is one argument.
    for (words, why) in [
        (["add", "export", "a b", "--account", "shop"], "cannot have spaces"),
        (
            ["add", "user", "eve", "--account=shop", "--allow-pub=bad subject"],
            "is not allowed to contain queue",
        ),
    ] {
        let (good, text) = home.try_words(&words.map(str::to_owned));
        assert!(!good && text.contains(why), "{words:?}: {text}");
    }
    let after =
        ["describe --raw", "describe shop --raw", "describe shop/bob --raw"].map(|line| home.run(line));
    assert_eq!(before, after);
    home.refused("describe shop/eve", "no user `eve`");
    home.run("validate");
}

/// Where only signing keys sign, the account's own key signs nobody, and `validate` says so of who was signed before.
#[test]
fn strict_operators_let_only_signing_keys_sign() {
    let dir = tempfile::tempdir().expect("dir");
    let home = Home::new(dir.path(), "home");
    home.run("init acme");
    home.run("edit operator --strict-signing-keys yes");
    home.run("add account shop");
    home.refused("add user bob --account shop", "add signing-key --account shop");
    home.run("add signing-key --account shop");
    home.run("add user bob --account shop");
    home.run("edit operator --strict-signing-keys no");
    home.run("add account lab");
    home.run("add user eve --account lab");
    home.refused("edit operator --strict-signing-keys yes", "user lab/eve");
    // Another tool may have made it so.
    let mut token = jwt::decode(home.run("describe --raw").trim()).expect("a JWT");
    let jwt::Body::Operator(operator) = &mut token.body else { panic!("an operator") };
    operator.strict_signing_key_usage = true;
    let keys = home.run("export keys --show-secret");
    let seeds = keys.split_whitespace().filter_map(|word| Seed::parse(word).ok());
    let own = seeds.into_iter().find(|seed| seed.public() == token.subject).expect("the operator's seed");
    let file = dir.path().join("strict.jwt");
    let strict = Draft::from(&token).sign(&own, token.issued_at).expect("signed");
    let (start, end) = strict.split_at(strict.len() - 20);
    std::fs::write(&file, format!("{start}\r\n{end}\r\n")).expect("written");
    home.run(&format!("import jwt {}", file.display()));
    assert_eq!(home.run("describe --raw").trim_end(), strict);
    home.refused("validate", "lab/eve: \n  error: signed by the account's own key");
    home.run("add signing-key --account lab");
    home.run("edit user eve --account lab");
    home.run("validate");
    let users = home.run("list users");
    for account in ["SYS", "acme", "lab", "shop"] {
        assert!(users.contains(&format!("Users of {account}")), "{users}");
    }
    assert!(!home.run("list users --account lab").contains("bob"));
    let file = dir.path().join("server.conf");
    home.run(&format!("config --output {}", file.display()));
    let server = Server::start(&file);
    server.lets_in(&home.creds("lab", "eve"));
}

#[test]
fn servers_that_may_not_delete_say_so() {
    let dir = tempfile::tempdir().expect("dir");
    let home = Home::new(dir.path(), "home");
    home.run("init acme");
    let file = dir.path().join("server.conf");
    home.run(&format!("config --resolver full --output {}", file.display()));
    let server = Server::start(&file);
    let to = format!("--server nats://127.0.0.1:{}", server.port);
    home.run(&format!("push {to}"));
    home.refused(&format!("resolver delete acme {to}"), "1 answers were errors");
    server.lets_in(&home.creds("acme", "acme"));
}

#[test]
fn servers_over_tls_are_verified() {
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/tls");
    let dir = tempfile::tempdir().expect("dir");
    let home = Home::new(dir.path(), "home");
    home.run("init acme");
    let file = dir.path().join("server.conf");
    home.run(&format!("config --resolver full --output {}", file.display()));
    let mut config = std::fs::OpenOptions::new().append(true).open(&file).expect("the configuration");
    let (cert, key) = (certificates.join("server.pem"), certificates.join("server.key"));
    writeln!(config, "tls {{ cert_file: {cert:?}, key_file: {key:?} }}").expect("written");
    let server = Server::start(&file);
    let (port, ca) = (server.port, certificates.join("ca.pem"));
    let told = home.run(&format!("push --server tls://localhost:{port} --tls-ca {}", ca.display()));
    assert!(told.contains("jwt updated"), "{told}");
    // A server that demands TLS gets it, whatever the URL says.
    home.run(&format!("resolver list --server nats://localhost:{port} --tls-ca {}", ca.display()));
    home.run(&format!("pull --server tls://127.0.0.1:{port} --tls-ca {}", ca.display()));
    // Another authority, and a name that the certificate has not.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other_file = dir.path().join("other.pem");
    std::fs::write(&other_file, other.cert.pem()).expect("written");
    let command = format!("resolver list --server tls://localhost:{port} --tls-ca {}", other_file.display());
    home.refused(&command, "TLS handshake");
    home.refused(&format!("push --server tls://127.0.0.2:{port} --tls-ca {}", ca.display()), "127.0.0.2");
}
