//! Enhanced authentication. MQTT 5.0 §4.12.

use super::*;
use crate::challenge::{Challenge, Challenges, METHOD, Step, shown};
use dialtone_wire::mqtt::Auth;

fn auth(reason: Reason, properties: Properties<'_>) -> Auth<'_> {
    Auth { reason, properties }
}

fn challenge() -> Challenge {
    Challenge { shown: "UABC".into(), nonce: "n1".into() }
}

fn challenged() -> Challenges {
    let mut challenges = Challenges::default();
    challenges.challenge(challenge(), usize::MAX, &mut Vec::new()).unwrap();
    challenges
}

#[test]
fn mqtt_4_12_0_1_only_one_method_is_known() {
    let with = |method| {
        let own = properties(&[Property::AuthMethod(method)]);
        agree(&Connect { properties: own.properties(), ..connect(Version::V5) }, &Options::default())
    };
    assert!(with(METHOD).unwrap().is_challenged);
    for other in ["nkey", "SCRAM-SHA-256", ""] {
        assert_eq!(with(other), Err(Reason::BadAuthenticationMethod), "{other}");
    }
    assert!(!agree(&connect(Version::V5), &Options::default()).unwrap().is_challenged);
}

#[test]
fn mqtt_4_12_0_2_and_5_each_auth_and_connack_name_the_method() {
    let mut out = Vec::new();
    let mut challenges = Challenges::default();
    challenges.challenge(challenge(), usize::MAX, &mut out).unwrap();
    challenges.succeed(usize::MAX, &mut out).unwrap();
    assert_eq!(out, b"\xF0\x0E\x18\x0C\x15\x00\x04NKEY\x16\x00\x02n1\xF0\x09\x00\x07\x15\x00\x04NKEY");
    let own = properties(&[Property::AuthMethod(METHOD), Property::AuthData(b"UABC")]);
    let connect = Connect { properties: own.properties(), ..connect(Version::V5) };
    let told = agree(&connect, &Options::default()).unwrap().properties(&connect, "c", &Options::default());
    assert!(told.properties().iter().any(|property| property == Property::AuthMethod(METHOD)));
    // A client that takes no packets of this size cannot be challenged.
    assert_eq!(challenges.challenge(challenge(), 15, &mut out), Err(Reason::PacketTooLarge));
}

#[test]
fn mqtt_4_12_0_3_a_client_signs_once_what_it_was_sent() {
    let own = properties(&[Property::AuthMethod(METHOD), Property::AuthData(b"signed")]);
    let signed = auth(Reason::ContinueAuthentication, own.properties());
    let mut challenges = challenged();
    assert_eq!(challenges.receive(&signed, false), Ok(Step::Signed(challenge(), (*b"signed").into())));
    assert_eq!(challenges.receive(&signed, false), Err(Reason::ProtocolError));
    assert_eq!(challenges.receive(&signed, true), Err(Reason::ProtocolError));
}

#[test]
fn mqtt_4_12_1_1_who_authenticates_again_keeps_the_method() {
    let own = properties(&[Property::AuthMethod(METHOD), Property::AuthData(b"UABC")]);
    let again = auth(Reason::ReAuthenticate, own.properties());
    assert_eq!(Challenges::default().receive(&again, true), Ok(Step::Again("UABC".into())));
    // Not before it is in, and not while another one is under way.
    assert_eq!(Challenges::default().receive(&again, false), Err(Reason::ProtocolError));
    assert_eq!(challenged().receive(&again, true), Err(Reason::ProtocolError));
    for others in [properties(&[Property::AuthMethod("other")]), properties(&[])] {
        let again = auth(Reason::ReAuthenticate, others.properties());
        assert_eq!(challenged().receive(&again, true), Err(Reason::BadAuthenticationMethod));
    }
    assert_eq!(shown(properties(&[Property::AuthData(b"\xFF")]).properties()), Err(Reason::NotAuthorized));
}
