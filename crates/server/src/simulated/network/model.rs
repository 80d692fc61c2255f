//! Who gets what, as a naive reader of the plan would say.

use super::plan::{ACCOUNTS, Plan};
use std::collections::BTreeMap;

/// Accounts of domains that are one, since the domains are connected for them.
pub(super) struct Spaces(Vec<usize>);

impl Spaces {
    pub fn of(plan: &Plan) -> Self {
        let mut spaces = Self((0..plan.domains.len() * ACCOUNTS.len()).collect());
        let gateways: Vec<usize> = (0..plan.domains.len()).filter(|&d| plan.domains[d].has_gateway).collect();
        for account in 0..ACCOUNTS.len() {
            for pair in gateways.windows(2) {
                spaces.join((pair[0], account), (pair[1], account));
            }
        }
        for (domain, own) in plan.domains.iter().enumerate() {
            for uplink in &own.uplinks {
                spaces.join((domain, uplink.accounts[0]), (uplink.to, uplink.accounts[1]));
            }
        }
        spaces
    }

    pub fn find(&self, domain: usize, account: usize) -> usize {
        self.0[domain * ACCOUNTS.len() + account]
    }

    fn join(&mut self, one: (usize, usize), other: (usize, usize)) {
        let (from, to) = (self.find(one.0, one.1), self.find(other.0, other.1));
        for space in &mut self.0 {
            if *space == from {
                *space = to;
            }
        }
    }
}

pub(super) fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in filter.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            (part, Some(token)) if part != "*" && part != token => return false,
            _ => {}
        }
    }
    tokens.next().is_none()
}

/// Who is to get one message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Receivers {
    /// Subscriptions without a group: a client, and its number there.
    pub all: Vec<(usize, u32)>,
    /// Members of groups, of which one gets it.
    pub groups: BTreeMap<&'static str, Vec<(usize, u32)>>,
}
