//! The check of the other end's certificate by OCSP: off the event loop, and nothing is read before it is over.

use super::Conduct;
use crate::clock;
use crate::log::Event;
use crate::system;
use crate::tls::Judgement;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_wire::CloseReason;

/// How far the check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CertificateCheck {
    /// It is over, or nothing is checked.
    #[default]
    Done,
    /// It is under way. With `greet`, INFO is due behind it.
    Asking { greet: bool },
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Nothing yet, or nothing is checked.
    No,
    /// It was good; with `greet`, the greeting is due.
    Good { greet: bool },
    /// It was not, and the connection closes.
    Rejected,
}

impl Conduct {
    /// Begins the check, where certificates are checked.
    pub(super) fn check_certificate(&mut self, turn: &mut Turn) {
        let Some(check) =
            self.policy.tls_of(self.session.listener()).and_then(|tls| tls.peer_check().cloned())
        else {
            return;
        };
        let Some(shown) = self.session.profile().secured.as_ref().map(|secured| secured.certificates.clone())
        else {
            return;
        };
        if shown.is_empty() {
            return;
        }
        self.certificate_check = CertificateCheck::Asking { greet: false };
        let session = self.session.clone();
        let taken = self.node.verifier.take_certificate(&self.node, &self.session, move |node| {
            session.put_judgement(check.check(&shown, &node.connections.peer_cache, clock::now()));
            Peer::wake_owner(&session.peer);
        });
        if let Err(cause) = taken {
            self.session.put_judgement(Judgement::not_asked(&format!("OCSP has no threads: {cause}")));
            // Nobody was greeted yet.
            let _ = self.take_judgement(turn);
        }
    }

    /// Takes what came of the check.
    pub(crate) fn take_judgement(&mut self, turn: &mut Turn) -> Judged {
        let CertificateCheck::Asking { greet } = self.certificate_check else { return Judged::No };
        let Some(judgement) = self.session.take_judgement() else { return Judged::No };
        for warning in &judgement.warnings {
            self.log(Event::Warning, format_args!("{warning}"));
        }
        let profile = self.session.profile();
        let leaf = profile.certificate();
        for (link, reason) in &judgement.bad {
            system::link_invalid(&self.node, turn, link, leaf.unwrap_or(link), reason);
        }
        if judgement.is_rejected {
            self.reject_certificate(turn);
            return Judged::Rejected;
        }
        self.certificate_check = CertificateCheck::Done;
        Judged::Good { greet }
    }

    fn reject_certificate(&mut self, turn: &mut Turn) {
        if let Some(leaf) = self.session.profile().certificate() {
            system::certificate_rejected(&self.node, turn, self.peer().kind().label(), leaf);
        }
        self.log(Event::TlsFailed, format_args!("TLS handshake error: client not OCSP valid"));
        self.peer().close(CloseReason::TlsHandshake);
    }

    /// Whether the greeting has to wait for the check.
    pub(crate) fn greets_later(&mut self) -> bool {
        match &mut self.certificate_check {
            CertificateCheck::Done => false,
            CertificateCheck::Asking { greet } => {
                *greet = true;
                true
            }
        }
    }

    /// Whether nothing may be read yet.
    #[inline]
    pub(crate) fn is_certificate_checked(&self) -> bool {
        self.certificate_check == CertificateCheck::Done
    }
}
