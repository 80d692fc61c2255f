//! What the turns of all threads deliver by.

use crate::gateways::{self, Gateways};
use crate::leafs::{self, Leafs};
use crate::links::{self, Link, Past};
use crate::policy::Identity;
use crate::routes::{self, Routes};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::deliver::interest::{Gate, Watch};
use dialtone_broker::gateways::Gateways as Leads;
use dialtone_broker::random::Seed;
use dialtone_broker::sharing::service_requests::ServiceRequests;
use dialtone_broker::stats::Totals;
use dialtone_config::Options;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

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
    /// And connections to other clusters.
    pub gateways: Arc<Gateways>,
    /// What went by those of all three that are over.
    pub(crate) past_links: Past,
    /// Where replies lead that say it; `None`: there are no other clusters.
    pub leads: Option<Arc<Leads>>,
    /// Requests to services that wait for their answers.
    pub service_requests: Arc<ServiceRequests>,
}

impl Delivery {
    /// For a server with these options.
    pub(crate) fn new(identity: &Identity, options: &Options) -> Self {
        let gateway = options.gateway.as_ref().and_then(|own| own.name.as_deref());
        let gateways = Arc::new(Gateways::new(gateway));
        let (routes, leafs) = (Arc::<Routes>::default(), Arc::new(Leafs::new(gateway.is_some())));
        let mut watches: Vec<Box<dyn Watch>> = Vec::new();
        if options.cluster.is_some() {
            watches.push(Box::new(routes::Announcer(routes.clone())));
        }
        let has_leafs = options.leafnodes.is_some();
        leafs.is_told.store(has_leafs, Ordering::Release);
        if has_leafs {
            watches.push(Box::new(leafs::Announcer(leafs.clone())));
        }
        if gateway.is_some() {
            watches.push(Box::new(gateways::Announcer(gateways.clone())));
        }
        Self {
            totals: Arc::default(),
            gate: Gate::of(watches, has_leafs || gateway.is_some()),
            routes,
            leafs,
            gateways,
            past_links: Past::default(),
            leads: gateway.map(|name| Leads::new(name, &identity.id)),
            service_requests: ServiceRequests::new(&identity.name),
        }
    }

    /// All connections to other servers that there are.
    pub(crate) fn links(&self) -> Vec<Link> {
        links::open(&self.routes, &self.gateways, &self.leafs)
    }

    /// Leaf nodes are told of interest from here on, if they were not: the first came with a reload. Whether this is the first time; then
    /// what accounts share is not announced yet.
    pub(crate) fn tell_leafs(&self, accounts: impl Fn() -> Vec<Arc<Account>>) -> bool {
        if self.leafs.is_told.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut watch: Box<dyn Watch> = Box::new(leafs::Announcer(self.leafs.clone()));
        loop {
            let routes = self.routes.open();
            let relays: Vec<_> = routes.iter().map(|route| route.interest.lock()).collect();
            // One that came meanwhile would be left out.
            let accounts = || Arc::ptr_eq(&routes, &self.routes.open()).then(&accounts);
            match self.gate.watch(watch, accounts, &relays) {
                Ok(()) => return true,
                Err(again) => watch = again,
            }
        }
    }

    /// A turn by which one thread delivers; what it draws at random comes from `seed`.
    pub(crate) fn turn(&self, seed: Seed, now: Instant) -> Turn {
        Turn::new(seed, now)
            .with_service_requests(&self.service_requests)
            .with_gate(&self.gate)
            .with_gateways(self.leads.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder;
    use std::collections::BTreeMap;
    use std::io::ErrorKind;
    use std::path::Path;

    #[test]
    fn leaf_nodes_are_told_from_one_moment_on() {
        for (config, is_first) in [("", true), ("leafnodes { port: -1 }", false)] {
            let mut files = |_: &Path| Err(ErrorKind::NotFound.into());
            let options = dialtone_config::load_text(config, "t.conf", &mut files, &|_| None).expect(config);
            let delivery = Delivery::new(&builder::identity(&options, BTreeMap::new()), &options);
            assert_eq!([(); 2].map(|()| delivery.tell_leafs(Vec::new)), [is_first, false], "{config}");
        }
    }
}
