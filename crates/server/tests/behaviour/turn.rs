//! A login that others have to be asked about, and whose turn does not come: it ends at the authorization timeout, and is
//! not called wrong.

use crate::common::waiting::{Bounded, receive, wait_until};
use crate::common::{Client, options, start};
use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::claims::Operator;
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_server::Server;
use dialtone_server::internal::Domain;
use dialtone_server::share::{Lane, LaneFigures, Share};
use std::io::BufReader;
use std::sync::mpsc::{Receiver, Sender, channel};

const TIMEOUT: &str = "-ERR 'Authentication Timeout'";

/// A connection that has its INFO. Its own time to send CONNECT is that of the configuration at the start.
fn open(server: &Server) -> (Client, String) {
    let stream = server.connect_in_process().expect("connected").bounded();
    let mut client = Client(BufReader::new(stream));
    let info = client.line();
    (client, info)
}

/// The next line that is no PING: on a slow machine some come.
fn answer(client: &mut Client) -> String {
    loop {
        let line = client.line();
        if line != "PING" {
            return line;
        }
    }
}

/// What holds a thread up, and lets it go.
fn hold() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
    let ((begun, at_work), (go, held)) = (channel(), channel::<()>());
    let run = move || {
        begun.send(()).expect("the test waits");
        // The test may be over.
        let _ = held.recv();
    };
    (run, at_work, go)
}

#[test]
fn a_login_whose_service_is_not_asked_in_time_is_not_called_wrong() {
    let config = |timeout: &str| {
        options(&format!(
            "authorization {{ timeout: {timeout}, auth_callout {{
                issuer: ACDNFOPD6THAVP42HXTSBH3O3T2O6NGCCFUZEU74KXIGOVI5BN5XJUYZ, account: AUTH, auth_users: [ auth ]
            }} }}
            accounts {{ AUTH {{ users: [ {{ user: auth }} ] }} }}"
        ))
    };
    let server = start(config("600"));
    let mut service = Client::connect(&server, "auth");
    service.send("SUB $SYS.REQ.USER.AUTH 1\r\n");
    service.sync();
    let (mut client, _) = open(&server);
    server.reload(Ok(config("0.01")));
    assert_eq!(server.node().settings.generation(), 1, "taken over");
    let (run, at_work, go) = hold();
    server.node().internal.run_in(Domain::Authorization, move |_| run());
    receive(&at_work, "the thread is not held");
    client.send("CONNECT {\"user\":\"u\",\"verbose\":false}\r\n");
    assert_eq!(answer(&mut client), TIMEOUT);
    go.send(()).expect("the thread is held");
    let waits = |(_, lane, figures): (_, Lane, LaneFigures)| lane == Lane::Login && figures.waiting > 0;
    wait_until("no login waits", || !server.node().internal.figures().any(waits));
    let (run, at_work, _go) = hold();
    server.node().internal.run_in(Domain::Authorization, move |_| run());
    receive(&at_work, "what came before is not done");
    service.send("PING\r\n");
    assert_eq!(answer(&mut service), "PONG", "nobody is asked about who is gone");
}

#[test]
fn a_login_whose_account_is_not_looked_up_in_time_is_not_called_wrong() {
    let seed = |kind| Seed::from_bytes(kind, [1; 32]);
    let signed = |kind, body, by| {
        let draft = Draft::new(seed(kind).public(), "name", body);
        draft.sign(&seed(by), 1_700_000_000).expect("signed")
    };
    let operator = signed(Kind::Operator, Body::Operator(Operator::default()), Kind::Operator);
    let user = signed(Kind::User, Body::User(Box::default()), Kind::Account);
    let config = |timeout: &str| {
        options(&format!("operator: {operator}\nresolver: MEMORY\nauthorization {{ timeout: {timeout} }}"))
    };
    let server = start(config("600"));
    let (mut client, info) = open(&server);
    let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("INFO");
    let nonce = info["nonce"].as_str().expect("a nonce");
    server.reload(Ok(config("0.01")));
    assert_eq!(server.node().settings.generation(), 1, "taken over");
    let (run, at_work, _go) = hold();
    server.node().verifier.take_work(Lane::Control, Share::Server, move |_| run());
    receive(&at_work, "the thread is not held");
    let signature = BASE64URL_NOPAD.encode(&seed(Kind::User).sign(nonce.as_bytes()));
    client.send(&format!("CONNECT {{\"jwt\":\"{user}\",\"sig\":\"{signature}\",\"verbose\":false}}\r\n"));
    assert_eq!(answer(&mut client), TIMEOUT);
}
