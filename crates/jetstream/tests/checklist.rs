//! The whole surface of the API: every error code has a scenario that shows it, or a reason why no request to one server raises it; every field is
//! asked for, and every endpoint is answered or named with why it is not.

use dialtone_jetstream::api::{Audience, ENDPOINTS, Endpoint};
use dialtone_jetstream::config::{ConsumerConfig, ConsumerRequest, StreamConfig, StreamRequest};
use dialtone_jetstream::error::ALL;
use dialtone_jetstream::json::{Kind, parse};
use std::collections::BTreeSet;
use std::path::Path;

const CONFIGURATIONS: &str = include_str!("configurations.txt");
const ANSWERS: &str = include_str!("answers.txt");
const ERRORS: &str = include_str!("errors.txt");

/// Each code with the scenario that shows it, or with why no request to one server does. `tests/scenarios/run` sees that they show them.
const CODES: &str = include_str!("../../../tests/scenarios/jetstream-codes");
/// What the reason of a code begins with that a request raises and no scenario can compare.
const RECORDED: &str = "recorded: ";

/// The rows of the list: code, scenario or `-`, and behind that the reason.
fn listed() -> Vec<(u16, &'static str, &'static str)> {
    let rows = CODES.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let (code, rest) = line.split_once(' ').expect(line);
        let (scenario, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        (code.parse().expect(line), scenario, reason)
    })
    .collect()
}

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
fn every_error_code_has_a_scenario_or_a_reason() {
    let codes: Vec<u16> = ALL.iter().map(|(_, code)| code.err_code).collect();
    let rows = listed();
    assert_eq!(
        rows.iter().map(|(code, ..)| *code).collect::<Vec<_>>(),
        codes,
        "one row for each code, in order"
    );
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    for (code, scenario, reason) in &rows {
        if *scenario == "-" {
            assert!(!reason.is_empty(), "{code} has neither a scenario nor a reason");
        } else {
            assert!(scenarios.join(format!("{scenario}.txt")).is_file(), "{code}: no scenario {scenario}");
            assert!(reason.is_empty(), "{code} has a scenario and a reason");
        }
    }
    let shown = rows.iter().filter(|(_, scenario, _)| *scenario != "-").count();
    assert!(shown > 160, "{shown}");
}

/// What was recorded of the official server cannot be what no request raises.
#[test]
fn recorded_errors_have_scenarios() {
    let raised: BTreeSet<u16> = errors().iter().map(|(_, err_code, _)| *err_code).collect();
    for (code, scenario, reason) in listed() {
        if scenario == "-" {
            assert_eq!(raised.contains(&code), reason.starts_with(RECORDED), "{code}: {reason}");
        }
    }
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
