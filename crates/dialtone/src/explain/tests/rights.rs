//! What is explained of rights, of imports that do not hold, and of files that say more than a server supports.

use super::check;
use crate::explain::{FOUND, NOWHERE};
use expect_test::expect;

const WORK: &str = r#"
accounts {
  SHOP {
    users = [
      { user: web, password: x, permissions: { publish: "orders.>" } }
      { user: worker, password: x, permissions: { subscribe: "orders.* workers", allow_responses: true } }
      { user: audit, password: x, permissions: {
          publish: { deny: "orders.new" }, subscribe: { allow: "orders.>", deny: "orders.old" } } }
    ]
    exports = [ { stream: "orders.>" } ]
  }
  BILLING {
    users = [ { user: bill, password: x, permissions: { subscribe: ["shop.> b.*", "_INBOX.>"] } } ]
    imports = [ { stream: { account: SHOP, subject: "orders.>" }, prefix: shop } ]
  }
}
"#;

#[test]
fn members_of_queue_groups_may_receive() {
    check(
        WORK,
        "--account SHOP --user web pub orders.old",
        FOUND,
        expect![[r#"
        user web of account SHOP publishes to orders.old
          may publish orders.old: publish allow orders.>  [t.conf:5:57]
          arrives in account SHOP as orders.old
            may receive it: web, worker (only in queue group workers)
            audit may not: subscribe deny orders.old  [t.conf:8:82]
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:14:17]
            exported as orders.>  [t.conf:10:17]
            arrives in account BILLING as shop.orders.old
              may receive it: bill (only in queue group b.*)
        it may be received
    "#]],
    );
    check(
        WORK,
        "--account SHOP --user worker sub orders.*",
        NOWHERE,
        expect![[r#"
        user worker of account SHOP subscribes to orders.*
          may not subscribe orders.*: nothing that is listed under subscribe allow fits; it may in queue group workers
        it is refused
    "#]],
    );
    check(
        WORK,
        "--account SHOP --user worker sub orders.* --queue workers",
        FOUND,
        expect![[r#"
        user worker of account SHOP subscribes to orders.* in queue group workers
          may subscribe orders.*: subscribe allow orders.* workers  [t.conf:6:62]
          note: what users of the account itself publish arrives
        it may subscribe
    "#]],
    );
}

#[test]
fn who_answers_requests_may_publish_answers() {
    check(
        WORK,
        "--account SHOP --user worker pub orders.new",
        FOUND,
        expect![[r#"
        user worker of account SHOP publishes to orders.new
          may publish orders.new only to answer a request that it was sent with this reply subject, with one message within 120s: allow_responses
          arrives in account SHOP as orders.new
            may receive it: audit, web, worker (only in queue group workers)
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:14:17]
            exported as orders.>  [t.conf:10:17]
            arrives in account BILLING as shop.orders.new
              may receive it: bill (only in queue group b.*)
        it may be received
    "#]],
    );
}

#[test]
fn without_a_user_all_are_explained() {
    check(
        WORK,
        "--account SHOP pub orders.new",
        FOUND,
        expect![[r#"
        any user of account SHOP publishes to orders.new
          may publish orders.new: web, worker (only to answer a request that it was sent with this reply subject, with one message within 120s)
            audit may not: publish deny orders.new  [t.conf:8:28]
          arrives in account SHOP as orders.new
            may receive it: audit, web, worker (only in queue group workers)
          stream: account BILLING takes orders.> of account SHOP as shop.orders.>  [t.conf:14:17]
            exported as orders.>  [t.conf:10:17]
            arrives in account BILLING as shop.orders.new
              may receive it: bill (only in queue group b.*)
        it may be received
    "#]],
    );
    check(
        WORK,
        "--account SHOP sub orders.old",
        FOUND,
        expect![[r#"
        any user of account SHOP subscribes to orders.old
          may subscribe orders.old: web
            audit may not: subscribe deny orders.old  [t.conf:8:82]
            worker may not: nothing that is listed under subscribe allow fits; it may in queue group workers
          note: what users of the account itself publish arrives
        it may subscribe
    "#]],
    );
    check(
        WORK,
        "--account BILLING sub x",
        NOWHERE,
        expect![[r#"
        any user of account BILLING subscribes to x
          none of its users may subscribe x
            bill may not: nothing that is listed under subscribe allow fits
        it is refused
    "#]],
    );
}

#[test]
fn an_import_that_is_not_authorized_is_explained() {
    let config = r#"accounts {
  A { exports = [ { stream: "a.>", accounts: [C] }, { service: "ask" }, { stream: "s.*" } ] }
  B { imports = [ { stream: { account: A, subject: "a.b" } } ] }
  C { imports = [ { stream: { account: A, subject: "ask" } }, { stream: { account: A, subject: "s.>" } } ] }
  D { imports = [ { service: { account: A, subject: "no" } }, { service: { account: X, subject: "no" } } ] }
}"#;
    check(
        config,
        "--account A pub a.b --to B",
        NOWHERE,
        expect![[r#"
            someone of account A publishes to a.b
              may publish a.b: nothing denies it
              arrives in account A as a.b
                the account has no users
              stops: it does not arrive in account B
              note: account A exports stream a.>, but not to account B  [t.conf:2:19]
              note: account B cannot import "a.b": account A exports stream a.> only to C, at t.conf:2:19  [t.conf:3:19]
            it does not arrive there, where somebody may receive it
        "#]],
    );
    check(
        config,
        "--account C sub ask --from A",
        NOWHERE,
        expect![[r#"
            someone of account C subscribes to ask
              may subscribe ask: nothing denies it
              note: what users of the account itself publish arrives
              stops: nothing comes from account A
              note: account A exports no stream with it, and this account no service
              note: account C cannot import "ask": account A exports ask as a service, not as a stream, at t.conf:2:53  [t.conf:4:19]
              note: account C cannot import "s.>": account A exports stream s.*, which does not contain all of s.>, at t.conf:2:73  [t.conf:4:63]
            nothing comes from there
        "#]],
    );
    check(
        config,
        "--account D pub no --to A",
        NOWHERE,
        expect![[r#"
        someone of account D publishes to no
          may publish no: nothing denies it
          arrives in account D as no
            the account has no users
          stops: it does not arrive in account A
          note: account D exports no stream that no is in
          note: account D cannot import "no": account A exports no service that contains no  [t.conf:5:19]
          note: account D cannot import "no": "X" account not defined for service import  [t.conf:5:63]
        it does not arrive there, where somebody may receive it
    "#]],
    );
}

#[test]
fn files_may_say_more_than_is_supported() {
    let config = r#"leafnodes { remotes: [ { url: "nats://127.0.0.1:7422", jetstream_cluster_migrate: true, account: A } ] }
jetstream: enabled
tls { cert_file: "/nowhere/cert.pem", key_file: "/nowhere/key.pem" }
accounts { A { jetstream: enabled, users: [ { user: a, password: x } ] } }
"#;
    check(
        config,
        "--account A --user a pub x",
        FOUND,
        expect![[r#"
            user a of account A publishes to x
              note: left out, for this version does not support them: jetstream_cluster_migrate [t.conf:1:56]
              may publish x: nothing denies it
              arrives in account A as x
                may receive it: a
            it may be received
        "#]],
    );
}
