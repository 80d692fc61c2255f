//! Tokens made on the spot, and who is believed.

use super::trust::{Presented, Proof, Trust, TrustError, activation, admit};
use super::*;
use crate::nkey::Seed;
use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::json;

const NOW: i64 = 1_700_000_000;
const NONCE: &[u8] = b"nonce";

pub(crate) fn seed(kind: Kind, number: u8) -> Seed {
    Seed::from_bytes(kind, [number; 32])
}

fn text(public: Public) -> String {
    public.to_string()
}

/// A token of version 2 with this subject and these `nats` claims, and these fields beside them.
pub(crate) fn signed(issuer: &Seed, subject: &Seed, mut nats: Value, beside: Value) -> String {
    nats["version"] = json!(2);
    let mut claims =
        json!({ "iss": text(issuer.public()), "sub": text(subject.public()), "iat": NOW, "nats": nats });
    if let (Some(claims), Value::Object(beside)) = (claims.as_object_mut(), beside) {
        claims.extend(beside);
    }
    sign(issuer, &json!({ "typ": "JWT", "alg": "ed25519-nkey" }), &claims)
}

fn sign(issuer: &Seed, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = issuer.sign(text.as_bytes());
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// A plain user's token.
pub(crate) fn user_token(user: &Seed) -> String {
    signed(&account(), user, json!({ "type": "user" }), json!({}))
}

pub(crate) fn operator() -> Seed {
    seed(Kind::Operator, 1)
}

pub(crate) fn account() -> Seed {
    seed(Kind::Account, 2)
}

/// The account's token, signed by the operator, with these claims.
pub(crate) fn account_token(more: Value) -> String {
    let mut claims = json!({ "type": "account", "limits": { "conn": -1 } });
    if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), more) {
        claims.extend(more);
    }
    signed(&operator(), &account(), claims, json!({ "name": "ACC" }))
}

fn role() -> Seed {
    seed(Kind::Account, 4)
}

pub(crate) fn user() -> Seed {
    seed(Kind::User, 3)
}

fn trust() -> Trust {
    let token = decode(&signed(&operator(), &operator(), json!({ "type": "operator" }), json!({})))
        .expect("operator");
    Trust::new(&[token], &[]).expect("trust")
}

fn presented(signature: &str) -> Presented<'_> {
    Presented {
        proof: Proof::Signature { nonce: NONCE, signature },
        connection_type: "STANDARD",
        proxied: false,
        address: "10.1.2.3".parse().ok(),
        now: NOW,
        time_of_day: &|zone| (zone != "nowhere").then_some(3 * 3600),
    }
}

/// Who is let in with these claims of the account and of the user, who is signed by `issuer`.
fn enter(
    account_claims: Value,
    issuer: &Seed,
    nats: Value,
    beside: Value,
) -> Result<trust::Admitted, TrustError> {
    let mut claims = json!({ "type": "account", "limits": { "conn": -1 } });
    if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), account_claims) {
        claims.extend(more);
    }
    let key = text(account().public());
    let of =
        trust().account(&signed(&operator(), &account(), claims, json!({ "name": "ACC" })), &key, NOW)?;
    let mut user_claims = json!({ "type": "user", "issuer_account": key });
    if let (Some(claims), Value::Object(more)) = (user_claims.as_object_mut(), nats) {
        claims.extend(more);
    }
    let token = decode(&signed(issuer, &user(), user_claims, beside))?;
    let signature = BASE64URL_NOPAD.encode(&user().sign(NONCE));
    admit(&token, &of, &presented(&signature))
}

#[track_caller]
fn check(account_claims: Value, nats: Value, beside: Value, expected: Result<Option<i64>, TrustError>) {
    assert_eq!(enter(account_claims, &account(), nats, beside).map(|admitted| admitted.until), expected);
}

#[test]
fn a_user_of_a_trusted_account_comes_in() {
    let admitted =
        enter(json!({}), &account(), json!({ "subs": -1, "payload": 5 }), json!({ "name": "bob" }))
            .expect("in");
    assert_eq!((admitted.user, admitted.account), (text(user().public()), text(account().public())));
    assert_eq!(admitted.limits.subs, claims::Limit::Unlimited);
    assert_eq!(admitted.limits.payload, claims::Limit::AtMost(5));
    assert!(admitted.permissions.is_none() && admitted.name == "bob");
}

/// CVE-2020-26892: what is over or revoked lets nobody in.
#[test]
fn times_and_revocations_are_kept() {
    let user_key = text(user().public());
    check(json!({}), json!({}), json!({ "exp": NOW }), Ok(Some(NOW)));
    check(json!({}), json!({}), json!({ "exp": NOW - 1 }), Err(TrustError::Time));
    check(json!({}), json!({}), json!({ "nbf": NOW + 1 }), Err(TrustError::Time));
    for (key, at, revoked) in
        [(&*user_key, NOW, true), (&*user_key, NOW - 1, false), ("*", NOW, true), ("*", NOW - 1, false)]
    {
        let expected = if revoked { Err(TrustError::Revoked) } else { Ok(None) };
        check(json!({ "revocations": { key: at } }), json!({}), json!({}), expected);
    }
    let (range, zone) = (json!([{ "start": "22:00:00", "end": "04:00:00" }]), "Europe/Paris");
    check(json!({}), json!({ "times": range, "times_location": zone }), json!({}), Ok(Some(NOW + 3600)));
    check(
        json!({}),
        json!({ "times": range, "times_location": "nowhere" }),
        json!({}),
        Err(TrustError::Time),
    );
    let range = json!([{ "start": "04:00:00", "end": "22:00:00" }]);
    check(json!({}), json!({ "times": range }), json!({}), Err(TrustError::Time));
    check(json!({}), json!({ "times": [{ "start": "x", "end": "" }] }), json!({}), Err(TrustError::Time));
}

#[test]
fn where_from_and_how_is_kept() {
    for (nets, within) in [
        (json!(["10.0.0.0/8"]), true),
        (json!("192.168.0.0/16, 10.1.2.3/32"), true),
        (json!(["0.0.0.0/0"]), true),
        (json!(["11.0.0.0/8", "::/0"]), false),
        (json!(["10.0.0.0", "10.0.0.0/33", "x/8", ""]), false),
    ] {
        let expected = if within { Ok(None) } else { Err(TrustError::Address) };
        check(json!({}), json!({ "src": nets }), json!({}), expected);
    }
    let types = |t: Value| json!({ "allowed_connection_types": t });
    check(json!({}), types(json!(["MQTT", "standard"])), json!({}), Ok(None));
    check(json!({}), types(json!(["MQTT"])), json!({}), Err(TrustError::ConnectionType));
    check(json!({}), types(json!(["UNKNOWN"])), json!({}), Err(TrustError::ConnectionType));
    check(json!({}), json!({ "proxy_required": true }), json!({}), Err(TrustError::Proxy));
}

#[test]
fn only_keys_of_the_account_sign_its_users() {
    let stranger = seed(Kind::Account, 9);
    assert_eq!(enter(json!({}), &stranger, json!({}), json!({})).map(|_| ()), Err(TrustError::Issuer));
    let keys = json!({ "signing_keys": [text(stranger.public())] });
    assert!(enter(keys, &stranger, json!({}), json!({})).is_ok());
    // A token that names no account is its issuer's.
    let named = json!({ "issuer_account": "" });
    assert_eq!(enter(json!({}), &stranger, named, json!({})).map(|_| ()), Err(TrustError::Subject));
}

#[test]
fn only_operators_sign_accounts() {
    let key = text(account().public());
    let claims = json!({ "type": "account" });
    for issuer in [account(), seed(Kind::Operator, 8), seed(Kind::Account, 8)] {
        let token = signed(&issuer, &account(), claims.clone(), json!({}));
        assert_eq!(trust().account(&token, &key, NOW).map(|_| ()), Err(TrustError::Issuer));
    }
    let token = signed(&operator(), &account(), claims, json!({}));
    assert!(trust().account(&token, &key, NOW).is_ok());
    assert_eq!(trust().account(&token, &text(role().public()), NOW).map(|_| ()), Err(TrustError::Subject));
    // With strict use of signing keys the operator's own key does not sign.
    let strict = json!({ "type": "operator", "strict_signing_key_usage": true });
    let strict = decode(&signed(&operator(), &operator(), strict, json!({}))).expect("operator");
    let strict = Trust::new(&[strict], &[]).expect("trust");
    assert_eq!(strict.account(&token, &key, NOW).map(|_| ()), Err(TrustError::Issuer));
}

#[test]
fn bearers_need_no_key_where_they_are_allowed() {
    let bearer = json!({ "bearer_token": true });
    check(json!({ "limits": { "disallow_bearer": true } }), bearer, json!({}), Err(TrustError::Bearer));
    let of =
        decode(&signed(&operator(), &account(), json!({ "type": "account" }), json!({}))).expect("account");
    for (nats, expected) in [
        (json!({ "type": "user" }), Err(TrustError::Signature)),
        (json!({ "type": "user", "bearer_token": true }), Ok(())),
    ] {
        let token = decode(&signed(&account(), &user(), nats, json!({}))).expect("user");
        for signature in ["", "!!!", &BASE64URL_NOPAD.encode(&user().sign(b"other"))] {
            assert_eq!(admit(&token, &of, &presented(signature)).map(|_| ()), expected);
        }
    }
}

#[track_caller]
fn check_role(template: Value, name: &str, tags: Value, may: &[&str], may_not: &[&str]) {
    let scope = json!({ "kind": "user_scope", "key": text(role().public()), "template": template });
    let claims = json!({ "signing_keys": [scope], "tags": ["region:eu"] });
    let admitted = enter(claims, &role(), json!({ "tags": tags }), json!({ "name": name })).expect("in");
    let permissions = admitted.permissions.expect("permissions");
    for (subjects, expected) in [(may, true), (may_not, false)] {
        for subject in subjects {
            assert_eq!(permissions.can_publish(subject.as_bytes()), expected, "{subject}");
        }
    }
}

#[test]
fn roles_are_filled_in() {
    let publish = |allow: &[&str]| json!({ "pub": { "allow": allow } });
    let none = json!([]);
    check_role(publish(&["a.{{name()}}"]), "bob", none.clone(), &["a.bob"], &["a.eve", "a.{{name()}}"]);
    check_role(
        publish(&["{{account-name()}}.{{account-tag(region)}}"]),
        "b",
        none.clone(),
        &["ACC.eu"],
        &["x"],
    );
    let tags = json!(["Team:red", "team:blue", "x:1"]);
    check_role(publish(&["t.{{tag(team)}}.{{tag(x)}}"]), "b", tags, &["t.red.1", "t.blue.1"], &["t.x.1"]);
    // What cannot be filled in is not allowed, and does not become "everything".
    for entry in ["a.{{name()}}", "a.{{tag(team)}}", "{{account-tag(x)}}.b", "{{ NAME() }}"] {
        check_role(publish(&[entry]), "", none.clone(), &[], &["a", "a.b", "x"]);
        check_role(publish(&[entry, "x"]), "b c", none.clone(), &["x"], &["a", "a.b"]);
    }
    let deny = json!({ "pub": { "deny": ["a.{{name()}}"] } });
    let scope = json!({ "kind": "user_scope", "key": text(role().public()), "template": deny });
    let refused = enter(json!({ "signing_keys": [scope] }), &role(), json!({}), json!({}));
    assert_eq!(refused.map(|_| ()), Err(TrustError::Template(template::TemplateError::Denied)));
}

/// Who may publish what with this entry in the role, as the official server has it.
#[test]
fn places_stand_anywhere_in_a_subject() {
    let publish = |entry: &str| json!({ "pub": { "allow": [entry] } });
    let tags = json!(["team:red", "team:blue", "d:a.b"]);
    let (of_user, of_account) = (text(user().public()), text(account().public()));
    for (entry, may, may_not) in [
        ("x-{{name()}}-y.>", vec!["x-bob-y.1"], vec!["x-bob-y", "x--y.1"]),
        ("{{subject()}}.{{account-subject()}}", vec![&*format!("{of_user}.{of_account}")], vec!["x"]),
        ("a.{{ Name() }}.{{ACCOUNT-NAME()}}", vec!["a.bob.ACC"], vec!["a.BOB.ACC"]),
        // The same place is the same value.
        ("{{tag(team)}}.{{tag(team)}}", vec!["red.red", "blue.blue"], vec!["red.blue"]),
        ("{{tag(team)}}.{{ tag(team) }}", vec!["red.red", "red.blue", "blue.red"], vec!["red.x"]),
        ("{{tag(d)}}.c", vec!["a.b.c"], vec!["a.c"]),
        ("{{account-tag(region)}}{{tag(team)}}", vec!["eured", "eublue"], vec!["eu.red"]),
    ] {
        check_role(publish(entry), "bob", tags.clone(), &may, &may_not);
    }
}

/// What the holder of a role's key writes into a token must not give more than the role.
#[test]
fn a_value_does_not_widen_a_role() {
    let publish = |entry: &str| json!({ "pub": { "allow": [entry] } });
    for name in ["*", ">", "a.>", "*.b", "a.*", " ", "a b", "a.", ".a", "a..b", "a\tb"] {
        check_role(
            publish("own.{{name()}}"),
            name,
            json!([]),
            &[],
            &["own.a", "own.a.b", "own", "x", "own.a b"],
        );
        check_role(
            publish("own.{{tag(t)}}"),
            "bob",
            json!([format!("t:{name}")]),
            &[],
            &["own.a.b", "own.b", "x"],
        );
    }
    // In what is denied such a value would deny less.
    let deny = json!({ "pub": { "deny": ["a.{{name()}}"] } });
    let scope = json!({ "kind": "user_scope", "key": text(role().public()), "template": deny });
    let refused = enter(json!({ "signing_keys": [scope] }), &role(), json!({}), json!({ "name": "x y" }));
    assert_eq!(refused.map(|_| ()), Err(TrustError::Template(template::TemplateError::Denied)));
}

#[test]
fn unknown_places_and_too_many_subjects_let_nobody_in() {
    let with = |entry: &str, tags: Value| {
        let template = json!({ "sub": { "allow": ["a", entry] } });
        let scope = json!({ "kind": "user_scope", "key": text(role().public()), "template": template });
        enter(json!({ "signing_keys": [scope] }), &role(), json!({ "tags": tags }), json!({})).map(|_| ())
    };
    let unknown = |place: &str| Err(TrustError::Template(template::TemplateError::Unknown(place.into())));
    for (entry, place) in [
        ("{{rubbish()}}", "rubbish()"),
        ("{{name}}", "name"),
        ("a.{{{name()}}}", "{name()"),
        ("{{name(x)}}", "name(x)"),
        ("{{tag[x]}}", "tag[x]"),
    ] {
        assert_eq!(with(entry, json!([])), unknown(place), "{entry}");
    }
    // These are no places.
    for entry in ["{{}}", "{{name()", "{name()}", "name()}}", "{{a}b}}"] {
        assert_eq!(with(entry, json!([])), Ok(()), "{entry}");
    }
    let tags: Vec<String> = (0..65).map(|n| format!("t:{n}")).collect();
    assert_eq!(with("{{tag(t)}}.{{ tag(t)}}", json!(tags[..63])), Ok(()));
    let too_many = Err(TrustError::Template(template::TemplateError::TooMany));
    assert_eq!(with("{{tag(t)}}.{{ tag(t)}}", json!(tags)), too_many);
}

#[test]
fn a_user_with_a_role_has_no_rights_of_its_own() {
    let scope = json!({ "kind": "user_scope", "key": text(role().public()), "template": {} });
    for own in [json!({ "subs": -1 }), json!({ "pub": { "allow": [">"] } }), json!({ "bearer_token": true })]
    {
        let refused = enter(json!({ "signing_keys": [scope.clone()] }), &role(), own, json!({}));
        assert_eq!(refused.map(|_| ()), Err(TrustError::Scoped));
    }
}

#[test]
fn permissions_with_rubbish_are_refused() {
    for subject in ["", " ", "a b c", "a..b", "a\r\nb.", ">.a", "\t"] {
        let nats = json!({ "sub": { "deny": [subject] } });
        check(json!({}), nats, json!({}), Err(TrustError::Subjects(subject.to_owned())));
    }
    check(
        json!({}),
        json!({ "pub": { "allow": ["a q"] } }),
        json!({}),
        Err(TrustError::Subjects("a q".into())),
    );
    let default = json!({ "default_permissions": { "pub": { "allow": ["d"] } } });
    let admitted = enter(default, &account(), json!({}), json!({})).expect("in");
    assert!(!admitted.permissions.expect("default").can_publish(b"x"));
}

/// CVE-2021-3127: an activation is for one importer and what it names.
#[test]
fn activations_are_bound() {
    let exporter =
        decode(&signed(&operator(), &account(), json!({ "type": "account" }), json!({}))).expect("account");
    let (importer, other) = (seed(Kind::Account, 5), seed(Kind::Account, 6));
    let try_it = |issuer: &Seed, to: &Seed, subject: &str, kind: &str, revoked: i64| {
        let nats = json!({ "type": "activation", "subject": subject, "kind": kind });
        let import = json!({ "subject": "a.b", "account": text(account().public()), "type": "stream",
            "token": signed(issuer, to, nats, json!({})) });
        let import: super::account::Import = serde_json::from_value(import).expect("import");
        let revocations = [(text(importer.public()), revoked)].into();
        activation(&import, &revocations, &importer.public(), &exporter, NOW).map(|_| ())
    };
    assert_eq!(try_it(&account(), &importer, "a.>", "stream", 0), Ok(()));
    assert_eq!(try_it(&account(), &other, "a.>", "stream", 0), Err(TrustError::Activation));
    assert_eq!(try_it(&account(), &importer, "b.>", "stream", 0), Err(TrustError::Activation));
    assert_eq!(try_it(&account(), &importer, "a.>", "service", 0), Err(TrustError::Activation));
    assert_eq!(try_it(&account(), &importer, "a.>", "stream", NOW), Err(TrustError::Revoked));
    assert_eq!(try_it(&other, &importer, "a.>", "stream", 0), Err(TrustError::Issuer));
}

#[test]
fn what_is_no_token() {
    let good = signed(&account(), &user(), json!({ "type": "user" }), json!({}));
    assert!(decode(&good).is_ok());
    let (start, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = start.split_once('.').expect("three parts");
    for text in ["", ".", "..", "a.b", "not.a.jwt", &format!("{good}."), &format!("{good}=")] {
        assert!(decode(text).is_err(), "{text}");
    }
    let other = BASE64URL_NOPAD.encode(&user().sign(start.as_bytes()));
    assert_eq!(decode(&format!("{start}.{other}")).map(|_| ()), Err(JwtError::Signature));
    let none = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"none"}"#);
    assert_eq!(decode(&format!("{none}.{payload}.{signature}")).map(|_| ()), Err(JwtError::Header));
    assert_eq!(decode(&format!("{none}.{payload}.")).map(|_| ()), Err(JwtError::Header));
    // Another header is not what was signed.
    let other = BASE64URL_NOPAD.encode(br#"{"alg":"ed25519-nkey","typ":"JWT","x":1}"#);
    assert_ne!(other, header);
    assert_eq!(decode(&format!("{other}.{payload}.{signature}")).map(|_| ()), Err(JwtError::Signature));
    // The bound of nats-io/jwt #248.
    assert_eq!(decode(&"a".repeat(JWT_BYTES_MAX + 1)).map(|_| ()), Err(JwtError::TooLong));
    for (issuer, subject, kind) in [
        (user(), user(), "user"),
        (operator(), user(), "user"),
        (account(), account(), "user"),
        (user(), account(), "account"),
    ] {
        let token = signed(&issuer, &subject, json!({ "type": kind }), json!({}));
        assert_eq!(decode(&token).map(|_| ()), Err(JwtError::Keys));
    }
}

proptest! {
    /// Line ends are skipped wherever base64 is read, but what is signed is the text: there they break the signature.
    #[test]
    fn line_ends_count_where_they_are_signed(at in 0..400_usize, end in "[\r\n]{1,3}") {
        let good = signed(&account(), &user(), json!({ "type": "user" }), json!({}));
        let expected = decode(&good).expect("token");
        let signed_length = good.rfind('.').expect("three parts") + 1;
        let at = at % (good.len() + 1);
        let text = format!("{}{end}{}", &good[..at], &good[at..]);
        if at < signed_length {
            prop_assert_eq!(decode(&text).map(|_| ()), Err(JwtError::Signature));
        } else {
            prop_assert_eq!(decode(&text), Ok(expected));
            prop_assert_eq!(single_line(&text), good);
        }
    }
}

#[test]
fn version_1_is_read() {
    let claims = json!({ "iss": text(account().public()), "sub": text(user().public()), "iat": NOW, "type": "user",
        "tags": ["A:b"], "nats": { "pub": { "allow": ["x"] } } });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let (header, payload) = (part(&json!({ "typ": "jwt", "alg": "ed25519" })), part(&claims));
    let signature = BASE64URL_NOPAD.encode(&account().sign(payload.as_bytes()));
    let token = decode(&format!("{header}.{payload}.{signature}")).expect("token");
    let Body::User(user) = token.body else { panic!("a user") };
    assert_eq!((user.limits.subs, &*token.tags[0]), (claims::Limit::Unlimited, "a:b"));
    // Signed in the new way it is not of version 1.
    let signature = BASE64URL_NOPAD.encode(&account().sign(format!("{header}.{payload}").as_bytes()));
    assert_eq!(decode(&format!("{header}.{payload}.{signature}")).map(|_| ()), Err(JwtError::Signature));
}

/// CVE-2020-26521: every field of a user's and an account's token absent, null or of another type.
#[test]
fn odd_claims_break_nothing() {
    let odd = [
        json!(null),
        json!(-1),
        json!(u64::MAX),
        json!("x"),
        json!([]),
        json!([null]),
        json!({}),
        json!(1.5),
    ];
    let fields = [
        "type",
        "version",
        "tags",
        "pub",
        "sub",
        "resp",
        "src",
        "times",
        "subs",
        "issuer_account",
        "signing_keys",
        "limits",
        "exports",
        "imports",
        "revocations",
        "mappings",
        "authorization",
        "trace",
        "default_permissions",
        "bearer_token",
        "allowed_connection_types",
        "signing_keys",
    ];
    for value in &odd {
        for field in fields {
            let _ = enter(json!({ field: value }), &account(), json!({ field: value }), json!({}));
            let _ = enter(json!({ field: [value] }), &account(), json!({ field: [value] }), json!({}));
        }
        for field in ["iss", "sub", "iat", "exp", "nbf", "nats", "name", "aud", "type"] {
            let _ = enter(json!({}), &account(), json!({}), json!({ field: value }));
        }
    }
    // Null is absent.
    check(json!({ "imports": null }), json!({ "src": null, "subs": null }), json!({ "exp": null }), Ok(None));
}

proptest! {
    #[test]
    fn nothing_breaks_it(header in "[A-Za-z0-9_-]{0,20}", claims in ".{0,60}", signature in "[A-Za-z0-9_-]{0,90}") {
        let claims = BASE64URL_NOPAD.encode(claims.as_bytes());
        let _ = decode(&format!("{header}.{claims}.{signature}"));
        let header = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let _ = decode(&format!("{header}.{claims}.{signature}"));
    }
}
