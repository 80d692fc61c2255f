//! Asking an authorization service about a connection: off the event loops, and closed where no answer comes.

use crate::clock::now;
use crate::internal::{Outgoing, Reply};
use crate::node::{Executor, Node};
use crate::policy::Identity;
use crate::profile::ClientDetails;
use crate::refusal;
use crate::registry::Session;
use crate::resolver::Reach;
use crate::settings::Settings;
use crate::share::Share;
use crate::system;
use crate::verdict::Verdict;
use data_encoding::BASE64;
use dialtone_broker::account::{Account, GLOBAL};
use dialtone_broker::peer::Peer;
use dialtone_identity::authenticator::{JwtContext, Refusal, Shown};
use dialtone_identity::callout::{
    CalloutContext, CalloutError, CalloutGrant, CalloutRequest, SUBJECT, SentCallout, XKEY_HEADER,
};
use dialtone_identity::jwt::DecodedJwt;
use dialtone_identity::jwt::authorization::{
    AuthorizationRequest, ClientInformation, ClientTls, ConnectOptions, ServerId,
};
use dialtone_identity::jwt::trust::{Presented, Proof};
use dialtone_identity::operator::UserJwt;
use dialtone_wire::Connect;
use std::sync::Arc;

/// Characters of a line of PEM.
const PEM_LINE: usize = 64;

/// Asks. The verdict will be in the session.
pub(crate) fn ask(
    executor: &mut Executor,
    session: Arc<Session>,
    callout_request: CalloutRequest,
    request: AuthorizationRequest,
) {
    let node = executor.node.clone();
    let timeout = node.settings.policy().of(session.listener()).auth_timeout;
    let account = match callout_request.account.as_deref() {
        None | Some(GLOBAL) => Some(node.accounts.global.clone()),
        Some(name) => node.accounts.find(name),
    };
    let Some(account) = account else {
        return decide(&session, Err(no_answer("the account of the authorization service is not there")));
    };
    let random = (rand::random(), rand::random());
    let keys = &node.settings.identity.keys;
    let who = ClientDetails {
        name: request.connect.name.as_str().into(),
        lang: request.connect.lang.as_str().into(),
        version: request.connect.version.as_str().into(),
        protocol: request.connect.protocol,
        user: request.client.user.as_str().into(),
        account: GLOBAL.into(),
        by_nkey: false,
    };
    let jwt = request.connect.jwt.clone();
    let sent = match callout_request.ask(request, keys, random, (now(), timeout)) {
        Ok(sent) => sent,
        Err(_) => return decide(&session, Err(no_answer("the question cannot be sealed"))),
    };
    let mut message = Outgoing::new(SUBJECT, sent.payload.clone());
    if sent.sealed {
        let header = format!("NATS/1.0\r\n{XKEY_HEADER}: {}\r\n\r\n", keys.curve.public());
        message.headers = header.into_bytes();
    }
    let asked = Asked { account: account.clone(), who, jwt };
    let share = Share::stranger(&session);
    executor.ask(&account, message, timeout, share, move |executor, answer| match answer {
        Reply::NoResponders => {
            let why = no_answer("nobody answers for the authorization service");
            asked.refused(&executor.node, &session, &why, String::new());
            decide(&session, Err(why));
        }
        Reply::TimedOut => {
            let why = no_answer("auth request timed out");
            asked.refused(&executor.node, &session, &why, String::new());
            decide(&session, Err(why));
        }
        Reply::Message(answer) => {
            let of_answer = session.clone();
            // The account of the answer may have to be looked up.
            executor.node.verifier.take_lookup(session, move |node| {
                let outcome = judge(node, &of_answer, &sent, &answer.payload);
                if let Err(why) = &outcome {
                    asked.refused(node, &of_answer, why, why.text().into_owned());
                }
                decide(&of_answer, outcome);
            });
        }
        Reply::Overloaded => session.decide(Verdict::Overloaded),
    });
}

/// Where it was asked about a connection, and what that said of itself.
struct Asked {
    account: Arc<Account>,
    who: ClientDetails,
    jwt: String,
}

impl Asked {
    /// Reports to the account that the connection does not come in.
    fn refused(self, node: &Node, session: &Arc<Session>, why: &Refusal, reason: String) {
        // Set before the event, which holds it.
        refusal::note(&node.settings, &node.accounts, session, why, &self.jwt);
        let session = session.clone();
        node.internal.run(move |executor| {
            let (node, turn) = executor.parts();
            system::refused_by_service(node, turn, &session, &self.who, &self.account, &reason);
        });
    }
}

fn no_answer(why: &'static str) -> Refusal {
    Refusal::Callout(CalloutError::NoAnswer(why))
}

fn decide(session: &Arc<Session>, outcome: Result<CalloutGrant, Refusal>) {
    session.put_verdict(Verdict::Answered(outcome.map(Box::new)));
    Peer::wake_owner(&session.peer);
}

/// Accounts that are looked up when they are not at hand.
struct Reaching<'a>(&'a Node);

impl JwtContext for Reaching<'_> {
    fn account(&self, key: &str) -> Option<Arc<DecodedJwt>> {
        self.0.look_up(key, Reach::Anywhere).ok().map(|verified| verified.token.clone())
    }

    fn now(&self) -> i64 {
        now()
    }

    fn has_account(&self, name: &str) -> bool {
        self.0.accounts.find(name).is_some()
    }

    fn time_of_day(&self, zone: &str) -> Option<i64> {
        self.0.time_of_day(zone)
    }
}

fn judge(
    node: &Arc<Node>,
    session: &Session,
    sent: &SentCallout,
    answer: &[u8],
) -> Result<CalloutGrant, Refusal> {
    let policy = node.settings.policy();
    // The answer is for a key that was made for it; the service has seen what the connection presents.
    let profile = session.profile();
    let time_of_day = |zone: &str| node.time_of_day(zone);
    let presented = Presented {
        proof: Proof::Shown,
        connection_type: profile.listener.connection_type(),
        proxied: profile.proxy.is_some(),
        address: profile.remote.map(|remote| remote.ip()),
        now: now(),
        time_of_day: &time_of_day,
    };
    let by = CalloutContext {
        operators: policy.authenticator.operators(),
        presented: &presented,
        jwt_context: &Reaching(node),
    };
    let Identity { id, keys, .. } = &node.settings.identity;
    sent.judge(answer, id, keys, &by).map_err(Refusal::Callout)
}

/// Bytes that a request takes while it waits, about.
pub(crate) fn waiting_bytes(request: &AuthorizationRequest) -> usize {
    let said = &request.connect;
    let texts = [
        &said.jwt,
        &said.nkey,
        &said.signed_nonce,
        &said.token,
        &said.user,
        &said.password,
        &said.name,
        &said.lang,
        &said.version,
    ];
    let certificates =
        request.tls.iter().flat_map(|tls| tls.certs.iter().chain(tls.verified_chains.iter().flatten()));
    size_of::<AuthorizationRequest>() + texts.into_iter().chain(certificates).map(String::len).sum::<usize>()
}

/// What the service is shown of a connection.
pub(crate) fn request(
    settings: &Settings,
    cluster: Option<String>,
    session: &Session,
    said: &Connect,
    shown: &Shown,
) -> AuthorizationRequest {
    let Shown { credentials, nonce, .. } = shown;
    let profile = session.profile();
    let policy = settings.policy();
    // Its signature is verified, and it is remembered: it was presented before.
    let operators = policy.authenticator.operators();
    let presented = operators.and_then(|all| all.presented(&credentials.jwt).ok());
    let (jwt, by_token, name_tag, tags) = match presented {
        Some(UserJwt { jwt, token }) => {
            (jwt.to_string(), token.subject.to_string(), token.name.clone(), token.tags.clone())
        }
        // Where users are not known by signature, a JWT means nothing and is not passed on.
        None if operators.is_none() => Default::default(),
        None => (credentials.jwt.to_string(), String::new(), String::new(), Vec::new()),
    };
    let user = match (&*credentials.nkey, &*credentials.user, credentials.token.expose()) {
        ("", "", "") => by_token,
        ("", "", _) if by_token.is_empty() => "[REDACTED]".to_owned(),
        ("", "", _) => by_token,
        ("", user, _) => user.to_owned(),
        (nkey, ..) => nkey.to_owned(),
    };
    AuthorizationRequest {
        server: ServerId {
            name: settings.identity.name.clone(),
            host: policy.clients().info.host.clone(),
            id: settings.identity.id.clone(),
            version: crate::policy::COMPATIBLE_VERSION.to_owned(),
            cluster: cluster.unwrap_or_default(),
            tags: policy.options.server.tags.clone(),
            ..ServerId::default()
        },
        client: ClientInformation {
            host: profile.host().unwrap_or_default(),
            id: profile.id.0,
            user,
            name: said.name.clone(),
            name_tag,
            tags,
            kind: profile.kind.label().to_owned(),
            transport: profile.listener.client_type().to_owned(),
            nonce: if credentials.signature.is_empty() { String::new() } else { nonce.to_string() },
            ..ClientInformation::default()
        },
        connect: ConnectOptions {
            jwt,
            nkey: credentials.nkey.clone(),
            signed_nonce: credentials.signature.clone(),
            token: credentials.token.expose().to_owned(),
            user: credentials.user.clone(),
            password: credentials.password.expose().to_owned(),
            name: said.name.clone(),
            lang: said.lang.clone(),
            version: said.version.clone(),
            protocol: said.protocol,
        },
        tls: profile.secured.as_ref().map(|secured| {
            let chain: Vec<String> = secured.certificates.iter().map(|der| pem(der)).collect();
            let verified = policy.of(profile.listener).info.tls_verify;
            let (certs, verified_chains) = match (chain.is_empty(), verified) {
                (true, _) => (Vec::new(), Vec::new()),
                (_, true) => (Vec::new(), vec![chain]),
                (_, false) => (chain, Vec::new()),
            };
            let version = secured.version.to_owned();
            ClientTls { version, cipher: secured.cipher_suite.clone(), certs, verified_chains }
        }),
        ..AuthorizationRequest::default()
    }
}

/// A certificate in PEM.
fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_LINE));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out + "-----END CERTIFICATE-----\n"
}
