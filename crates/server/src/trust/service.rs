//! Requests about accounts' tokens, on the account for system events: one table of subjects.

use super::accept::{Acceptance, JwtRejection};
use crate::clock::now;
use crate::internal::{Message, Outgoing};
use crate::log::Event;
use crate::node::Node;
use crate::node::{Executor, Listener, Publisher};
use crate::resolver::folder::{self, Store};
use crate::resolver::{Reach, Source};
use crate::share::{Lane, Share};
use crate::system;
use crate::verifier::Chore;
use data_encoding::BASE64URL_NOPAD;
use dialtone_broker::account::Account;
use dialtone_identity::jwt::validate::{Severity, ValidationContext, validate};
use dialtone_identity::jwt::{self, Body, DecodedJwt, JwtError};
use dialtone_identity::nkey::{Kind, Public};
use dialtone_identity::operator::is_account;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a hash of all tokens.
const HASH_BYTES: usize = 32;
/// Tokens that are read from the disk before they are written out.
const TOKENS_PER_WRITE: usize = 64;
/// How often it is looked whether activations are over.
const ACTIVATION_INTERVAL: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// The token of an account.
    Lookup,
    /// Take this token.
    Update,
    /// All tokens, unless the asker has the same.
    Pack,
    /// The accounts.
    List,
    /// Delete accounts.
    Delete,
}

/// The subjects, and which resolvers answer there: memory and URL, a cache, a full folder.
const SUBJECTS: &[(&str, Request, [bool; 3])] = &[
    ("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", Request::Lookup, [false, false, true]),
    ("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", Request::Update, [true, true, true]),
    ("$SYS.ACCOUNT.*.CLAIMS.UPDATE", Request::Update, [true, true, true]),
    ("$SYS.REQ.CLAIMS.UPDATE", Request::Update, [false, true, true]),
    ("$SYS.REQ.CLAIMS.PACK", Request::Pack, [false, false, true]),
    ("$SYS.REQ.CLAIMS.LIST", Request::List, [false, true, true]),
    ("$SYS.REQ.CLAIMS.DELETE", Request::Delete, [false, true, true]),
];

/// Begins to answer requests, and to compare a full folder with those of others.
pub(crate) fn start(node: &Arc<Node>) {
    if node.settings.policy().authenticator.operators().is_none() {
        return;
    }
    node.internal.run(|executor| {
        executor.repeat(ACTIVATION_INTERVAL, |executor| {
            executor.node.verifier.raise(Chore::EndActivations);
            Some(ACTIVATION_INTERVAL)
        });
    });
    let named = node
        .settings
        .policy()
        .authenticator
        .operators()
        .and_then(|all| all.system_account().map(str::to_owned));
    let Some(system) = named.and_then(|name| node.accounts.find(&name)) else { return };
    let kind = match node.resolver.source() {
        Source::Memory | Source::Url(_) => 0,
        Source::Folder { full: false, .. } => 1,
        Source::Folder { full: true, .. } => 2,
    };
    for (subject, request, answered) in SUBJECTS {
        if answered.get(kind) == Some(&true) {
            node.internal.serve(&node.connections.registry, &system, subject, None, request.listener());
        }
    }
    if let Source::Folder { interval: Some(interval), .. } = node.resolver.source() {
        compare(node, &system, *interval);
    }
}

impl Request {
    /// Who answers. What changes something is done by the thread that may take long, one after the other, and before the
    /// logins and questions that wait there; what only reads is a question like any other.
    fn listener(self) -> Listener {
        match self {
            Self::Update | Self::Delete => Listener::Control(
                Lane::Control,
                Arc::new(move |executor, message| change(&executor.node, self, message)),
            ),
            Self::Lookup | Self::Pack | Self::List => {
                Listener::Question(Arc::new(move |publisher, message| read(publisher, self, message)))
            }
        }
    }
}

/// Changes what is kept and in force.
fn change(node: &Node, request: Request, message: &Message) {
    let (share, message) = (Share::account(&message.account), message.clone());
    node.verifier.take_work(Lane::Control, share, move |node| {
        let text = String::from_utf8_lossy(&message.payload);
        let (field, value) = match (request, node.resolver.source()) {
            (Request::Update, source) => update(node, source, named(&message.subject), &text),
            (Request::Delete, Source::Folder { store, .. }) => delete(node, store, &text),
            _ => return,
        };
        let answer = json!({ "server": system::server(node), field: value });
        reply(node, &message, answer.to_string());
    });
}

/// Answers what is asked about that which is kept.
fn read(publisher: &mut Publisher, request: Request, message: &Message) {
    let node = publisher.node.clone();
    let Source::Folder { store, .. } = node.resolver.source() else { return };
    match request {
        Request::Lookup => {
            let key = message.token(3);
            if is_account(key) {
                publisher.reply(message, store.load(key).unwrap_or_default());
            }
        }
        Request::Pack => pack(publisher, store, message),
        Request::List => {
            let answer = json!({ "server": system::server(&node), "data": store.list() });
            publisher.reply(message, answer.to_string());
        }
        Request::Update | Request::Delete => {}
    }
}

/// The account that a subject names: its token before the last two, if it is not that of a request alone.
fn named(subject: &str) -> Option<&str> {
    subject.rsplit('.').nth(2).filter(|token| *token != "REQ")
}

fn reply(node: &Node, message: &Message, payload: String) {
    let message = message.clone();
    node.internal.run(move |executor| executor.reply(&message, payload));
}

type Answered = (&'static str, Value);

/// What is wrong with a JWT's claims.
fn faults(token: &DecodedJwt) -> Vec<String> {
    let issues = validate(token, &ValidationContext { now: None, is_time_zone: &|_| true }).into_iter();
    issues.filter(|issue| issue.severity == Severity::Error).map(|issue| issue.text).collect()
}

/// Takes a token in: on the disk if there is a folder, and in force if the account is in use or known.
fn update(node: &Arc<Node>, source: &Source, key: Option<&str>, text: &str) -> Answered {
    let (verb, done, skipped) = match source {
        Source::Folder { full: false, .. } => {
            ("jwt update cache", "jwt updated cache", "jwt update cache skipped")
        }
        _ => ("jwt update", "jwt updated", "jwt update skipped"),
    };
    let fail = |account: &str, why: &str| {
        let description = format!("{verb} resulted in error - {why}");
        ("error", json!({ "account": account, "code": 500, "description": description }))
    };
    let succeed = |account: &str, message: &str| {
        ("data", json!({ "account": account, "code": 200, "message": message }))
    };
    let shown = key.unwrap_or("n/a");
    let token = match jwt::decode(text) {
        Ok(token) => token,
        Err(error) => return fail(shown, &in_official_words(&error)),
    };
    if !matches!(token.body, Body::Account(_)) {
        return fail(shown, "not account claim");
    }
    let subject = token.subject.to_string();
    if key.is_some_and(|key| key != subject) {
        return fail(shown, "subject does not match jwt content");
    }
    let faults = faults(&token);
    if !faults.is_empty() {
        let description = format!("jwt validation failed - validation errors: [{}]", faults.join(" "));
        return ("error", json!({ "account": subject, "code": 500, "description": description }));
    }
    if !node.settings.policy().authenticator.operators().is_some_and(|all| all.is_operator(&token.issuer)) {
        return fail(&subject, "the JWT is not signed by an operator of this server");
    }
    let stored = |store: &Store| {
        if store.issued_at(&subject).is_some_and(|kept| kept > token.issued_at) {
            return Err(JwtRejection::Older.to_string());
        }
        store.save(&subject, text, &token).map_err(|error| error.to_string())
    };
    let in_use = node.accounts.jwts.find(&subject).is_some();
    match source {
        Source::Folder { full, store, .. } => {
            if !full && !store.has(&subject) {
                return succeed(&subject, skipped);
            }
            if let Err(why) = stored(store) {
                return fail(&subject, &why);
            }
        }
        Source::Memory | Source::Url(_) if !in_use => return succeed(&subject, skipped),
        Source::Memory | Source::Url(_) => {}
    }
    if in_use {
        match node.accept_jwt(&subject, text, Reach::Here) {
            Ok(Acceptance::Taken | Acceptance::Known) => {}
            Err(why) => match source {
                // It is kept, and counts as soon as it can be believed.
                Source::Folder { .. } => {
                    let text = format_args!("The JWT of account {subject} is kept, but not in force: {why}");
                    node.log.emit(Event::AccountFault, "", text);
                    if token.check_time(now()).is_err() {
                        node.forget(&subject);
                    }
                }
                Source::Memory | Source::Url(_) => return fail(&subject, &why.to_string()),
            },
        }
    }
    node.log.emit(Event::AccountUpdated, "", format_args!("JWT of account {subject} updated"));
    succeed(&subject, done)
}

/// Why a text is no token, as the official server says it.
fn in_official_words(error: &JwtError) -> String {
    match error {
        JwtError::Form => "expected 3 chunks".into(),
        JwtError::Encoding(byte) => format!("illegal base64 data at input byte {byte}"),
        JwtError::Claims(problem) => problem.clone(),
        JwtError::Newer => "JWT was generated by a newer version ".into(),
        JwtError::Unknown => "claim failed V1 signature verification".into(),
        JwtError::Signature => "claim failed V2 signature verification".into(),
        other => other.to_string(),
    }
}

/// A request that the operator signed: which accounts are to be deleted.
fn delete(node: &Arc<Node>, store: &Store, text: &str) -> Answered {
    let fail = |who: &str, why: &str| {
        let description = format!("delete accounts request by {who} failed - {why}");
        ("error", json!({ "code": 500, "description": description }))
    };
    let claims = match jwt::decode_any(text) {
        Ok(claims) => claims,
        Err(error) => return fail("", &in_official_words(&error)),
    };
    let who = claims.subject.to_string();
    if !store.allows_delete() {
        return fail(&who, "delete must be enabled in server config");
    }
    if claims.subject != claims.issuer {
        return fail(&who, "not self signed");
    }
    let policy = node.settings.policy();
    let trusted = policy.authenticator.operators().is_some_and(|all| all.is_operator(&claims.issuer));
    if claims.issuer.kind != Kind::Operator || !trusted {
        return fail(&who, "not trusted");
    }
    let Some(keys) = claims.nats.get("accounts").and_then(Value::as_array) else {
        return fail(&who, "malformed request");
    };
    let system = policy.system_account();
    let mut accounts = Vec::new();
    for key in keys {
        match key.as_str().filter(|key| Public::parse(key).is_ok_and(|key| key.kind == Kind::Account)) {
            Some(key) if system == Some(key) => {
                return fail(&who, "not allowed to delete system account");
            }
            Some(key) => accounts.push(key),
            None => return fail(&who, "malformed request"),
        }
    }
    for key in &accounts {
        if let Err(error) = store.delete(key) {
            return fail(&who, &error.to_string());
        }
        node.forget(key);
    }
    let message = format!("deleted {} accounts", accounts.len());
    ("data", json!({ "code": 200, "message": message }))
}

/// All tokens, a message each, and an empty one behind them; only that if the asker has the same.
fn pack(publisher: &mut Publisher, store: &Store, message: &Message) {
    let same = message.payload.len() == HASH_BYTES && *message.payload == store.hash();
    if !same {
        for (number, key) in store.list().into_iter().enumerate() {
            if let Some(jwt) = store.load(&key) {
                publisher.reply(message, format!("{key}|{jwt}"));
            }
            if number % TOKENS_PER_WRITE == TOKENS_PER_WRITE - 1 {
                publisher.write();
            }
        }
    }
    publisher.reply(message, Vec::new());
}

/// Asks others again and again for the tokens that this folder does not have.
fn compare(node: &Arc<Node>, system: &Arc<Account>, interval: Duration) {
    let inbox = format!("$SYS._INBOX.CLAIMS.{}", BASE64URL_NOPAD.encode(&rand::random::<[u8; 12]>()));
    let merge = |executor: &mut Executor, message: &Message| {
        let message = message.clone();
        let work = move |node: &Arc<Node>| {
            let Source::Folder { store, .. } = node.resolver.source() else { return };
            for line in String::from_utf8_lossy(&message.payload).lines() {
                let Some((key, jwt)) = line.split_once('|') else { continue };
                let Ok(token) = jwt::decode(jwt) else { continue };
                // Only what is newer than what is here.
                if folder::is_current(&token)
                    && store.issued_at(key).is_none_or(|kept| kept < token.issued_at)
                {
                    update(node, node.resolver.source(), Some(key), jwt);
                }
            }
        };
        // The next comparison brings what does not fit.
        executor.node.verifier.take_work(Lane::Report, Share::Server, work);
    };
    let listener = Listener::Control(Lane::Report, Arc::new(merge));
    node.internal.serve(&node.connections.registry, system, &inbox, None, listener);
    let system = system.clone();
    node.internal.run(move |executor| {
        executor.repeat(interval, move |executor| {
            if let Source::Folder { store, .. } = executor.node.resolver.source() {
                let mut question = Outgoing::new("$SYS.REQ.CLAIMS.PACK", store.hash().to_vec());
                question.reply.clone_from(&inbox);
                executor.publish(&system, &question);
            }
            Some(interval)
        });
    });
}
