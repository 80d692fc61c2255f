//! The table of system subjects: what is answered and heard in the system account.
//!
//! The official server holds one subscription for each; so does this one, since their number is part of what `/varz`,
//! `/accountz` and STATSZ say.

use super::answer::{self as requests, Ask};
use super::{commands, explain, latency, network, subscribed, tenants};
use crate::asked_here::{EXPLAIN, LEAVE, SUBSCRIBED};
use crate::internal::Message;
use crate::node::Node;
use crate::node::{Executor, Listener, Publisher, QuestionHandler};
use crate::share::Lane;
use dialtone_broker::account::Account;
use dialtone_wire::interserver::short_hash;
use std::sync::Arc;

/// What answers a question.
type Answering = fn(&mut Publisher, &Message);
/// What carries out a command.
type Command = fn(&mut Executor, &Message);

/// Who answers.
pub(super) enum Answer {
    /// `$SYS.REQ.SERVER.PING.<name>` and `$SYS.REQ.SERVER.<id>.<name>`: every server that the request's filter admits.
    Servers(Ask),
    /// The same, with an envelope of its own.
    ServersAlone(Answering),
    /// This subject.
    Subject(Answering),
    /// A command, which comes before all questions.
    Command(Command),
    /// What servers of a network say to each other, in no hurry.
    Network(fn(&mut Executor, &Message)),
    /// The same, where there is nothing to do.
    Cluster,
}

/// Every subject of the system account. `{id}` is this server's, `{hash}` that of its name.
pub(super) const SYSTEM: &[(&str, Answer)] = &[
    ("STATSZ", Answer::ServersAlone(requests::statsz)),
    ("IDZ", Answer::ServersAlone(requests::idz)),
    ("VARZ", Answer::Servers(requests::VARZ)),
    ("SUBSZ", Answer::Servers(requests::SUBSZ)),
    ("CONNZ", Answer::Servers(requests::CONNZ)),
    ("ROUTEZ", Answer::Servers(requests::ROUTEZ)),
    ("GATEWAYZ", Answer::Servers(requests::GATEWAYZ)),
    ("LEAFZ", Answer::Servers(requests::LEAFZ)),
    ("ACCOUNTZ", Answer::Servers(requests::ACCOUNTZ)),
    ("JSZ", Answer::Servers(requests::JSZ)),
    ("HEALTHZ", Answer::Servers(requests::HEALTHZ)),
    ("PROFILEZ", Answer::Servers(requests::PROFILEZ)),
    ("EXPVARZ", Answer::Servers(requests::EXPVARZ)),
    ("IPQUEUESZ", Answer::Servers(requests::IPQUEUESZ)),
    ("RAFTZ", Answer::Servers(requests::RAFTZ)),
    ("$SYS.REQ.SERVER.PING", Answer::Subject(requests::statsz)),
    ("$SYS.REQ.SERVER.{id}.RELOAD", Answer::Command(commands::reload)),
    ("$SYS.REQ.SERVER.{id}.KICK", Answer::Command(commands::kick)),
    ("$SYS.REQ.SERVER.{id}.LDM", Answer::Command(commands::lame_duck)),
    ("$SYS.REQ.ACCOUNT.*.SUBSZ", Answer::Subject(requests::account_subsz)),
    ("$SYS.REQ.ACCOUNT.*.CONNZ", Answer::Subject(requests::account_connz)),
    ("$SYS.REQ.ACCOUNT.*.LEAFZ", Answer::Subject(requests::account_leafz)),
    ("$SYS.REQ.ACCOUNT.*.JSZ", Answer::Subject(requests::account_jsz)),
    ("$SYS.REQ.ACCOUNT.*.INFO", Answer::Subject(requests::account_info)),
    ("$SYS.REQ.ACCOUNT.*.CONNS", Answer::Subject(requests::account_conns)),
    ("$SYS.REQ.ACCOUNT.*.STATZ", Answer::Subject(requests::account_statz)),
    ("$SYS.REQ.ACCOUNT.PING.STATZ", Answer::Subject(requests::accounts_statz)),
    ("$SYS.REQ.ACCOUNT.NSUBS", Answer::Subject(requests::subscribers_of)),
    ("$SYS.REQ.USER.*.INFO", Answer::Subject(tenants::user_info)),
    ("$SYS.DEBUG.SUBSCRIBERS", Answer::Subject(tenants::subscribers)),
    ("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", Answer::Cluster),
    ("$SYS.ACCOUNT.*.CLAIMS.UPDATE", Answer::Cluster),
    ("$SYS.ACCOUNT.*.LEAFNODE.CONNECT", Answer::Cluster),
    ("$SYS.SERVER.ACCOUNT.*.CONNS", Answer::Network(network::account_connections)),
    ("$SYS.SERVER.*.STATSZ", Answer::Network(network::present)),
    ("$SYS.SERVER.*.SHUTDOWN", Answer::Network(network::gone)),
    ("$SYS.SERVER.*.LAMEDUCK", Answer::Network(network::gone)),
    ("$SYS.LATENCY.M2.{hash}", Answer::Network(latency::take_part)),
    ("$SYS._INBOX_.{id}", Answer::Network(network::inbox)),
];

/// What the official server does not have: by PING and by id, too.
const BEYOND: &[(&str, Answering)] = &[(EXPLAIN, explain::answer)];
/// The same, and a command: by id alone.
const BEYOND_COMMANDS: &[(&str, Command)] = &[(LEAVE, commands::leave)];

/// Answers in the system account.
pub(super) fn serve(node: &Node, system: &Arc<Account>) {
    let identity = &node.settings.identity;
    let hash = short_hash::<8>(identity.name.as_bytes());
    let hash = String::from_utf8_lossy(&hash);
    let serve = |subject: &str, listener: Listener| {
        let subject = subject.replace("{id}", &identity.id).replace("{hash}", &hash);
        node.internal.serve(&node.connections.registry, system, &subject, None, listener);
    };
    let both = |name: &str, handler: QuestionHandler| {
        serve(&format!("$SYS.REQ.SERVER.PING.{name}"), Listener::Question(handler.clone()));
        serve(&format!("$SYS.REQ.SERVER.{{id}}.{name}"), Listener::Question(handler));
    };
    // With operators claims are answered elsewhere.
    let operators = node.settings.policy().authenticator.operators().is_some();
    for (subject, answer) in SYSTEM.iter().filter(|(subject, _)| !operators || !subject.contains(".CLAIMS."))
    {
        match answer {
            Answer::Servers(ask) => {
                both(subject, Arc::new(|publisher, message| requests::answer(publisher, message, ask)));
            }
            Answer::ServersAlone(answer) => both(subject, Arc::new(*answer)),
            Answer::Subject(answer) => serve(subject, Listener::Question(Arc::new(*answer))),
            Answer::Command(run) => serve(subject, Listener::Control(Lane::Control, Arc::new(*run))),
            // Alone there is nobody to hear of.
            Answer::Network(hear) if node.delivery.gate.is_watched() => {
                serve(subject, Listener::Control(Lane::Report, Arc::new(*hear)));
            }
            Answer::Network(_) | Answer::Cluster => serve(subject, Listener::Nobody),
        }
    }
    let policy = node.settings.policy();
    if policy.options.cluster.as_ref().is_some_and(|own| own.acknowledge_subscriptions) {
        let question = Listener::Question(Arc::new(subscribed::answer));
        serve(SUBSCRIBED, question);
        system.unlist(1);
    }
    for (name, answer) in BEYOND {
        both(name, Arc::new(*answer));
        system.unlist(2);
    }
    for (name, run) in BEYOND_COMMANDS {
        let command = Listener::Control(Lane::Control, Arc::new(*run));
        serve(&format!("$SYS.REQ.SERVER.{{id}}.{name}"), command);
        system.unlist(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the official server was seen to call them.
    #[test]
    fn names_have_the_official_hashes() {
        assert_eq!([b"A", b"B"].map(|name| short_hash(name)), [*b"NUmM6cRx", *b"b2oh2L6w"]);
    }

    /// The counts of the official server, asked: 15 requests by PING and by id, 3 commands, 7 about an account; with the
    /// inbox that is subscribed apart and the service that it has of itself, 56 subscriptions in all.
    #[test]
    fn the_table_is_whole() {
        let count = |is: fn(&Answer) -> bool| SYSTEM.iter().filter(|(_, answer)| is(answer)).count();
        let servers = count(|a| matches!(a, Answer::Servers(_) | Answer::ServersAlone(_)));
        let named = |part: &str| SYSTEM.iter().filter(|(subject, _)| subject.starts_with(part)).count();
        assert_eq!(servers, 15);
        assert_eq!(named("$SYS.REQ.SERVER.{id}."), 3);
        assert_eq!(named("$SYS.REQ.ACCOUNT.*.") - 1, 7, "and one for claims");
        assert_eq!(SYSTEM.len() + servers + 2, 56);
    }
}
