//! The connections of a monitoring port: every one is accepted, and one goes for it where there are too many.

use crate::share::Share;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::AbortHandle;

/// The open connections of one port.
#[derive(Default)]
pub(super) struct Connected(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

struct Connection {
    share: Share,
    state: Activity,
    task: Option<AbortHandle>,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
    /// No request of it is whole, since then.
    Idle(Instant),
    /// A request of it is being answered, since then.
    Answering(Instant),
}

/// The place of one connection, which is free when this is dropped.
pub(super) struct Place {
    all: Arc<Connected>,
    number: u64,
}

impl Connected {
    /// Takes a connection in; if there are `max` before it, another one is closed.
    pub(super) fn admit(self: &Arc<Self>, share: Share, max: usize, now: Instant) -> Place {
        let mut closed = Vec::new();
        let mut open = self.0.lock();
        while open.connections.len() >= max.max(1)
            && let Some(number) =
                idlest(open.connections.iter().map(|(number, c)| (*number, &c.share, c.state)))
        {
            closed.extend(open.connections.remove(&number).and_then(|connection| connection.task));
        }
        open.next += 1;
        let number = open.next;
        open.connections.insert(number, Connection { share, state: Activity::Idle(now), task: None });
        drop(open);
        // With its task goes its place, which is another's by then.
        closed.iter().for_each(AbortHandle::abort);
        Place { all: self.clone(), number }
    }

    /// Says which task serves a connection.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(connection) = self.0.lock().connections.get_mut(&number) {
            connection.task = Some(task);
        }
    }
}

impl Place {
    /// Its number, to say later which task serves it.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// A request of it is whole.
    pub(super) fn answering(&self, now: Instant) {
        self.change(Activity::Answering(now));
    }

    /// A request of it was answered.
    pub(super) fn idle(&self, now: Instant) {
        self.change(Activity::Idle(now));
    }

    fn change(&self, to: Activity) {
        if let Some(connection) = self.all.0.lock().connections.get_mut(&self.number) {
            connection.state = to;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.0.lock().connections.remove(&self.number);
    }
}

/// Which connection goes: of the address that has most, the one that has been idle for longest; one that is being answered
/// only if all of them are.
fn idlest<'a>(all: impl Iterator<Item = (u64, &'a Share, Activity)> + Clone) -> Option<u64> {
    let mut counts: BTreeMap<&Share, usize> = BTreeMap::new();
    all.clone().for_each(|(_, share, _)| *counts.entry(share).or_default() += 1);
    let most = counts.values().copied().max()?;
    let of_most = all.filter(|(_, share, _)| counts.get(share) == Some(&most));
    of_most.min_by_key(|(number, _, state)| (*state, *number)).map(|(number, _, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[track_caller]
    fn check(all: &[(u8, bool, u64)], expected: Option<u64>) {
        let start = Instant::now();
        let shares: Vec<Share> = all.iter().map(|(n, ..)| Share::address([192, 0, 2, *n].into())).collect();
        let rows = all.iter().zip(&shares).zip(0..).map(|(((_, answering, at), share), number)| {
            let at = start + Duration::from_secs(*at);
            (number, share, if *answering { Activity::Answering(at) } else { Activity::Idle(at) })
        });
        assert_eq!(idlest(rows), expected, "{all:?}");
    }

    #[test]
    fn who_has_most_makes_room() {
        check(&[], None);
        check(&[(1, false, 5)], Some(0));
        check(&[(1, false, 0), (2, false, 7), (2, false, 6)], Some(2));
        check(&[(1, false, 3), (2, false, 1), (3, false, 2)], Some(1));
        check(&[(1, true, 0), (1, false, 9)], Some(1));
        check(&[(1, true, 4), (1, true, 3)], Some(1));
    }

    #[test]
    fn places_are_given_back() {
        let (all, now) = (Arc::new(Connected::default()), Instant::now());
        let share = |n: u8| Share::address([192, 0, 2, n].into());
        let open = || all.0.lock().connections.keys().copied().collect::<Vec<_>>();
        let first = all.admit(share(1), 2, now);
        let second = all.admit(share(2), 2, now);
        first.answering(now);
        // Both addresses have one; the first is being answered.
        let third = all.admit(share(3), 2, now);
        assert_eq!(open(), [first.number(), third.number()]);
        drop((first, second));
        assert_eq!(open(), [third.number()]);
        third.idle(now);
        drop(third);
        assert_eq!(open(), [0; 0]);
    }
}
