use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::error::ConfigError;

/// Values on one line: what a test compares.
fn show(map: &Map) -> String {
    let mut out = String::new();
    for entry in map.sorted() {
        let key = &entry.key;
        if !out.is_empty() {
            out.push(' ');
        }
        write!(out, "{key}=").unwrap();
        show_value(&entry.value, &mut out);
    }
    out
}

fn show_value(value: &Value, out: &mut String) {
    match &value.kind {
        Kind::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                show_value(item, out);
            }
            out.push(']');
        }
        Kind::Map(map) => write!(out, "{{{}}}", show(map)).unwrap(),
        Kind::String(text) => write!(out, "{text:?}").unwrap(),
        Kind::Bool(b) => write!(out, "{b}").unwrap(),
        Kind::Integer(n) => write!(out, "{n}").unwrap(),
        Kind::Millions(n) => write!(out, "{n}m").unwrap(),
        Kind::Float(f) => write!(out, "{f:?}").unwrap(),
        Kind::Date(d) => write!(out, "date({d})").unwrap(),
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("4333".into()),
        "LIST" => Some("[a, $PORT]".into()),
        "LOOP" => Some("$LOOP".into()),
        "EMPTY" => Some(String::new()),
        "BROKEN" => Some("\"open".into()),
        _ => None,
    }
}

fn files<'a>(files: &'a [(&'a str, &'a str)]) -> impl FnMut(&Path) -> io::Result<Vec<u8>> {
    let files: HashMap<&str, &str> = files.iter().copied().collect();
    move |path: &Path| {
        let found = path.to_str().and_then(|path| files.get(path));
        found.map(|text| text.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The values, or the error with its help in brackets.
fn shown(result: Result<Map, ConfigError>) -> String {
    match result {
        Ok(map) => show(&map),
        Err(e) if e.help.is_empty() => e.to_string(),
        Err(e) => format!("{}: {} ({})", e.at, e.problem, e.help),
    }
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let result = parse_text(text, "t.conf", &mut files(&[]), &env);
    expected.assert_eq(&shown(result));
}

#[track_caller]
fn check_files(all: &[(&str, &str)], expected: Expect) {
    let result = parse_file(Path::new("etc/t.conf"), &mut files(all), &env);
    expected.assert_eq(&shown(result));
}

#[test]
fn keys_are_separated_by_colon_equals_or_blank() {
    check("a: 1\nb = 2\nc 3; d 4, e 5", expect!["a=1 b=2 c=3 d=4 e=5"]);
    check("'a b': 1, \"c:d\" x", expect![[r#"a b=1 c:d="x""#]]);
    check("m { a 1, b: { c = 2 }\n d: 3 }", expect!["m={a=1 b={c=2} d=3}"]);
    check("a\n 1", expect!["a=1"]);
    check("m { a\n1 }", expect!["m={a=1}"]);
    check("a: 1\na: 2", expect!["a=2"]);
}

#[test]
fn json_is_understood() {
    check(
        "{\"a\": [1, {\"b\": null}, true], \"c\": {\"d\": -1.5}}",
        expect![[r#"a=[1 {b="null"} true] c={d=-1.5}"#]],
    );
    check("{ a: 1 }\n{ b: 2 }", expect!["a=1 b=2"]);
}

#[test]
fn comments_may_stand_between_all_things() {
    check(
        "# x\na: 1 # y\n// z\nb: [ # p\n 1 // q\n 2, # r\n]\nm { // s\n c: 1 # t\n }",
        expect!["a=1 b=[1 2] m={c=1}"],
    );
    check("u: nats://a:1/#x", expect![[r#"u="nats://a:1/#x""#]]);
}

#[test]
fn numbers_have_suffixes() {
    check(
        "a: 1k b",
        expect![
            "t.conf:1:7: expected the end of the value that began in line 1, but found `b` (quote a value that contains blanks, or end it with a new line or a comma)"
        ],
    );
    check(
        "a: [1k 2K]",
        expect![[
            r#"t.conf:1:8: Expected an array value terminator "," or an array terminator "]", but got '2' instead."#
        ]],
    );
    check(
        "a: [1k,2Kb,1ki,1KiB,1m,1Mb,1g,1GiB,1t,1p,1e,-3k]",
        expect![
            "a=[1000 2048 1024 1024 1000000m 1048576 1000000000 1073741824 1000000000000 1000000000000000 1000000000000000000 -3000]"
        ],
    );
    check("a: 9223372036854775808", expect!["t.conf:1:4: this integer is out of range"]);
    check("a: 10e", expect!["t.conf:1:4: this integer is out of range"]);
    check(
        "a: [1.5, -0.25, 1., 10.0.0.1:4222, 2s, 3secret, 1.5s]",
        expect![[r#"a=[1.5 -0.25 "1." "10.0.0.1:4222" "2s" "3secret" "1.5s"]"#]],
    );
    check("a: .5", expect!["t.conf:1:4: Floats must start with a digit"]);
    check("a: 2016-05-05T18:53:41Z", expect!["a=date(2016-05-05T18:53:41Z)"]);
}

#[test]
fn words_are_booleans_or_text() {
    check(
        "a: [yes, ON, true, False, no, off, 'yes', \"no\", maybe]",
        expect![[r#"a=[true true true false false false "yes" "no" "maybe"]"#]],
    );
    check(r#"a: "x\t\n\r\"\\\x41", b: 'c\d', c: e\x20f"#, expect![[r#"a="x\t\n\r\"\\A" b="c\\d" c="e f""#]]);
    check(
        r#"a: "\q""#,
        expect![[
            r#"t.conf:1:6: invalid escape character after `\` (these are allowed: \xXX \t \n \r \" \\; single quotes take a backslash as it is)"#
        ]],
    );
    check("a: (\n x )\n)\nb: 1", expect![[r#"a="\n x )\n" b=1"#]]);
}

#[test]
fn variables_come_from_enclosing_keys_then_the_environment() {
    check("A: 1\nm { B: x, n { c: $A, d: $B } }", expect![[r#"A=1 m={B="x" n={c=1 d="x"}}"#]]);
    check("a: $PORT\nb: $LIST\nc: $EMPTY", expect![[r#"a=4333 b=["a" 4333] c="""#]]);
    check("a: '$PORT'\npass: $2a$11$abc", expect![[r#"a="$PORT" pass="$2a$11$abc""#]]);
    check(
        "m { B: x }\na: $B",
        expect![
            "t.conf:2:4: variable reference for 'B' can not be found (no enclosing key above and no environment variable has this name; quote a value that begins with `$`)"
        ],
    );
    check(
        "password: $ecret",
        expect![
            "t.conf:1:11: variable reference for '…' can not be found (no enclosing key above and no environment variable has this name; quote a value that begins with `$`)"
        ],
    );
    check(
        "a: $LOOP",
        expect![
            "t.conf:1:4: variable reference for 'LOOP' could not be parsed: variable reference cycle for 'LOOP'"
        ],
    );
    check(
        "a: $BROKEN",
        expect![
            "t.conf:1:4: variable reference for 'BROKEN' could not be parsed: this quoted string never ends (text has quotes where the variable is set; in a shell: NAME='\"value\"')"
        ],
    );
}

#[test]
fn includes_are_relative_to_their_file() {
    check_files(
        &[
            ("etc/t.conf", "include sub/a.conf\nm { include 'b.conf' }\nq: $x"),
            ("etc/sub/a.conf", "x: 1\ninclude \"c.conf\""),
            ("etc/sub/c.conf", "y: 2"),
            ("etc/b.conf", "z: 3"),
        ],
        expect!["m={z=3} q=1 x=1 y=2"],
    );
    check_files(
        &[("etc/t.conf", "a: 1\n include nope")],
        expect![
            "etc/t.conf:2:2: error parsing include file 'nope', open etc/nope: no such file or directory"
        ],
    );
    check_files(
        &[("etc/t.conf", "include b"), ("etc/b", "a:\n")],
        expect!["etc/b:1:1: key `a` has no value"],
    );
    check_files(
        &[("etc/t.conf", "include t.conf")],
        expect!["etc/t.conf:1:1: values are nested deeper than 64 levels"],
    );
    check_files(&[], expect!["etc/t.conf: cannot open it: no such file or directory"]);
}

#[test]
fn every_error_has_its_place() {
    check("port", expect!["t.conf:1:1: key `port` has no value"]);
    check("a: {\n b: {\n", expect!["t.conf:2:5: this `{` is never closed"]);
    check("a: [1,\n", expect!["t.conf:1:4: this `[` is never closed"]);
    check("a: \"x\nb: 1", expect!["t.conf:1:4: this quoted string never ends"]);
    check("a: (\nx", expect!["t.conf:1:4: this block never ends (put its `)` alone on a line)"]);
    check("}", expect!["t.conf:1:1: this `}` closes nothing"]);
    check("{ a: 1", expect!["t.conf:1:1: this `{` is never closed"]);
    check("a{ b: 1 }", expect!["t.conf:1:1: `a{` is read as one key (write `a {`)"]);
    check("a: [,]", expect!["t.conf:1:5: expected an array value, but found `,`"]);
    check("a { ] }", expect!["t.conf:1:5: expected a key, but found `]`"]);
}

#[test]
fn nesting_and_size_are_bounded() {
    check(
        &format!("a: {}", "[".repeat(100)),
        expect!["t.conf:1:68: values are nested deeper than 64 levels"],
    );
    check(&"{".repeat(100), expect!["t.conf:1:65: values are nested deeper than 64 levels"]);
    let mut laughs = String::from("a0: [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let refs = vec![format!("$a{}", i - 1); 10].join(", ");
        writeln!(laughs, "a{i}: [{refs}]").unwrap();
    }
    check(&laughs, expect!["t.conf:7:16: the configuration takes more than 268435456 bytes"]);
}

/// Digests that the official server told for the same files.
#[test]
fn the_digest_is_the_official_one() {
    for (text, expected) in [
        ("port: -1\n", "7ea4cc5c6864139d814ce940a40ee6546b7ac5285eec3c390a4ce11e34dc1102"),
        ("port: 1K", "b4e37e69fac012708240ea673bed4137a1af43762a352f4e1a9f26a0574ce8a7"),
        ("server_tags: [a\nb]", "e09a48bacda8a05513e0da3231f1cef15d6c5fc6831f9a9b17c803c10209238c"),
        (
            r#"{"port": 4222, "authorization": {"users": [{"user":"a","password":"b"}]}}"#,
            "dbeefe01cbbc757e49b3495468376aa7801ce39398f228a3a39f303750bf3dda",
        ),
        (
            "authorization { timeout: 0.0000001 }",
            "0cf2519d83b3592eb5f3f80f08033e24f0af96eb50a24964c7bb965f0f5003a1",
        ),
        (
            "authorization { timeout: 2.0 }",
            "f57eb29d3a6d2735e57acb0e75823fa801434a1c45709550cd1e3d283305c908",
        ),
        (EVERYTHING, "793666412439071165675b0a00f1d83fc7efae2252359c4da15c60bacf0965e0"),
    ] {
        let map = parse_text(text, "t.conf", &mut files(&[]), &env).unwrap();
        assert_eq!(digest(&map), format!("sha256:{expected}"), "{text}");
    }
}

const EVERYTHING: &str = r#"# comment
server_metadata: { a: "x<\x41&>\t\"\\ é", b: (
 foo
 bar )
)
 c: 'q\d'
}
authorization { timeout: 1.5, users: [ {user: "a", password: $2a$11$abc}, {user: b, password: 'c'} ] }
max_payload: 1KB
debug: yes
lame_duck_duration: "90s"
"#;

/// A file that includes itself twice, or variables that name each other, would take for ever.
#[test]
fn what_is_read_again_and_again_is_bounded() {
    check_files(
        &[("etc/t.conf", "include t.conf\ninclude t.conf")],
        expect!["etc/t.conf:1:1: values are nested deeper than 64 levels"],
    );
    let all: Vec<(String, String)> =
        (0..40).map(|i| (format!("etc/{i}"), format!("include {0}\ninclude {0}", i + 1))).collect();
    let mut all: Vec<(&str, &str)> = all.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    all.push(("etc/40", "x: 1"));
    all.push(("etc/t.conf", "include '0'"));
    check_files(&all, expect!["etc/35:1:1: more than 100000 files and environment variables are read"]);
    let many = |name: &str| {
        name.starts_with('V').then(|| (0..30).map(|i| format!("$V{i}")).collect::<Vec<_>>().join(", "))
    };
    let many = |name: &str| many(name).map(|list| format!("[{list}]"));
    let error = parse_text("a: $V", "t.conf", &mut files(&[]), &many).unwrap_err().to_string();
    assert!(error.contains("variable reference cycle") || error.contains("more than"), "{error}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-b0-9km:=,;{}\\[\\]()'\"#/\\\\ \n$.x-]{0,60}") {
        let _ = parse_text(&text, "t", &mut files(&[]), &env);
    }

    #[test]
    fn a_quoted_string_is_read_back(text in "[ -~\n\t]{0,40}") {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let map = parse_text(&format!("k: \"{quoted}\""), "t", &mut files(&[]), &env).unwrap();
        prop_assert_eq!(map.get("k").unwrap().as_str(), Some(text.as_str()));
    }
}
