//! Configurations, and what is explained of them.

use super::args::{self, Invocation};
use super::hops::Answer;
use super::{FOUND, NOWHERE, text};
use dialtone_config::{load_partial_text, load_text};
use dialtone_server::Explainer;
use dialtone_server::Server;
use dialtone_server::explain::{Action, Question, Report, Verdict};
use expect_test::{Expect, expect};
use std::io::{BufReader, Write as _};
use waiting::{Bounded as _, NextLine as _, tries};

mod delivered;
mod network;
mod rights;
mod streams;
#[path = "../../../server/tests/common/waiting.rs"]
mod waiting;

const SHOP: &str = r#"
accounts {
  SHOP {
    users = [
      { user: web, password: x, permissions: {
          publish: { allow: ["orders.>", "price.*"], deny: "orders.internal.>" }, subscribe: "_INBOX.>" } }
      { user: audit, password: x }
    ]
    exports = [ { stream: "orders.>", accounts: [BILLING, ARCHIVE] }, { service: "stock.*" } ]
    imports = [ { service: { account: PRICES, subject: "quote.*" }, to: "price.*" } ]
    mappings = { "orders.old": [
      { destination: "orders.new", weight: 80% }, { destination: "orders.old", weight: 0% } ] }
  }
  BILLING {
    users = [ { user: bill, password: x, permissions: { subscribe: { deny: "shop.orders.secret" } } } ]
    imports = [ { stream: { account: SHOP, subject: "orders.>" }, prefix: shop } ]
  }
  ARCHIVE { users = [ { user: arch, password: x } ] }
  PRICES {
    users = [ { user: quote, password: x } ]
    exports = [ { service: "quote.*" } ]
    imports = [ { service: { account: MARKET, subject: "ask.*" }, to: "q.v2.*" } ]
    mappings = { "quote.*": "q.v2.$1" }
  }
  MARKET { users = [ { user: m, password: x } ], exports = [ { service: "ask.*" } ] }
}
"#;

#[track_caller]
fn check(config: &str, arguments: &str, code: i32, expected: Expect) {
    let words: Vec<String> =
        format!("--config t.conf {arguments}").split_whitespace().map(str::to_owned).collect();
    let Ok(Invocation::Ask(asked)) = args::parse(&words) else { panic!("{arguments}") };
    let partial = load_partial_text(config, "t.conf", &mut |_: &std::path::Path| unreachable!(), &|_| None);
    let explainer = Explainer::new(partial.expect("a good configuration")).expect("accounts");
    match explainer.answer(&asked.question) {
        Ok(report) => {
            expected.assert_eq(&text::describe(&Answer::alone(report.clone())));
            assert_eq!(if report.verdict == Verdict::Path { FOUND } else { NOWHERE }, code);
            // What travels as JSON is the same after it.
            let json = serde_json::to_string(&report).expect("JSON");
            assert_eq!(serde_json::from_str::<Report>(&json).expect("a report"), report);
        }
        Err(problem) => {
            expected.assert_eq(&problem.to_string());
            assert_eq!(code, super::FAILED);
        }
    }
}

#[test]
fn a_narrower_export_is_not_made_up_for_by_a_wider_one() {
    let config = r#"accounts {
  A { users = [ { user: a, password: x } ], exports = [ { stream: ">" }, { stream: "a.b", accounts: [C] } ] }
  B { users = [ { user: b, password: x } ] }
  C { users = [ { user: c, password: x } ] }
}"#;
    check(
        config,
        "--account A --user a --to B pub a.b",
        1,
        expect![[r#"
        user a of account A publishes to a.b
          may publish a.b: nothing denies it
          arrives in account A as a.b
            may receive it: a
          stops: it does not arrive in account B
          note: account A exports stream >, but not to account B  [t.conf:2:57]
          note: account A exports stream a.b, but not to account B  [t.conf:2:74]
        it does not arrive there, where somebody may receive it
    "#]],
    );
}

#[test]
fn a_stream_goes_to_who_takes_it() {
    check(
        SHOP,
        "--account SHOP --user web pub orders.new",
        FOUND,
        expect![[r#"
        user web of account SHOP publishes to orders.new
          may publish orders.new: publish allow orders.>  [t.conf:6:30]
          arrives in account SHOP as orders.new
            may receive it: audit
            web may not: nothing that is listed under subscribe allow fits
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:16:17]
            exported as orders.>  [t.conf:9:17]
            arrives in account BILLING as shop.orders.new
              may receive it: bill
          note: account SHOP exports stream orders.>, and these accounts could import it, but do not: ARCHIVE  [t.conf:9:17]
        it may be received
    "#]],
    );
    check(
        SHOP,
        "--account SHOP --user web pub orders.secret --to BILLING",
        NOWHERE,
        expect![[r#"
        user web of account SHOP publishes to orders.secret
          may publish orders.secret: publish allow orders.>  [t.conf:6:30]
          arrives in account SHOP as orders.secret
            may receive it: audit
            web may not: nothing that is listed under subscribe allow fits
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:16:17]
            exported as orders.>  [t.conf:9:17]
            arrives in account BILLING as shop.orders.secret
              none of its users may receive it
              bill may not: subscribe deny shop.orders.secret  [t.conf:15:76]
        it does not arrive there, where somebody may receive it
    "#]],
    );
}

#[test]
fn a_stream_does_not_come_to_who_does_not_take_it() {
    check(
        SHOP,
        "--account SHOP --user audit pub orders.new --to ARCHIVE",
        NOWHERE,
        expect![[r#"
        user audit of account SHOP publishes to orders.new
          may publish orders.new: nothing denies it
          arrives in account SHOP as orders.new
            may receive it: audit
            web may not: nothing that is listed under subscribe allow fits
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:16:17]
            exported as orders.>  [t.conf:9:17]
            arrives in account BILLING as shop.orders.new
              may receive it: bill
          stops: it does not arrive in account ARCHIVE
          note: account SHOP exports stream orders.>, and account ARCHIVE does not import it  [t.conf:9:17]
        it does not arrive there, where somebody may receive it
    "#]],
    );
    check(
        SHOP,
        "--account SHOP --user audit pub orders.new --to PRICES",
        NOWHERE,
        expect![[r#"
        user audit of account SHOP publishes to orders.new
          may publish orders.new: nothing denies it
          arrives in account SHOP as orders.new
            may receive it: audit
            web may not: nothing that is listed under subscribe allow fits
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:16:17]
            exported as orders.>  [t.conf:9:17]
            arrives in account BILLING as shop.orders.new
              may receive it: bill
          stops: it does not arrive in account PRICES
          note: account SHOP exports stream orders.>, but not to account PRICES  [t.conf:9:17]
          note: a service of that account is asked by price.*  [t.conf:10:17]
        it does not arrive there, where somebody may receive it
    "#]],
    );
}

#[test]
fn rights_refuse_with_their_entry() {
    check(
        SHOP,
        "--account SHOP --user web pub orders.internal.x",
        NOWHERE,
        expect![[r#"
        user web of account SHOP publishes to orders.internal.x
          may not publish orders.internal.x: publish deny orders.internal.>  [t.conf:6:60]
        it is refused
    "#]],
    );
    check(
        SHOP,
        "--account SHOP --user web pub elsewhere",
        NOWHERE,
        expect![[r#"
        user web of account SHOP publishes to elsewhere
          may not publish elsewhere: nothing that is listed under publish allow fits
        it is refused
    "#]],
    );
    check(
        SHOP,
        "--account SHOP --user web sub orders.>",
        NOWHERE,
        expect![[r#"
        user web of account SHOP subscribes to orders.>
          may not subscribe orders.>: nothing that is listed under subscribe allow fits
        it is refused
    "#]],
    );
}

#[test]
fn mappings_say_how_often_they_do_what() {
    check(
        SHOP,
        "--account SHOP --user audit pub orders.old",
        FOUND,
        expect![[r#"
        user audit of account SHOP publishes to orders.old
          mapping orders.old in account SHOP: 80 of 100: orders.old becomes orders.new  [t.conf:11:18]
            may publish orders.new: nothing denies it
            arrives in account SHOP as orders.new
              may receive it: audit
              web may not: nothing that is listed under subscribe allow fits
            stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:16:17]
              exported as orders.>  [t.conf:9:17]
              arrives in account BILLING as shop.orders.new
                may receive it: bill
          mapping orders.old in account SHOP: 20 of 100: orders.old becomes nowhere  [t.conf:11:18]
            stops: the mapping loses it, on purpose
          note: account SHOP exports stream orders.>, and these accounts could import it, but do not: ARCHIVE  [t.conf:9:17]
        it may be received
    "#]],
    );
}

#[test]
fn requests_go_on_over_accounts() {
    check(
        SHOP,
        "--account SHOP --user web pub price.shoe --to MARKET",
        FOUND,
        expect![[r#"
        user web of account SHOP publishes to price.shoe
          may publish price.shoe: publish allow price.*  [t.conf:6:42]
          arrives in account SHOP as price.shoe
            may receive it: audit
            web may not: nothing that is listed under subscribe allow fits
          service: account SHOP asks quote.* of account PRICES as price.*  [t.conf:10:17]
            exported as quote.*  [t.conf:21:17]
            mapping quote.* in account PRICES: quote.shoe becomes q.v2.shoe  [t.conf:23:18]
            arrives in account PRICES as q.v2.shoe
              may receive it: quote
            service: account PRICES asks ask.* of account MARKET as q.v2.*  [t.conf:22:17]
              exported as ask.*  [t.conf:25:62]
              arrives in account MARKET as ask.shoe
                may receive it: m
        it arrives there
    "#]],
    );
    check(
        SHOP,
        "--account MARKET --user m sub ask.shoe",
        FOUND,
        expect![[r#"
            user m of account MARKET subscribes to ask.shoe
              may subscribe ask.shoe: nothing denies it
              note: what users of the account itself publish arrives
              service: account PRICES asks ask.* of account MARKET as q.v2.*  [t.conf:22:17]
                exported as ask.*  [t.conf:25:62]
                service: account SHOP asks quote.* of account PRICES as price.*  [t.conf:10:17]
                  exported as quote.*  [t.conf:21:17]
              note: account MARKET exports service ask.*, and these accounts could import it, but do not: ARCHIVE, BILLING  [t.conf:25:62]
            it may subscribe
        "#]],
    );
}

#[test]
fn a_subscription_says_where_its_messages_come_from() {
    check(
        SHOP,
        "--account BILLING --user bill sub shop.>",
        FOUND,
        expect![[r#"
        user bill of account BILLING subscribes to shop.>
          may subscribe shop.>: nothing denies it
            it reaches out of what is allowed: each message is looked at, too
          note: what users of the account itself publish arrives
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:16:17]
            exported as orders.>  [t.conf:9:17]
        it may subscribe
    "#]],
    );
    check(
        SHOP,
        "--account BILLING --user bill sub x --from SHOP",
        NOWHERE,
        expect![[r#"
        user bill of account BILLING subscribes to x
          may subscribe x: nothing denies it
          note: what users of the account itself publish arrives
          stops: nothing comes from account SHOP
          note: a stream of that account arrives as shop.orders.>  [t.conf:16:17]
        nothing comes from there
    "#]],
    );
    check(
        SHOP,
        "--account ARCHIVE --user arch sub orders.> --from SHOP",
        NOWHERE,
        expect![[r#"
        user arch of account ARCHIVE subscribes to orders.>
          may subscribe orders.>: nothing denies it
          note: what users of the account itself publish arrives
          stops: nothing comes from account SHOP
          note: account SHOP exports stream orders.>, and account ARCHIVE does not import it  [t.conf:9:17]
        nothing comes from there
    "#]],
    );
    check(
        SHOP,
        "--account SHOP --user audit sub orders.* --queue q",
        FOUND,
        expect![[r#"
            user audit of account SHOP subscribes to orders.* in queue group q
              may subscribe orders.*: nothing denies it
              note: the account maps what is published to orders.old to orders.new, orders.old: only what it becomes arrives  [t.conf:11:18]
              note: what is published to orders.old may become such a subject  [t.conf:11:18]
              note: what users of the account itself publish arrives
            it may subscribe
        "#]],
    );
}

#[test]
fn without_accounts_all_is_open() {
    check(
        "",
        "pub a.b",
        FOUND,
        expect![[r#"
        someone of account $G publishes to a.b
          may publish a.b: nothing denies it
          arrives in account $G as a.b
            may receive it: everyone
        it may be received
    "#]],
    );
    check(
        "mappings { a: b }, authorization { users: [{ user: u, password: x }] }",
        "--user u pub a",
        FOUND,
        expect![[r#"
            user u of account $G publishes to a
              mapping a in account $G: a becomes b  [t.conf:1:12]
              may publish b: nothing denies it
              arrives in account $G as b
                may receive it: u
            it may be received
        "#]],
    );
}

#[test]
fn questions_that_have_no_answer() {
    check(
        SHOP,
        "--account SHOP --user bill pub a",
        super::FAILED,
        expect![[r#"account "SHOP" has no user "bill""#]],
    );
    check(SHOP, "--account NONE pub a", super::FAILED, expect![[r#"there is no account "NONE""#]]);
    check(
        SHOP,
        "--account SHOP --user web pub a.*",
        super::FAILED,
        expect![[r#""a.*" is no subject to publish to: it must have no wildcards and no empty tokens"#]],
    );
    check(
        SHOP,
        "--account SHOP --user web sub a..b",
        super::FAILED,
        expect![[r#""a..b" is no subject to subscribe to"#]],
    );
    check(
        SHOP,
        "--account SHOP --user web pub a --to NONE",
        super::FAILED,
        expect![[r#"there is no account "NONE""#]],
    );
}

#[test]
fn arguments_are_read_whole() {
    let parse = |text: &str| {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        args::parse(&words).map_err(|problem| format!("{problem:#}"))
    };
    for (arguments, problem) in [
        ("pub a", "required arguments were not provided:\n  <--config <FILE>|--server <URL>>"),
        ("-c f --server u pub a", "'--config <FILE>' cannot be used with '--server <URL>'"),
        ("-c f --creds u pub a", "'--config <FILE>' cannot be used with '--creds <FILE>'"),
        ("-c f", "required arguments were not provided:\n  <ACTION>\n  <SUBJECT>"),
        ("-c f push a", "invalid value 'push' for '<ACTION>'\n  [possible values: pub, sub]"),
        ("-c f --queue q pub a", "--queue goes with sub"),
        ("-c f --from A pub a", "--from does not go with pub"),
        ("-c f --usr a sub a", "a similar argument exists: '--user'"),
        ("-c f -c g sub a", "'--config <FILE>' cannot be used multiple times"),
        ("sub a --config", "a value is required for '--config <FILE>'"),
        ("sub a -c f --json=1", "unexpected value '1' for '--json'"),
    ] {
        let text = parse(arguments).expect_err(arguments);
        assert!(text.contains(problem), "{arguments}: {text}");
    }
    for help in ["--help", "-h", "help"] {
        assert!(
            matches!(parse(help), Ok(Invocation::Help(text)) if text.contains("--tls-ca <FILE>")),
            "{help}"
        );
    }
}

const LIVE: &str = r#"
port: -1
host: 127.0.0.1
system_account: SYS
accounts {
  A { users = [ { user: a, password: x } ], exports = [ { stream: "s.>" } ] }
  B {
    users = [ { user: b, password: x, permissions: { subscribe: { deny: "s.no" } } } ]
    imports = [ { stream: { account: A, subject: "s.>" } } ]
  }
  SYS { users = [ { user: admin, password: secret } ] }
}
"#;

/// A running server tells who listens, and its own subscriptions for that are in no figure.
#[test]
fn a_running_server_tells_who_listens() {
    let options = load_text(LIVE, "t.conf", &mut |_: &std::path::Path| unreachable!(), &|_| None);
    let server = Server::builder().options(options.expect("good")).quiet().start().expect("a server");
    let mut listener = BufReader::new(server.connect_in_process().expect("a connection").bounded());
    let hello =
        "CONNECT {\"user\":\"b\",\"pass\":\"x\",\"verbose\":false}\r\nSUB s.> 1\r\nSUB s.> q 2\r\nPING\r\n";
    listener.get_mut().write_all(hello.as_bytes()).expect("sent");
    tries("PONG").find(|()| listener.next_line() == "PONG\r\n");
    let address = server.client_address().expect("it listens");
    let ask = |subject: &str| {
        let question = Question {
            user: Some("a".into()),
            other: Some("B".into()),
            ..Question::new("A", Action::Publish, subject)
        };
        let url = format!("nats://admin:secret@{address}");
        super::server::ask(&url, None, None, &question).map(|answer| text::describe(&answer))
    };
    expect![[r#"
        user a of account A publishes to s.x
          may publish s.x: nothing denies it
          arrives in account A as s.x
            may receive it: a
            listening now: 0 subscriptions
          stream: account B takes s.> of account A  [t.conf:9:17]
            exported as s.>  [t.conf:6:57]
            arrives in account B as s.x
              may receive it: b
              listening now: 1 subscription, one of each queue group of q
        it arrives there
    "#]]
    .assert_eq(&ask("s.x").expect("an answer"));
    expect![[r#"
        user a of account A publishes to s.no
          may publish s.no: nothing denies it
          arrives in account A as s.no
            may receive it: a
            listening now: 0 subscriptions
          stream: account B takes s.> of account A  [t.conf:9:17]
            exported as s.>  [t.conf:6:57]
            arrives in account B as s.no
              none of its users may receive it
              b may not: subscribe deny s.no  [t.conf:8:73]
              listening now: 0 subscriptions; withheld from 2, whose rights do not let them have it
        it does not arrive there, where somebody may receive it
    "#]]
    .assert_eq(&ask("s.no").expect("an answer"));
    expect![[r#""s.*" is no subject to publish to: it must have no wildcards and no empty tokens"#]]
        .assert_eq(&ask("s.*").expect_err("no subject").to_string());
}
