//! Kinds of peers, and all in which they differ: one table has whose messages go on to whom, the columns below it the rest. Everybody
//! else asks here and names no kind.

use crate::reserved;

/// What a peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A client.
    #[default]
    Client,
    /// The server itself.
    Server,
    /// Another server of the cluster.
    Route,
    /// A server of another cluster.
    Gateway,
    /// A hub that this server is a spoke of.
    Hub,
    /// A spoke that this server is a hub of.
    Spoke,
}

/// Where the other end of a route is, if this server knows its own zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// In the same zone as this server, or zones do not matter.
    #[default]
    Own,
    /// In another one, or in none that is known.
    Other,
}

/// How many kinds there are.
pub const KINDS: usize = 6;

/// Whether messages from one kind of peer go on to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Yes,
    No,
    /// To all but the peer that it came from, which its [`crate::deliver::Origin`] excludes.
    NotBack,
    /// Only answers of services.
    ReplyOnly,
}

/// From (row) to (column).
///
/// A message goes over one route at most, since each server has one to every other.
const PASSES: [[Pass; KINDS]; KINDS] = {
    use Pass::{No, NotBack, ReplyOnly, Yes};
    [
        //             Client Server Route Gateway Hub      Spoke
        /* Client  */
        [Yes, Yes, Yes, Yes, Yes, Yes],
        /* Server  */ [Yes, Yes, Yes, Yes, Yes, Yes],
        /* Route   */ [Yes, Yes, No, No, ReplyOnly, Yes],
        /* Gateway */ [Yes, Yes, Yes, No, Yes, Yes],
        /* Hub     */ [Yes, Yes, No, Yes, NotBack, Yes],
        /* Spoke   */ [Yes, Yes, Yes, Yes, Yes, NotBack],
    ]
};

impl Kind {
    /// By its number.
    #[inline(always)]
    pub(crate) fn numbered(number: u8) -> Self {
        match number {
            1 => Self::Server,
            2 => Self::Route,
            3 => Self::Gateway,
            4 => Self::Hub,
            5 => Self::Spoke,
            _ => Self::Client,
        }
    }

    /// What the other end of a connection of leaf nodes is.
    pub(crate) fn of_leaf(is_hub: bool) -> Self {
        if is_hub { Self::Hub } else { Self::Spoke }
    }

    /// What the other end of a link is to this server, where this server is to it what a peer of this kind is here.
    pub fn opposite(self) -> Self {
        match self {
            Self::Hub => Self::Spoke,
            Self::Spoke => Self::Hub,
            Self::Client | Self::Server | Self::Route | Self::Gateway => self,
        }
    }

    /// Whether a message to `subject` goes on to peers of the other kind. Asked when a route is worked out.
    fn passes_to(self, other: Self, subject: &[u8]) -> bool {
        match PASSES.get(self as usize).and_then(|row| row.get(other as usize)) {
            Some(Pass::Yes | Pass::NotBack) => true,
            Some(Pass::ReplyOnly) => subject.starts_with(reserved::ANSWER_PREFIX),
            Some(Pass::No) | None => false,
        }
    }

    /// What monitoring, events and services call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Server => "System",
            Self::Route => "Router",
            Self::Gateway => "Gateway",
            Self::Hub | Self::Spoke => "Leafnode",
        }
    }

    /// What metrics call it: what the other end is to this server.
    pub fn link_name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Route => "route",
            Self::Gateway => "gateway",
            Self::Hub => "hub",
            Self::Spoke => "spoke",
        }
    }

    /// What message traces call it: the official number (ADR-41).
    pub fn code(self) -> u8 {
        match self {
            Self::Client => 0,
            Self::Route => 1,
            Self::Gateway => 2,
            Self::Server => 3,
            Self::Hub | Self::Spoke => 4,
        }
    }

    /// Whether it is the server itself.
    pub fn is_server(self) -> bool {
        self == Self::Server
    }

    /// Whether what it sends and gets counts as traffic of the server. What the server sends itself does not.
    pub(crate) fn is_traffic(self) -> bool {
        !self.is_server()
    }

    /// Whether subjects are kept from it that servers keep for themselves.
    pub(crate) fn is_bound(self) -> bool {
        self == Self::Client
    }

    /// Whether its subscriptions stand for those of others behind it: it gets a message once, however many of them match, with the
    /// names of the queue groups in which it was chosen.
    #[inline(always)]
    pub fn is_relay(self) -> bool {
        !matches!(self, Self::Client | Self::Server)
    }

    /// Whether it is in all accounts at once. Then what accounts share with each other is looked after at the end where a message is
    /// published, or subscribed to; it must not be done again at the other.
    pub fn is_in_all_accounts(self) -> bool {
        matches!(self, Self::Route | Self::Gateway)
    }

    /// Whether a queue group's members behind it are drawn like those here, so that each member of a cluster, or of a zone of it, has the
    /// same share. Those behind others get a message only if nobody here, or so near, can have it.
    pub(crate) fn is_drawn_as_here(self, zone: Zone) -> bool {
        self == Self::Route && zone == Zone::Own
    }

    /// How far a queue group's members behind it are: those of this zone before those of the cluster's others, these before the cluster's
    /// leaf nodes, and those before other clusters.
    pub(crate) fn distance(self, zone: Zone) -> u8 {
        match (self, zone) {
            (Self::Client | Self::Server, _) | (Self::Route, Zone::Own) => 0,
            (Self::Route, Zone::Other) => 1,
            (Self::Hub | Self::Spoke, _) => 2,
            (Self::Gateway, _) => 3,
        }
    }

    /// Whether of several with members the nearest is chosen, by the time that an answer of it takes, and not one by their weight.
    pub(crate) fn is_chosen_by_distance(self) -> bool {
        self == Self::Gateway
    }

    /// Whether it is a server of another cluster, which may not know yet of interest in replies.
    pub fn is_of_other_cluster(self) -> bool {
        self == Self::Gateway
    }

    /// Whether peers of this kind are told what those of another are interested in, or those behind them. Interest goes the way back
    /// that messages come; but each server of a cluster has its own connection to a hub, whose interest is for spokes alone.
    pub fn is_told_of(self, other: Self) -> bool {
        let passes = PASSES.get(self as usize).and_then(|row| row.get(other as usize));
        let is_hubs_own = other == Self::Hub && self != Self::Spoke;
        matches!(passes, Some(Pass::Yes | Pass::NotBack)) && !is_hubs_own
    }

    /// Whether it is a server or cluster with accounts of its own, of which one is connected with one here.
    pub fn is_leaf_connection(self) -> bool {
        matches!(self, Self::Hub | Self::Spoke)
    }

    /// All of them.
    pub const ALL: [Self; KINDS] =
        [Self::Client, Self::Server, Self::Route, Self::Gateway, Self::Hub, Self::Spoke];
}

/// A figure for each kind of connection that documents tell apart: both ends of a leaf connection are one, and the server itself is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns<T> {
    /// Of clients.
    pub clients: T,
    /// Of other servers of the cluster.
    pub routes: T,
    /// Of servers of other clusters.
    pub gateways: T,
    /// Of hubs and spokes.
    pub leafs: T,
}

impl<T: std::ops::Add<Output = T>> Columns<T> {
    /// The figures by `of`, which is asked for each kind.
    pub fn of(of: impl Fn(Kind) -> T) -> Self {
        Self {
            clients: of(Kind::Client),
            routes: of(Kind::Route),
            gateways: of(Kind::Gateway),
            leafs: of(Kind::Hub) + of(Kind::Spoke),
        }
    }
}

/// How a message came into the account whose route it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// It was published there.
    Publish,
    /// By a service, as a request or an answer: it does not go on into accounts that take it as a stream.
    Service,
}

/// From what kind of peer a message is, and how it came into the account: with the subject, what a route depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is from.
    pub from: Kind,
    /// How it came in.
    pub by: Via,
}

impl Entry {
    /// Of what the server itself publishes.
    pub const OF_SERVER: Self = Self { from: Kind::Server, by: Via::Publish };

    /// Of what clients publish.
    pub(crate) fn of_client(by: Via) -> Self {
        Self { from: Kind::Client, by }
    }

    /// Whether a message to `subject` goes on to peers of a kind. What a service got or answered goes everywhere, from wherever the
    /// request or the answer came: nobody else knows under which subject it is there.
    pub(crate) fn passes_to(self, to: Kind, subject: &[u8]) -> bool {
        self.by == Via::Service || self.from.passes_to(to, subject)
    }

    /// Whether services are asked by it. Those of what was published at another server were asked there.
    pub(crate) fn asks_services(self) -> bool {
        self.by == Via::Service || !self.from.is_in_all_accounts()
    }

    /// A number for each.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        (self.from as u32) << 1 | u32::from(self.by == Via::Service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Client, Gateway, Hub, Route, Server, Spoke};
    use std::collections::HashSet;

    /// Each cell by its reason, not by its place.
    #[test]
    fn whose_messages_go_on_to_whom() {
        for (from, to) in Kind::ALL.into_iter().flat_map(|from| Kind::ALL.map(|to| (from, to))) {
            let (any, answer) = match (from, to) {
                // What is here gets what comes, and what begins here goes everywhere.
                (Client | Server, _) | (_, Client | Server) => (true, true),
                // One server of a cluster has it from another one, which sent it to all others, but not to spokes of this one.
                (Route, Route | Gateway) => (false, false),
                (Route, Hub) => (false, true),
                // Clusters are all joined to each other.
                (Gateway, Gateway) => (false, false),
                // Each server of a cluster has its own connection to the hub.
                (Hub, Route) => (false, false),
                (Route | Gateway | Hub | Spoke, Gateway | Hub | Spoke | Route) => (true, true),
            };
            let found = [&b"orders.1"[..], b"_R_.x.y"].map(|subject| from.passes_to(to, subject));
            assert_eq!(found, [any, answer], "{from:?} to {to:?}");
        }
    }

    /// Each cell by its reason, not by its place.
    #[test]
    fn who_is_told_of_whose_interest() {
        let relays = [Route, Gateway, Hub, Spoke];
        for (told, of) in relays.into_iter().flat_map(|told| Kind::ALL.map(|of| (told, of))) {
            let expected = match (told, of) {
                // What is here is for everybody, and spokes are told of all.
                (_, Client | Server) | (Spoke, _) => true,
                // Other servers of a cluster have their own connections to each other, to other clusters and to hubs.
                (Route, Route | Gateway | Hub) | (Hub, Route | Hub) => false,
                (Gateway, Gateway | Hub) => false,
                _ => true,
            };
            assert_eq!(told.is_told_of(of), expected, "{told:?} of {of:?}");
        }
    }

    #[test]
    fn both_ends_of_a_leaf_connection_differ_and_no_others() {
        assert_eq!((Hub.opposite(), Spoke.opposite()), (Spoke, Hub));
        assert!([Client, Server, Route, Gateway].into_iter().all(|kind| kind.opposite() == kind));
    }

    #[test]
    fn columns_have_all_connections_once() {
        let columns = Columns::of(|kind| 1_u32 << kind as u32);
        let all = columns.clients + columns.routes + columns.gateways + columns.leafs;
        assert_eq!(all, (1 << KINDS) - 1 - (1 << Server as u32));
        assert_eq!((columns.routes, columns.gateways), (1 << Route as u32, 1 << Gateway as u32));
    }

    /// The rules of all kinds are here, where they can be compared.
    #[test]
    fn no_other_room_names_a_kind() {
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut read = 0;
        while let Some(folder) = folders.pop() {
            for entry in
                std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
            {
                if entry.is_dir() {
                    folders.push(entry);
                } else if !entry.ends_with("src/kind.rs") && !entry.ends_with("src/format.rs") {
                    let text = std::fs::read_to_string(&entry).expect("text");
                    let named = Kind::ALL.map(|kind| format!(" Kind::{kind:?}"));
                    assert!(!named.iter().any(|name| text.contains(name)), "{}", entry.display());
                    read += 1;
                }
            }
        }
        assert!(read > 20);
    }

    #[test]
    fn every_kind_is_known_by_its_number() {
        assert_eq!(Kind::ALL.map(|kind| Kind::numbered(kind as u8)), Kind::ALL);
    }

    #[test]
    fn every_entry_has_a_number_of_its_own() {
        let entries =
            Kind::ALL.into_iter().flat_map(|from| [Via::Publish, Via::Service].map(|by| Entry { from, by }));
        let numbers: HashSet<u32> = entries.map(Entry::number).collect();
        assert_eq!(numbers.len(), 2 * KINDS);
    }
}
