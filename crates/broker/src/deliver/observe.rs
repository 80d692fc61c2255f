//! Who looks at a delivery: nobody, or a trace. There is one loop that delivers ([`super::Turn::deliver_to`]); an observer has the
//! candidates, and sees what became of each.

use crate::peer::Peer;
use crate::route::Target;
use crate::trace::{Onward, Problem, TracedIntake};
use dialtone_wire::message::Message;
use std::sync::Arc;

/// A subscription that a message may go to.
pub(super) trait Candidate {
    /// Whose it is.
    fn peer(&self) -> &Arc<Peer>;
    /// What delivers to it; `None` if its rights do not let it have the message.
    fn target(&self) -> Option<&Target>;
    /// The queue group that it is in.
    fn queue(&self) -> Option<&[u8]>;
}

/// Looks at deliveries.
pub(super) trait Observe {
    /// What it sees.
    type Candidate: Candidate;
    /// Nothing is delivered, only looked at.
    fn withholds(&self) -> bool;
    /// A stream takes the message and says what becomes of it; that is so even where nothing is delivered.
    fn intake(&mut self, candidate: &Self::Candidate) -> Option<TracedIntake>;
    /// What became of one.
    fn note(&mut self, candidate: &Self::Candidate, outcome: Result<(), Problem>);
    /// The message goes on by a relay.
    fn passes_on(&mut self, relay: &Arc<Peer>, message: &Message<'_>) -> Onward;
}

/// Nobody looks: the candidates are the targets of a route.
pub(super) struct Silent;

impl Candidate for Target {
    #[inline(always)]
    fn peer(&self) -> &Arc<Peer> {
        self.subscription.peer()
    }

    #[inline(always)]
    fn target(&self) -> Option<&Target> {
        Some(self)
    }

    fn queue(&self) -> Option<&[u8]> {
        self.subscription.queue()
    }
}

impl Observe for Silent {
    type Candidate = Target;

    #[inline(always)]
    fn withholds(&self) -> bool {
        false
    }

    #[inline(always)]
    fn intake(&mut self, _: &Target) -> Option<TracedIntake> {
        None
    }

    #[inline(always)]
    fn note(&mut self, _: &Target, _: Result<(), Problem>) {}

    #[inline(always)]
    fn passes_on(&mut self, _: &Arc<Peer>, _: &Message<'_>) -> Onward {
        Onward::Unchanged
    }
}
