//! What the configuration may say of operators, and what is remembered of users.

use super::*;
use crate::jwt::tests::{account, account_token, operator, signed, user, user_token};
use dialtone_config::Location;
use dialtone_config::operator::{Folder, Keeps, OperatorJwt, Preload, Resolver};
use serde_json::{Value, json};
use std::time::Duration;

const NOW: i64 = 1_700_000_000;

fn options(operators: &[String]) -> Options {
    let mut options = Options::default();
    let token = |jwt: &String| OperatorJwt { at: Location::nowhere("t.conf").into(), jwt: jwt.clone() };
    options.access.operator_mode.operators = operators.iter().map(token).collect();
    options.access.operator_mode.resolver = Some(Resolver::Memory);
    options
}

fn token(nats: Value, beside: Value) -> String {
    let mut claims = json!({ "type": "operator" });
    if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), nats) {
        claims.extend(more);
    }
    signed(&operator(), &operator(), claims, beside)
}

#[track_caller]
fn refuse(options: &Options, expected: &str) {
    let errors = Operators::new(options, NOW).expect_err(expected);
    assert!(errors.iter().any(|e| e.problem.contains(expected)), "{expected}: {errors:?}");
}

#[test]
fn the_system_account_is_the_operators() {
    let key = account().public().to_string();
    let named = token(json!({ "system_account": key }), json!({}));
    let mut good = options(std::slice::from_ref(&named));
    let operators = Operators::new(&good, NOW).expect("good").expect("on");
    assert_eq!(operators.system_account(), Some(&*key));
    good.access.system_account = Some(key.clone());
    assert!(Operators::new(&good, NOW).is_ok());
    good.access.system_account = Some("A".into());
    refuse(&good, "system_account in config and operator JWT must be identical");
    assert!(Operators::new(&Options::default(), NOW).expect("off").is_none());
}

/// A resolver with a folder is asked and filled through the system account.
#[test]
fn a_folder_needs_a_system_account() {
    let key = account().public().to_string();
    let folder = Folder {
        at: Location::nowhere("t.conf").into(),
        dir: "x".into(),
        keeps: Keeps::All { allow_delete: false, hard_delete: false, limit: None, interval: Duration::ZERO },
        timeout: Duration::ZERO,
    };
    let mut options = options(&[token(json!({}), json!({}))]);
    options.access.operator_mode.resolver = Some(Resolver::Folder(folder));
    for no_system_account in [false, true] {
        options.access.no_system_account = no_system_account;
        refuse(&options, "Could not start resolver: system account not setup");
    }
    // One that is named counts, as officially.
    options.access.system_account = Some(key);
    assert!(Operators::new(&options, NOW).is_ok());
}

#[test]
fn operators_that_cannot_be_meant() {
    refuse(&options(&["eyJa.b.c".into()]), "error parsing operator JWT: ");
    refuse(&options(&[user_token(&user())]), "error parsing operator JWT: not operator claim");
    refuse(&options(&[token(json!({}), json!({ "exp": NOW - 1 }))]), "is not valid at this time");
    refuse(
        &options(&[token(json!({ "assert_server_version": "9.0.0" }), json!({}))]),
        "expected major version 9 > server major version 2",
    );
    for (version, problem) in [
        ("2.16.0", "expected minor version 16 > server minor version 15"),
        ("2.15.1", "expected update version 1 > server update version 0"),
        ("x", "expects version x"),
        ("2.15", "expects version 2.15"),
    ] {
        refuse(&options(&[token(json!({ "assert_server_version": version }), json!({}))]), problem);
    }
    for version in ["", "2.15.0", "2.14.99", "1.99.99"] {
        let good = options(&[token(json!({ "assert_server_version": version }), json!({}))]);
        assert!(Operators::new(&good, NOW).is_ok(), "{version}");
    }
    let mut nowhere = options(&[token(json!({}), json!({}))]);
    nowhere.access.operator_mode.resolver = None;
    refuse(&nowhere, "operators require an account resolver to be configured");
    let mut preload = options(&[token(json!({}), json!({}))]);
    let at = Location::nowhere("t.conf");
    preload.access.operator_mode.preload =
        vec![Preload { at: at.into(), account: String::new(), jwt: "x".into() }];
    refuse(&preload, "invalid account JWT");
}

#[test]
fn a_sentinel_is_a_bearer() {
    let mut with = options(&[token(json!({}), json!({}))]);
    with.access.operator_mode.default_sentinel = Some(Secret::new("x"));
    refuse(&with, "default sentinel JWT not valid");
    with.access.operator_mode.default_sentinel = Some(Secret::new(user_token(&user())));
    refuse(&with, "default sentinel must be a bearer token");
    let bearer = signed(&account(), &user(), json!({ "type": "user", "bearer_token": true }), json!({}));
    with.access.operator_mode.default_sentinel = Some(Secret::new(bearer));
    assert!(Operators::new(&with, NOW).is_ok());
}

#[test]
fn pinned_accounts_are_the_only_ones() {
    let mut with = options(&[token(json!({}), json!({}))]);
    let on = |options: &Options| Operators::new(options, NOW).expect("good").expect("on");
    assert!(on(&with).may_come("any"));
    with.access.operator_mode.pinned = vec!["A".into()];
    assert!(on(&with).may_come("A") && !on(&with).may_come("B"));
}

#[test]
fn what_is_remembered_is_bounded_and_what_is_used_stays() {
    let mut recent = Recent::default();
    let token = Arc::new(jwt::decode(&account_token(json!({}))).expect("token"));
    let user = UserJwt { token, jwt: "".into() };
    let key = |n: u64| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_le_bytes());
        key
    };
    let rounds = 10 * (RECENT_BYTES_MAX / RECENT_ENTRY_BYTES) as u64;
    recent.insert(key(0), user.clone());
    for n in 1..rounds {
        recent.insert(key(n), user.clone());
        assert!(recent.find(&key(0)).is_some(), "{n}");
        assert!((recent.young.len() + recent.old.len()) * RECENT_ENTRY_BYTES <= 2 * RECENT_BYTES_MAX);
    }
    assert!(recent.find(&key(1)).is_none() && recent.find(&key(rounds - 1)).is_some());
}

#[test]
fn a_users_token_is_verified_once() {
    let operators = Operators::new(&options(&[token(json!({}), json!({}))]), NOW).expect("good").expect("on");
    let jwt = user_token(&user());
    let first = operators.user(&jwt).expect("user");
    let again = operators.user(&jwt).expect("user");
    assert!(Arc::ptr_eq(&first.token, &again.token) && Arc::ptr_eq(&first.jwt, &again.jwt));
    // Another text is another token, whatever it is of.
    let forged = format!("{}A", jwt.get(..jwt.len() - 1).expect("text"));
    assert!(operators.user(&forged).is_err());
    assert!(operators.user(&account_token(json!({}))).is_err());
}
