#![no_main]
//! The claims of tokens whose signature is good: every field absent, null or of another type (CVE-2020-26521).

use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::jwt::{self, sharing, validate};
use dialtone_identity::nkey::{Kind, Seed};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Value::Object(nats)) = serde_json::from_slice(bytes) else { return };
    let (operator, account, user) =
        (Seed::from_bytes(Kind::Operator, [1; 32]), Seed::from_bytes(Kind::Account, [2; 32]), Seed::from_bytes(Kind::User, [3; 32]));
    for (kind, issuer, subject) in [
        ("operator", &operator, &operator),
        ("account", &operator, &account),
        ("user", &account, &user),
        ("activation", &account, &account),
        ("authorization_response", &account, &user),
    ] {
        let mut nats: Map<String, Value> = nats.clone();
        nats.insert("type".into(), kind.into());
        nats.insert("version".into(), 2.into());
        let claims = json!({
            "iss": issuer.public().to_string(), "sub": subject.public().to_string(), "iat": 1, "nats": nats,
        });
        let part = |text: &[u8]| BASE64URL_NOPAD.encode(text);
        let text = format!("{}.{}", part(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#), part(claims.to_string().as_bytes()));
        let text = format!("{text}.{}", part(&issuer.sign(text.as_bytes())));
        let Ok(token) = jwt::decode(&text) else { continue };
        let _ = validate::validate(&token, &validate::ValidationContext { now: Some(0), is_time_zone: &|_| true });
        let _ = sharing::claims(&token, &|_| None, 0);
    }
});
