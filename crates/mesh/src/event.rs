//! What can happen to a cluster, and what it asks for.

use crate::id::{Account, DialId, LinkId, ServerId};
use crate::pool::{Lane, Place};
use crate::settings::{ClientUrls, Settings};
use crate::url::RouteUrl;
use dialtone_wire::CloseReason;
use dialtone_wire::route::{Connect, Info};
use std::net::IpAddr;

/// What happened. Credentials, TLS and compression are the driver's: what a peer sends comes here once it may, and INFO once the two ends
/// agree on compression.
#[derive(Debug)]
pub enum Event<'a> {
    /// The server listens for routes. Comes once, and before all others.
    Started,
    /// Another server connected.
    Accepted {
        /// The new connection.
        link: LinkId,
        /// Where it comes from.
        address: IpAddr,
    },
    /// A dial succeeded.
    Dialled {
        /// Which one.
        dial: DialId,
        /// The new connection.
        link: LinkId,
        /// Where it leads to.
        address: IpAddr,
    },
    /// A dial failed; TLS is part of it.
    DialFailed {
        /// Which one.
        dial: DialId,
        /// In what way.
        failure: DialFailure,
    },
    /// A connection that was accepted said CONNECT, with credentials that are right.
    Connect {
        /// Which connection.
        link: LinkId,
        /// What it said.
        connect: &'a Connect,
    },
    /// The other end said INFO.
    Info {
        /// Which connection.
        link: LinkId,
        /// What it said, of itself or of a third server.
        info: &'a Info,
    },
    /// The other end of a connection that this server dialled, and that joined, answered PING: it let this server in.
    Confirmed {
        /// Which connection.
        link: LinkId,
    },
    /// A connection ended otherwise than by [`Action::Close`].
    Lost {
        /// Which connection.
        link: LinkId,
    },
    /// A server said that it shuts down. It is not dialled again unless it is configured.
    Left {
        /// Its id.
        server: &'a str,
        /// Whether it will not be back, so that it is not dialled even where it is configured.
        for_good: bool,
    },
    /// Where clients reach this server has changed.
    ClientUrls(ClientUrls),
    /// This server goes into lame duck mode.
    LameDuck,
    /// A reload.
    Reloaded(Box<Settings>),
    /// It is time: [`crate::Cluster::next_timeout`].
    Timeout,
}

/// Why a dial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// There was no connection.
    Unreachable,
    /// The name has no other addresses than this server's own.
    Oneself,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect, and answer with [`Event::Dialled`] or [`Event::DialFailed`] within a second or so.
    Dial {
        /// Its number.
        dial: DialId,
        /// Where to.
        url: RouteUrl,
        /// What a certificate is checked against.
        tls_name: Option<String>,
        /// What for.
        lane: Lane,
        /// 1, and one more for each that failed before.
        attempt: u32,
    },
    /// Send CONNECT. `tls_required` is the driver's to fill in.
    SendConnect {
        /// By which connection.
        link: LinkId,
        /// What to say.
        connect: Box<Connect>,
    },
    /// Send INFO. The nonce is the driver's to fill in.
    SendInfo {
        /// By which connection.
        link: LinkId,
        /// What to say.
        info: Box<Info>,
    },
    /// Interest may be exchanged from here on. A connection that was dialled is to be sent PING, whose answer is [`Event::Confirmed`].
    ///
    /// Two connections may have one place for a moment: an official server that was dialled while it dialled keeps one and closes the
    /// other, and it sends interest by the one that it keeps.
    Join {
        /// Which connection.
        link: LinkId,
        /// Whose.
        server: ServerId,
        /// For what.
        place: Place,
        /// Whether the other server is one of `routes`.
        configured: bool,
    },
    /// End a connection, whether it joined or not. Nothing is heard of it any more.
    Close {
        /// Which connection.
        link: LinkId,
        /// Why.
        reason: CloseReason,
        /// What `-ERR` is sent before.
        error: Option<String>,
    },
    /// The first connection of a server is about to join.
    PeerJoined {
        /// Its id.
        server: ServerId,
        /// What it says of itself.
        info: Box<Info>,
    },
    /// A server has no connection left that joined.
    PeerLeft {
        /// Its id.
        server: ServerId,
    },
    /// The account has connections of its own from here on, since this server's configuration or that of another one says so: interest in
    /// it that came by connections for several accounts is void, and none is sent there.
    AccountMoves {
        /// Its name.
        account: Account,
    },
    /// The account has no connections of its own any more: interest in it goes by those for several accounts again.
    AccountReturns {
        /// Its name.
        account: Account,
    },
    /// What clients are told has changed: this server's own addresses, then those of the others.
    ClientUrls(ClientUrls),
    /// What leaf nodes are told has changed: the addresses of the others, then this server's own.
    LeafUrls(Vec<String>),
    /// The cluster got another name.
    ClusterNamed(String),
    /// Something for the log.
    Note(Note),
}

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A URL leads to this server itself and is not dialled any more.
    RouteToSelf(RouteUrl),
    /// The other server's cluster has another name.
    ClusterNameConflict {
        /// Which connection.
        link: LinkId,
        /// Its name there.
        theirs: String,
    },
    /// The other server has this server's name.
    DuplicateServerName {
        /// Which connection.
        link: LinkId,
        /// The name.
        name: String,
    },
    /// A server was heard of.
    Learned {
        /// Its id.
        server: ServerId,
        /// Who told of it.
        by: ServerId,
    },
    /// A server was forgotten: it has left, or there was no sign of it for long.
    Forgotten(ServerId),
    /// A server left for good: this URL of `routes` is not dialled until the server connects by itself, or a reload.
    Retired(RouteUrl),
    /// INFO came faster than a server may send it, and is ignored.
    InfoTooFast(LinkId),
    /// INFO of a third server names no address where it could be dialled.
    UrlInvalid {
        /// Which server.
        server: ServerId,
        /// What it says.
        url: String,
    },
}
