//! Whom the server trusts in operator mode: accounts by their JWTs.
//!
//! [`accept`] takes a JWT in, whatever way it came, and puts it in force; [`review`] looks at the connections of an
//! account whose JWT has changed; [`context`] is what JWTs are judged by; [`service`] answers requests about them.
//!
//! Invariants: only JWTs that an operator signed are kept; an older one never takes the place of a newer one; the
//! rights of a connection are always those of the newest JWT of its account.

mod accept;
mod context;
pub(crate) mod review;
pub(crate) mod service;

use crate::log::Event;
use crate::node::Node;
use crate::resolver::Reach;
use crate::verifier::{Chore, Host, Verifier};
use dialtone_net::Threads;

pub use accept::{Acceptance, JwtRejection};

impl Host for Node {
    fn verifier(&self) -> &Verifier<Self> {
        &self.verifier
    }

    fn threads(&self) -> &Threads {
        &self.threads
    }

    fn asks_others(&self) -> bool {
        self.resolver.asks_others()
    }

    fn look_up(&self, key: &str) {
        if let Err(why) = Self::look_up(self, key, Reach::Anywhere) {
            self.log.emit(Event::ClientCreated, "", format_args!("Account {key}: {why}"));
        }
    }

    fn do_chore(&self, chore: Chore) {
        match chore {
            Chore::RenewTokens => self.renew_tokens(),
            Chore::EndActivations => self.end_activations(),
        }
    }
}
