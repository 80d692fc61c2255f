//! The whole surface of the API: every error code is raised by a request that is recorded, or named with why one server cannot raise it; every field is
//! asked for, and every endpoint is answered or named with why it is not.

use dialtone_jetstream::api::{Audience, ENDPOINTS, Endpoint};
use dialtone_jetstream::config::{ConsumerConfig, ConsumerRequest, StreamConfig, StreamRequest};
use dialtone_jetstream::error::{ALL, Code};
use dialtone_jetstream::json::{Kind, parse};
use std::collections::BTreeSet;

const CONFIGURATIONS: &str = include_str!("configurations.txt");
const ANSWERS: &str = include_str!("answers.txt");
const ERRORS: &str = include_str!("errors.txt");

/// Codes that a single server raises in ways that no recorded request can show, and where else they are looked at.
const ELSEWHERE: &[(u16, &str)] = &[
    (10120, "scenario jetstream-account-tiers-other: tiers come with JWTs"),
    (10008, "the store has failed"),
    (10104, "the disk refuses a consumer's state"),
    (10050, "the disk refuses to delete"),
    (10062, "an archive that is damaged"),
    (10064, "an archive whose stream cannot be read"),
    (10096, "a stream that ends while a consumer is made"),
    (10167, "more publishes than are taken in"),
    (10194, "a stream of a newer server"),
    (10195, "a consumer of a newer server"),
    (10029, "a mirror whose consumer is refused; only its info shows it"),
    (10045, "a source whose consumer is refused; only its info shows it"),
    (10214, "scenario jetstream-sources-durable-refused: only a mirror's info shows it"),
    (10217, "scenario jetstream-sources-durable-refused: only a source's info shows it"),
    (10042, "the subject of an archive cannot be listened to"),
    (10035, "an account that goes while it asks"),
    (10076, "JetStream goes while something is asked"),
];

/// Codes that only servers of a cluster raise.
const CLUSTERED: &[u16] = &[
    10004, 10005, 10006, 10007, 10009, 10011, 10036, 10040, 10041, 10044, 10048, 10061, 10063, 10075, 10118,
    10119, 10123, 10124, 10126, 10129, 10134, 10158, 10163, 10180, 10202, 10224, 10226,
];

/// Codes that no request raises, since another one is found first or nothing uses them any more.
const UNUSED: &[(u16, &str)] = &[
    (10016, "subjects without a name are no endpoint"),
    (10019, "nothing uses it"),
    (10032, "both are accepted"),
    (10033, "filters are accepted"),
    (10051, "nothing uses it"),
    (10053, "the limit that is reached has its own code"),
    (10066, "there are no templates any more"),
    (10067, "there are no templates any more"),
    (10068, "there are no templates any more"),
    (10072, "nothing uses it"),
    (10073, "there are no templates any more"),
    (10078, "a request always has a configuration"),
    (10085, "consumers that are pulled need no durable name any more"),
    (10087, "a negative number becomes the default before it is looked at"),
    (10092, "nothing uses it"),
    (10093, "filters beside the subjects are accepted"),
    (10103, "10052 is found first"),
    (10105, "a consumer of that name is updated"),
    (10106, "a consumer of that name is updated"),
    (10114, "a negative number becomes the default before it is looked at"),
    (10117, "subjects are listed by pages"),
    (10132, "the subject gives both names"),
    (10181, "10025 is found first"),
    (10182, "10025 is found first"),
];

/// An error in an answer: its numbers and its text.
fn errors() -> Vec<(u16, u16, String)> {
    let abbreviations: Vec<(&str, &str)> = CONFIGURATIONS
        .lines()
        .filter_map(|line| line.strip_prefix("abbreviation ")?.split_once(' '))
        .collect();
    let mut found = Vec::new();
    for line in [CONFIGURATIONS, ANSWERS, ERRORS].iter().flat_map(|text| text.lines()) {
        let Some(answer) = line.strip_prefix("= ") else { continue };
        let mut answer = answer.to_owned();
        for (short, long) in &abbreviations {
            answer = answer.replace(short, long);
        }
        let Ok((node, _)) = parse(answer.as_bytes()) else { continue };
        let Kind::Object(fields) = node.kind else { continue };
        let inner = fields.iter().find(|(name, _)| name == "error").map(|(_, error)| error.clone());
        let fields = match inner.map(|error| error.kind) {
            Some(Kind::Object(fields)) => fields,
            _ => fields,
        };
        let number = |name: &str| {
            let (_, node) = fields.iter().find(|(known, _)| known == name)?;
            if let Kind::Number(text) = node.kind { text.parse().ok() } else { None }
        };
        let text = fields.iter().find_map(|(name, node)| match &node.kind {
            Kind::Text(text) if name == "description" => Some(text.to_string()),
            _ => None,
        });
        if let (Some(code), Some(err_code), Some(text)) = (number("code"), number("err_code"), text) {
            found.push((code, err_code, text));
        }
    }
    found
}

/// Whether a text is a description with something in its placeholders.
fn fits(description: &str, text: &str) -> bool {
    let mut rest = text;
    let mut parts = description.split(['{', '}']).step_by(2);
    let Some(behind) = parts.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = behind;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || description.ends_with('}')
}

#[test]
fn every_error_code_is_raised_or_named() {
    let raised: BTreeSet<u16> = errors().iter().map(|(_, err_code, _)| *err_code).collect();
    let named: Vec<u16> =
        ELSEWHERE.iter().chain(UNUSED).map(|(code, _)| *code).chain(CLUSTERED.iter().copied()).collect();
    for (name, Code { err_code, .. }) in ALL {
        let times = named.iter().filter(|code| *code == err_code).count();
        let is_raised = raised.contains(err_code);
        assert_eq!(
            usize::from(is_raised) + times,
            1,
            "{err_code} {name}: raised {is_raised}, named {times} times"
        );
    }
    assert!(raised.len() > 140, "{}", raised.len());
}

#[test]
fn recorded_errors_are_rows_of_the_table() {
    for (code, err_code, text) in errors() {
        let row = ALL.iter().find(|(_, row)| row.err_code == err_code);
        let (name, row) = row.unwrap_or_else(|| panic!("{err_code} is in the table"));
        assert_eq!(row.code, code, "{name}");
        assert!(fits(row.description, &text), "{name}: {text:?} is no {:?}", row.description);
    }
}

/// Requests of the recorded conversations that begin with one of `operations`.
fn requests(operations: &[&str]) -> String {
    let is_one = |line: &&str| operations.iter().any(|operation| line.starts_with(operation));
    CONFIGURATIONS.lines().filter(is_one).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_field_is_asked_for() {
    let streams = requests(&["SC ", "SU "]);
    for field in StreamConfig::FIELDS.iter().chain(StreamRequest::FIELDS) {
        assert!(streams.contains(&format!("\"{field}\":")), "no stream is asked for with {field}");
    }
    let consumers = requests(&["CC ", "CD "]);
    for field in ConsumerConfig::FIELDS.iter().chain(ConsumerRequest::FIELDS) {
        assert!(consumers.contains(&format!("\"{field}\":")), "no consumer is asked for with {field}");
    }
}

#[test]
fn every_endpoint_is_answered_or_named() {
    let recorded = [ANSWERS, ERRORS].concat();
    let by_operation = [
        (Endpoint::ConsumerCreate, "CC "),
        (Endpoint::DurableCreate, "CD "),
        (Endpoint::StreamDelete, "SD "),
        (Endpoint::ConsumerDelete, "CX "),
    ];
    for row in ENDPOINTS {
        let first = row.pattern.split(".*").next().unwrap_or_default();
        let is_answered = recorded.lines().any(|line| line.starts_with(first))
            || by_operation
                .iter()
                .any(|(endpoint, operation)| *endpoint == row.endpoint && CONFIGURATIONS.contains(operation));
        match row.audience {
            // The official server gives no answer where it is alone.
            Audience::System => assert!(!is_answered, "{}", row.pattern),
            // Messages are the answer, which scenarios play.
            _ if row.response.is_empty() => assert!(!is_answered, "{}", row.pattern),
            _ => assert!(is_answered, "{}", row.pattern),
        }
    }
}
