//! Tokens by which operators, accounts and users say who may do what: their form and signature. Whether they may be
//! believed is [`trust`]'s question.
//!
//! [`decode`] reads and verifies, [`encode`] makes and signs; [`claims`], [`account`] and [`authorization`] say what a
//! token holds; [`template`] fills a role's template in, [`sharing`] reads what an account gives and takes; [`validate`]
//! names all that is wrong.
//! Source: <https://github.com/nats-io/jwt>, versions 1 and 2; RFC 7519.

pub mod account;
pub mod authorization;
pub mod claims;
pub mod encode;
pub mod sharing;
pub mod template;
mod time_of_day;
pub mod trust;
pub mod validate;

use crate::base64;
use crate::nkey::{Kind, Public};
use account::Account;
use authorization::{AuthorizationRequest, AuthorizationResponse};
use claims::{Activation, Operator, User};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Bytes of a token; a longer one is not looked at. The official figure.
pub const JWT_BYTES_MAX: usize = 1024 * 1024;
/// The newest version there is.
const VERSION_MAX: i64 = 2;

/// A token whose signature is its issuer's.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedJwt {
    /// Its identifier; empty if it has none.
    pub id: String,
    /// Who signed it.
    pub issuer: Public,
    /// Whom it speaks of; a question to an authorization service: of the user.
    pub subject: Public,
    /// The name of its subject, for people.
    pub name: String,
    /// Whom it is meant for.
    pub audience: String,
    /// When it was signed, in seconds since 1970.
    pub issued_at: i64,
    /// Its last second. `None`: for ever.
    pub expires: Option<i64>,
    /// Its first second. `None`: from the beginning.
    pub not_before: Option<i64>,
    /// Tags, in lower case.
    pub tags: Vec<String>,
    /// What it says.
    pub body: Body,
}

/// What a token says, by kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// Of an operator.
    Operator(Operator),
    /// Of an account.
    Account(Box<Account>),
    /// Of a user.
    User(Box<User>),
    /// That an account may import something.
    Activation(Activation),
    /// A question to an authorization service.
    AuthorizationRequest(Box<AuthorizationRequest>),
    /// Its answer.
    AuthorizationResponse(AuthorizationResponse),
}

impl Body {
    /// What the kind is called in a token.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Account(_) => "account",
            Self::User(_) => "user",
            Self::Activation(_) => "activation",
            Self::AuthorizationRequest(_) => "authorization_request",
            Self::AuthorizationResponse(_) => "authorization_response",
        }
    }

    /// The kinds of keys that may issue it.
    fn issuers(&self) -> &'static [Kind] {
        match self {
            Self::Operator(_) => &[Kind::Operator],
            Self::Account(_) | Self::Activation(_) => &[Kind::Account, Kind::Operator],
            Self::User(_) | Self::AuthorizationResponse(_) => &[Kind::Account],
            Self::AuthorizationRequest(_) => &[Kind::Server],
        }
    }

    /// The kind of key that it speaks of.
    fn subject(&self) -> Kind {
        match self {
            Self::Operator(_) => Kind::Operator,
            Self::Account(_) | Self::Activation(_) => Kind::Account,
            Self::User(_) | Self::AuthorizationRequest(_) | Self::AuthorizationResponse(_) => Kind::User,
        }
    }
}

impl From<Operator> for Body {
    fn from(operator: Operator) -> Self {
        Self::Operator(operator)
    }
}

impl From<Account> for Body {
    fn from(account: Account) -> Self {
        Self::Account(Box::new(account))
    }
}

impl From<User> for Body {
    fn from(user: User) -> Self {
        Self::User(Box::new(user))
    }
}

impl From<Activation> for Body {
    fn from(activation: Activation) -> Self {
        Self::Activation(activation)
    }
}

impl From<AuthorizationRequest> for Body {
    fn from(request: AuthorizationRequest) -> Self {
        Self::AuthorizationRequest(Box::new(request))
    }
}

impl From<AuthorizationResponse> for Body {
    fn from(response: AuthorizationResponse) -> Self {
        Self::AuthorizationResponse(response)
    }
}

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Longer than [`JWT_BYTES_MAX`].
    #[error("the JWT is longer than {JWT_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts.
    #[error("not a JWT: expected 3 chunks")]
    Form,
    /// A part that is not base64, from this byte on.
    #[error("not a JWT: illegal base64 data at input byte {0}")]
    Encoding(usize),
    /// A header of another kind of token, such as one without a signature.
    #[error("a JWT of an unknown type or algorithm")]
    Header,
    /// Claims that cannot be read.
    #[error("the JWT's claims cannot be read: {0}")]
    Claims(String),
    /// A version or kind that is not known.
    #[error("a JWT of an unknown version or kind")]
    Unknown,
    /// A version that is later than those that are known.
    #[error("the JWT was made by a newer version")]
    Newer,
    /// A key of a kind that may not issue such a token, or that such a token cannot speak of.
    #[error("a JWT with the wrong kind of issuer or subject")]
    Keys,
    /// The signature is not the issuer's.
    #[error("the JWT's signature is not its issuer's")]
    Signature,
}

/// Reads a token and verifies its signature. Not whether its issuer is trusted, and not its times.
pub fn decode(text: &str) -> Result<DecodedJwt, JwtError> {
    if text.len() > JWT_BYTES_MAX {
        return Err(JwtError::TooLong);
    }
    let Parts { signed, header, payload, signature } = Parts::of(text)?;
    check_header(&object(header)?)?;
    let mut claims = object(payload)?;
    drop_nulls(&mut claims)?;
    let version = modernize(&mut claims)?;
    let signature = decoded(signature)?;
    // Version 1 signs the claims alone.
    let signed = if version == 1 { payload } else { signed };
    let issuer = key(&claims, "iss")?;
    if !issuer.verify(signed.as_bytes(), &signature) {
        return Err(JwtError::Signature);
    }
    token(claims, issuer)
}

/// Claims of no kind that is known, whose signature is their issuer's: a request to delete accounts.
#[derive(Clone, Debug)]
pub struct AnyJwt {
    /// Who signed it.
    pub issuer: Public,
    /// Whom it speaks of.
    pub subject: Public,
    /// What it says.
    pub nats: Map<String, Value>,
}

/// Reads claims of any kind and verifies their signature. Version 2 alone.
pub fn decode_any(text: &str) -> Result<AnyJwt, JwtError> {
    if text.len() > JWT_BYTES_MAX {
        return Err(JwtError::TooLong);
    }
    let Parts { signed, header, payload, signature } = Parts::of(text)?;
    check_header(&object(header)?)?;
    let mut claims = object(payload)?;
    let issuer = key(&claims, "iss")?;
    if !issuer.verify(signed.as_bytes(), &decoded(signature)?) {
        return Err(JwtError::Signature);
    }
    let subject = key(&claims, "sub")?;
    let nats = match claims.remove("nats") {
        Some(Value::Object(nats)) => nats,
        _ => Map::new(),
    };
    Ok(AnyJwt { issuer, subject, nats })
}

/// The claims of a token as JSON, with fields that are not known here, too. Nothing is verified.
pub fn payload(text: &str) -> Result<Value, JwtError> {
    let part = text.split('.').nth(1).ok_or(JwtError::Form)?;
    if text.len() > JWT_BYTES_MAX { Err(JwtError::TooLong) } else { object(part).map(Value::Object) }
}

/// The text of a token without the line ends in and behind its signature, where they mean nothing.
pub fn single_line(text: &str) -> String {
    match text.rsplit_once('.') {
        Some((signed, signature)) => format!("{signed}.{}", signature.replace(['\r', '\n'], "")),
        None => text.to_owned(),
    }
}

/// The parts of a token, as they stand in its text.
struct Parts<'a> {
    /// Header and payload, with the dot between them.
    signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, JwtError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Form)?;
        if payload.contains('.') {
            Err(JwtError::Form)
        } else {
            Ok(Self { signed, header, payload, signature })
        }
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, JwtError> {
    base64::decode_url(part).map_err(JwtError::Encoding)
}

fn object(part: &str) -> Result<Map<String, Value>, JwtError> {
    serde_json::from_slice(&decoded(part)?).map_err(unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: serde_json::Error) -> JwtError {
    JwtError::Claims(error.to_string())
}

fn check_header(header: &Map<String, Value>) -> Result<(), JwtError> {
    let text = |key: &str| header.get(key).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    if text("typ") == "jwt" && ["ed25519", "ed25519-nkey"].contains(&text("alg").as_str()) {
        Ok(())
    } else {
        Err(JwtError::Header)
    }
}

/// A field that is null is a field that is not there. In a list it would be a thing that is none: refused.
fn drop_nulls(map: &mut Map<String, Value>) -> Result<(), JwtError> {
    map.retain(|_, value| !value.is_null());
    map.values_mut().try_for_each(drop_nulls_within)
}

fn drop_nulls_within(value: &mut Value) -> Result<(), JwtError> {
    match value {
        Value::Object(map) => drop_nulls(map),
        Value::Array(list) if list.iter().any(Value::is_null) => {
            Err(JwtError::Claims("null in a list".to_owned()))
        }
        Value::Array(list) => list.iter_mut().try_for_each(drop_nulls_within),
        _ => Ok(()),
    }
}

/// Gives claims of version 1 the form of version 2, and says which version they were.
fn modernize(claims: &mut Map<String, Value>) -> Result<i64, JwtError> {
    let moved = ["type", "tags", "issuer_account"].map(|field| (field, claims.remove(field)));
    let is_old = moved.iter().any(|(field, value)| *field == "type" && value.is_some());
    let nats = claims.entry("nats").or_insert_with(|| Value::Object(Map::new()));
    let nats = nats.as_object_mut().ok_or(JwtError::Unknown)?;
    if is_old {
        nats.extend(moved.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
        // What version 1 did not limit was unlimited; its accounts knew no JetStream.
        if nats.get("type").and_then(Value::as_str) == Some("user") {
            claims::unlimited_unless_said(nats);
        }
        nats.remove("default_permissions");
        return Ok(1);
    }
    let version = nats.get("version").and_then(Value::as_i64).unwrap_or(0);
    match version {
        VERSION_MAX => Ok(version),
        _ if version > VERSION_MAX => Err(JwtError::Newer),
        _ => Err(JwtError::Unknown),
    }
}

fn key(claims: &Map<String, Value>, field: &str) -> Result<Public, JwtError> {
    let text = claims.get(field).and_then(Value::as_str).unwrap_or_default();
    Public::parse(text).map_err(|_| JwtError::Keys)
}

fn token(mut claims: Map<String, Value>, issuer: Public) -> Result<DecodedJwt, JwtError> {
    let nats = claims.remove("nats").unwrap_or_default();
    let kind = nats.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let tags: Vec<String> = match nats.get("tags") {
        Some(tags) => read(tags.clone())?,
        None => Vec::new(),
    };
    let body = match kind.as_str() {
        "operator" => Body::Operator(read(nats)?),
        "account" => Body::Account(read(nats)?),
        "user" => Body::User(read(nats)?),
        "activation" => Body::Activation(read(nats)?),
        "authorization_request" => Body::AuthorizationRequest(read(nats)?),
        "authorization_response" => Body::AuthorizationResponse(read(nats)?),
        _ => return Err(JwtError::Unknown),
    };
    let subject = match &body {
        Body::AuthorizationRequest(request) => {
            Public::parse(&request.user_nkey).map_err(|_| JwtError::Keys)?
        }
        _ => key(&claims, "sub")?,
    };
    if !body.issuers().contains(&issuer.kind) || subject.kind != body.subject() {
        return Err(JwtError::Keys);
    }
    let time = |field: &str| match claims.get(field) {
        None => Ok(0),
        Some(value) => value.as_i64().ok_or_else(|| JwtError::Claims(format!("{field} is no time"))),
    };
    let text = |field: &str| claims.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(DecodedJwt {
        id: text("jti"),
        issuer,
        subject,
        name: text("name"),
        audience: text("aud"),
        issued_at: time("iat")?,
        expires: Some(time("exp")?).filter(|&at| at > 0),
        not_before: Some(time("nbf")?).filter(|&at| at > 0),
        tags: tags.iter().map(|tag| tag.trim().to_lowercase()).collect(),
        body,
    })
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, JwtError> {
    serde_json::from_value(value).map_err(unreadable)
}

#[cfg(test)]
mod encode_tests;
#[cfg(test)]
pub(crate) mod tests;
