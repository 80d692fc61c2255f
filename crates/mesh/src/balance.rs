//! How many clients a server hands over to others of its cluster, so that after a restart all have about as many.
//!
//! Each server decides for itself, from what the others report. Only a server that has more than the mean, by more than the tolerance,
//! hands clients over, slowly, and never so many that it has fewer than the mean; only servers below the mean are targets. So of two
//! servers at most one hands over to the other. Clients that were sent away stay in their server's report until another server must have
//! reported them: none is missing in the mean while it is under way, and the mean is not taken for lower than it is.
//!
//! It happens in rounds, so that nobody is moved while nothing has changed: a server that joins begins one, and only clients that came
//! before it may be sent away. Who comes back, or cannot go elsewhere, is left alone.

use crate::id::ServerId;
use crate::limits::PEERS_MAX;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// In a second a server sends away one of so many of its clients, and one at least.
const ONE_OF: u64 = 100;
/// A server is content when it has at most so many per cent more than the mean.
const TOLERANCE_PERCENT: u64 = 10;
/// How often a server reports while it is in a round. Otherwise it does so every ten seconds.
pub const REPORT_EVERY: Duration = Duration::from_secs(2);
/// What a report counts for at most, so that no sum of them is too large.
const CLIENTS_MAX: u64 = u32::MAX as u64;
/// How long a report counts.
const REPORTED_FOR: Duration = Duration::from_secs(30);
/// After it was closed, a client is within this time in the report of another server, or has left the cluster: it connects again, and a
/// report is due.
const ARRIVES_WITHIN: Duration = Duration::from_secs(12);
/// When nobody is left who may be sent away, one more round begins after this time, for those who have come since the first one began.
/// Clients that always come back are sent away once more in it.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// A round is over when all servers were content for so long: longer than clients are counted twice.
const CONTENT_FOR: Duration = Duration::from_secs(120);

/// One server's part.
#[derive(Debug, Default)]
pub struct Balance {
    /// The other servers that take part, by their last reports.
    others: BTreeMap<ServerId, Report>,
    /// Clients that were sent away, by the time until which they are in this server's report.
    under_way: BTreeMap<Instant, u64>,
    round: Option<Round>,
}

#[derive(Debug)]
struct Report {
    clients: u64,
    at: Instant,
}

/// From the moment when another server joined until there is nothing to do.
#[derive(Debug)]
struct Round {
    /// Clients that came before may be sent away, and nobody is before this.
    begins: Instant,
    /// When some server was last not content.
    busy_at: Instant,
    /// Whether one more may follow.
    is_first: bool,
}

/// Clients that are to go.
#[derive(Debug, PartialEq, Eq)]
pub struct Handover {
    /// How many.
    pub clients: u64,
    /// Only those that came before.
    pub before: Instant,
    /// The servers that have fewer than the mean, the one with the fewest first.
    pub to: Vec<ServerId>,
}

impl Balance {
    /// Another server has so many clients, as its [`Balance::report`] says. A new one begins a round.
    pub fn reported(&mut self, server: ServerId, clients: u64, now: Instant) {
        if !self.others.contains_key(&server) {
            if self.others.len() >= PEERS_MAX {
                return;
            }
            self.round = Some(Round { begins: now, busy_at: now, is_first: true });
        }
        self.others.insert(server, Report { clients: clients.min(CLIENTS_MAX), at: now });
    }

    /// Another server takes no part any more.
    pub fn gone(&mut self, server: &ServerId) {
        self.others.remove(server);
    }

    /// Whether there may be somebody to hand over.
    pub fn is_active(&self) -> bool {
        self.round.is_some()
    }

    /// What other servers are told, where this server has so many clients beside those that were sent away.
    pub fn report(&mut self, own: u64, now: Instant) -> u64 {
        self.under_way.retain(|until, _| now < *until);
        own + self.under_way.values().sum::<u64>()
    }

    /// Which clients are to go in this second, where this server has so many beside those that were sent away. It is asked once a second,
    /// and [`Balance::sent`] takes in what became of it.
    pub fn next(&mut self, own: u64, now: Instant) -> Option<Handover> {
        self.others.retain(|_, report| now < report.at + REPORTED_FOR);
        let all = self.report(own, now) + self.others.values().map(|report| report.clients).sum::<u64>();
        let round = self.round.as_mut().filter(|round| round.begins <= now)?;
        let mean = all.div_ceil(self.others.len() as u64 + 1);
        let is_content = |clients: u64| clients * 100 <= mean * (100 + TOLERANCE_PERCENT);
        if !is_content(own) || !self.others.values().all(|report| is_content(report.clients)) {
            round.busy_at = now;
        } else if now >= round.busy_at + CONTENT_FOR {
            self.round = None;
            return None;
        }
        if is_content(own) {
            return None;
        }
        let mut to: Vec<_> = self.others.iter().filter(|(_, report)| report.clients < mean).collect();
        to.sort_by_key(|(_, report)| report.clients);
        let to: Vec<ServerId> = to.into_iter().map(|(server, _)| server.clone()).collect();
        let clients = (own / ONE_OF).max(1).min(own - mean);
        (!to.is_empty()).then_some(Handover { clients, before: round.begins, to })
    }

    /// So many were sent away, and are closed by `closed_by`. 0: who is left has come since, or cannot go.
    pub fn sent(&mut self, clients: u64, closed_by: Instant, now: Instant) {
        if clients > 0 {
            *self.under_way.entry(closed_by + ARRIVES_WITHIN).or_default() += clients;
            return;
        }
        let ended = self.round.take().filter(|round| round.is_first);
        self.round = ended.map(|round| Round { begins: now + AGAIN_AFTER, is_first: false, ..round });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn server(name: &str) -> ServerId {
        ServerId::new(name)
    }

    #[test]
    fn one_per_cent_a_second_goes_to_those_that_have_fewer() {
        let start = Instant::now();
        let mut balance = Balance::default();
        assert_eq!(balance.next(1000, start), None, "nobody else is there");
        balance.reported(server("A"), 10, start);
        balance.reported(server("B"), 0, start);
        balance.reported(server("C"), 900, start);
        let handover =
            |clients| Some(Handover { clients, before: start, to: vec![server("B"), server("A")] });
        assert_eq!(balance.next(1000, start), handover(10));
        balance.sent(10, start, start);
        // Who is under way counts.
        assert_eq!(balance.report(990, start), 1000);
        assert_eq!(balance.next(990, start + SECOND), handover(9));
        balance.sent(9, start + SECOND * 10, start + SECOND);
        assert_eq!(balance.next(350, start + SECOND), None, "less than 10 per cent above the mean");
        // Both were closed, and must have come to another server.
        assert_eq!(balance.report(500, start + ARRIVES_WITHIN), 509);
        assert_eq!(balance.report(500, start + SECOND * 10 + ARRIVES_WITHIN), 500);
    }

    #[test]
    fn none_goes_below_the_mean_or_within_ten_per_cent_of_it() {
        let now = Instant::now();
        for (own, others, expected) in [
            (2, vec![0], Some(1)),
            (1, vec![0], None),
            (1, vec![0, 0, 0], None),
            (110, vec![90], None),
            (112, vec![88], Some(1)),
            (10_000, vec![10_000, 9_000], None),
            (10_000, vec![0], Some(100)),
            (0, vec![10_000], None),
        ] {
            let mut balance = Balance::default();
            for (number, clients) in others.iter().enumerate() {
                balance.reported(server(&number.to_string()), *clients, now);
            }
            let handover = balance.next(own, now);
            assert_eq!(handover.map(|handover| handover.clients), expected, "{own} and {others:?}");
        }
    }

    #[test]
    fn no_report_is_too_large() {
        let now = Instant::now();
        let mut balance = Balance::default();
        for number in 0..10 {
            balance.reported(server(&number.to_string()), u64::MAX, now);
        }
        assert_eq!(balance.next(1, now), None);
    }

    #[test]
    fn a_round_begins_with_a_new_server_and_ends() {
        let start = Instant::now();
        let mut balance = Balance::default();
        balance.reported(server("B"), 0, start);
        assert!(balance.next(10, start).is_some());
        // Nobody can go. It is tried once more, with those who have come meanwhile.
        balance.sent(0, start, start);
        let again = start + AGAIN_AFTER;
        balance.reported(server("B"), 0, again);
        assert_eq!(balance.next(10, again - SECOND), None);
        assert_eq!(balance.next(10, again).map(|handover| handover.before), Some(again));
        balance.sent(0, again, again);
        assert!(!balance.is_active());
        let start = start + SECOND * 200;
        balance.reported(server("C"), 10, start);
        balance.gone(&server("C"));
        balance.reported(server("C"), 0, start + SECOND * 2);
        assert!(balance.next(10, start + SECOND * 2).is_some());
        // All are content; what comes later is no matter of this round.
        for second in 3..130 {
            balance.reported(server("B"), 10, start + SECOND * second);
            balance.reported(server("C"), 10, start + SECOND * second);
            assert_eq!(balance.next(10, start + SECOND * second), None);
        }
        assert_eq!(balance.next(100, start + SECOND * 130), None);
        assert!(!balance.is_active());
    }

    #[test]
    fn who_is_silent_or_gone_takes_no_part() {
        let start = Instant::now();
        let mut balance = Balance::default();
        balance.reported(server("B"), 0, start);
        balance.reported(server("C"), 100, start);
        assert!(balance.next(100, start).is_some());
        balance.gone(&server("B"));
        assert_eq!(balance.next(100, start), None);
        balance.reported(server("B"), 0, start);
        assert!(balance.next(100, start).is_some());
        assert_eq!(balance.next(100, start + REPORTED_FOR), None);
    }
}
