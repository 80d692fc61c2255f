//! What is explained is what a server delivers: random rights, played by every publisher to every receiver.

use super::waiting::{Bounded as _, NextLine as _};
use crate::explain::Explainer;
use dialtone_config::{load_partial_text, load_text};
use dialtone_server::Server;
use dialtone_server::explain::Report;
use dialtone_server::explain::{Action, Question, What};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufReader, Write};

/// Random configurations that are played.
const CASES: u64 = 25;
const SUBJECTS: [&str; 4] = ["a", "b", "a.a", "a.b"];
const GROUPS: [&str; 3] = ["q", "r", "r.z"];

/// splitmix64, so that a case can be played again by its number.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// A list of rules, perhaps with queue groups.
    fn rules(&mut self, with_groups: bool) -> String {
        let mut out = Vec::new();
        for _ in 0..self.below(3) {
            let filter = ["a", "b", "a.*", "a.>", "*", ">", "a.b"][self.below(7)];
            let group = [" q", " r.*", " *", " >"][self.below(4)];
            let group = if with_groups && self.below(2) == 0 { group } else { "" };
            out.push(format!("\"{filter}{group}\""));
        }
        out.join(", ")
    }

    /// Rights; `ask` may always be subscribed to, for requests.
    fn permissions(&mut self) -> String {
        let (allow, deny) = (self.rules(false), self.rules(false));
        let publish = match self.below(3) {
            0 => format!("allow: [{allow}], deny: [{deny}]"),
            _ => format!("deny: [{deny}]"),
        };
        let (allow, deny) =
            (self.rules(true), self.rules(true).replace("\">", "\"a.>").replace("\"*", "\"b"));
        let subscribe = match (self.below(3), &*allow) {
            (0, _) | (_, "") => format!("deny: [{deny}]"),
            _ => format!("allow: [ask, {allow}], deny: [{deny}]"),
        };
        let responses = if self.below(3) == 0 { ", allow_responses: true" } else { "" };
        format!("{{ publish: {{ {publish} }}, subscribe: {{ {subscribe} }}{responses} }}")
    }
}

/// Two accounts with three users each, of which the first may do everything; B takes streams of A.
fn random_config(random: &mut Random) -> String {
    let mut out = String::from("accounts {\n");
    for account in ["A", "B"] {
        let _ = writeln!(out, "{account} {{ users: [ {{ user: {account}0, password: x }}");
        for n in 1..3 {
            let permissions = random.permissions();
            let _ = writeln!(out, "{{ user: {account}{n}, password: x, permissions: {permissions} }}");
        }
        let node = match account {
            "A" => "exports: [ { stream: \"a.>\" }, { stream: b } ]",
            _ => {
                "imports: [ { stream: { account: A, subject: \"a.*\" } }, { stream: { account: A, subject: b }, to: a } ]"
            }
        };
        let _ = writeln!(out, "]\n{node} }}");
    }
    out.push('}');
    out
}

struct Client<S: std::io::Read + Write>(BufReader<S>);

impl<S: std::io::Read + Write> Client<S> {
    /// Sends, and waits until it is carried out; the subjects of messages that came.
    fn send(&mut self, text: &str) -> Vec<String> {
        self.0.get_mut().write_all(format!("{text}PING\r\n").as_bytes()).expect("sent");
        let mut subjects = Vec::new();
        loop {
            let line = self.0.next_line();
            match line.split(' ').next().expect("a word") {
                "PONG\r\n" => return subjects,
                "MSG" => {
                    subjects.push(line.split(' ').nth(1).expect("a subject").to_owned());
                    self.0.next_line();
                }
                _ => {}
            }
        }
    }
}

fn client(server: &Server, user: &str) -> Client<impl std::io::Read + Write + use<>> {
    let mut client = Client(BufReader::new(server.connect_in_process().expect("a connection").bounded()));
    client.send(&format!("CONNECT {{\"user\":\"{user}\",\"pass\":\"x\",\"verbose\":false}}\r\n"));
    client
}

/// Which user may receive something, by a report on a message that is published.
fn explained(report: &Report) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for step in &report.steps {
        if let What::Arrives { users, .. } = &step.what {
            out.extend(users.iter().filter(|who| who.may).map(|who| who.user.clone()));
        }
    }
    out
}

#[test]
fn what_is_explained_is_delivered() {
    let mut delivered = 0;
    for case in 0..CASES {
        let mut random = Random(case);
        let config = random_config(&mut random);
        let mut no_files = |_: &std::path::Path| unreachable!();
        let partial = load_partial_text(&config, "t.conf", &mut no_files, &|_| None).expect(&config);
        let explainer = Explainer::new(partial).expect("accounts");
        let options =
            load_text(&format!("port: -1\nhost: 127.0.0.1\n{config}"), "t.conf", &mut no_files, &|_| None);
        let server = Server::builder().options(options.expect("good")).quiet().start().expect("a server");
        let users = ["A1", "A2", "B1", "B2"];
        for receiver in ["A0", "A1", "A2", "B0", "B1", "B2"] {
            let mut receives = client(&server, receiver);
            let groups = GROUPS.iter().chain([&""]);
            let wishes =
                SUBJECTS.iter().flat_map(|subject| groups.clone().map(move |group| (subject, group)));
            for (sid, (subject, group)) in wishes.enumerate() {
                receives.send(&format!("SUB {subject} {group} {sid}\r\n"));
            }
            for publisher in users {
                let (mut asks, mut publishes) =
                    (client(&server, &publisher.replace(['1', '2'], "0")), client(&server, publisher));
                publishes.send("SUB ask 1\r\n");
                for subject in SUBJECTS {
                    // A request that may be answered at this subject.
                    asks.send(&format!("PUB ask {subject} 0\r\n\r\n"));
                    publishes.send("");
                    publishes.send(&format!("PUB {subject} 0\r\n\r\n"));
                    let got = receives.send("").iter().any(|subject| subject != "ask");
                    let question = Question {
                        user: Some(publisher.to_owned()),
                        ..Question::new(&publisher[..1], Action::Publish, subject)
                    };
                    let report = explainer.answer(&question).expect("an answer");
                    let expected = explained(&report).contains(receiver);
                    assert_eq!(
                        got, expected,
                        "case {case}: {publisher} to {receiver}, {subject}\n{config}\n{report:#?}"
                    );
                    delivered += usize::from(got);
                }
            }
        }
    }
    assert!(delivered > 100, "{delivered} is too few to show anything");
}
