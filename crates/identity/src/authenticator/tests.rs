//! Who is let in, and who is not.

use super::*;
use dialtone_config::options::{Access, Account, Authorization};

/// No accounts by token, in the first second of 1970.
struct Nothing;

impl JwtContext for Nothing {
    fn account(&self, _: &str) -> Option<Arc<DecodedJwt>> {
        None
    }
    fn now(&self) -> i64 {
        0
    }
    fn time_of_day(&self, _: &str) -> Option<i64> {
        None
    }
    fn has_account(&self, _: &str) -> bool {
        false
    }
}

const CONTEXT: Context<'_> =
    Context { connection_type: "STANDARD", certificate: None, address: None, jwt_context: &Nothing };

fn user(name: &str, password: &str) -> User {
    User { name: name.into(), password: Some(Secret::new(password)), ..User::default() }
}

fn given(user: &str, password: &str) -> Credentials {
    Credentials { user: user.into(), password: Secret::new(password), ..Credentials::default() }
}

/// Asks about a connection that presents these now.
fn ask(authenticator: &Authenticator, credentials: &Credentials) -> Outcome {
    authenticator.authenticate(&mut Shown::new(credentials.clone(), "n"), &CONTEXT)
}

#[track_caller]
fn check(options: &Options, credentials: &Credentials, expected: Option<(&str, Option<&str>)>) {
    let grant = match ask(&Authenticator::new(options, 0).expect("users"), credentials) {
        Outcome::Granted(grant) => Some(grant),
        _ => None,
    };
    let got = grant.as_ref().map(|g| (&*g.user, g.account.as_deref()));
    assert_eq!(got, expected);
}

#[test]
fn who_is_let_in() {
    let mut options = Options::default();
    check(&options, &given("any", "x"), Some(("", None)));
    options.access.authorization = Authorization { users: vec![user("u", "p")], ..Authorization::default() };
    options.access.accounts =
        vec![Account { name: "A".into(), users: vec![user("a", "q")], ..Account::default() }];
    check(&options, &given("u", "p"), Some(("u", None)));
    check(&options, &given("a", "q"), Some(("a", Some("A"))));
    for (name, password) in [("u", "q"), ("u", ""), ("x", "p"), ("", ""), ("", "p")] {
        check(&options, &given(name, password), None);
    }
    options.access.no_auth_user = Some("a".into());
    check(&options, &Credentials::default(), Some(("a", Some("A"))));
    check(&options, &given("u", "wrong"), None);
}

#[test]
fn connection_types_are_kept() {
    let mut mqtt = user("m", "p");
    mqtt.connection_types = vec!["MQTT".into()];
    let mut options = Options::default();
    options.access.authorization.users = vec![mqtt];
    check(&options, &given("m", "p"), None);
    // GHSA-hmmp-q8cx-v964: the way without credentials is no way round it.
    options.access.no_auth_user = Some("m".into());
    check(&options, &Credentials::default(), None);
}

/// What a user who must come through a proxy needs, and what a proxy's signature is good for.
#[test]
fn proxies_sign_for_their_connections() {
    let proxy = nkey::Seed::from_bytes(nkey::Kind::User, [1; 32]);
    let stranger = nkey::Seed::from_bytes(nkey::Kind::User, [2; 32]);
    let sign = |seed: &nkey::Seed, nonce: &[u8]| data_encoding::BASE64URL_NOPAD.encode(&seed.sign(nonce));
    let (good, foreign, old) = (sign(&proxy, b"n"), sign(&stranger, b"n"), sign(&proxy, b"other"));
    let behind = User { proxy_required: true, ..user("u", "p") };
    let mut options = Options::default();
    options.access.no_auth_user = Some("u".into());
    options.access.authorization.users = vec![behind.clone(), user("v", "p")];
    let answer = |options: &Options, credentials: &Credentials, signature: &str| {
        let credentials = Credentials { proxy_signature: signature.into(), ..credentials.clone() };
        let mut shown = Shown::new(credentials, "n");
        let outcome = Authenticator::new(options, 0).expect("users").authenticate(&mut shown, &CONTEXT);
        let refusal = match outcome {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        };
        (shown.proxy().is_some(), refusal)
    };
    let (u, v, nobody) = (given("u", "p"), given("v", "p"), Credentials::default());
    // Without trusted proxies a signature means nothing.
    assert_eq!(answer(&options, &u, &good), (false, Some(Refusal::ProxyRequired)));
    assert_eq!(answer(&options, &v, "nonsense"), (false, None));
    options.access.trusted_proxies = vec![proxy.public().to_string()];
    assert!(Authenticator::new(&options, 0).expect("users").nonce_required());
    for who in [&u, &nobody] {
        assert_eq!(answer(&options, who, ""), (false, Some(Refusal::ProxyRequired)));
        assert_eq!(answer(&options, who, &good), (true, None));
    }
    assert_eq!(answer(&options, &v, ""), (false, None));
    assert_eq!(answer(&options, &v, &good), (true, None));
    for signature in [&foreign, &old, "nonsense", "!"] {
        assert_eq!(answer(&options, &v, signature), (false, Some(Refusal::ProxyNotTrusted)));
    }
    // The signature is no credential.
    let (proxied, refusal) = answer(&options, &given("u", "wrong"), &good);
    assert!(proxied && matches!(refusal, Some(Refusal::Credentials(_))));
    // Of a whole block the requirement holds for what stands in it alone.
    options.access.authorization.proxy_required = true;
    assert_eq!(answer(&options, &v, ""), (false, None));
    for single in [
        Authorization {
            user: Some("v".into()),
            password: Some(Secret::new("p")),
            ..Authorization::default()
        },
        Authorization { token: Some(Secret::new("t")), ..Authorization::default() },
    ] {
        options.access.authorization = Authorization { proxy_required: true, ..single };
        let given = Credentials { token: Secret::new("t"), ..v.clone() };
        assert_eq!(answer(&options, &given, ""), (false, Some(Refusal::ProxyRequired)));
        assert_eq!(answer(&options, &given, &good), (true, None));
    }
}

fn certificate(subject: &[(rcgen::DnType, &str)], names: Vec<rcgen::SanType>) -> Vec<u8> {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    for (name, value) in subject {
        parameters.distinguished_name.push(name.clone(), *value);
    }
    parameters.subject_alt_names = names;
    let key = rcgen::KeyPair::generate().expect("key");
    parameters.self_signed(&key).expect("certificate").der().to_vec()
}

/// The users of a configuration with `verify_and_map`, and who a certificate is.
#[track_caller]
fn check_mapped(users: &[&str], der: &[u8], credentials: &Credentials, expected: Option<&str>) {
    let users = users.iter().map(|name| User { password: None, ..user(name, "") });
    let mut options = dialtone_config::load_text(
        "tls { cert_file: c, key_file: k, ca_file: a, verify_and_map: true }",
        "test",
        &mut |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()),
        &|_| None,
    )
    .expect("options");
    options.access.authorization.users = users.chain([user("pw.acme.com", "p")]).collect();
    let context = Context { certificate: Some(der), ..CONTEXT };
    let mut shown = Shown::new(credentials.clone(), "n");
    let got = match Authenticator::new(&options, 0).expect("users").authenticate(&mut shown, &context) {
        Outcome::Granted(grant) => Some(grant.user),
        _ => None,
    };
    assert_eq!(got.as_deref(), expected);
}

#[test]
fn certificates_say_who_it_is() {
    use rcgen::{DnType, SanType};
    let nothing = Credentials::default();
    let dns = |name: &str| SanType::DnsName(name.try_into().expect("name"));
    let mail = SanType::Rfc822Name("bob@acme.com".try_into().expect("name"));
    let subject = [(DnType::OrganizationName, "acme"), (DnType::CommonName, "bob")];
    let der = certificate(&subject, vec![dns("bob.acme.com"), mail]);
    check_mapped(&["bob.acme.com", "bob@acme.com"], &der, &nothing, Some("bob@acme.com"));
    check_mapped(&["CN=bob,O=acme", "bob.acme.com"], &der, &nothing, Some("bob.acme.com"));
    for spelling in ["CN=bob,O=acme", "O=acme,CN=bob", "cn=bob, o=acme"] {
        check_mapped(&[spelling], &der, &nothing, Some(spelling));
    }
    for other in ["CN=bob", "CN=bob,O=acme,O=acme", "CN=bob,O=Acme", "bob"] {
        check_mapped(&[other], &der, &nothing, None);
        // The name in CONNECT is nobody's proof.
        check_mapped(&[other], &der, &given(other, ""), None);
    }
    let der = certificate(&[], vec![dns("pw.acme.com")]);
    check_mapped(&[], &der, &nothing, None);
    check_mapped(&[], &der, &given("", "p"), Some("pw.acme.com"));
}

#[test]
fn names_in_any_order_must_be_of_one_user() {
    use rcgen::DnType;
    let parts =
        [(DnType::CountryName, "US"), (DnType::OrganizationName, "acme"), (DnType::CommonName, "bob")];
    let der = certificate(&parts, vec![]);
    let (a, b) = ("O=acme,CN=bob,C=US", "O=acme,C=US,CN=bob");
    check_mapped(&[a], &der, &Credentials::default(), Some(a));
    check_mapped(&[a, b], &der, &Credentials::default(), None);
    check_mapped(&[a, b, "CN=bob,O=acme,C=US"], &der, &Credentials::default(), Some("CN=bob,O=acme,C=US"));
}

/// CVE-2023-47090: whatever stands in the blocks beside it, an account named `$SYS` opens nothing.
#[test]
fn nobody_comes_in_without_credentials() {
    let account = |name: &str, users: &[&str]| Account {
        name: name.into(),
        users: users.iter().map(|name| user(name, "p")).collect(),
        ..Account::default()
    };
    let system = [vec![], vec![account("$SYS", &["sys"])], vec![account("$SYS", &[])]];
    let others = [vec![], vec![account("A", &["a"])], vec![account("A", &[])]];
    let authorizations = [
        Authorization::default(),
        Authorization { users: vec![user("u", "p")], ..Authorization::default() },
        Authorization {
            user: Some("u".into()),
            password: Some(Secret::new("p")),
            ..Authorization::default()
        },
        Authorization { token: Some(Secret::new("t")), ..Authorization::default() },
    ];
    for (system, others, authorization) in system.iter().flat_map(|system| {
        let authorizations = &authorizations;
        others.iter().flat_map(move |others| authorizations.iter().map(move |a| (system, others, a)))
    }) {
        let accounts: Vec<Account> = system.iter().chain(others).cloned().collect();
        let open = *authorization == Authorization::default() && accounts.iter().all(|a| a.users.is_empty());
        let access = Access { accounts, authorization: authorization.clone(), ..Access::default() };
        let options = Options { access, ..Options::default() };
        let expected = open.then_some(("", None));
        check(&options, &Credentials::default(), expected);
        check(&options, &given("nobody", "p"), expected);
    }
}

#[test]
fn tokens() {
    let mut options = Options::default();
    options.access.authorization.token = Some(Secret::new("t"));
    let token = |t: &str| Credentials { token: Secret::new(t), ..Credentials::default() };
    check(&options, &token("t"), Some(("[REDACTED]", None)));
    check(&options, &token("x"), None);
    check(&options, &Credentials::default(), None);
}

/// What becomes of these credentials, in a word.
fn outcome(options: &Options, credentials: &Credentials) -> &'static str {
    match ask(&Authenticator::new(options, 0).expect("users"), credentials) {
        Outcome::Granted(_) => "in",
        Outcome::Refused(_) => "refused",
        Outcome::Ask(_) => "asked",
        Outcome::Slow(..) => "slow",
        Outcome::AccountNeeded(_) => "account",
    }
}

/// Of whom the authorization service is asked: not of users in accounts that it has no say in.
#[test]
fn users_in_accounts_that_are_not_the_services_are_known_as_always() {
    use dialtone_config::options::AuthCallout;
    let seed = nkey::Seed::from_bytes(nkey::Kind::User, [1; 32]);
    let issuer = nkey::Seed::from_bytes(nkey::Kind::Account, [1; 32]).public().to_string();
    let by_key = User { nkey: Some(seed.public().to_string()), ..User::default() };
    let hashed = user("h", "$2a$04$VMtdTfnwvuqQDcdjUaWxPOkBOLzVJ3b7WLaLZkp5cOqpvFLvLaVTG");
    let mut slow = user("l", "p");
    slow.connection_types = vec!["MQTT".into()];
    let account = |name: &str, users| Account { name: name.into(), users, ..Account::default() };
    let callout = |allowed: &[&str]| AuthCallout {
        issuer: issuer.clone(),
        account: "AUTH".into(),
        auth_users: vec!["s".into()],
        allowed_accounts: allowed.iter().map(ToString::to_string).collect(),
        ..AuthCallout::default()
    };
    let mut options = Options::default();
    options.access.accounts = vec![
        account("AUTH", vec![user("s", "p"), user("o", "p")]),
        account("APP", vec![user("a", "p")]),
        account("FREE", vec![user("f", "p"), by_key, hashed, slow]),
    ];
    options.access.authorization.users = vec![user("g", "p")];
    let signature = data_encoding::BASE64URL_NOPAD.encode(&seed.sign(b"n"));
    let signed = |signature: &str| Credentials {
        nkey: seed.public().to_string(),
        signature: signature.into(),
        ..Credentials::default()
    };
    let tries = [
        given("s", "p"),
        given("s", "x"),
        given("o", "p"),
        given("a", "p"),
        given("a", "x"),
        given("f", "p"),
        given("f", "x"),
        given("h", "x"),
        given("l", "p"),
        given("g", "p"),
        given("nobody", "p"),
        signed(&signature),
        signed("wrong"),
        Credentials::default(),
    ];
    for (allowed, silent, expected) in [
        (&[][..], None, "in refused asked asked asked asked asked asked asked asked asked asked asked asked"),
        (&["APP"], None, "in refused in asked asked in refused slow refused asked asked in refused asked"),
        (&["APP"], Some("f"), "in refused in asked asked in refused slow refused asked asked in refused in"),
        (
            &["APP", "AUTH"],
            Some("a"),
            "in refused asked asked asked in refused slow refused asked asked in refused asked",
        ),
    ] {
        options.access.authorization.callout = Some(callout(allowed));
        options.access.no_auth_user = silent.map(str::to_owned);
        let outcomes: Vec<_> = tries.iter().map(|credentials| outcome(&options, credentials)).collect();
        assert_eq!(outcomes.join(" "), expected, "{allowed:?} {silent:?}");
        let authenticator = Authenticator::new(&options, 0).expect("users");
        assert_eq!(authenticator.takes_silence(), expected.ends_with(" in"), "{allowed:?} {silent:?}");
    }
}
