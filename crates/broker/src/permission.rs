//! The gates: who may publish, and who may subscribe. Delivery's own gate stands where routes are built.
//!
//! Each returns a type that the next step demands, so nothing can be routed or subscribed past it.

use crate::peer::Peer;
use dialtone_identity::permission::{Permissions, ResponseLimits, Subscribing};
use dialtone_wire::client::Publish;
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

/// It may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

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

/// May this peer publish this message? Its rights decide, and a request that it was sent with this reply subject.
#[inline]
pub fn publish<'a>(
    peer: &Peer,
    permissions: Option<&Permissions>,
    message: Publish<'a>,
    now: Instant,
) -> Result<Authorized<Publish<'a>>, Denied> {
    match permissions {
        None => Ok(Authorized(message)),
        Some(p) if p.can_publish(message.subject) => Ok(Authorized(message)),
        Some(_) if peer.tracks_replies() && peer.may_answer(message.subject, now) => Ok(Authorized(message)),
        Some(_) => Err(Denied),
    }
}

/// How many answers to `subject` a request with that reply subject allows, whatever else these rights say of it.
pub fn answers<'a>(permissions: &'a Permissions, _subject: &[u8]) -> Option<&'a ResponseLimits> {
    permissions.allow_responses()
}

/// Where a message's trace is told.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a>(pub &'a [u8]);

/// May whoever has these rights have a trace told there? Who may publish there may.
pub fn trace<'a>(
    permissions: Option<&Permissions>,
    destination: &'a [u8],
) -> Result<Authorized<Destination<'a>>, Denied> {
    match permissions {
        Some(p) if !p.can_publish(destination) => Err(Denied),
        _ => Ok(Authorized(Destination(destination))),
    }
}

/// May this peer subscribe? A filter that is wider than what is denied passes; each delivery is then looked at.
pub fn subscribe<'a>(
    permissions: Option<&Permissions>,
    wish: Subscribe<'a>,
) -> Result<Authorized<Subscribe<'a>>, Denied> {
    match permissions.map(|p| p.can_subscribe(wish.filter, wish.queue)) {
        None | Some(Subscribing::Allowed | Subscribing::AllowedWithDeliveryCheck) => Ok(Authorized(wish)),
        Some(Subscribing::Denied) => Err(Denied),
    }
}
