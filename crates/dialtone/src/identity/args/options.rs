//! The options of `dialtone identity`, in groups that commands share.

use super::Opt;

const fn opt(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, value, help }
}

#[rustfmt::skip]
pub const PLACES: &[Opt] = &[
    opt("--operator", "NAME", "the operator, where the store has several (nsc's choice, else the only one)"),
    opt("--store", "DIR", "where operators' folders are ($XDG_DATA_HOME/nats/nsc/stores, or what nsc was told)"),
    opt("--keystore", "DIR", "where secret keys are ($XDG_DATA_HOME/nats/nsc/keys)"),
];

#[rustfmt::skip]
pub const ACCOUNT: &[Opt] = &[
    opt("--account", "NAME", "the account, where there are several besides the system account"),
];

#[rustfmt::skip]
pub const SIGN: &[Opt] = &[
    opt("--sign-with", "KEY|ROLE|FILE", "the signing key to use: a public key or role whose secret is in the key store, or a file"),
];

#[rustfmt::skip]
pub const FORCE: &[Opt] = &[
    opt("--force", "", "also where something would be lost"),
];

#[rustfmt::skip]
pub const OUTPUT: &[Opt] = &[
    opt("--output", "FILE", "write there, for the owner's eyes alone, instead of to standard output"),
];

#[rustfmt::skip]
pub const CLAIMS: &[Opt] = &[
    opt("--tag", "TAG,...", "add tags"),
    opt("--remove-tag", "TAG,...", "remove tags"),
    opt("--expires", "TIME", "the last second it is good in: 30d, 2027-01-01, 2027-01-01T12:00:00Z, never"),
    opt("--starts", "TIME", "the first second it is good in, in the same forms"),
];

#[rustfmt::skip]
pub const INIT: &[Opt] = &[
    opt("--service-url", "URL,...", "where the servers are (nats://localhost:4222)"),
];

#[rustfmt::skip]
pub const OPERATOR: &[Opt] = &[
    opt("--service-url", "URL,...", "add URLs of servers"),
    opt("--remove-service-url", "URL,...", "remove URLs of servers"),
    opt("--account-server-url", "URL", "where accounts are pushed to and pulled from; none to remove it"),
    opt("--system-account", "NAME", "the system account, an account of the store; add operator makes one of this name"),
    opt("--signing-key", "", "make a signing key"),
    opt("--strict-signing-keys", "yes|no", "whether only signing keys sign accounts"),
    opt("--server-version", "VERSION", "the lowest version of a server that may serve it; none to remove it"),
];

#[rustfmt::skip]
pub const ACCOUNT_LIMITS: &[Opt] = &[
    opt("--description", "TEXT", "a text for people"),
    opt("--info-url", "URL", "where there is more of it"),
    opt("--max-connections", "N", "connections; every N may be unlimited"),
    opt("--max-leaf-nodes", "N", "connections of leaf nodes"),
    opt("--max-subscriptions", "N", "subscriptions"),
    opt("--max-payload", "BYTES", "bytes of a message, such as 1MB"),
    opt("--max-data", "BYTES", "bytes in all"),
    opt("--max-imports", "N", "imports"),
    opt("--max-exports", "N", "exports"),
    opt("--wildcard-exports", "yes|no", "whether exports may have wildcards"),
    opt("--disallow-bearer", "yes|no", "whether users always need their key"),
    opt("--trace-subject", "SUBJECT", "where traces of messages go; none to remove it"),
    opt("--trace-sampling", "PERCENT", "how many messages are traced"),
    opt("--cluster-traffic", "system|owner", "whose connections carry replication between servers"),
    opt("--callout-user", "KEY,...", "users of the authorization service; the first switches it on, none switches it off"),
    opt("--callout-account", "NAME|KEY|*,...", "accounts that the service may put users into"),
    opt("--callout-xkey", "KEY", "the service's curve key"),
];

#[rustfmt::skip]
pub const STREAMS: &[Opt] = &[
    opt("--js-tier", "R1|R3|...", "the tier that the options below are of; without it, all replicas alike"),
    opt("--js-memory", "BYTES", "bytes in memory; 0: none"),
    opt("--js-disk", "BYTES", "bytes on disk; 0: none"),
    opt("--js-streams", "N", "streams"),
    opt("--js-consumers", "N", "consumers"),
    opt("--js-max-ack-pending", "N", "unacknowledged messages of a consumer"),
    opt("--js-memory-stream", "BYTES", "bytes of one stream in memory"),
    opt("--js-disk-stream", "BYTES", "bytes of one stream on disk"),
    opt("--js-max-bytes-required", "yes|no", "whether streams must say how many bytes they take"),
    opt("--js-remove", "", "no streams any more, or not in this tier"),
];

/// Default permissions of an account: those of users, under the same names.
#[rustfmt::skip]
pub const DEFAULTS: &[Opt] = &[
    opt("--allow-pub", "SUBJECT,...", "subjects that may be published to; once there is one, no others"),
    opt("--allow-sub", "SUBJECT,...", "subjects that may be subscribed to; `SUBJECT QUEUE` for a queue group"),
    opt("--allow-pubsub", "SUBJECT,...", "both"),
    opt("--deny-pub", "SUBJECT,...", "subjects that must not be published to"),
    opt("--deny-sub", "SUBJECT,...", "subjects that must not be subscribed to"),
    opt("--deny-pubsub", "SUBJECT,...", "both"),
    opt("--remove-subject", "SUBJECT,...", "take subjects out of all four lists"),
    opt("--allow-responses", "N|none", "how many answers to a request may be published, wherever it wants them"),
    opt("--response-ttl", "DURATION", "how long after the request, such as 5s"),
];

#[rustfmt::skip]
pub const USER: &[Opt] = &[
    opt("--account", "NAME", "the account, where there are several besides the system account"),
    opt("--allow-pub", "SUBJECT,...", "subjects that may be published to; once there is one, no others"),
    opt("--allow-sub", "SUBJECT,...", "subjects that may be subscribed to; `SUBJECT QUEUE` for a queue group"),
    opt("--allow-pubsub", "SUBJECT,...", "both"),
    opt("--deny-pub", "SUBJECT,...", "subjects that must not be published to"),
    opt("--deny-sub", "SUBJECT,...", "subjects that must not be subscribed to"),
    opt("--deny-pubsub", "SUBJECT,...", "both"),
    opt("--remove-subject", "SUBJECT,...", "take subjects out of all four lists"),
    opt("--allow-responses", "N|none", "how many answers to a request may be published, wherever it wants them"),
    opt("--response-ttl", "DURATION", "how long after the request, such as 5s"),
    opt("--max-subscriptions", "N", "subscriptions; every N may be unlimited"),
    opt("--max-payload", "BYTES", "bytes of a message, such as 1MB"),
    opt("--max-data", "BYTES", "bytes in all"),
    opt("--bearer", "yes|no", "whether the token lets in without its key"),
    opt("--proxy-required", "yes|no", "whether it must come through a trusted proxy"),
    opt("--connection-type", "TYPE,...", "STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS; none for all"),
    opt("--source", "NETWORK,...", "networks it may come from, such as 10.0.0.0/8; none for all"),
    opt("--time", "FROM-TO,...", "when it may be there, such as 09:00:00-17:00:00; none for always"),
    opt("--locale", "ZONE", "the time zone of that, such as Europe/Paris"),
    opt("--public-key", "KEY", "add: the user's own key, whose secret it keeps to itself; no creds file is made"),
];

#[rustfmt::skip]
pub const ROLE: &[Opt] = &[
    opt("--operator-key", "", "of the operator, not of an account"),
    opt("--description", "TEXT", "a text for people"),
    opt("--key", "KEY", "add: this public key, instead of a fresh one"),
];

#[rustfmt::skip]
pub const EXPORT: &[Opt] = &[
    opt("--account", "NAME", "the account, where there are several besides the system account"),
    opt("--service", "", "a service that answers; without it, a stream of messages"),
    opt("--name", "NAME", "a name for people (the subject)"),
    opt("--private", "", "importers need an activation"),
    opt("--response-type", "Singleton|Stream|Chunked", "one answer, many, or one in pieces"),
    opt("--response-threshold", "DURATION", "how long an answer may take, such as 2s"),
    opt("--latency", "SUBJECT", "where it is told how long answers take"),
    opt("--sampling", "PERCENT|headers", "of how many requests (100), or those whose headers ask for it"),
    opt("--account-token", "N", "the token of the subject, from 1, that is the importer's key"),
    opt("--advertise", "", "show it to all"),
    opt("--allow-trace", "", "traces of requests go on in this account"),
    opt("--description", "TEXT", "a text for people"),
    opt("--info-url", "URL", "where there is more of it"),
];

#[rustfmt::skip]
pub const IMPORT: &[Opt] = &[
    opt("--account", "NAME", "the account, where there are several besides the system account"),
    opt("--from", "NAME|KEY", "the exporting account"),
    opt("--service", "", "a service; without it, a stream of messages"),
    opt("--name", "NAME", "a name for people (the subject)"),
    opt("--local", "SUBJECT", "its subject in the importing account, such as `mine.$1`"),
    opt("--token", "FILE", "an activation, for a private export; made on the spot where the exporter's keys are here"),
    opt("--share", "", "the exporter learns who asks"),
    opt("--allow-trace", "", "traces of messages go on in this account"),
];

#[rustfmt::skip]
pub const MAPPING: &[Opt] = &[
    opt("--account", "NAME", "the account, where there are several besides the system account"),
    opt("--weight", "PERCENT", "of how many messages (100)"),
    opt("--cluster", "NAME", "only in this cluster"),
];

#[rustfmt::skip]
pub const DESCRIBE: &[Opt] = &[
    opt("--account", "NAME", "whose user it is"),
    opt("--json", "", "the claims as JSON"),
    opt("--raw", "", "the JWT itself"),
];

#[rustfmt::skip]
pub const CREDS: &[Opt] = &[
    opt("--account", "NAME", "the account, where there are several besides the system account"),
    opt("--output", "FILE", "write there; without it, to its place in the key store"),
    opt("--path", "", "only print where it is in the key store"),
    opt("--show-secret", "", "print it, seed and all"),
];

#[rustfmt::skip]
pub const CONFIG: &[Opt] = &[
    opt("--resolver", "memory|full|cache", "accounts in the file itself (default), or pushed to the servers and kept in a folder"),
    opt("--resolver-dir", "DIR", "full, cache: where servers keep accounts (./jwt)"),
    opt("--allow-delete", "", "full: accounts can be deleted from the servers"),
    opt("--force", "", "overwrite the file"),
];

#[rustfmt::skip]
pub const RESOLVER: &[Opt] = &[
    opt("--server", "URL", "a server (the operator's account server URL, else its first service URL)"),
    opt("--creds", "FILE", "a user of the system account (one of the store)"),
    opt("--tls-ca", "FILE", "certificates of authorities that servers are verified by (the system's)"),
    opt("--timeout", "DURATION", "how long to wait for the first answer (5s)"),
    opt("--prune", "", "push: delete accounts that the store has not"),
    opt("--overwrite", "", "pull: also accounts that are newer in the store"),
    opt("--force", "", "push: also accounts that are not valid"),
];

#[rustfmt::skip]
pub const REVOKE: &[Opt] = &[
    opt("--account", "NAME", "the account, where there are several besides the system account"),
    opt("--at", "TIME", "what was issued by then (now): 2027-01-01, 2027-01-01T12:00:00Z, 1h (ago)"),
    opt("--export", "SUBJECT", "the export whose activation it is, where there are several"),
];

#[rustfmt::skip]
pub const ROTATE: &[Opt] = &[
    opt("--account", "NAME", "whose signing key it is, by role"),
    opt("--operator-key", "", "the operator's, where it has only one; else say which"),
    opt("--keep", "", "the old key goes on signing; remove it later with `remove signing-key`"),
];

#[rustfmt::skip]
pub const KEYS: &[Opt] = &[
    opt("--account", "NAME", "export: keys of this account, its users and signing keys"),
    opt("--show-secret", "", "print the secret"),
    opt("--keep", "", "keygen: put it into the key store"),
];

/// Whether an option of this name is in any table.
pub fn is_known(name: &str) -> bool {
    let tables = [
        PLACES,
        ACCOUNT,
        SIGN,
        FORCE,
        OUTPUT,
        CLAIMS,
        INIT,
        OPERATOR,
        ACCOUNT_LIMITS,
        STREAMS,
        DEFAULTS,
        USER,
        ROLE,
        EXPORT,
        IMPORT,
        MAPPING,
        DESCRIBE,
        CREDS,
        CONFIG,
        RESOLVER,
        REVOKE,
        ROTATE,
        KEYS,
    ];
    tables.iter().any(|table| table.iter().any(|option| option.name == name))
}
