//! How the server is doing: `$SYS.SERVER.<id>.STATSZ`, often at first and then every ten seconds.

use super::{about, publish_event};
use crate::internal::Executor;
use crate::monitor::times::stamp;
use crate::process;
use crate::shared::Shared;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The first time it is told after the start; each pause is twice the one before. The official figures.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Tells from now on.
pub(super) fn begin(executor: &mut Executor) {
    let mut pause = PAUSE_FIRST;
    executor.repeat(pause, move |executor| {
        pause = next(pause);
        broadcast(executor);
        Some(pause)
    });
}

fn next(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}

/// Tells whoever listens.
fn broadcast(executor: &mut Executor) {
    let (shared, turn) = executor.parts();
    publish_event(shared, turn, &format!("$SYS.SERVER.{}.STATSZ", shared.identity.id), &message(shared));
}

/// The event, which is also the answer to a request.
pub(super) fn message(shared: &Shared) -> Value {
    let statsz = figures(shared);
    json!({ "server": about::server(shared), "statsz": statsz })
}

fn figures(shared: &Shared) -> Value {
    let traffic = shared.counters.read();
    let accounts = shared.accounts();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (slow, stale) = (shared.failures.slow.load(Relaxed), shared.failures.stale.load(Relaxed));
    let stalled = shared.failures.stalled.load(Relaxed);
    let kinds = |clients: u64| json!({ "clients": clients, "routes": 0, "gateways": 0, "leafs": 0 });
    let sent = json!({ "msgs": traffic.out_msgs, "bytes": traffic.out_bytes });
    let received = json!({ "msgs": traffic.in_msgs, "bytes": traffic.in_bytes });
    let mut out = json!({
        "start": stamp(shared.start),
        "mem": process::resident_bytes(),
        "cores": cores,
        "cpu": shared.load.percent(),
        "connections": shared.registry.len(),
        "total_connections": shared.registry.total(),
        "active_accounts": accounts.iter().filter(|a| a.connections() > 0).count(),
        "subscriptions": accounts.iter().map(|a| a.subscriptions()).sum::<usize>(),
        "sent": sent,
        "sent_to_clients": sent,
        "received": received,
        "received_from_clients": received,
        "slow_consumers": slow,
    });
    let Some(object) = out.as_object_mut() else { return out };
    if slow > 0 {
        object.insert("slow_consumer_stats".into(), kinds(slow));
    }
    if stale > 0 {
        object.insert("stale_connections".into(), stale.into());
        object.insert("stale_connection_stats".into(), kinds(stale));
    }
    if stalled > 0 {
        object.insert("stalled_clients".into(), stalled.into());
    }
    object.insert("active_servers".into(), 1.into());
    object.insert("gomaxprocs".into(), cores.into());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_often_at_first() {
        let pauses = std::iter::successors(Some(PAUSE_FIRST), |&pause| Some(next(pause)));
        let seconds: Vec<_> = pauses.map(|pause| pause.as_secs_f64()).take(8).collect();
        assert_eq!(seconds, [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
    }
}
