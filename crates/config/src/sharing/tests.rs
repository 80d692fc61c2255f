use super::*;
use crate::language::parse_text;
use crate::options::Options;
use dialtone_subject::Literal;
use std::path::Path;
use std::time::Duration;

/// Options and errors, without those that say that a key is refused.
fn read(text: &str) -> (Options, String) {
    let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let map = parse_text(text, "t.conf", &mut files, &|_| None).expect(text);
    let (options, errors) = crate::read::read(&map, "t.conf", &mut files);
    let real = errors.iter().filter(|e| !e.problem.contains("cannot be carried out"));
    (options, real.map(|e| format!("{}: {}", e.at, e.problem)).collect::<Vec<_>>().join("\n"))
}

/// Account A has this in its block, in line 2; account B that, in line 3.
#[track_caller]
fn check(a: &str, b: &str, expected: &str) {
    let (_, errors) = read(&format!("accounts {{\n A {{ {a} }}\n B {{ {b} }} }}"));
    assert_eq!(errors, expected, "{a} {b}");
}

#[test]
fn exports_and_imports_are_read_in_full() {
    let (options, errors) = read(
        r#"accounts {
            A { exports: [
                { stream: "s.>" }
                { stream: "t.*", account_token_position: 2 }
                { service: "q.*", accounts: [B], response_type: Chunked, threshold: "1s", allow_trace: true }
                { service: r, latency: { sampling: 50%, subject: lat } }
            ] }
            B { imports: [
                { stream: { account: A, subject: s.1 }, prefix: x }
                { stream: { account: A, subject: t.B }, to: y, allow_trace: true }
                { service: { account: A, subject: q.1 }, to: z, share: yes }
                { service: { account: A, subject: r } }
            ] }
        }"#,
    );
    assert_eq!(errors, "");
    let [a, b] = options.access.accounts.as_slice() else { panic!("two accounts") };
    assert_eq!((a.exports[0].subject.as_str(), &a.exports[0].kind), ("s.>", &ExportKind::Stream));
    assert_eq!(a.exports[1].account_token_position, Some(2));
    let service = ServiceExport {
        response: ResponseType::Chunked,
        threshold: Some(Duration::from_secs(1)),
        latency: None,
        allow_trace: true,
    };
    let latency =
        Some(Latency { subject: Literal::parse("lat").expect("valid"), sampling: Sampling::Percent(50) });
    assert_eq!(a.exports[3].kind, ExportKind::Service(ServiceExport { latency, ..ServiceExport::default() }));
    assert_eq!(
        (&a.exports[2].accounts[..], &a.exports[2].kind),
        (&["B".to_owned()][..], &ExportKind::Service(service))
    );
    assert_eq!(a.exports[2].at.line, 5);
    let kinds: Vec<&ImportKind> = b.imports.iter().map(|import| &import.kind).collect();
    let stream = |prefix: Option<&str>, to: Option<&str>, allow_trace| ImportKind::Stream {
        prefix: prefix.map(str::to_owned),
        to: to.map(str::to_owned),
        allow_trace,
    };
    assert_eq!(kinds[0], &stream(Some("x"), None, false));
    assert_eq!(kinds[1], &stream(None, Some("y"), true));
    assert_eq!(kinds[2], &ImportKind::Service { to: "z".into(), share: true });
    assert_eq!(kinds[3], &ImportKind::Service { to: "r".into(), share: false });
}

#[test]
fn mappings_are_read_in_full() {
    let (options, errors) = read(
        "mappings { a: b }\naccounts { A { mappings: { x: y, 'p.*': [ {dest: 'q.$1', weight: 40%}, {destination: r, weight: 60, cluster: C} ], v: {dest: w, weight: 1} } } }",
    );
    assert_eq!(errors, "");
    let one = |subject: &str, weight, cluster: Option<&str>| Destination {
        subject: subject.into(),
        weight,
        cluster: cluster.map(str::to_owned),
    };
    assert_eq!(options.access.mappings[0].destinations, [one("b", 100, None)]);
    let mappings = &options.access.accounts[0].mappings;
    assert_eq!(mappings[0].destinations, [one("y", 100, None)]);
    assert_eq!(mappings[1].destinations, [one("q.$1", 40, None), one("r", 60, Some("C"))]);
    assert_eq!(mappings[2].destinations, [one("w", 1, None)]);
}

#[test]
fn what_is_wrong_with_an_export_is_told() {
    check(
        "exports: [{stream: a, service: b}]",
        "",
        "t.conf:2:16: Detected service \"b\" but already saw a stream",
    );
    check("exports: [{service: a, response_type: foo}]", "", "t.conf:2:44: Unknown response type: \"foo\"");
    check(
        "exports: [{stream: a, response: stream}]",
        "",
        "t.conf:2:38: Detected response directive on non-service",
    );
    check("exports: [{stream: a, latency: l}]", "", "t.conf:2:37: Detected latency directive on non-service");
    check(
        "exports: [{stream: a, allow_trace: on}]",
        "",
        "t.conf:2:41: Detected allow_trace directive on non-service",
    );
    check(
        "exports: [{service: a, accounts: [C]}]",
        "",
        "t.conf:2:16: \"C\" account not defined for service export",
    );
    check(
        "exports: [{service: a.*, account_token_position: 1}]",
        "",
        "t.conf:2:55: account_token_position 1 is no `*` token of \"a.*\"",
    );
    check(
        "exports: [{service: a, latency: {sampling: 200%, subject: l}}]",
        "",
        "t.conf:2:49: bad sampling percentage, should be 1-100",
    );
    check(
        "exports: [{service: a, latency: {sampling: headers}}]",
        "",
        "t.conf:2:38: Latency subject required, but missing",
    );
    check("exports: [{service: a..b}]", "", "t.conf:2:26: subject \"a..b\" is not a valid subject");
    check("exports: [{accounts: [B]}]", "", "t.conf:2:16: an export needs a stream or a service");
    check("exports: x", "", "t.conf:2:15: Exports should be an array, got a string");
    check("exports: [{service: a, foo: 1}]", "", "t.conf:2:29: unknown field \"foo\"");
}

#[test]
fn what_is_wrong_with_an_import_is_told() {
    let import =
        |import: &str, expected: &str| check("exports: [{stream: x}, {service: q}]", import, expected);
    import("imports: [{stream: {account: A, subject: x}}]", "");
    import(
        "imports: [{stream: {account: A, subject: y}}]",
        "t.conf:3:16: Error adding stream import \"y\": stream import not authorized",
    );
    import(
        "imports: [{service: {account: A, subject: x}}]",
        "t.conf:3:16: Error adding service import \"x\": service import not authorized",
    );
    import(
        "imports: [{stream: {account: Z, subject: x}}]",
        "t.conf:3:16: \"Z\" account not defined for stream import",
    );
    import("imports: [{stream: {account: A}}]", "t.conf:3:25: Expect an account name and a subject");
    import("imports: [{stream: A}]", "t.conf:3:25: Stream entry should be an account map, got a string");
    import(
        "imports: [{stream: {account: A, subject: x}, to: b, prefix: c}]",
        "t.conf:3:16: Stream import can not have a 'prefix' and a 'to' property",
    );
    import(
        "imports: [{service: {account: A, subject: q}, allow_trace: true}]",
        "t.conf:3:65: Detected allow_trace directive on a non-stream",
    );
    import(
        "imports: [{service: {account: A, subject: q}}, {service: {account: A, subject: q}}]",
        "t.conf:3:53: Duplicate service import subject \"q\", previously used in import for account \"A\"",
    );
}

#[test]
fn private_exports_are_for_the_named_only() {
    check(
        "exports: [{stream: x, accounts: [A]}]",
        "imports: [{stream: {account: A, subject: x}}]",
        "t.conf:3:16: Error adding stream import \"x\": stream import not authorized",
    );
    check(
        "exports: [{stream: x.*, account_token_position: 2}]",
        "imports: [{stream: {account: A, subject: x.C}}]",
        "t.conf:3:16: Error adding stream import \"x.C\": stream import not authorized",
    );
}

#[test]
fn what_is_wrong_with_a_mapping_is_told() {
    check("mappings: { 'a..': b }", "", "t.conf:2:18: Subject \"a..\" is not a valid subject");
    check(
        "mappings: { a: [{dest: b, weight: 60}, {dest: c, weight: 60%}] }",
        "",
        "t.conf:2:18: Error adding mapping for \"a\" : total weight needs to be <= 100",
    );
    check(
        "mappings: { a: [{dest: b, weight: 1}, {dest: b, weight: 2}] }",
        "",
        "t.conf:2:18: Error adding mapping for \"a\" : duplicate entry for \"b\"",
    );
    check(
        "mappings: { a: [{destination: b}] }",
        "",
        "t.conf:2:22: Missing weight for mapping destination \"b\"",
    );
    check(
        "mappings: { a: {dest: b, weight: 101} }",
        "",
        "t.conf:2:39: Invalid weight 101 for mapping destination",
    );
    check("mappings: { a: 3 }", "", "t.conf:2:21: Expected an entry for the mapping destination");
}

#[test]
fn tracing_and_the_callout_are_read_in_full() {
    let issuer = "AAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB776S";
    let (options, errors) = read(&format!(
        "accounts {{ A {{ msg_trace: t }}, B {{ trace_dest {{ dest: u, sampling: 5% }} }} }}\nauthorization {{ users: [ {{ user: x }} ], auth_callout {{ issuer: {issuer}, auth_users: [ x ], allowed_accounts: [ A ] }} }}"
    ));
    assert_eq!(errors, "");
    let traces: Vec<_> = options.access.accounts.iter().filter_map(|a| a.msg_trace.as_ref()).collect();
    assert_eq!((traces[0].destination.to_string(), traces[0].sampling), ("t".to_owned(), 100));
    assert_eq!((traces[1].destination.to_string(), traces[1].sampling), ("u".to_owned(), 5));
    let callout = options.access.authorization.callout.expect("callout");
    assert_eq!((callout.issuer.as_str(), callout.account.as_str()), (issuer, "$G"));
    assert_eq!((callout.auth_users, callout.allowed_accounts), (vec!["x".to_owned()], vec!["A".to_owned()]));

    check("msg_trace { sampling: 5 }", "", "t.conf:2:16: message tracing needs a `dest`");
    check("msg_trace: a.*", "", "t.conf:2:17: subject \"a.*\" is not a valid subject to publish on");
    let (_, errors) = read("authorization { auth_callout {\n allowed_accounts: [ Z ] } }");
    assert_eq!(
        errors,
        "t.conf:1:30: Authorization callouts require an issuer to be specified\n\
         t.conf:1:30: Authorization callouts require authorized users to be specified\n\
         t.conf:1:30: auth_callout allowed account \"Z\" not found in configured accounts"
    );
}

#[test]
fn cycles_are_refused_and_the_search_ends() {
    check(
        "exports: [{service: a}], imports: [{service: {account: B, subject: b}, to: a}]",
        "exports: [{service: b}], imports: [{service: {account: A, subject: a}, to: b}]",
        "t.conf:2:41: Error adding service import \"b\": import forms a cycle\n\
         t.conf:3:41: Error adding service import \"a\": import forms a cycle",
    );
    check(
        "exports: [{stream: \">\"}], imports: [{stream: {account: B, subject: \">\"}}]",
        "exports: [{stream: \">\"}], imports: [{stream: {account: A, subject: \">\"}}]",
        "t.conf:2:42: Error adding stream import \">\": import forms a cycle\n\
         t.conf:3:42: Error adding stream import \">\": import forms a cycle",
    );
    check(
        "exports: [{service: a}], imports: [{service: {account: B, subject: b}, to: x}]",
        "exports: [{service: b}], imports: [{service: {account: A, subject: a}, to: y}]",
        "",
    );
}

/// The official server refuses these at some starts, by the order in which it comes to the accounts.
#[test]
fn what_is_a_cycle_in_one_order_only_is_none() {
    check(
        "exports: [{service: *}], imports: [{service: {account: B, subject: b.c.b}, to: c}]",
        "exports: [{service: b.*.b}], imports: [{service: {account: A, subject: *}, to: b.$1}]",
        "",
    );
    check(
        "exports: [{stream: \">\"}], imports: [{stream: {account: B, subject: c.*.*}}]",
        "exports: [{stream: c.*.*}], imports: [{stream: {account: A, subject: \">\"}, to: \"a.>\"}]",
        "",
    );
}

#[test]
fn the_narrowest_export_decides_who_may_import() {
    let import = |exports: &str, expected: &str| {
        check(exports, "imports: [{service: {account: A, subject: a.b}}]", expected);
    };
    let refused = "t.conf:3:16: Error adding service import \"a.b\": service import not authorized";
    import("exports: [{service: \">\"}, {service: a.b, accounts: [A]}]", refused);
    import("exports: [{service: a.b, accounts: [A]}, {service: a.*}]", refused);
    import("exports: [{service: a.*, accounts: [A]}, {service: \">\"}]", refused);
    import("exports: [{service: a.*, accounts: [A]}, {service: *.b}]", refused);
    import("exports: [{service: a.*, accounts: [A]}, {service: a.b}]", "");
    import("exports: [{service: \">\", accounts: [A]}, {service: a.b, accounts: [B]}]", "");
}

/// CVE-2020-28466, CVE-2022-42709: rings of 1 to 20 accounts, some with chords, are refused or accepted, never a crash.
#[test]
fn rings_of_accounts_end() {
    for size in 1..=20 {
        for (kind, chord) in [("service", 1), ("stream", 1), ("service", 3), ("stream", 7)] {
            let account = |n: usize| {
                let import = |by: usize| format!("{{{kind}: {{account: A{}, subject: s}}}}", (n + by) % size);
                let mut imports = vec![import(1)];
                if (1 + chord) % size != 1 % size && kind == "stream" {
                    imports.push(import(1 + chord));
                }
                format!(" A{n} {{ exports: [{{{kind}: s}}], imports: [{}] }}\n", imports.join(", "))
            };
            let text = format!("accounts {{\n{}}}", (0..size).map(account).collect::<String>());
            let (_, errors) = read(&text);
            // An account may import from itself; every longer ring is a cycle.
            assert_eq!(errors.contains("import forms a cycle"), size > 1, "{text}{errors}");
        }
    }
}

#[test]
fn subjects_of_imports_must_fit() {
    let import =
        |import: &str, expected: &str| check("exports: [{stream: x.*.*}, {service: q.*}]", import, expected);
    import(
        "imports: [{stream: {account: A, subject: x.*.*}, to: y.$1}]",
        "t.conf:3:16: Error adding stream import \"x.*.*\": failed to create mapping transform for stream import subject from \"x.*.*\" to \"y.$1\": invalid mapping destination: not using all of the token wildcard(s) in y.$1",
    );
    import(
        "imports: [{stream: {account: A, subject: x.*.*}, prefix: y.*}]",
        "t.conf:3:16: Error adding stream import \"x.*.*\": stream import prefix can not contain wildcard tokens",
    );
    import(
        "imports: [{stream: {account: A, subject: x.*.*}}, {stream: {account: A, subject: x.*.*}, prefix: y}]",
        "t.conf:3:56: Error adding stream import \"x.*.*\": stream import already exists",
    );
    import(
        "imports: [{service: {account: A, subject: q.*}, to: y}]",
        "t.conf:3:16: Error adding service import \"q.*\": failed to create mapping transform for service import subject from \"y\" to \"q.*\": invalid mapping destination: not using all of the token wildcard(s) in y",
    );
    import("imports: [{service: {account: A, subject: q.*}, to: y.$1.z}]", "");
    check(
        "mappings: { a.*: b.$2 }",
        "",
        "t.conf:2:18: Error adding mapping for \"a.*\" to \"b.$2\" : invalid mapping destination: wildcard index out of range in $2: [2]",
    );
    check(
        "exports: [{service: a, response: stream, latency: l}]",
        "",
        "t.conf:2:16: Error adding service latency sampling for \"a\" on subject \"l\": bad service response type",
    );
    // The official server takes this now and then.
    let (_, errors) = read("no_system_account: true\naccounts { A { exports: [{service: a, latency: l}] } }");
    assert_eq!(
        errors,
        "t.conf:2:26: Error adding service latency sampling for \"a\": system account not setup"
    );
}
