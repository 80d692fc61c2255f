//! The table of endpoints, and which one a subject is.

/// What all subjects of the API begin with where no domain is named.
pub const API_PREFIX: &str = "$JS.API.";

/// How the body of a request is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Not looked at.
    Ignored,
    /// Anything is an error but nothing at all, or an object without fields ([`super::is_empty`]).
    Empty,
    /// JSON if it begins like an object or array; else it counts as empty.
    Optional,
    /// JSON, with unknown fields refused in strict mode; a body that says nothing is a bad request.
    Required,
    /// JSON, with unknown fields refused in strict mode; nothing in it is a document of defaults.
    Strict,
    /// JSON; unknown fields are ignored in any mode.
    Plain,
}

/// Who is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Clients of accounts with JetStream.
    Account,
    /// The same, by the consumer itself: without it, nobody answers.
    Consumer,
    /// The same, by a stream with `allow_direct`, or a mirror with `mirror_direct`: without it, nobody answers.
    Stream,
    /// Clients of the system account, of a server that is part of a cluster. Elsewhere nobody answers.
    System,
    /// Clients of accounts; without a cluster the answer is an error.
    Cluster,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which one.
    pub endpoint: Endpoint,
    /// Its subject behind [`API_PREFIX`]: `*` for a name, `>` for the rest.
    pub pattern: &'static str,
    /// The `type` of its responses, behind `io.nats.jetstream.api.v1.`; empty if it has none.
    pub response: &'static str,
    /// How its body is read.
    pub body: Body,
    /// Who is answered.
    pub audience: Audience,
}

macro_rules! endpoints {
    ($( $(#[$doc:meta])* $name:ident $pattern:literal $response:literal $body:ident $audience:ident; )*) => {
        /// An endpoint of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Endpoint { $( $(#[$doc])* $name, )* }

        /// All endpoints.
        pub const ENDPOINTS: &[Row] = &[ $( Row {
            endpoint: Endpoint::$name,
            pattern: $pattern,
            response: $response,
            body: Body::$body,
            audience: Audience::$audience,
        }, )* ];
    };
}

endpoints! {
    /// What an account has and may have.
    Info "INFO" "account_info_response" Ignored Account;
    /// Creates a stream.
    StreamCreate "STREAM.CREATE.*" "stream_create_response" Strict Account;
    /// Changes a stream.
    StreamUpdate "STREAM.UPDATE.*" "stream_update_response" Strict Account;
    /// The names of streams.
    StreamNames "STREAM.NAMES" "stream_names_response" Optional Account;
    /// Streams with what there is to say of them.
    StreamList "STREAM.LIST" "stream_list_response" Optional Account;
    /// What there is to say of a stream.
    StreamInfo "STREAM.INFO.*" "stream_info_response" Optional Account;
    /// Deletes a stream.
    StreamDelete "STREAM.DELETE.*" "stream_delete_response" Empty Account;
    /// Deletes messages of a stream.
    StreamPurge "STREAM.PURGE.*" "stream_purge_response" Optional Account;
    /// Sends a stream as an archive.
    StreamSnapshot "STREAM.SNAPSHOT.*" "stream_snapshot_response" Required Account;
    /// Makes a stream of an archive.
    StreamRestore "STREAM.RESTORE.*" "stream_restore_response" Required Account;
    /// Deletes one message.
    MessageDelete "STREAM.MSG.DELETE.*" "stream_msg_delete_response" Required Account;
    /// One message.
    MessageGet "STREAM.MSG.GET.*" "stream_msg_get_response" Required Account;
    /// Takes a server from a stream.
    StreamPeerRemove "STREAM.PEER.REMOVE.*" "stream_remove_peer_response" Ignored Cluster;
    /// Moves a stream off a server.
    StreamPeerEvacuate "STREAM.PEER.EVACUATE.*" "stream_evacuate_peer_response" Ignored Cluster;
    /// Takes a move back.
    StreamCancelMove "STREAM.CANCEL_MOVE.*" "stream_cancel_move_response" Ignored Cluster;
    /// Has another server lead a stream.
    StreamStepdown "STREAM.LEADER.STEPDOWN.*" "stream_leader_stepdown_response" Ignored Cluster;
    /// Creates or changes a consumer; the body may name it.
    ConsumerCreate "CONSUMER.CREATE.*" "consumer_create_response" Strict Account;
    /// Creates or changes a consumer of this name, and with this filter, if one is behind it.
    ConsumerCreateNamed "CONSUMER.CREATE.*.>" "consumer_create_response" Strict Account;
    /// Creates or changes a durable consumer.
    DurableCreate "CONSUMER.DURABLE.CREATE.*.*" "consumer_create_response" Strict Account;
    /// The names of a stream's consumers.
    ConsumerNames "CONSUMER.NAMES.*" "consumer_names_response" Optional Account;
    /// A stream's consumers with what there is to say of them.
    ConsumerList "CONSUMER.LIST.*" "consumer_list_response" Optional Account;
    /// What there is to say of a consumer.
    ConsumerInfo "CONSUMER.INFO.*.*" "consumer_info_response" Empty Account;
    /// Deletes a consumer.
    ConsumerDelete "CONSUMER.DELETE.*.*" "consumer_delete_response" Empty Account;
    /// Has a consumer deliver nothing until a time, or go on.
    ConsumerPause "CONSUMER.PAUSE.*.*" "consumer_pause_response" Optional Account;
    /// Takes the pin from the client of a priority group.
    ConsumerUnpin "CONSUMER.UNPIN.*.*" "consumer_unpin_response" Plain Account;
    /// Has another server lead a consumer.
    ConsumerStepdown "CONSUMER.LEADER.STEPDOWN.*.*" "consumer_leader_stepdown_response" Ignored Cluster;
    /// Asks a consumer for messages.
    ConsumerNext "CONSUMER.MSG.NEXT.*.*" "" Plain Consumer;
    /// Has a consumer begin again.
    ConsumerReset "CONSUMER.RESET.*.*" "consumer_reset_response" Plain Consumer;
    /// Messages as they are, by sequence and more.
    DirectGet "DIRECT.GET.*" "" Plain Stream;
    /// The last message of a subject as it is.
    DirectGetLast "DIRECT.GET.*.>" "" Ignored Stream;
    /// Has another server lead the cluster.
    MetaStepdown "META.LEADER.STEPDOWN" "meta_leader_stepdown_response" Ignored System;
    /// Lowers the quorum of a cluster that lost servers.
    MetaRescue "META.RESCUE" "meta_rescue_response" Ignored System;
    /// Takes a server from the cluster.
    ServerRemove "SERVER.REMOVE" "meta_server_remove_response" Ignored System;
    /// Moves everything off a server.
    ServerEvacuate "SERVER.EVACUATE" "meta_server_evacuate_response" Ignored System;
    /// Deletes everything of an account.
    AccountPurge "ACCOUNT.PURGE.*" "account_purge_response" Ignored System;
    /// Moves a stream off a server.
    AccountStreamMove "ACCOUNT.STREAM.MOVE.*.*" "stream_update_response" Ignored System;
    /// Takes a move back.
    AccountStreamCancelMove "ACCOUNT.STREAM.CANCEL_MOVE.*.*" "stream_update_response" Ignored System;
}

impl Endpoint {
    /// What is known of it.
    pub fn row(self) -> &'static Row {
        let row = &ENDPOINTS[self as usize];
        debug_assert!(row.endpoint == self, "the table is in the order of the enum");
        row
    }

    /// The whole `type` of its responses.
    pub fn response_type(self) -> String {
        ["io.nats.jetstream.api.v1.", self.row().response].concat()
    }
}

/// A request by its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked.
    pub endpoint: Endpoint,
    /// The first name: mostly that of a stream; empty if the endpoint has none.
    pub stream: &'a str,
    /// The second name: that of a consumer; empty if the endpoint has none.
    pub consumer: &'a str,
    /// What is behind the names: a filter or subject; empty if there is none.
    pub rest: &'a str,
}

/// What an account maps in a server with a domain, from what to what, so that its streams can be reached by the name of the domain. Source: the table
/// of the official server, which accounts show.
pub fn domain_mappings(domain: &str) -> Vec<(String, &'static str)> {
    let mapped = |(from, to): &(&str, &'static str)| (format!("$JS.{domain}.API.{from}"), *to);
    DOMAIN_MAPPINGS.iter().map(mapped).collect()
}

const DOMAIN_MAPPINGS: &[(&str, &str)] = &[
    ("INFO", "$JS.API.INFO"),
    ("STREAM.>", "$JS.API.STREAM.>"),
    ("CONSUMER.>", "$JS.API.CONSUMER.>"),
    ("DIRECT.>", "$JS.API.DIRECT.>"),
    ("META.>", "$JS.API.META.>"),
    ("SERVER.>", "$JS.API.SERVER.>"),
    ("ACCOUNT.>", "$JS.API.ACCOUNT.>"),
    ("$KV.>", "$KV.>"),
    ("$OBJ.>", "$OBJ.>"),
];

/// Which endpoint a subject is, whether it begins with `$JS.API.` or, with the domain, `$JS.<domain>.API.`.
pub fn parse<'a>(subject: &'a str, domain: &str) -> Option<Request<'a>> {
    let behind_domain = || {
        let behind = subject.strip_prefix("$JS.")?.strip_prefix(domain)?.strip_prefix(".API.")?;
        (!domain.is_empty()).then_some(behind)
    };
    let subject = subject.strip_prefix(API_PREFIX).or_else(behind_domain)?;
    ENDPOINTS.iter().find_map(|row| fit(row, subject))
}

fn fit<'a>(row: &Row, subject: &'a str) -> Option<Request<'a>> {
    let mut names = [""; 2];
    let mut named = 0;
    let mut rest = Some(subject);
    for token in row.pattern.split('.') {
        let text = rest?;
        if token == ">" {
            if text.split('.').any(str::is_empty) {
                return None;
            }
            return Some(with_rest(row.endpoint, names, text));
        }
        let (first, behind) = match text.split_once('.') {
            Some((first, behind)) => (first, Some(behind)),
            None => (text, None),
        };
        match token {
            "*" if !first.is_empty() => {
                names[named] = first;
                named += 1;
            }
            other if other == first => {}
            _ => return None,
        }
        rest = behind;
    }
    let [stream, consumer] = names;
    rest.is_none().then_some(Request { endpoint: row.endpoint, stream, consumer, rest: "" })
}

/// `CONSUMER.CREATE.*.>` has the consumer's name first in the rest.
fn with_rest<'a>(endpoint: Endpoint, names: [&'a str; 2], text: &'a str) -> Request<'a> {
    let (consumer, rest) = match endpoint {
        Endpoint::ConsumerCreateNamed => text.split_once('.').unwrap_or((text, "")),
        _ => (names[1], text),
    };
    Request { endpoint, stream: names[0], consumer, rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_endpoints_with_names() {
        let fits = |subject: &'static str| {
            parse(subject, "hub")
                .map(|request| (request.endpoint, request.stream, request.consumer, request.rest))
        };
        assert_eq!(fits("$JS.API.INFO"), Some((Endpoint::Info, "", "", "")));
        assert_eq!(fits("$JS.hub.API.INFO"), Some((Endpoint::Info, "", "", "")));
        assert_eq!(fits("$JS.spoke.API.INFO"), None);
        assert_eq!(fits("$JS.API.STREAM.INFO.A"), Some((Endpoint::StreamInfo, "A", "", "")));
        assert_eq!(fits("$JS.API.STREAM.INFO.A.B"), None);
        assert_eq!(fits("$JS.API.STREAM.INFO"), None);
        assert_eq!(fits("$JS.API.STREAM.INFO."), None);
        assert_eq!(fits("$JS.API.CONSUMER.CREATE.A"), Some((Endpoint::ConsumerCreate, "A", "", "")));
        assert_eq!(
            fits("$JS.API.CONSUMER.CREATE.A.c.x.>"),
            Some((Endpoint::ConsumerCreateNamed, "A", "c", "x.>"))
        );
        assert_eq!(fits("$JS.API.CONSUMER.CREATE.A.c"), Some((Endpoint::ConsumerCreateNamed, "A", "c", "")));
        assert_eq!(fits("$JS.API.DIRECT.GET.A.x.y"), Some((Endpoint::DirectGetLast, "A", "", "x.y")));
        assert_eq!(fits("$JS.API.CONSUMER.MSG.NEXT.A.c"), Some((Endpoint::ConsumerNext, "A", "c", "")));
        assert_eq!(parse("$JS..API.INFO", ""), None);
    }

    /// No subject is two endpoints, but what an earlier one takes.
    #[test]
    fn every_endpoint_is_found_by_its_pattern() {
        assert_eq!(ENDPOINTS.len(), 37);
        for row in ENDPOINTS {
            let subject = [API_PREFIX, &row.pattern.replace('*', "N").replace('>', "r.s")].concat();
            let found = parse(&subject, "").map(|request| request.endpoint);
            assert_eq!(found, Some(row.endpoint), "{subject}");
            assert_eq!(row.endpoint.row(), row);
        }
    }
}
