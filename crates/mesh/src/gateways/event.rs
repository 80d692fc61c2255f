//! What can happen to a server's part in a supercluster, and what it asks for.

use super::Settings;
use crate::id::{DialId, LinkId};
use crate::url::RouteUrl;
use dialtone_wire::gateway::{Connect, Info};
use dialtone_wire::{CloseReason, route};
use std::net::IpAddr;

/// What happened. Credentials and TLS are the driver's: what a peer sends comes here once it may.
#[derive(Debug)]
pub enum Event<'a> {
    /// The server listens for gateways. Comes once, and before all others.
    Started,
    /// A server of another cluster connected.
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
    },
    /// A dial failed; TLS is part of it.
    DialFailed {
        /// Which one.
        dial: DialId,
    },
    /// A connection that was accepted said CONNECT, with credentials that are right.
    Connect {
        /// Which connection.
        link: LinkId,
        /// What it said.
        connect: &'a Connect,
    },
    /// The other end said INFO that is no command about an account.
    Info {
        /// Which connection.
        link: LinkId,
        /// What it said.
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
    /// A server of the own cluster listens for gateways there, or is gone.
    Sibling {
        /// Its id.
        server: &'a str,
        /// `host:port`.
        url: Option<&'a str>,
    },
    /// A server of the own cluster told of a gateway.
    Told(&'a route::Info),
    /// A reload.
    Reloaded(Box<Settings>),
    /// It is time: [`super::Gateways::next_timeout`].
    Timeout,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect, and answer with [`Event::Dialled`] or [`Event::DialFailed`] within a second or so.
    Dial {
        /// Its number.
        dial: DialId,
        /// The cluster that is dialled.
        gateway: String,
        /// Where to.
        url: RouteUrl,
        /// Whether the configuration names it.
        configured: bool,
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
    /// Send INFO.
    SendInfo {
        /// By which connection.
        link: LinkId,
        /// What to say.
        info: Box<Info>,
    },
    /// Messages are sent by it from here on if this server dialled, and interest if not. One that was dialled is to be sent PING, whose
    /// answer is [`Event::Confirmed`].
    Join {
        /// Which connection.
        link: LinkId,
        /// The other cluster.
        gateway: String,
        /// Whether this server dialled, since the configuration names it.
        configured: bool,
    },
    /// End a connection. Nothing is heard of it any more.
    Close {
        /// Which connection.
        link: LinkId,
        /// Why.
        reason: CloseReason,
        /// What `-ERR` is sent before.
        error: Option<String>,
    },
    /// All servers of the own cluster are to be told of a gateway.
    TellRoutes(Box<route::Info>),
    /// Something for the log.
    Note(Note),
}

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A cluster that nobody configured wanted to connect.
    Rejected {
        /// Its name.
        gateway: String,
    },
    /// What was dialled is another cluster.
    WrongName {
        /// The one that was dialled.
        wanted: String,
        /// What it is called.
        found: String,
    },
    /// What was dialled is no port of gateways.
    WrongPort {
        /// The one that was dialled.
        wanted: String,
    },
    /// A cluster was heard of.
    Learned {
        /// Its name.
        gateway: String,
    },
    /// A cluster was forgotten: there was no sign of it for long.
    Forgotten {
        /// Its name.
        gateway: String,
    },
    /// INFO came faster than a server may send it, and is ignored.
    InfoTooFast(LinkId),
}
