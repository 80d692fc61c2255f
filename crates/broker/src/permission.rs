//! The gates: who may publish, and who may subscribe. Delivery's own gate is where routes are built.
//!
//! Each returns a type that the next step demands, so nothing can be routed or subscribed past it.

use crate::peer::Peer;
use crate::reserved::{self, Use, is_reserved};
use dialtone_identity::permission::{Permissions, ResponseLimits, Subscribing};
use dialtone_wire::message::Message;
use std::time::Instant;

/// Something that passed its gate. Only this module makes one.
#[derive(Clone, Copy, Debug)]
pub struct Authorized<T>(T);

impl<T> Authorized<T> {
    /// What was authorized.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Its rights do not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

/// Why a message may not be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its subject is denied, or kept for servers.
    Subject,
    /// Its reply subject is kept for servers.
    Reply,
}

/// A subscription that passed its gate.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe<'a> {
    /// What it asks for.
    pub filter: &'a [u8],
    /// Its queue group.
    pub queue: Option<&'a [u8]>,
    /// Its name.
    pub sid: &'a [u8],
}

/// May this peer publish this message? Its rights decide, and a request that it was sent with this reply subject; but no
/// request lifts a denial, and no right reaches what servers keep for themselves.
///
/// # Errors
///
/// [`Refused`]: the subject or the reply subject may not be used.
#[inline(always)]
pub fn publish<'m, 'a>(
    peer: &Peer,
    permissions: Option<&Permissions>,
    message: &'m Message<'a>,
    now: Instant,
) -> Result<Authorized<&'m Message<'a>>, Refused> {
    let may_be_reserved = reserved::may_be(message.subject) || message.reply.is_some_and(reserved::may_be);
    // Most have all rights and use no such subject: only the others pay for what they have.
    if may_be_reserved || permissions.is_some() {
        judge(peer, permissions, message, now)?;
    }
    Ok(Authorized(message))
}

/// A message of the server itself, which may publish anything.
pub(crate) fn by_server<'m, 'a>(message: &'m Message<'a>) -> Authorized<&'m Message<'a>> {
    Authorized(message)
}

#[inline(never)]
fn judge(
    peer: &Peer,
    permissions: Option<&Permissions>,
    message: &Message<'_>,
    now: Instant,
) -> Result<(), Refused> {
    match permissions {
        Some(p) if !p.can_publish(message.subject) && !may_answer(peer, p, message.subject, now) => {
            Err(Refused::Subject)
        }
        _ if is_reserved(|| peer.bound(), Use::Subject, message.subject) => Err(Refused::Subject),
        _ => match message.reply {
            Some(reply) if is_reserved(|| peer.bound(), Use::Reply, reply) => Err(Refused::Reply),
            _ => Ok(()),
        },
    }
}

#[cold]
fn may_answer(peer: &Peer, permissions: &Permissions, subject: &[u8], now: Instant) -> bool {
    peer.tracks_replies() && answers(permissions, subject).is_some() && peer.may_answer(subject, now)
}

/// How many answers to `subject` a request with that reply subject allows. Not where the server listens, nor where a
/// denial names the subject; a denial of everything is how responders are kept from publishing anything else.
pub fn answers<'a>(permissions: &'a Permissions, subject: &[u8]) -> Option<&'a ResponseLimits> {
    let may = |_: &&ResponseLimits| !permissions.denies_answer(subject) && reserved::may_be_answered(subject);
    permissions.allow_responses().filter(may)
}

/// Where a message's trace is published.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a>(pub &'a [u8]);

/// May this peer have a trace sent there? Who may publish there may.
///
/// # Errors
///
/// [`Denied`]: it may not publish there.
pub fn trace<'a>(
    peer: &Peer,
    permissions: Option<&Permissions>,
    destination: &'a [u8],
) -> Result<Authorized<Destination<'a>>, Denied> {
    let is_denied = permissions.is_some_and(|p| !p.can_publish(destination))
        || is_reserved(|| peer.bound(), Use::Subject, destination);
    if is_denied { Err(Denied) } else { Ok(Authorized(Destination(destination))) }
}

/// May this peer subscribe? A filter that is wider than what is denied passes; each delivery is then checked.
///
/// # Errors
///
/// [`Denied`]: its rights do not allow the filter, or the queue group.
pub fn subscribe<'a>(
    permissions: Option<&Permissions>,
    wish: Subscribe<'a>,
) -> Result<Authorized<Subscribe<'a>>, Denied> {
    match permissions.map(|p| p.can_subscribe(wish.filter, wish.queue)) {
        None | Some(Subscribing::Allowed | Subscribing::AllowedWithDeliveryCheck) => Ok(Authorized(wish)),
        Some(Subscribing::Denied) => Err(Denied),
    }
}

/// Whether a peer that may subscribe may have all that the filter matches, so that no delivery has to be checked.
pub fn has_all(permissions: Option<&Permissions>, wish: Subscribe<'_>) -> bool {
    permissions.is_none_or(|p| p.can_subscribe(wish.filter, wish.queue) == Subscribing::Allowed)
}

/// May a server with these rights be told of this interest? It would send what is published there, so its rights to publish decide, about
/// the filter as it stands: one that is wider than what is allowed does not pass.
///
/// # Errors
///
/// [`Denied`]: it may not publish to the filter.
pub fn announce<'a>(
    permissions: Option<&Permissions>,
    filter: &'a [u8],
) -> Result<Authorized<&'a [u8]>, Denied> {
    if permissions.is_none_or(|p| p.can_publish(filter)) { Ok(Authorized(filter)) } else { Err(Denied) }
}

/// May a leaf node with these rights be told of this interest? It sends what it may publish of that.
///
/// # Errors
///
/// [`Denied`]: it may publish nothing that the filter matches.
pub fn announce_to_leaf<'a>(
    permissions: Option<&Permissions>,
    filter: &'a [u8],
) -> Result<Authorized<&'a [u8]>, Denied> {
    if permissions.is_none_or(|p| p.can_publish_some(filter)) { Ok(Authorized(filter)) } else { Err(Denied) }
}

/// May a leaf node subscribe to this? It stands for others, so a filter may be wider than what it may have: each delivery is checked.
///
/// # Errors
///
/// [`Denied`]: it may have nothing that the filter matches.
pub fn subscribe_by_leaf<'a>(
    permissions: Option<&Permissions>,
    filter: &'a [u8],
) -> Result<Authorized<&'a [u8]>, Denied> {
    if permissions.is_none_or(|p| p.can_receive_some(filter)) { Ok(Authorized(filter)) } else { Err(Denied) }
}
