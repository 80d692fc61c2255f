//! The issues are those of the official library.

use super::super::decode;
use super::*;

const NOW: i64 = 1_800_000_000;

fn issues(text: &str) -> Vec<String> {
    let token = decode(text).expect("a token");
    let world = ValidationContext { now: Some(NOW), is_time_zone: &|zone| zone == "Europe/Paris" };
    let severity = |severity| match severity {
        Severity::Warning => "warning",
        Severity::Time => "time",
        Severity::Error => "error",
    };
    let mut found: Vec<String> = validate(&token, &world)
        .iter()
        .map(|issue| format!("{}: {issue}", severity(issue.severity)))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Tokens, each with the issues that version 2.8 of the official library found in it. Ours may say more than the same words.
#[test]
fn issues_are_the_official_ones() {
    let mut expected: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in include_str!("official_issues.txt").lines() {
        match line.strip_prefix("  ") {
            None => expected.push((line, Vec::new())),
            Some(issue) => expected.last_mut().expect("a token first").1.push(issue),
        }
    }
    assert!(expected.len() > 40);
    for (token, mut official) in expected {
        official.sort_unstable();
        let ours = issues(token);
        let same = ours.len() == official.len() && ours.iter().zip(&official).all(|(a, b)| a.starts_with(b));
        assert!(
            same,
            "{:#}\nofficial {official:#?}\nours {ours:#?}",
            super::super::payload(token).expect("claims")
        );
    }
}

#[test]
fn what_is_stricter_than_the_official_library() {
    use crate::jwt::account::{Account, Import};
    use crate::jwt::claims::{ExportKind, User};
    use crate::jwt::encode::Draft;
    use crate::nkey::Seed;
    let key = |kind| Seed::from_bytes(kind, [1; 32]);
    let of_user = |change: fn(&mut User)| {
        let mut user = User::default();
        change(&mut user);
        issues(
            &Draft::new(key(Kind::User).public(), "u", user).sign(&key(Kind::Account), NOW).expect("signed"),
        )
    };
    assert_eq!(
        of_user(|user| user.limits.permissions.publish.allow.push("a\tb".into())),
        ["error: subject \"a\\tb\" cannot have control characters"]
    );
    assert_eq!(
        of_user(|user| user.limits.times_location = "Nowhere".into()),
        ["error: could not parse iana time zone by name: unknown time zone Nowhere"]
    );
    assert!(of_user(|user| user.limits.times_location = "Europe/Paris".into()).is_empty());
    let import = Import { subject: "a".into(), account: "x".into(), ..Import::new(ExportKind::Stream) };
    let account = Account {
        imports: vec![import],
        limits: super::super::account::AccountLimits::unlimited(),
        ..Account::default()
    };
    let token = Draft::new(key(Kind::Account).public(), "a", account)
        .sign(&key(Kind::Operator), NOW)
        .expect("signed");
    assert_eq!(issues(&token), ["error: x is not an account public key"]);
}
