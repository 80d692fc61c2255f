//! The documents of responses against recorded answers of the official server, which `tests/answers.txt` has: what is read is written as it was.

use super::*;
use crate::json::{Strictness, from_slice, to_string};

const RECORDED: &str = include_str!("../../tests/answers.txt");

fn again<T: crate::json::Field + serde::Serialize + Default>(answer: &str) -> String {
    let mut document = T::default();
    match from_slice(answer.as_bytes(), "", Strictness::Strict, &mut document) {
        Ok(()) => to_string(&document),
        Err(error) => error,
    }
}

/// An answer, read and written by the document of its endpoint.
fn rewritten(endpoint: Endpoint, answer: &str) -> String {
    match endpoint {
        Endpoint::Info => again::<AccountInfoResponse>(answer),
        Endpoint::StreamCreate => again::<StreamCreateResponse>(answer),
        Endpoint::StreamUpdate => again::<StreamResponse>(answer),
        Endpoint::StreamNames => again::<StreamNamesResponse>(answer),
        Endpoint::StreamList => again::<StreamListResponse>(answer),
        Endpoint::StreamInfo => again::<StreamInfoResponse>(answer),
        Endpoint::StreamPurge => again::<PurgeResponse>(answer),
        Endpoint::StreamSnapshot => again::<SnapshotResponse>(answer),
        Endpoint::StreamRestore => again::<RestoreResponse>(answer),
        Endpoint::MessageGet => again::<MessageGetResponse>(answer),
        Endpoint::ConsumerCreate
        | Endpoint::ConsumerCreateNamed
        | Endpoint::DurableCreate
        | Endpoint::ConsumerInfo => again::<ConsumerResponse>(answer),
        Endpoint::ConsumerNames => again::<ConsumerNamesResponse>(answer),
        Endpoint::ConsumerList => again::<ConsumerListResponse>(answer),
        Endpoint::ConsumerPause => again::<ConsumerPauseResponse>(answer),
        Endpoint::ConsumerReset => again::<ConsumerResetResponse>(answer),
        _ => again::<SuccessResponse>(answer),
    }
}

#[test]
fn documents_are_written_as_the_official_server_writes_them() {
    let (mut subject, mut answers) = ("", 0);
    for (at, line) in RECORDED.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let Some(answer) = line.strip_prefix("= ") else {
            subject = line.split(' ').next().unwrap_or_default();
            continue;
        };
        answers += 1;
        if subject == "publish" {
            assert_eq!(again::<PublishResponse>(answer), answer.replace("\": ", "\":"), "line {}", at + 1);
            continue;
        }
        let subject = [API_PREFIX, subject].concat();
        let request = parse(&subject, "").expect("it is an endpoint");
        assert_eq!(rewritten(request.endpoint, answer), answer, "line {}: {subject}", at + 1);
        let kind = format!("{{\"type\":\"{}\"", request.endpoint.response_type());
        assert!(answer.starts_with(&kind), "line {}: {subject}: {kind}", at + 1);
    }
    assert!(answers > 60, "{answers}");
}

#[test]
fn plain_bodies_are_read_to_their_end() {
    let read = |body: &str| read_plain::<ResetRequest>(body.as_bytes(), ResetRequest::GO).map(|r| r.seq);
    assert_eq!(read(r#"{"seq":3,"unknown":1}"#), Ok(3));
    assert_eq!(read(""), Err("unexpected end of JSON input".to_owned()));
    assert_eq!(read("x"), Err("invalid character 'x' looking for beginning of value".to_owned()));
    assert_eq!(read("{} x"), Err("invalid character 'x' after top-level value".to_owned()));
    assert!(read(r#"{"seq":-1}"#).is_err_and(|error| error.contains("JSApiConsumerResetRequest.seq")));
}

#[test]
fn a_body_without_fields_says_nothing() {
    for nothing in ["", "{}", " { \n} "] {
        assert!(is_empty(nothing.as_bytes()), "{nothing:?}");
    }
    for something in [" ", "x", "[]", "null", "{\"a\":1}", "{} x", "{"] {
        assert!(!is_empty(something.as_bytes()), "{something:?}");
    }
}
