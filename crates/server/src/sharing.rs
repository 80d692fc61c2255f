//! What sharing between accounts needs of the control thread: answers that do not come in time are forgotten.

use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked for answers that are late.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);

/// Begins to look after answers that services owe.
pub(crate) fn start(shared: &Arc<Shared>) {
    shared.internal.run(|desk| {
        desk.repeat(EXPIRY_INTERVAL, |desk| {
            desk.shared.exchange.expire(desk.now());
            Some(EXPIRY_INTERVAL)
        });
    });
}
