//! What waits in the queues of a server, and what the log says of items that were dropped from them.

use crate::log::Event;
use crate::node::Node;
use crate::share::{Lane, LaneFigures};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked for what was dropped.
const INTERVAL: Duration = Duration::from_secs(1);

/// What waits in the queues of a server, by queue and lane, and what was dropped from them.
pub(crate) fn figures(node: &Node) -> impl Iterator<Item = (&'static str, Lane, LaneFigures)> {
    node.internal.figures().chain(node.verifier.figures())
}

/// Begins to say what was dropped.
pub(crate) fn start(node: &Arc<Node>) {
    node.internal.run(|executor| {
        let mut known: BTreeMap<(&str, Lane), u64> = BTreeMap::new();
        executor.repeat(INTERVAL, move |executor| {
            for (queue, lane, figures) in figures(&executor.node) {
                let before = known.insert((queue, lane), figures.dropped).unwrap_or(0);
                let (dropped, kind) = (figures.dropped - before, lane.name());
                if dropped > 0 {
                    let text = format_args!(
                        "{dropped} items of the {kind} lane of the {queue} queue were dropped: too many waited, \
                         most of them of the same account or address"
                    );
                    executor.node.log.emit(Event::Warning, "", text);
                }
            }
            Some(INTERVAL)
        });
    });
}
