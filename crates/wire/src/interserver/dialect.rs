//! How the lines of routes, gateways and leaf nodes differ.

use super::op::Origin;

/// What another server may send at most. Both are checked before the bytes they speak of are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the arguments of a control line. INFO of a large cluster, and messages to many queue groups, have long ones: the official
    /// server allows 16 times `max_control_line`.
    pub control_line_bytes_max: usize,
    /// Bytes of headers and payload together. Another server may allow its clients more than this one: the official server only refuses
    /// sizes of ten digits.
    pub payload_bytes_max: usize,
}

/// Whether lines of a route name the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountNames {
    /// Each line does.
    InLines,
    /// None does: the route is dedicated to one account.
    Dedicated,
}

/// What a server of a cluster knows of interest that leaf nodes have. Each is more than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeafOrigins {
    /// It takes such interest for its neighbour's own.
    #[default]
    Unknown,
    /// `lnoc`: it knows LMSG and LS+ with the cluster that the leaf node is in. LS- does not name that.
    InSubscribe,
    /// `lnocu`: LS- names it too.
    InBoth,
    /// `ln`: interest of a leaf node in no cluster is LS+ and LS- too, with the origin `_`.
    Unnamed,
}

impl LeafOrigins {
    /// By the fields of INFO and CONNECT with these names.
    pub const fn from_fields(lnoc: bool, lnocu: bool, ln: bool) -> Self {
        match (lnoc, lnocu, ln) {
            (.., true) => Self::Unnamed,
            (true, true, _) => Self::InBoth,
            (true, ..) => Self::InSubscribe,
            _ => Self::Unknown,
        }
    }

    /// Whether interest of such leaf nodes is announced as theirs; otherwise it passes for the announcing server's own.
    pub fn knows(self, origin: Origin<'_>) -> bool {
        match origin {
            Origin::Cluster(_) => self >= Self::InSubscribe,
            Origin::Unnamed => self >= Self::Unnamed,
        }
    }
}

/// What the lines of a connection look like. Known once INFO has come; INFO and CONNECT themselves look alike in all dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub(super) limits: Limits,
    pub(super) verbs: &'static [(&'static [u8], Verb)],
    /// Letter that MSG without headers begins with.
    pub(super) plain: u8,
    pub(super) accounts: usize,
    pub(super) unsubscribe_origins: usize,
}

/// What an operation is, by its verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Message(Form),
    Subscribe { name: &'static str, origins: usize },
    Unsubscribe { name: &'static str, by_leaf: bool },
    AccountSubscribe,
    AccountUnsubscribe,
    Ping,
    Pong,
    Connect,
    Info,
    Ok,
    Err,
}

/// What the line of a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) origins: usize,
    pub(super) header_size: bool,
}

const HMSG: (&[u8], Verb) = (b"HMSG ", Verb::Message(Form { name: "HMSG", origins: 0, header_size: true }));
const RMSG: (&[u8], Verb) = (b"RMSG ", Verb::Message(Form { name: "RMSG", origins: 0, header_size: false }));
const RS_PLUS: (&[u8], Verb) = (b"RS+ ", Verb::Subscribe { name: "RS+", origins: 0 });
const RS_MINUS: (&[u8], Verb) = (b"RS- ", Verb::Unsubscribe { name: "RS-", by_leaf: false });
const A_PLUS: (&[u8], Verb) = (b"A+ ", Verb::AccountSubscribe);
const A_MINUS: (&[u8], Verb) = (b"A- ", Verb::AccountUnsubscribe);
const PING: (&[u8], Verb) = (b"PING", Verb::Ping);
const PONG: (&[u8], Verb) = (b"PONG", Verb::Pong);
const CONNECT: (&[u8], Verb) = (b"CONNECT", Verb::Connect);
const INFO: (&[u8], Verb) = (b"INFO", Verb::Info);
const OK: (&[u8], Verb) = (b"+OK", Verb::Ok);
const ERR: (&[u8], Verb) = (b"-ERR ", Verb::Err);

/// None is the beginning of another.
const ROUTE: &[(&[u8], Verb)] = &[
    RMSG,
    HMSG,
    RS_PLUS,
    RS_MINUS,
    (b"LMSG ", Verb::Message(Form { name: "LMSG", origins: 1, header_size: true })),
    (b"LS+ ", Verb::Subscribe { name: "LS+", origins: 1 }),
    (b"LS- ", Verb::Unsubscribe { name: "LS-", by_leaf: true }),
    A_PLUS,
    A_MINUS,
    PING,
    PONG,
    CONNECT,
    INFO,
    OK,
    ERR,
];

const GATEWAY: &[(&[u8], Verb)] =
    &[RMSG, HMSG, RS_PLUS, RS_MINUS, A_PLUS, A_MINUS, PING, PONG, CONNECT, INFO, OK, ERR];

const LEAF: &[(&[u8], Verb)] = &[
    (b"LMSG ", Verb::Message(Form { name: "LMSG", origins: 0, header_size: false })),
    HMSG,
    (b"LS+ ", Verb::Subscribe { name: "LS+", origins: 0 }),
    (b"LS- ", Verb::Unsubscribe { name: "LS-", by_leaf: false }),
    PING,
    PONG,
    CONNECT,
    INFO,
    OK,
    ERR,
];

impl Dialect {
    /// What comes by a route from a server that knows `origins`.
    pub const fn route(limits: Limits, accounts: AccountNames, origins: LeafOrigins) -> Self {
        Self {
            limits,
            verbs: ROUTE,
            plain: b'R',
            accounts: matches!(accounts, AccountNames::InLines) as usize,
            unsubscribe_origins: matches!(origins, LeafOrigins::InBoth | LeafOrigins::Unnamed) as usize,
        }
    }

    /// What comes by a gateway connection, in either direction.
    pub const fn gateway(limits: Limits) -> Self {
        Self { limits, verbs: GATEWAY, plain: b'R', accounts: 1, unsubscribe_origins: 0 }
    }

    /// What comes by a leaf node connection, in either direction.
    pub const fn leaf(limits: Limits) -> Self {
        Self { limits, verbs: LEAF, plain: b'L', accounts: 0, unsubscribe_origins: 0 }
    }
}
