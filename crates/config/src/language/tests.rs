//! What the language means. The answers were asked of the official server.

use super::*;
use crate::error::ConfigError;
use proptest::prelude::*;

struct Given;

impl Files for Given {
    fn read(&mut self, _: &str, path: &str) -> std::io::Result<(String, String)> {
        match path {
            "a.conf" | "./a.conf" => Ok(("a.conf".into(), "included: 1".into())),
            "loop.conf" => Ok(("loop.conf".into(), "include loop.conf".into())),
            "bad.conf" => Ok(("bad.conf".into(), "\n x: [".into())),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PORT" => Some("4333".into()),
            "SELF" => Some("$SELF".into()),
            "HASH" => Some("$2a$04$x".into()),
            "LIST" => Some("[1, two]".into()),
            _ => None,
        }
    }
}

fn read(text: &str) -> Result<Document, ConfigError> {
    parse("t.conf", text, &mut Given)
}

fn plain(value: &Value) -> String {
    match &value.kind {
        Kind::Map(map) => plain_map(map),
        Kind::Array(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(",")),
        Kind::String(text) => format!("{text:?}"),
        Kind::Integer(n) => n.to_string(),
        Kind::Float(n) => format!("{n:?}"),
        Kind::Bool(b) => b.to_string(),
        Kind::Date(text) => format!("date {text}"),
    }
}

fn plain_map(map: &Map) -> String {
    let entries: Vec<_> = map.entries.iter().map(|e| format!("{}={}", e.key, plain(&e.value))).collect();
    format!("{{{}}}", entries.join(","))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let document = read(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(plain_map(&document.map), expected, "{text}");
}

#[track_caller]
fn refuse(text: &str, at: &str) {
    let error = read(text).expect_err(text).to_string();
    assert!(error.starts_with(at), "{text}: {error}");
}

#[test]
fn keys_and_separators() {
    check("a: 1\nb = 2\nc 3\n'd e': 4", "{a=1,b=2,c=3,d e=4}");
    check("a: 1, b: 2; c: 3", "{a=1,b=2,c=3}");
    check("a { b: 1 }\nc{d:2}", "{a={b=1},c={d=2}}");
    check("# one\na: 1 # two\n// three\nb: 2 // four", "{a=1,b=2}");
    check("{\"a\": {\"b\": [1, \"x\", true]}}", "{a={b=[1,\"x\",true]}}");
    check("a: 1\na: 2", "{a=2}");
}

#[test]
fn numbers_and_units() {
    check("a: 1k\nb: 1KB\nc: 2MiB\nd: -3\ne: 1.5\nf: 1mi", "{a=1000,b=1024,c=2097152,d=-3,e=1.5,f=1048576}");
    check("a: 2m30s\nb: 127.0.0.1:4222\nc: 4x", "{a=\"2m30s\",b=\"127.0.0.1:4222\",c=\"4x\"}");
    check("a: 2006-01-02T15:04:05Z", "{a=date 2006-01-02T15:04:05Z}");
    check("a: YES\nb: off\nc: 'on'", "{a=true,b=false,c=\"on\"}");
    refuse("a: 99999999999999999999", "t.conf:1:4: integer is out of range");
    refuse("a: 9999999999E", "t.conf:1:4: integer is out of range");
}

#[test]
fn strings() {
    check(r#"a: "x\ty\x41\"z" b: 'x\ty'"#, r#"{a="x\tyA\"z",b="x\\ty"}"#);
    check("a: (\n  one\n  two\n)\nb: 1", "{a=\"\\n  one\\n  two\\n\",b=1}");
    check("a: foo.bar.>\nb: [foo.*, bar]", "{a=\"foo.bar.>\",b=[\"foo.*\",\"bar\"]}");
    refuse(r#"a: "x\q""#, "t.conf:1:6: unknown escape");
    refuse("a: \"x", "t.conf:1:4: string is not closed");
}

#[test]
fn variables_and_includes() {
    check("P: 1\na { b: $P }", "{P=1,a={b=1}}");
    check(
        "a: $PORT\nb: $LIST\nc: $HASH\nd: $2a$04$abc",
        "{a=4333,b=[1,\"two\"],c=\"$2a$04$x\",d=\"$2a$04$abc\"}",
    );
    check("include ./a.conf\nb { include 'a.conf' }", "{included=1,b={included=1}}");
    refuse("\n a: $NOPE", "t.conf:2:5: variable reference for 'NOPE' can not be found");
    refuse("a: $SELF", "");
    refuse("include loop.conf", "loop.conf:1:9: more than");
    refuse("include gone.conf", "t.conf:1:9: cannot read");
    refuse("include bad.conf", "bad.conf:2:6: unexpected end of file");
}

#[test]
fn what_is_not_closed_is_told() {
    refuse("a {", "t.conf:1:4: unexpected end of file: a `}`");
    refuse("a: ]", "t.conf:1:4: expected a value");
    refuse("a:", "t.conf:1:3: unexpected end of file: a value");
    refuse("}", "t.conf:1:1: expected a key");
    refuse(&"[".repeat(9), "t.conf:1:1: expected a key");
    refuse(&format!("a: {}", "[".repeat(NESTING_MAX + 2)), "t.conf:1:68: more than");
}

proptest! {
    #[test]
    fn nothing_breaks_it(text in "[a-c{}\\[\\]():=,;#\"'\\\\$ \n0-9kK.é/-]{0,60}") {
        let _ = read(&text);
    }
}
