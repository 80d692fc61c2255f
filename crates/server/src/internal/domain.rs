//! What is done inside the server apart from all else.

/// Work that is done one after the other on a thread of its own, with a queue, timers and open requests of its own: what
/// takes long in one domain, or floods it, delays no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Commands, claims, reports, and what comes by time.
    Control,
    /// Asking authorization services, about logins and about who is in.
    Authorization,
    /// Requests about streams and consumers.
    JetStream,
}

impl Domain {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Control, Self::Authorization, Self::JetStream];

    /// The name of its thread and of its queue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Authorization => "authorization",
            Self::JetStream => "jetstream",
        }
    }
}
