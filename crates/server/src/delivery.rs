//! What the turns of all threads deliver by.

use crate::routes::{Announcer, Routes};
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
    /// Who is told of that: routes to other servers.
    pub routes: Arc<Routes>,
    /// Requests to services that wait for their answers.
    pub service_requests: Arc<ServiceRequests>,
}

impl Delivery {
    /// For a server of this name, which is in a cluster or not.
    pub(crate) fn new(server_name: &str, is_clustered: bool) -> Self {
        let routes: Arc<Routes> = Arc::default();
        let gate = if is_clustered { Gate::watched(Announcer(routes.clone())) } else { Arc::default() };
        Self { totals: Arc::default(), gate, routes, service_requests: ServiceRequests::new(server_name) }
    }
}
