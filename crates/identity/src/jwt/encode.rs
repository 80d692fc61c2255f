//! Tokens of version 2, made and signed.
//!
//! The same claims, key and second make the same token as the official library: the same fields in the same order,
//! the same identifier, the same escapes.

use super::authorization::{AuthorizationRequest, REQUEST_AUDIENCE};
use super::claims::is_default;
use super::{Body, DecodedJwt, VERSION_MAX};
use crate::nkey::{Kind, Public, Seed};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::Serialize;
use sha2::{Digest, Sha512_256};

/// What a token is to say, without what only its signing adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Whom it speaks of.
    pub subject: Public,
    /// The name of its subject, for people.
    pub name: String,
    /// Whom it is meant for.
    pub audience: String,
    /// Its last second, since 1970. `None`: for ever.
    pub expires: Option<i64>,
    /// Its first second, since 1970. `None`: from the beginning.
    pub not_before: Option<i64>,
    /// Tags, in lower case.
    pub tags: Vec<String>,
    /// What it says.
    pub body: Body,
}

/// Why a token cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A key of a kind that may not issue such a token.
    #[error("a JWT of kind {kind} cannot be issued by an NKey of kind {}", .issuer.name())]
    Issuer {
        /// The kind of token.
        kind: &'static str,
        /// The kind of key.
        issuer: Kind,
    },
    /// A key of a kind that such a token cannot speak of.
    #[error("a JWT of kind {kind} cannot have a subject of kind {}", .subject.name())]
    Subject {
        /// The kind of token.
        kind: &'static str,
        /// The kind of key.
        subject: Kind,
    },
    /// It cannot be written as JSON.
    #[error("the claims cannot be written: {0}")]
    Json(String),
}

/// What is signed, and what is hashed for the identifier: the same fields but the last.
#[derive(Serialize)]
struct Claims<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    aud: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    exp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    jti: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    iat: i64,
    iss: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    nbf: i64,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<Nats<'a>>,
}

#[derive(Serialize)]
struct Nats<'a> {
    #[serde(flatten)]
    body: &'a Body,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(rename = "type")]
    kind: &'static str,
    version: i64,
}

impl Draft {
    /// What a token of `subject` is to say, with no bounds in time.
    pub fn new(subject: Public, name: &str, body: impl Into<Body>) -> Self {
        Self {
            subject,
            name: name.to_owned(),
            audience: String::new(),
            expires: None,
            not_before: None,
            tags: Vec::new(),
            body: body.into(),
        }
    }

    /// The token, signed by `issuer` at `issued_at` (seconds since 1970).
    pub fn sign(&self, issuer: &Seed, issued_at: i64) -> Result<String, EncodeError> {
        let kind = self.body.kind();
        let by = issuer.public();
        if !self.body.issuers().contains(&by.kind) {
            return Err(EncodeError::Issuer { kind, issuer: by.kind });
        }
        if self.subject.kind != self.body.subject() {
            return Err(EncodeError::Subject { kind, subject: self.subject.kind });
        }
        let (by, of) = (by.to_string(), self.subject.to_string());
        // A question to an authorization service names its subject within; the claim's own is always the same.
        let of = if matches!(self.body, Body::AuthorizationRequest(_)) { REQUEST_AUDIENCE } else { &of };
        let mut claims = Claims {
            aud: &self.audience,
            exp: self.expires.unwrap_or(0),
            jti: "",
            iat: issued_at,
            iss: &by,
            name: &self.name,
            nbf: self.not_before.unwrap_or(0),
            sub: of,
            nats: None,
        };
        let id = BASE32_NOPAD.encode(&Sha512_256::digest(json(&claims)?));
        claims.jti = &id;
        claims.nats = Some(Nats { body: &self.body, tags: &self.tags, kind, version: VERSION_MAX });
        Ok(signed(issuer, &json(&claims)?))
    }
}

/// A question to an authorization service about a user of the account `of`, from `(issued_at, expires)` (seconds since
/// 1970), signed by a server.
pub fn sign_callout_request(
    request: &AuthorizationRequest,
    audience: &str,
    of: &Public,
    server: &Seed,
    (issued_at, expires): (i64, i64),
) -> Result<String, EncodeError> {
    let (by, of) = (server.public(), of.to_string());
    let body = Body::AuthorizationRequest(Box::new(request.clone()));
    if by.kind != Kind::Server {
        return Err(EncodeError::Issuer { kind: body.kind(), issuer: by.kind });
    }
    let by = by.to_string();
    let (iss, sub, aud) = (&*by, &*of, audience);
    let mut claims =
        Claims { aud, exp: expires, jti: "", iat: issued_at, iss, name: "", nbf: 0, sub, nats: None };
    let id = BASE32_NOPAD.encode(&Sha512_256::digest(json(&claims)?));
    claims.jti = &id;
    claims.nats = Some(Nats { body: &body, tags: &[], kind: body.kind(), version: VERSION_MAX });
    Ok(signed(server, &json(&claims)?))
}

/// A request to resolvers to delete accounts, signed by an operator at `issued_at` (seconds since 1970). It has no kind.
pub fn sign_deletion(operator: &Seed, accounts: &[String], issued_at: i64) -> Result<String, EncodeError> {
    let issuer = operator.public();
    if issuer.kind != Kind::Operator {
        return Err(EncodeError::Issuer { kind: "deletion", issuer: issuer.kind });
    }
    let own = issuer.to_string();
    let nats = serde_json::json!({ "accounts": accounts, "version": VERSION_MAX });
    let claims = serde_json::json!({ "iat": issued_at, "iss": own, "sub": own, "nats": nats });
    Ok(signed(operator, &claims.to_string()))
}

/// A token with these claims.
fn signed(issuer: &Seed, claims: &str) -> String {
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let text = format!("{header}.{}", BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = BASE64URL_NOPAD.encode(&issuer.sign(text.as_bytes()));
    format!("{text}.{signature}")
}

impl From<&DecodedJwt> for Draft {
    /// What a token says, to be changed and signed again.
    fn from(token: &DecodedJwt) -> Self {
        Self {
            subject: token.subject,
            name: token.name.clone(),
            audience: token.audience.clone(),
            expires: token.expires,
            not_before: token.not_before,
            tags: token.tags.clone(),
            body: token.body.clone(),
        }
    }
}

/// JSON as the official library writes it, with the characters that HTML cares for as escapes. They occur only in texts.
fn json(claims: &Claims<'_>) -> Result<String, EncodeError> {
    let json = serde_json::to_string(claims).map_err(|e| EncodeError::Json(e.to_string()))?;
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => escaped.push(character),
        }
    }
    Ok(escaped)
}
