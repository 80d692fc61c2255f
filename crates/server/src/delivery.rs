//! What the turns of all threads deliver by.

use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::sharing::service_requests::ServiceRequests;
use dialtone_broker::stats::Totals;
use std::sync::Arc;

/// What all turns of a server have in common.
pub struct Delivery {
    /// What the server received and sent.
    pub totals: Arc<Totals>,
    /// Where interest changes.
    pub gate: Arc<Gate>,
    /// Requests to services that wait for their answers.
    pub service_requests: Arc<ServiceRequests>,
}

impl Delivery {
    /// For a server of this name.
    pub(crate) fn new(server_name: &str) -> Self {
        Self {
            totals: Arc::default(),
            gate: Arc::default(),
            service_requests: ServiceRequests::new(server_name),
        }
    }
}
