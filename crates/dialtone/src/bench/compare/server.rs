//! Starts a server binary with a small config on free ports, and ends it.

use super::super::process::Process;
use super::super::target::{Entry, Target, Transport};
use anyhow::{Context as _, Result, bail};
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::{Account, AccountLimits};
use dialtone_identity::jwt::claims::{Operator, User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Seed};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const START_POLL: Duration = Duration::from_millis(10);
/// Log lines of a server that did not start, in the error.
const LOG_LINES_TOLD: usize = 5;

/// Who the clients of a server are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setup {
    /// A user of an account, with permissions; monitoring is on. As servers are run.
    #[default]
    Accounts,
    /// A user with permissions, no accounts; monitoring is on.
    Users,
    /// Anyone: nothing is configured but the port.
    Plain,
    /// Two accounts: who receives is in another one, which takes the stream of the first and serves it.
    TwoAccounts,
    /// An account that imports this many streams and services, and the one that exports them.
    Imports(usize),
    /// An operator, whose account has a user with permissions; monitoring is on.
    Operator,
    /// This many accounts of ten users each; each has a service, and imports that of the next.
    ManyAccounts(usize),
    /// [`Setup::Accounts`] with JetStream and a listener for MQTT, which is the target.
    Mqtt,
    /// [`Setup::Accounts`] with JetStream. The official server acknowledges what it has synced, or what it has written.
    Streams {
        /// What it has synced, as ours does always.
        synced: bool,
    },
}

/// The broker of this name is configured in its own way; it takes part where clients speak MQTT.
const MOSQUITTO: &str = "mosquitto";

/// When tokens are signed, in seconds since 1970: long ago.
const ISSUED_AT: i64 = 1_700_000_000;
/// Users of each account of [`Setup::ManyAccounts`].
const USERS_PER_ACCOUNT: usize = 10;

impl Setup {
    /// All of them, by name.
    pub const ALL: [(&'static str, Setup); 3] =
        [("accounts", Setup::Accounts), ("users", Setup::Users), ("plain", Setup::Plain)];
}

/// A running server; ends with the value.
pub struct Server {
    child: Child,
    /// Where it listens, and who may enter.
    pub target: Target,
    /// Its process.
    pub process: Process,
    /// Where monitoring listens; nothing does in [`Setup::Plain`].
    monitoring: u16,
    _folder: TempDir,
}

impl Server {
    /// Starts `binary`, with TLS if told so and `more` in its configuration, and waits until it listens. Errors: it does not, with
    /// the end of what it logged.
    pub fn start(binary: &Path, setup: Setup, tls: bool, transport: Transport, more: &str) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let monitoring = free_port()?;
        let is_mosquitto = binary.file_name().is_some_and(|name| name == MOSQUITTO);
        let mut config = match is_mosquitto {
            true => mosquitto(port),
            false => config(setup, tls, [port, monitoring], folder.path())?,
        };
        config.push_str(more);
        let mut address = format!("127.0.0.1:{port}");
        if setup == Setup::Mqtt && !is_mosquitto {
            address = format!("127.0.0.1:{}", free_port()?);
            writeln!(config, "server_name: bench\nmqtt {{ listen: \"{address}\" }}")?;
        }
        if let Transport::WebSocket { compression } = transport {
            address = format!("127.0.0.1:{}", free_port()?);
            writeln!(
                config,
                "websocket {{ listen: \"{address}\", no_tls: true, compression: {compression} }}"
            )?;
        }
        let config_path = folder.path().join("server.conf");
        fs::write(&config_path, config)?;
        let log_path = folder.path().join("log");
        let log = File::create(&log_path)?;
        let child = Command::new(binary)
            .arg("-c")
            .arg(&config_path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{}: cannot be started", binary.display()))?;
        let entry = match setup {
            Setup::Plain => Entry::Anonymous,
            Setup::Operator => Entry::Jwt { jwt: user_jwt()?, seed: seed(Kind::User).into() },
            _ => user("bench"),
        };
        let process = Process { pid: child.id() };
        let mut target = Target { address, tls, transport, tls_config: None, entry, receivers: None };
        if setup == Setup::TwoAccounts {
            target.receivers = Some(Box::new(Target { entry: user("receiver"), ..target.clone() }));
        }
        let mut server = Server { child, target, process, monitoring, _folder: folder };
        server.wait_until_it_listens(port, is_mosquitto).with_context(|| {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.get(lines.len().saturating_sub(LOG_LINES_TOLD)..).unwrap_or_default();
            format!("{}: did not start; it logged: {}", binary.display(), last.join(" | "))
        })?;
        Ok(server)
    }

    /// How many subscriptions it knows, here and elsewhere, by `/varz`. Errors: it does not answer.
    pub fn subscriptions(&self) -> Result<usize> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitoring))?;
        stream.set_read_timeout(Some(START_TIMEOUT))?;
        stream.write_all(b"GET /varz HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (_, count) = text.split_once("\"subscriptions\":").context("/varz names no subscriptions")?;
        let digits: String = count.trim_start().chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    }

    /// Clients of the protocol itself are listened for last. Mosquitto does not speak first.
    fn wait_until_it_listens(&mut self, port: u16, is_mosquitto: bool) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_read_timeout(Some(START_TIMEOUT))?;
                if is_mosquitto || stream.read(&mut [0; 1]).is_ok_and(|bytes| bytes == 1) {
                    return Ok(());
                }
            }
            std::thread::sleep(START_POLL);
        }
        bail!("nothing listens on port {port} after {} s", START_TIMEOUT.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn user(name: &str) -> Entry {
    Entry::User { user: name.to_owned(), password: name.to_owned() }
}

/// The key of this kind. Nothing that anybody trusts.
fn seed(kind: Kind) -> Seed {
    Seed::from_bytes(kind, [kind as u8 + 1; 32])
}

fn user_jwt() -> Result<String> {
    let mut limits = UserLimits::unlimited();
    limits.permissions.publish.allow = vec![">".to_owned()];
    limits.permissions.subscribe.allow = vec![">".to_owned()];
    let body = Body::from(User { limits, ..User::default() });
    Ok(Draft::new(seed(Kind::User).public(), "bench", body).sign(&seed(Kind::Account), ISSUED_AT)?)
}

/// A port nobody listens on at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An operator whose account anybody may use who has a JWT of it.
fn operator(config: &mut String) -> Result<()> {
    let operator = seed(Kind::Operator);
    let account = seed(Kind::Account).public();
    let token = Draft::new(operator.public(), "O", Operator::default()).sign(&operator, ISSUED_AT)?;
    let body = Account { limits: AccountLimits::unlimited(), ..Account::default() };
    let account_token = Draft::new(account, "BENCH", body).sign(&operator, ISSUED_AT)?;
    writeln!(
        config,
        "operator: {token}\nresolver: MEMORY\nresolver_preload {{ {account}: {account_token} }}"
    )?;
    Ok(())
}

/// Nothing that would hold up a load, and whoever comes may enter.
fn mosquitto(port: u16) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\n"
    )
}

/// An account with streams, which are in a folder of their own.
fn streams(config: &mut String, users: &str, synced: bool, folder: &Path) -> Result<()> {
    let interval = if synced { "sync_interval: always" } else { "" };
    writeln!(config, "accounts {{ BENCH: {{ jetstream: enabled, {users} }} }}")?;
    writeln!(config, "jetstream {{ store_dir: \"{}\", {interval} }}", folder.display())?;
    Ok(())
}

fn config(setup: Setup, tls: bool, [port, monitoring]: [u16; 2], folder: &Path) -> Result<String> {
    let mut config = format!("host: \"127.0.0.1\"\nport: {port}\n");
    if tls {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let (cert_path, key_path) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&cert_path, cert.pem())?;
        fs::write(&key_path, signing_key.serialize_pem())?;
        writeln!(
            config,
            "tls {{ cert_file: \"{}\", key_file: \"{}\", timeout: 10 }}",
            cert_path.display(),
            key_path.display()
        )?;
    }
    if setup != Setup::Plain {
        writeln!(config, "http: \"127.0.0.1:{monitoring}\"")?;
    }
    let users =
        "users: [ { user: bench, password: bench, permissions: { publish: \">\", subscribe: \">\" } } ]";
    match setup {
        Setup::Mqtt => streams(&mut config, users, false, &folder.join("store"))?,
        Setup::Streams { synced } => streams(&mut config, users, synced, &folder.join("store"))?,
        Setup::Accounts => writeln!(config, "accounts {{ BENCH: {{ {users} }} }}")?,
        Setup::Users => writeln!(config, "authorization {{ {users} }}")?,
        Setup::Plain => {}
        Setup::TwoAccounts => {
            let receivers = users.replace("bench", "receiver");
            let given = "exports: [ { stream: \"bench.load\" } ], \
                         imports: [ { service: { account: SERVING, subject: \"bench.service\" } } ]";
            let taken = "exports: [ { service: \"bench.service\" } ], \
                         imports: [ { stream: { account: BENCH, subject: \"bench.load\" } } ]";
            writeln!(
                config,
                "accounts {{ BENCH: {{ {users}, {given} }}, SERVING: {{ {receivers}, {taken} }} }}"
            )?;
        }
        Setup::Operator => operator(&mut config)?,
        Setup::Imports(count) => {
            writeln!(config, "accounts {{ BENCH: {{ {users}, imports: [")?;
            for n in 0..count {
                writeln!(
                    config,
                    " {{ service: {{ account: SERVING, subject: \"q.{n}\" }}, to: \"ask.{n}\" }},"
                )?;
                writeln!(config, " {{ stream: {{ account: SERVING, subject: \"s.{n}.>\" }}, prefix: p }},")?;
            }
            writeln!(config, "] }}, SERVING: {{ exports: [")?;
            for n in 0..count {
                writeln!(config, " {{ service: \"q.{n}\" }}, {{ stream: \"s.{n}.>\" }},")?;
            }
            writeln!(config, "] }} }}")?;
        }
        Setup::ManyAccounts(count) => {
            writeln!(config, "accounts {{ BENCH: {{ {users} }}")?;
            for n in 0..count {
                let next = (n + 1) % count;
                write!(config, " A{n}: {{ exports: [ {{ service: \"q.{n}\" }} ], imports: [ ")?;
                write!(config, "{{ service: {{ account: A{next}, subject: \"q.{next}\" }} }} ], users: [")?;
                for user in 0..USERS_PER_ACCOUNT {
                    write!(config, " {{ user: u{n}_{user}, password: p }}")?;
                    config.push(if user + 1 < USERS_PER_ACCOUNT { ',' } else { ' ' });
                }
                writeln!(config, "] }}")?;
            }
            writeln!(config, "}}")?;
        }
    }
    Ok(config)
}
