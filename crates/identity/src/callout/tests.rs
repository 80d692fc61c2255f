//! What a service may answer: each field of a good answer, changed.

use super::*;
use crate::jwt::account::{Account, ExternalAuthorization};
use crate::jwt::authorization::AuthorizationResponse;
use crate::jwt::claims::{User, UserLimits};
use crate::jwt::encode::Draft;
use dialtone_config::operator::{OperatorJwt, Resolver};
use dialtone_config::{Options, Position};

const NOW: i64 = 1_700_000_000;

fn seed(kind: Kind, number: u8) -> Seed {
    Seed::from_bytes(kind, [number; 32])
}

fn keys() -> Keys {
    Keys { seed: seed(Kind::Server, 1), curve: seed(Kind::Curve, 1) }
}

fn service_curve() -> Seed {
    seed(Kind::Curve, 2)
}

fn issuer() -> Seed {
    seed(Kind::Account, 1)
}

/// Accounts that are at hand.
struct World(Vec<Arc<DecodedJwt>>);

impl JwtContext for World {
    fn account(&self, key: &str) -> Option<Arc<DecodedJwt>> {
        self.0.iter().find(|token| token.subject.to_string() == key).cloned()
    }
    fn now(&self) -> i64 {
        NOW
    }
    fn time_of_day(&self, _: &str) -> Option<i64> {
        Some(0)
    }
    fn has_account(&self, name: &str) -> bool {
        ["APP", "AUTH", "$G"].contains(&name)
    }
}

fn configured_by(allowed: &[&str], xkey: bool) -> CalloutRequest {
    CalloutRequest::configured(&AuthCallout {
        issuer: issuer().public().to_string(),
        account: "AUTH".into(),
        auth_users: vec!["auth".into()],
        xkey: xkey.then(|| service_curve().public().to_string()),
        allowed_accounts: allowed.iter().map(ToString::to_string).collect(),
        ..AuthCallout::default()
    })
    .expect("inquiry")
}

fn ask(callout_request: CalloutRequest) -> SentCallout {
    let random = ([9; 32], [7; xkey::NONCE_BYTES]);
    callout_request
        .ask(AuthorizationRequest::default(), &keys(), random, (NOW, Duration::from_secs(2)))
        .expect("question")
}

/// An answer, field by field; what is not said is good.
struct Reply {
    subject: Public,
    audience: String,
    signer: Seed,
    user_subject: Public,
    user_signer: Seed,
    account: String,
    limits: UserLimits,
    expires: Option<i64>,
    error: String,
    issuer_account: String,
}

fn good(sent: &SentCallout) -> Reply {
    Reply {
        subject: sent.user,
        audience: keys().seed.public().to_string(),
        signer: issuer(),
        user_subject: sent.user,
        user_signer: issuer(),
        account: "APP".into(),
        limits: UserLimits::default(),
        expires: None,
        error: String::new(),
        issuer_account: String::new(),
    }
}

impl Reply {
    fn encode(&self) -> String {
        let body = Body::User(Box::new(User { limits: self.limits.clone(), ..User::default() }));
        let audience = self.account.clone();
        let user = Draft { expires: self.expires, audience, ..Draft::new(self.user_subject, "bob", body) };
        let response = AuthorizationResponse {
            jwt: user.sign(&self.user_signer, NOW).expect("user"),
            error: self.error.clone(),
            issuer_account: self.issuer_account.clone(),
        };
        let draft = Draft::new(self.subject, "", Body::AuthorizationResponse(response));
        Draft { audience: self.audience.clone(), ..draft }.sign(&self.signer, NOW).expect("response")
    }
}

fn judge(
    sent: &SentCallout,
    answer: &[u8],
    operators: Option<&Operators>,
    world: &World,
) -> Result<Grant, CalloutError> {
    let presented = Presented {
        proof: crate::jwt::trust::Proof::Shown,
        connection_type: "STANDARD",
        proxied: false,
        address: "10.0.0.1".parse().ok(),
        now: NOW,
        time_of_day: &|_| Some(0),
    };
    let by = CalloutContext { operators, presented: &presented, jwt_context: world };
    let server = keys().seed.public().to_string();
    let answered = sent.judge(answer, &server, &keys(), &by)?;
    // Asked again, the same service's answer says the same.
    assert!(answered.is_by(&sent.callout_request));
    sent.callout_request.admit(&answered, &by)
}

#[track_caller]
fn check(change: impl FnOnce(&mut Reply), expected: Result<&str, CalloutError>) {
    let sent = ask(configured_by(&[], false));
    let mut reply = good(&sent);
    change(&mut reply);
    let got = judge(&sent, reply.encode().as_bytes(), None, &World(Vec::new()));
    let got = got.map(|grant| grant.account.unwrap_or_default().to_string());
    assert_eq!(got, expected.map(str::to_owned));
}

#[test]
fn every_part_of_an_answer_counts() {
    let stranger = || seed(Kind::Account, 8);
    let other = seed(Kind::User, 8).public();
    check(|_| (), Ok("APP"));
    check(|reply| reply.account = "$G".into(), Ok("$G"));
    check(|reply| reply.subject = other, Err(CalloutError::Other("user")));
    check(|reply| reply.user_subject = other, Err(CalloutError::Other("user")));
    check(
        |reply| reply.audience = seed(Kind::Server, 8).public().to_string(),
        Err(CalloutError::Other("server")),
    );
    check(|reply| reply.audience.clear(), Err(CalloutError::Other("server")));
    check(|reply| reply.signer = stranger(), Err(CalloutError::Issuer));
    check(|reply| reply.user_signer = stranger(), Err(CalloutError::Issuer));
    check(|reply| reply.error = "no".into(), Err(CalloutError::Refused("no".into())));
    check(|reply| reply.account = "NOPE".into(), Err(CalloutError::Account("NOPE".into())));
    check(|reply| reply.account.clear(), Err(CalloutError::Account(String::new())));
    check(|reply| reply.expires = Some(NOW - 1), Err(TrustError::Time.into()));
    check(|reply| reply.limits.src = vec!["11.0.0.0/8".into()], Err(TrustError::Address.into()));
    let mqtt = vec!["MQTT".into()];
    check(|reply| reply.limits.allowed_connection_types = mqtt, Err(TrustError::ConnectionType.into()));
    check(|reply| reply.limits.proxy_required = true, Err(TrustError::Proxy.into()));
    for rubbish in ["", "x", "a.b.c", &Reply::encode(&good(&ask(configured_by(&[], false))))[1..]] {
        let sent = ask(configured_by(&[], false));
        assert!(judge(&sent, rubbish.as_bytes(), None, &World(Vec::new())).is_err());
    }
}

#[test]
fn an_answer_is_good_for_one_question() {
    let (first, random) = (ask(configured_by(&[], false)), ([10; 32], [7; xkey::NONCE_BYTES]));
    let second = configured_by(&[], false)
        .ask(AuthorizationRequest::default(), &keys(), random, (NOW, Duration::ZERO))
        .expect("question");
    let answer = good(&first).encode();
    assert!(judge(&first, answer.as_bytes(), None, &World(Vec::new())).is_ok());
    assert_eq!(
        judge(&second, answer.as_bytes(), None, &World(Vec::new())).map(|_| ()),
        Err(CalloutError::Other("user"))
    );
}

#[test]
fn only_allowed_accounts_are_named() {
    for (allowed, fits) in [(&["APP"][..], true), (&["*"], true), (&["AUTH"], false)] {
        let sent = ask(configured_by(allowed, false));
        let got = judge(&sent, good(&sent).encode().as_bytes(), None, &World(Vec::new()));
        assert_eq!(got.is_ok(), fits, "{allowed:?}");
    }
}

#[test]
fn nobody_in_the_services_account_asks_in_the_servers_place() {
    let sent = ask(configured_by(&[], false));
    let reply = Reply { account: "AUTH".into(), ..good(&sent) };
    let grant = judge(&sent, reply.encode().as_bytes(), None, &World(Vec::new())).expect("in");
    let permissions = grant.permissions.expect("permissions");
    assert!(!permissions.can_publish(SUBJECT.as_bytes()) && permissions.can_publish(b"a"));
}

#[test]
fn what_is_sealed_must_be_sealed() {
    let sent = ask(configured_by(&[], true));
    assert!(sent.sealed && !sent.payload.starts_with(b"eyJ"));
    let request = xkey::open(&service_curve(), &keys().curve.public(), &sent.payload).expect("opened");
    let request = jwt::decode(&String::from_utf8(request).expect("text")).expect("request");
    let Body::AuthorizationRequest(asked) = request.body else { panic!("a request") };
    assert_eq!(asked.user_nkey, sent.user.to_string());
    assert_eq!((request.audience.as_str(), request.expires), (REQUEST_AUDIENCE, Some(NOW + 2)));
    let answer = good(&sent).encode();
    let seal = |from: &Seed, to: &Public| {
        xkey::seal(from, to, [3; xkey::NONCE_BYTES], answer.as_bytes()).expect("sealed")
    };
    let world = World(Vec::new());
    assert!(judge(&sent, &seal(&service_curve(), &keys().curve.public()), None, &world).is_ok());
    for wrong in [
        answer.clone().into_bytes(),
        seal(&seed(Kind::Curve, 9), &keys().curve.public()),
        seal(&service_curve(), &seed(Kind::Curve, 9).public()),
    ] {
        assert_eq!(judge(&sent, &wrong, None, &world).map(|_| ()), Err(CalloutError::Sealed));
    }
}

/// Operator mode: an account asks about its users, and puts them into itself or where its token says.
#[test]
fn accounts_delegate_to_accounts_that_their_token_names() {
    let operator = seed(Kind::Operator, 1);
    let mut options = Options::default();
    let jwt = Draft::new(operator.public(), "O", Body::Operator(crate::jwt::claims::Operator::default()));
    let jwt = jwt.sign(&operator, NOW).expect("operator");
    options.access.operator_mode.operators = vec![OperatorJwt { at: Position::default(), jwt }];
    options.access.operator_mode.resolver = Some(Resolver::Memory);
    let operators = Operators::new(&options, NOW).expect("good").expect("on");
    let account = |number: u8, allowed: &[&str]| {
        let auth_users = vec![seed(Kind::User, 1).public().to_string()];
        let allowed_accounts = allowed.iter().map(ToString::to_string).collect();
        let authorization =
            ExternalAuthorization { auth_users, allowed_accounts, ..ExternalAuthorization::default() };
        let body = Body::Account(Box::new(Account { authorization, ..Account::default() }));
        let draft = Draft::new(seed(Kind::Account, number).public(), "A", body);
        Arc::new(jwt::decode(&draft.sign(&operator, NOW).expect("account")).expect("account"))
    };
    let there = seed(Kind::Account, 2).public().to_string();
    for (allowed, user_signer, fits) in [
        (vec![], 1, true),
        (vec![], 2, false),
        (vec![&*there], 2, true),
        (vec!["*"], 2, true),
        (vec!["*"], 3, false),
    ] {
        let asked = account(1, &allowed);
        let world = World(vec![asked.clone(), account(2, &[])]);
        let sent = ask(CalloutRequest::account(&asked).expect("inquiry"));
        let reply = Reply { user_signer: seed(Kind::Account, user_signer), ..good(&sent) };
        let got = judge(&sent, reply.encode().as_bytes(), Some(&operators), &world);
        assert_eq!(got.is_ok(), fits, "{allowed:?} {user_signer}: {got:?}");
        // An answer that another account signs is none.
        let foreign = Reply { signer: seed(Kind::Account, 2), ..reply };
        let got = judge(&sent, foreign.encode().as_bytes(), Some(&operators), &world);
        assert_eq!(got.map(|_| ()), Err(CalloutError::Issuer));
    }
}
