//! What the turns of all threads deliver by.

use crate::leafs::{self, Leafs};
use crate::routes::{self, Routes};
use dialtone_broker::deliver::interest::{Gate, Watch};
use dialtone_broker::sharing::service_requests::ServiceRequests;
use dialtone_broker::stats::Totals;
use dialtone_config::Options;
use std::sync::Arc;

/// What all turns of a server have in common.
pub struct Delivery {
    /// What the server received and sent.
    pub totals: Arc<Totals>,
    /// Where interest changes.
    pub gate: Arc<Gate>,
    /// Who is told of that: routes to other servers.
    pub routes: Arc<Routes>,
    /// And leaf nodes.
    pub leafs: Arc<Leafs>,
    /// Requests to services that wait for their answers.
    pub service_requests: Arc<ServiceRequests>,
}

impl Delivery {
    /// For a server of this name, whose interest others are told of as the options say.
    pub(crate) fn new(server_name: &str, options: &Options) -> Self {
        let (routes, leafs): (Arc<Routes>, Arc<Leafs>) = Default::default();
        let mut watches: Vec<Box<dyn Watch>> = Vec::new();
        if options.cluster.is_some() {
            watches.push(Box::new(routes::Announcer(routes.clone())));
        }
        let has_leafs = options.leafnodes.is_some();
        if has_leafs {
            watches.push(Box::new(leafs::Announcer(leafs.clone())));
        }
        let gate = Gate::of(watches, has_leafs);
        let service_requests = ServiceRequests::new(server_name);
        Self { totals: Arc::default(), gate, routes, leafs, service_requests }
    }
}
