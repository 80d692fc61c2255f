//! Operator mode and auth callout with the whole server: what only time, or a service that signs, can show.

use crate::common::waiting::{Bounded, receive, wait_until};
use data_encoding::BASE64URL_NOPAD;
use dialtone_config::Options;
use dialtone_identity::jwt::account::{Account, AccountLimits, ExternalAuthorization};
use dialtone_identity::jwt::authorization::{AuthorizationRequest, AuthorizationResponse};
use dialtone_identity::jwt::claims::{Activation, ExportKind, Limit, Operator, User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::jwt::{self, Body};
use dialtone_identity::nkey::{Kind, Public, Seed};
use dialtone_identity::xkey;
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use dialtone_server::resolver::Reach;
use dialtone_server::trust::Acceptance;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{SystemTime, UNIX_EPOCH};

fn seed(kind: Kind, number: u8) -> Seed {
    Seed::from_bytes(kind, [number; 32])
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

fn unlimited() -> UserLimits {
    let all = Limit::Unlimited;
    UserLimits { subs: all, data: all, payload: all, ..UserLimits::default() }
}

fn user(number: u8, account: u8, limits: UserLimits, expires: Option<i64>) -> String {
    let body = Body::User(Box::new(User { limits, ..User::default() }));
    let draft = Draft { expires, ..Draft::new(seed(Kind::User, number).public(), "bob", body) };
    draft.sign(&seed(Kind::Account, account), now()).expect("user")
}

fn account(number: u8, account: Account, expires: Option<i64>) -> String {
    account_of(now(), number, account, expires)
}

fn account_of(issued_at: i64, number: u8, account: Account, expires: Option<i64>) -> String {
    let account = Account { limits: AccountLimits::unlimited(), ..account };
    let draft = Draft::new(seed(Kind::Account, number).public(), "ACC", Body::Account(Box::new(account)));
    Draft { expires, ..draft }.sign(&seed(Kind::Operator, 1), issued_at).expect("account")
}

fn options(configuration: &str) -> Options {
    let mut no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let text = format!("host: 127.0.0.1, port: -1\n{configuration}");
    dialtone_config::load_text(&text, "test", &mut no_files, &|_| None).expect("options")
}

fn start(configuration: &str) -> Server {
    Server::builder().options(options(configuration)).quiet().start().expect("started")
}

fn operator_mode(accounts: &[(u8, String)], more: &str) -> Server {
    start(&operator_configuration(accounts, more))
}

/// Its log is not silent.
fn logged(accounts: &[(u8, String)], more: &str) -> Server {
    let options = options(&operator_configuration(accounts, more));
    Server::builder().options(options).start().expect("started")
}

fn operator_configuration(accounts: &[(u8, String)], more: &str) -> String {
    let operator = seed(Kind::Operator, 1);
    let token = Draft::new(operator.public(), "OP", Body::Operator(Operator::default()));
    let token = token.sign(&operator, now()).expect("operator");
    let preload: String = accounts
        .iter()
        .map(|(number, jwt)| format!("{}: {jwt}\n", seed(Kind::Account, *number).public()))
        .collect();
    format!("operator: {token}\nresolver: MEMORY\nresolver_preload {{\n{preload}}}\n{more}")
}

struct Client {
    stream: BufReader<TcpStream>,
    nonce: String,
}

impl Client {
    fn open(server: &Server) -> Self {
        let address = server.client_address().expect("it listens");
        let stream = TcpStream::connect(address).expect("connected").bounded();
        let mut client = Self { stream: BufReader::new(stream), nonce: String::new() };
        let info = client.line().expect("INFO");
        let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("INFO");
        client.nonce = info["nonce"].as_str().unwrap_or_default().to_owned();
        client
    }

    /// Connects with these fields; the answer to PING, or the error.
    fn connect(&mut self, mut fields: serde_json::Value) -> String {
        fields["verbose"] = false.into();
        fields["pedantic"] = false.into();
        self.send(&format!("CONNECT {fields}\r\nPING\r\n"));
        self.line().unwrap_or_default()
    }

    fn by_token(&mut self, number: u8, jwt: &str) -> String {
        let signature = BASE64URL_NOPAD.encode(&seed(Kind::User, number).sign(self.nonce.as_bytes()));
        self.connect(serde_json::json!({ "jwt": jwt, "sig": signature }))
    }

    fn send(&mut self, text: &str) {
        // What is sent to a connection that is being closed may not arrive.
        let _ = self.stream.get_mut().write_all(text.as_bytes());
    }

    /// The next line that is no PING or INFO; `None` at the end.
    fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(0) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                read => read.expect("a line"),
            };
            match line.trim_end() {
                "PING" => {}
                info if info.starts_with("INFO") && !self.nonce.is_empty() => {}
                line => return Some(line.to_owned()),
            }
        }
    }
}

/// CVE-2020-26892: a connection ends in the second in which its user's or its account's token does.
#[test]
fn expiry_cuts_live_connections() {
    let soon = now() + 2;
    let server = operator_mode(
        &[(1, account(1, Account::default(), None)), (2, account(2, Account::default(), Some(soon)))],
        "",
    );
    let mut by_user = Client::open(&server);
    assert_eq!(by_user.by_token(1, &user(1, 1, unlimited(), Some(soon))), "PONG");
    let mut by_account = Client::open(&server);
    assert_eq!(by_account.by_token(2, &user(2, 2, unlimited(), None)), "PONG");
    assert_eq!(by_user.line().as_deref(), Some("-ERR 'User Authentication Expired'"));
    assert_eq!(by_user.line(), None);
    assert_eq!(by_account.line().as_deref(), Some("-ERR 'Account Authentication Expired'"));
    assert_eq!(by_account.line(), None);
    assert!(now() >= soon);
    let mut late = Client::open(&server);
    // The last second is still a good one.
    assert!(
        now() == soon || late.by_token(1, &user(1, 1, unlimited(), Some(soon))).contains("Authorization")
    );
}

/// CVE-2020-26892 for activations: an import ends when what allowed it is over.
#[test]
fn an_import_ends_with_its_activation() {
    let until = now() + 2;
    let (exporter, importer) = (seed(Kind::Account, 1), seed(Kind::Account, 2));
    let export = serde_json::json!({ "subject": "s", "type": "stream", "token_req": true });
    let activation =
        Activation { subject: "s".into(), kind: Some(ExportKind::Stream), ..Activation::default() };
    let activation =
        Draft { expires: Some(until), ..Draft::new(importer.public(), "s", Body::Activation(activation)) };
    let token = activation.sign(&exporter, now()).expect("activation");
    let import = serde_json::json!({
        "subject": "s", "type": "stream", "account": exporter.public().to_string(), "token": token,
    });
    let exports = vec![serde_json::from_value(export).expect("export")];
    let imports = vec![serde_json::from_value(import).expect("import")];
    let server = operator_mode(
        &[
            (1, account(1, Account { exports, ..Account::default() }, None)),
            (2, account(2, Account { imports, ..Account::default() }, None)),
        ],
        "",
    );
    let (mut from, mut to) = (Client::open(&server), Client::open(&server));
    assert_eq!(from.by_token(1, &user(1, 1, unlimited(), None)), "PONG");
    assert_eq!(to.by_token(2, &user(2, 2, unlimited(), None)), "PONG");
    to.send("SUB s 1\r\nPING\r\n");
    assert_eq!(to.line().as_deref(), Some("PONG"));
    let mut passes = || {
        from.send("PUB s 1\r\nx\r\nPING\r\n");
        assert_eq!(from.line().as_deref(), Some("PONG"));
        to.send("PING\r\n");
        let first = to.line();
        let passed = first.as_deref() == Some("MSG s 1 1");
        if passed {
            assert_eq!((to.line().as_deref(), to.line().as_deref()), (Some("x"), Some("PONG")));
        }
        passed
    };
    assert!(passes());
    while passes() {
        assert!(now() < until + 10, "the import outlives its activation");
    }
    assert!(now() > until);
}

/// What the top level says of rates holds for accounts and users that are known by tokens, each user by its NKey.
#[test]
fn rates_of_the_top_level_hold_for_users_of_tokens() {
    let rates = |bytes: u32| format!("{{ bytes_per_sec: 1, bytes_burst: {bytes}, action: refuse }}");
    let more = format!("rate_limits {}\ndefault_rate_limits {}", rates(250), rates(100));
    let server = operator_mode(&[(1, account(1, Account::default(), None))], &more);
    let publish = |number: u8| {
        let mut client = Client::open(&server);
        assert_eq!(client.by_token(number, &user(number, 1, unlimited(), None)), "PONG");
        client.send(&format!("PUB x 100\r\n{}\r\nPING\r\n", "x".repeat(100)));
        client.line().unwrap_or_default()
    };
    let refused = "-ERR 'Permissions Violation for Publish to \"x\" (rate limit exceeded)'";
    assert_eq!((publish(1), publish(1)), ("PONG".to_owned(), refused.to_owned()));
    assert_eq!(publish(2), "PONG");
    // There is enough for this one, and not for its account.
    assert_eq!(publish(3), refused);
}

/// Tokens that are meant to exhaust whoever reads them are refused, and others are served.
#[test]
fn bombs_are_refused() {
    let server = operator_mode(&[(1, account(1, Account::default(), None))], "max_control_line: 4MB");
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let header = part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let wide = format!("{{\"nats\":{{\"tags\":[{}]}}}}", vec!["1"; 100_000].join(","));
    for claims in [deep, wide, "{\"a\":".repeat(100_000), "9".repeat(500_000)] {
        let mut client = Client::open(&server);
        let answer = client.by_token(1, &format!("{header}.{}.{}", part(&claims), part("x")));
        assert_eq!(answer, "-ERR 'Authorization Violation'");
    }
    let mut huge = Client::open(&server);
    assert_eq!(huge.by_token(1, &"x".repeat(1024 * 1024 + 1)), "-ERR 'Authorization Violation'");
    let mut good = Client::open(&server);
    assert_eq!(good.by_token(1, &user(1, 1, unlimited(), None)), "PONG");
}

/// Who is asked about in `payload`.
fn request(payload: &[u8]) -> AuthorizationRequest {
    let token = jwt::decode(std::str::from_utf8(payload).expect("text")).expect("request");
    match token.body {
        Body::AuthorizationRequest(request) => *request,
        other => panic!("{other:?}"),
    }
}

/// The answer of a service: whoever knows the password `good` is user of this account.
fn answer(request: &AuthorizationRequest, signer: &Seed, account: &str) -> String {
    let key = Public::parse(&request.user_nkey).expect("key");
    let mut response = AuthorizationResponse::default();
    if request.connect.password == "good" {
        let body = Body::User(Box::new(User { limits: unlimited(), ..User::default() }));
        let draft = Draft { audience: account.to_owned(), ..Draft::new(key, &request.connect.user, body) };
        response.jwt = draft.sign(signer, now()).expect("user");
    } else {
        response.error = "no".into();
    }
    let draft = Draft::new(key, "", Body::AuthorizationResponse(response));
    Draft { audience: request.server.id.clone(), ..draft }.sign(signer, now()).expect("answer")
}

/// Answers one question after the other, until the connection ends.
fn serve(mut service: Client, reply: impl Fn(&[u8], &[u8]) -> Vec<u8> + Send + 'static) {
    service.send("SUB $SYS.REQ.USER.AUTH 1\r\nPING\r\n");
    assert_eq!(service.line().as_deref(), Some("PONG"));
    std::thread::spawn(move || {
        while let Some(head) = service.line() {
            let words: Vec<&str> = head.split(' ').collect();
            let [verb, _, _, to, sizes @ ..] = words.as_slice() else { continue };
            let size = |at: usize| sizes.get(at).and_then(|size| size.parse::<usize>().ok()).unwrap_or(0);
            let (headers, total) = if *verb == "HMSG" { (size(0), size(1)) } else { (0, size(0)) };
            let mut body = vec![0; total + 2];
            service.stream.read_exact(&mut body).expect("body");
            let (head, payload) = body[..total].split_at(headers);
            let answer = reply(head, payload);
            let text = [format!("PUB {to} {}\r\n", answer.len()).as_bytes(), &answer, b"\r\n"].concat();
            if service.stream.get_mut().write_all(&text).is_err() {
                return;
            }
        }
    });
}

fn callout(more: &str) -> String {
    let issuer = seed(Kind::Account, 1).public();
    format!(
        "authorization {{ timeout: 1, auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [auth] {more} }} }}\n\
         accounts {{ AUTH {{ users: [ {{ user: auth, password: pwd }} ] }}, APP {{ users: [ {{ user: app, password: pwd }} ] }} }}"
    )
}

fn password(user: &str, password: &str) -> serde_json::Value {
    serde_json::json!({ "user": user, "pass": password, "headers": true })
}

#[test]
fn a_service_says_who_may_come() {
    let server = start(&callout(""));
    let mut early = Client::open(&server);
    assert_eq!(early.connect(password("any", "good")), "-ERR 'Authorization Violation'");
    let mut service = Client::open(&server);
    assert_eq!(service.connect(password("auth", "pwd")), "PONG");
    // Its own users are known as always, and ask nothing in the server's place.
    service.send("PUB $SYS.REQ.USER.AUTH 0\r\n\r\n");
    assert!(service.line().is_some_and(|line| line.contains("Permissions Violation for Publish")));
    serve(service, |_, payload| answer(&request(payload), &seed(Kind::Account, 1), "APP").into_bytes());
    for (user, pass, expected) in [
        ("any", "good", "PONG"),
        ("any", "bad", "-ERR 'Authorization Violation'"),
        // The service decides about users of the configuration, too.
        ("app", "pwd", "-ERR 'Authorization Violation'"),
        ("app", "good", "PONG"),
        ("auth", "bad", "-ERR 'Authorization Violation'"),
    ] {
        assert_eq!(Client::open(&server).connect(password(user, pass)), expected, "{user} {pass}");
    }
    // Without CONNECT nobody is asked.
    let mut silent = Client::open(&server);
    silent.send("PING\r\n");
    assert_eq!(silent.line().as_deref(), Some("-ERR 'Authorization Violation'"));
}

#[test]
fn questions_and_answers_are_sealed() {
    let service_key = seed(Kind::Curve, 2);
    let server = start(&callout(&format!(", xkey: {}", service_key.public())));
    let mut service = Client::open(&server);
    assert_eq!(service.connect(password("auth", "pwd")), "PONG");
    serve(service, move |headers, payload| {
        let headers = String::from_utf8_lossy(headers).into_owned();
        let key = headers.split_once("Nats-Server-Xkey: ").expect("header").1;
        let sender = Public::parse(key.trim_end()).expect("key");
        let request = request(&xkey::open(&service_key, &sender, payload).expect("opened"));
        assert_eq!(request.server.xkey, sender.to_string());
        let answer = answer(&request, &seed(Kind::Account, 1), "APP");
        match request.connect.user.as_str() {
            "plain" => answer.into_bytes(),
            _ => {
                xkey::seal(&service_key, &sender, [1; xkey::NONCE_BYTES], answer.as_bytes()).expect("sealed")
            }
        }
    });
    assert_eq!(Client::open(&server).connect(password("any", "good")), "PONG");
    let refused = Client::open(&server).connect(password("plain", "good"));
    assert_eq!(refused, "-ERR 'Authorization Violation'");
}

/// The block of a server that is linked to the other one, if its port is known.
type Link = fn(&str, Option<u16>) -> String;

fn route(_: &str, to: Option<u16>) -> String {
    let routes = to.map(|port| format!("routes: ['nats://127.0.0.1:{port}']")).unwrap_or_default();
    format!("cluster {{ name: C, listen: '127.0.0.1:-1', {routes} }}")
}

fn gateway(name: &str, to: Option<u16>) -> String {
    let known = to.map(|port| format!("gateways: [ {{ name: far, url: 'nats://127.0.0.1:{port}' }} ]"));
    format!("gateway {{ name: {name}, listen: '127.0.0.1:-1', {} }}", known.unwrap_or_default())
}

/// A service at another server answers, over a route and over a gateway, in plain and sealed: for the server that asks, not for its own.
#[test]
fn a_service_at_another_server_says_who_may_come() {
    let links = [(ListenerKind::Cluster, route as Link), (ListenerKind::Gateway, gateway)];
    for ((kind, link), sealed) in links.into_iter().flat_map(|link| [(link, false), (link, true)]) {
        let service_key = seed(Kind::Curve, 2);
        let more = if sealed { format!(", xkey: {}", service_key.public()) } else { String::new() };
        // An answer is lost that comes before the way back is there: another question follows in time.
        let config = callout(&more).replace("timeout: 1,", "timeout: 5,");
        let far = start(&format!("server_name: far, {}\n{config}", link("far", None)));
        let port = far.node().settings.identity.port(kind);
        let near = start(&format!("server_name: near, {}\n{config}", link("near", Some(port))));
        let mut service = Client::open(&far);
        assert_eq!(service.connect(password("auth", "pwd")), "PONG");
        let asking = near.node().settings.identity.id.clone();
        serve(service, move |headers, payload| {
            let sign = |request: &AuthorizationRequest| {
                assert_eq!(request.server.id, asking);
                answer(request, &seed(Kind::Account, 1), "APP").into_bytes()
            };
            if !sealed {
                return sign(&request(payload));
            }
            let headers = String::from_utf8_lossy(headers).into_owned();
            let key = headers.split_once("Nats-Server-Xkey: ").expect("header").1;
            let sender = Public::parse(key.trim_end()).expect("key");
            let answer = sign(&request(&xkey::open(&service_key, &sender, payload).expect("opened")));
            xkey::seal(&service_key, &sender, [1; xkey::NONCE_BYTES], &answer).expect("sealed")
        });
        // Until the server has heard of the service nobody is there to be asked.
        let is_let_in = || Client::open(&near).connect(password("any", "good")) == "PONG";
        wait_until(format!("{kind:?} {sealed}"), is_let_in);
        let refused = Client::open(&near).connect(password("any", "bad"));
        assert_eq!(refused, "-ERR 'Authorization Violation'", "{kind:?} {sealed}");
        near.stop();
        far.stop();
    }
}

/// A service that does not answer lets nobody in, and others are served meanwhile.
#[test]
fn silence_is_a_refusal() {
    let server = start(&callout(""));
    let mut service = Client::open(&server);
    assert_eq!(service.connect(password("auth", "pwd")), "PONG");
    service.send("SUB $SYS.REQ.USER.AUTH 1\r\nPING\r\n");
    assert_eq!(service.line().as_deref(), Some("PONG"));
    let mut waiting = Client::open(&server);
    waiting.send(&format!("CONNECT {}\r\nPING\r\n", password("any", "good")));
    assert!(service.line().is_some_and(|line| line.starts_with("MSG") || line.starts_with("HMSG")));
    assert_eq!(Client::open(&server).connect(password("auth", "pwd")), "PONG");
    assert_eq!(waiting.line().as_deref(), Some("-ERR 'Authorization Violation'"));
}

/// Operator mode: a user without rights of its own asks to come in, and is put into another account. It is there as long
/// as the account that was asked has its service.
#[test]
fn an_account_asks_about_its_users() {
    let (asking, there) = (seed(Kind::Account, 1), seed(Kind::Account, 2).public().to_string());
    let key = asking.public().to_string();
    let authorization = ExternalAuthorization {
        auth_users: vec![seed(Kind::User, 1).public().to_string()],
        allowed_accounts: vec![there.clone()],
        ..ExternalAuthorization::default()
    };
    let asks = Account { authorization, ..Account::default() };
    let server = operator_mode(&[(1, account(1, asks, None)), (2, account(2, Account::default(), None))], "");
    let mut service = Client::open(&server);
    assert_eq!(service.by_token(1, &user(1, 1, unlimited(), None)), "PONG");
    serve(service, move |_, payload| {
        let request = request(payload);
        let key = Public::parse(&request.user_nkey).expect("key");
        // The user of `account` 2 or 3, signed by that account; the answer by the one that asks.
        let signer = if request.connect.user == "there" { 2 } else { 3 };
        let body = Body::User(Box::new(User { limits: unlimited(), ..User::default() }));
        let jwt = Draft::new(key, "bob", body).sign(&seed(Kind::Account, signer), now()).expect("user");
        let response = AuthorizationResponse { jwt, ..AuthorizationResponse::default() };
        let draft = Draft::new(key, "", Body::AuthorizationResponse(response));
        let answer = Draft { audience: request.server.id.clone(), ..draft }.sign(&asking, now());
        answer.expect("answer").into_bytes()
    });
    let sentinel = user(2, 1, UserLimits { bearer_token: true, ..unlimited() }, None);
    let mut clients = Vec::new();
    for (name, expected) in [("there", "PONG"), ("elsewhere", "-ERR 'Authorization Violation'")] {
        let mut client = Client::open(&server);
        let fields = serde_json::json!({ "jwt": sentinel, "user": name, "pass": "x" });
        assert_eq!(client.connect(fields), expected, "{name}");
        clients.push(client);
    }
    let let_in = || server.node().connections.registry.let_in_by(&key).len();
    assert_eq!(let_in(), 1, "who is in another account is found without walking all");
    let pushed = server.node().accept_jwt(&key, &account(1, Account::default(), None), Reach::Here);
    assert_eq!(pushed, Ok(Acceptance::Taken));
    assert_eq!(clients[0].line(), None);
    wait_until("they are closed", || let_in() == 0);
}

/// What the log, monitoring and events hold of a connection that a service refused: why, and in operator mode whose token
/// it presented.
#[test]
fn a_refusal_says_why_and_whose() {
    let asking = seed(Kind::Account, 1);
    let authorization = ExternalAuthorization {
        auth_users: vec![seed(Kind::User, 1).public().to_string()],
        ..ExternalAuthorization::default()
    };
    let asks = Account { authorization, ..Account::default() };
    let accounts = [(1, account(1, asks, None)), (2, account(2, Account::default(), None))];
    let folder = tempfile::tempdir().expect("folder");
    let (system, log) = (seed(Kind::Account, 2).public(), folder.path().join("log"));
    let server = logged(&accounts, &format!("system_account: {system}\nlog_file: {log:?}"));
    let mut service = Client::open(&server);
    assert_eq!(service.by_token(1, &user(1, 1, unlimited(), None)), "PONG");
    serve(service, move |_, payload| {
        let request = request(payload);
        let response =
            AuthorizationResponse { error: "too\u{9b} late".into(), ..AuthorizationResponse::default() };
        let key = Public::parse(&request.user_nkey).expect("key");
        let draft = Draft::new(key, "", Body::AuthorizationResponse(response));
        let answer = Draft { audience: request.server.id.clone(), ..draft }.sign(&asking, now());
        answer.expect("answer").into_bytes()
    });
    let mut watching = Client::open(&server);
    assert_eq!(watching.by_token(3, &user(3, 2, unlimited(), None)), "PONG");
    watching.send("SUB $SYS.SERVER.*.CLIENT.AUTH.ERR 1\r\nPING\r\n");
    assert_eq!(watching.line().as_deref(), Some("PONG"));
    let mut refused = Client::open(&server);
    assert_eq!(refused.by_token(2, &user(2, 1, unlimited(), None)), "-ERR 'Authorization Violation'");
    assert_eq!(refused.line(), None);

    let expected = serde_json::json!({
        "reason": "the authorization service refuses: too\u{9b} late",
        "user": seed(Kind::User, 2).public().to_string(),
        "user_name": "bob",
        "account": seed(Kind::Account, 1).public().to_string(),
        "account_name": "ACC",
    });
    assert!(watching.line().is_some_and(|head| head.starts_with("MSG $SYS.SERVER.")));
    let event: serde_json::Value = serde_json::from_str(&watching.line().expect("body")).expect("event");
    assert_eq!(event["rejection"], expected);
    watching.send("SUB reply 2\r\nPUB $SYS.REQ.SERVER.PING.CONNZ reply 11\r\n{\"state\":1}\r\n");
    assert!(watching.line().is_some_and(|head| head.starts_with("MSG reply 2 ")));
    let closed: serde_json::Value = serde_json::from_str(&watching.line().expect("body")).expect("answer");
    assert_eq!(closed["data"]["connections"][0]["rejection"], expected);
    let log = std::fs::read_to_string(log).expect("log");
    let line = log.lines().find(|line| line.contains("[ERR]")).expect("an error");
    let (user, account) = (seed(Kind::User, 2).public(), seed(Kind::Account, 1).public());
    let whose = format!("(token of user {user} \"bob\", account {account} \"ACC\")");
    let why = "the authorization service refuses: too\\u{9b} late";
    assert!(line.ends_with(&format!("authentication error {whose}: {why}")), "{line}");
}

#[test]
fn a_token_that_is_refused_is_named_in_the_log() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("log");
    let server = logged(&[(1, account(1, Account::default(), None))], &format!("log_file: {log:?}"));
    let refused = |account: u8, expires: Option<i64>| {
        let before = std::fs::read_to_string(&log).expect("log").len();
        let mut client = Client::open(&server);
        assert!(
            client.by_token(2, &user(2, account, unlimited(), expires)).contains("Authorization Violation")
        );
        let all = std::fs::read_to_string(&log).expect("log");
        all[before..].lines().find(|line| line.contains("[ERR]")).expect("an error").to_owned()
    };
    let key = seed(Kind::User, 2).public();
    for (number, expires, why) in [
        (1, Some(now() - 5), "the JWT is not valid at this time"),
        (7, None, "the JWT's account is not known here, or its own JWT is not valid"),
    ] {
        let (line, account) = (refused(number, expires), seed(Kind::Account, number).public());
        let name = if number == 1 { "ACC".to_owned() } else { account.to_string() };
        let expected = format!("(token of user {key} \"bob\", account {account} {name:?}): {why}");
        assert!(line.ends_with(&expected), "{line}");
    }
}

/// Questions of a flood: answering them takes far longer than asking.
const FLOOD: usize = 2000;

/// Subscribes much and asks at length about it. When this returns, all questions wait; how many were answered meanwhile.
fn flood(client: &mut Client) -> usize {
    let subscriptions: String = (0..1000).map(|n| format!("SUB some.subject.{n} {}\r\n", n + 10)).collect();
    client.send(&format!("{subscriptions}SUB flood 1\r\n"));
    let body = r#"{"subscriptions_detail":true}"#;
    let question = format!("PUB $SYS.REQ.SERVER.PING.CONNZ flood {}\r\n{body}\r\n", body.len());
    client.send(&(question.repeat(FLOOD) + "PING\r\n"));
    let lines = std::iter::from_fn(|| client.line().filter(|line| line != "PONG"));
    lines.filter(|line| line.starts_with("MSG flood ")).count()
}

/// A revocation is in force long before the questions of whom it concerns are answered.
#[test]
fn a_revocation_comes_before_questions() {
    let server = operator_mode(
        &[(1, account(1, Account::default(), None)), (2, account(2, Account::default(), None))],
        &format!(
            "system_account: {}\nwrite_deadline: '600s', max_pending: 1GB",
            seed(Kind::Account, 2).public()
        ),
    );
    let mut system = Client::open(&server);
    assert_eq!(system.by_token(2, &user(2, 2, unlimited(), None)), "PONG");
    let mut tenant = Client::open(&server);
    assert_eq!(tenant.by_token(1, &user(1, 1, unlimited(), None)), "PONG");
    let mut answers = flood(&mut tenant);
    let revoked = seed(Kind::User, 1).public().to_string();
    let revocations = [(revoked, now() + 1)].into();
    let token = account(1, Account { revocations, ..Account::default() }, None);
    let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", seed(Kind::Account, 1).public());
    system.send(&format!("PUB {subject} {}\r\n{token}\r\n", token.len()));
    let end = loop {
        match tenant.line() {
            Some(line) if line.starts_with("MSG flood ") => answers += 1,
            Some(line) if line.starts_with("-ERR") => break line,
            Some(_) => {}
            None => panic!("closed without a word"),
        }
    };
    assert_eq!(end, "-ERR 'User Authentication Revoked'");
    assert!(answers < FLOOD / 2, "{answers} questions were answered before");
}

/// A login by auth callout does not wait for the questions of a tenant.
#[test]
fn a_login_comes_before_questions() {
    let server = start(&format!(
        "{}\nwrite_deadline: '600s', max_pending: 1GB",
        callout("").replace("timeout: 1", "timeout: 600")
    ));
    let mut service = Client::open(&server);
    assert_eq!(service.connect(password("auth", "pwd")), "PONG");
    serve(service, |_, payload| answer(&request(payload), &seed(Kind::Account, 1), "APP").into_bytes());
    let mut tenant = Client::open(&server);
    assert_eq!(tenant.connect(password("any", "good")), "PONG");
    flood(&mut tenant);
    assert_eq!(Client::open(&server).connect(password("other", "good")), "PONG");
    let questions =
        server.node().internal.figures().find(|(queue, lane, _)| {
            (*queue, *lane) == ("questions", dialtone_server::share::Lane::Question)
        });
    let left = questions.map_or(0, |(_, _, figures)| figures.waiting);
    assert!(left > FLOOD / 2, "{left} questions of the flood still wait");
}

/// A login by auth callout does not wait for what the control thread is at, such as a reload.
#[test]
fn a_login_by_a_service_does_not_wait_for_a_command() {
    let server = start(&patient_callout("APP"));
    let (_questions, go) = patient_service(&server);
    let ((begun, at_work), (_release, held)) = (channel(), channel::<()>());
    server.node().internal.run(move |_| {
        begun.send(()).expect("the test waits");
        // Until the test is over.
        let _ = held.recv();
    });
    receive(&at_work, "the thread is not held");
    go.send(()).expect("the service waits");
    assert_eq!(Client::open(&server).connect(password("any", "good")), "PONG");
}

/// The configuration of [`callout`] with all the time that a slow machine needs, and with another account.
fn patient_callout(account: &str) -> String {
    callout("").replace("timeout: 1,", "timeout: 60,").replace(" APP {", &format!(" {account} {{"))
}

/// A service that puts everybody with the password `good` into the account APP, when the test lets it go on; and what it
/// was asked.
fn patient_service(server: &Server) -> (Receiver<()>, Sender<()>) {
    let mut service = Client::open(server);
    assert_eq!(service.connect(password("auth", "pwd")), "PONG");
    let ((asked, questions), (go, wait)) = (channel(), channel());
    serve(service, move |_, payload| {
        // The test may be over.
        let _ = asked.send(());
        let _ = wait.recv();
        answer(&request(payload), &seed(Kind::Account, 1), "APP").into_bytes()
    });
    (questions, go)
}

#[test]
fn a_late_answer_is_judged_by_the_configuration_in_force() {
    for (account, expected) in [("OTHER", "-ERR 'Authorization Violation'"), ("APP", "PONG")] {
        let server = start(&patient_callout("APP"));
        let (questions, go) = patient_service(&server);
        let mut client = Client::open(&server);
        client.send("CONNECT {\"user\":\"any\",\"pass\":\"good\",\"verbose\":false}\r\nPING\r\n");
        receive(&questions, "no question");
        server.reload(Ok(options(&patient_callout(account))));
        go.send(()).expect("the service waits");
        assert_eq!(client.line().as_deref(), Some(expected), "{account}");
    }
}

#[test]
fn who_a_service_let_in_stays_as_long_as_its_answer_is_good() {
    let server = start(&patient_callout("APP"));
    let (questions, go) = patient_service(&server);
    go.send(()).expect("the service waits");
    let mut client = Client::open(&server);
    assert_eq!(client.connect(password("any", "good")), "PONG");
    // Users come and go, but not the account that the service put it into.
    server.reload(Ok(options(&patient_callout("MORE { users: [ { user: more } ] }, APP"))));
    client.send("PING\r\n");
    assert_eq!(client.line().as_deref(), Some("PONG"));
    server.reload(Ok(options(&patient_callout("OTHER"))));
    assert_eq!(client.line().as_deref(), Some("-ERR 'Authorization Violation'"));
    assert_eq!(client.line(), None);
    // It was asked once.
    assert_eq!((server.node().settings.generation(), questions.try_iter().count()), (2, 1));
}

/// The JWT of an account that another server has comes while the configuration, or the account, is another already.
#[test]
fn an_account_that_is_looked_up_late_is_judged_by_what_is_in_force() {
    let key = |number| seed(Kind::Account, number).public().to_string();
    let pinned = |number| format!("resolver_pinned_accounts: [ {} ]\n", key(number));
    // Whenever the user is made, be it late on a busy machine.
    let revocations = [(seed(Kind::User, 1).public().to_string(), now() + 600)].into();
    let revoked = account(1, Account { revocations, ..Account::default() }, None);
    for (case, reload, push, expected) in [
        ("nothing changes", None, None, "PONG"),
        ("the account may come", Some(pinned(1)), None, "PONG"),
        ("the account may not come any more", Some(pinned(2)), None, "-ERR 'Authorization Violation'"),
        ("its user is revoked", None, Some(revoked), "-ERR 'Authorization Violation'"),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let resolver = format!("resolver {{ type: cache, dir: {:?}, timeout: \"600s\" }}", folder.path());
        let first = operator_configuration(&[(2, account(2, Account::default(), None))], "")
            .replace("resolver: MEMORY", &resolver)
            + &format!("\nsystem_account: {}\nauthorization {{ timeout: 600 }}\n", key(2));
        let server = start(&first);
        let mut other = Client::open(&server);
        assert_eq!(other.by_token(2, &user(2, 2, unlimited(), None)), "PONG");
        other.send("SUB $SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP 1\r\nPING\r\n");
        assert_eq!(other.line().as_deref(), Some("PONG"));
        let mut client = Client::open(&server);
        let signature = BASE64URL_NOPAD.encode(&seed(Kind::User, 1).sign(client.nonce.as_bytes()));
        let said =
            serde_json::json!({ "jwt": user(1, 1, unlimited(), None), "sig": signature, "verbose": false });
        client.send(&format!("CONNECT {said}\r\nPING\r\n"));
        let question = other.line().expect("a question");
        assert!(question.starts_with("MSG $SYS.REQ.ACCOUNT."), "{case}: {question}");
        if let Some(more) = reload {
            server.reload(Ok(options(&(first + &more))));
            assert_eq!(server.node().settings.generation(), 1, "{case}");
        }
        if let Some(jwt) = push {
            assert_eq!(server.node().accept_jwt(&key(1), &jwt, Reach::Here), Ok(Acceptance::Taken), "{case}");
        }
        let reply = question.split(' ').nth(3).expect("it wants an answer");
        let answer = account_of(now() - 60, 1, Account::default(), None);
        other.send(&format!("PUB {reply} {}\r\n{answer}\r\n", answer.len()));
        assert_eq!(client.line().as_deref(), Some(expected), "{case}");
    }
}
