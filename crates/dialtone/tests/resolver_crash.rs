//! The folder of a resolver survives kill -9 at any point: every update that was acknowledged is there.

#[path = "life/process.rs"]
mod process;
#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::{Account, AccountLimits};
use dialtone_identity::jwt::claims::{Limit, Operator, User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Seed};
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use waiting::NextLine;

const ISSUED_AT: i64 = 1_700_000_000;
const UPDATES: u32 = 1000;
const ACCOUNTS: u32 = 100;
/// Acknowledged updates between two kills, about.
const UPDATES_PER_LIFE: u32 = 60;

fn seed(kind: Kind, number: u32) -> Seed {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    Seed::from_bytes(kind, bytes)
}

fn account(number: u32, version: i64) -> (String, String) {
    let subject = seed(Kind::Account, number).public();
    let body = Body::Account(Box::new(Account { limits: AccountLimits::unlimited(), ..Account::default() }));
    let draft = Draft::new(subject, "A", body);
    let jwt = draft.sign(&seed(Kind::Operator, 0), ISSUED_AT + version).expect("signed");
    (subject.to_string(), jwt)
}

fn configuration(dir: &Path) -> String {
    let operator = seed(Kind::Operator, 0);
    let (system, system_jwt) = account(u32::MAX, 0);
    let body = Body::Operator(Operator { system_account: system.clone(), ..Operator::default() });
    let token = Draft::new(operator.public(), "OP", body).sign(&operator, ISSUED_AT).expect("signed");
    format!(
        "host: 127.0.0.1, port: -1\noperator: {token}\nresolver {{ type: full, dir: {:?} }}\n\
         resolver_preload {{ {system}: {system_jwt} }}\n",
        dir.join("jwt").display().to_string()
    )
}

/// A server in a process of its own, and a user of its account for system events.
struct Life {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Life {
    fn begin(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialtone"));
        command.arg("-c").arg(file);
        let (process, stream) = process::begin(command);
        let mut life = Self { process, stream };
        let info = life.line();
        let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("INFO");
        let nonce = info["nonce"].as_str().expect("nonce");
        let user = seed(Kind::User, 1);
        let (subs, payload) = (Limit::Unlimited, Limit::Unlimited);
        let limits = UserLimits { subs, payload, data: Limit::Unlimited, ..UserLimits::default() };
        let body = Body::User(Box::new(User { limits, ..User::default() }));
        let token = Draft::new(user.public(), "U", body).sign(&seed(Kind::Account, u32::MAX), ISSUED_AT);
        let signature = BASE64URL_NOPAD.encode(&user.sign(nonce.as_bytes()));
        let connect = serde_json::json!({ "verbose": false, "pedantic": false, "jwt": token.expect("signed"), "sig": signature });
        life.send(&format!("CONNECT {connect}\r\nSUB r 1\r\nPING\r\n"));
        assert_eq!(life.line(), "PONG");
        life
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        self.stream.next_line().trim_end().to_owned()
    }

    fn ask(&mut self, jwt: &str) {
        self.send(&format!("PUB $SYS.REQ.CLAIMS.UPDATE r {}\r\n{jwt}\r\n", jwt.len()));
    }

    fn acknowledged(&mut self) {
        let head = self.line();
        assert!(head.starts_with("MSG r 1 "), "{head}");
        let answer = self.line();
        assert!(answer.contains("\"message\":\"jwt updated\""), "{answer}");
    }

    fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

#[test]
fn every_acknowledged_update_survives_a_kill() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("server.conf");
    std::fs::write(&file, configuration(dir.path())).expect("written");
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    // The one that was under way when the server was killed may be there or not.
    let mut under_way: Option<(String, String)> = None;
    let mut update = 0;
    while update < UPDATES {
        let mut life = Life::begin(&file);
        for (key, jwt) in &mut kept {
            let found =
                std::fs::read_to_string(dir.path().join("jwt").join(format!("{key}.jwt"))).expect(key);
            let newer = under_way.as_ref().is_some_and(|(k, j)| k == key && *j == found);
            assert!(found == *jwt || newer, "update of {key} is lost");
            *jwt = found;
        }
        let damaged = std::fs::read_dir(dir.path().join("jwt"))
            .expect("folder")
            .any(|entry| entry.expect("entry").file_name().to_string_lossy().ends_with(".damaged"));
        assert!(!damaged, "a half-written token had a name");
        for _ in 0..UPDATES_PER_LIFE + update % 7 {
            let (key, jwt) = account(update % ACCOUNTS, i64::from(update));
            life.ask(&jwt);
            life.acknowledged();
            kept.insert(key, jwt);
            update += 1;
        }
        let (key, jwt) = account(update % ACCOUNTS, i64::from(update));
        life.ask(&jwt);
        under_way = Some((key, jwt));
        update += 1;
        // Killed at some point of the last one: a little later each time.
        for _ in 0..(update % 13) * 400 {
            std::hint::spin_loop();
        }
        life.kill();
    }
}
