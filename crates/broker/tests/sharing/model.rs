//! A naive model of who must receive what.

use crate::world::{World, local};
use dialtone_config::sharing::{Import, ImportKind};
use dialtone_subject::naive;
use std::collections::{BTreeMap, BTreeSet};

/// What wildcards of a filter match, and the rest behind `>`.
pub fn matched<'a>(filter: &str, subject: &'a str) -> Option<(Vec<&'a str>, Vec<&'a str>)> {
    if !naive::matches(filter.as_bytes(), subject.as_bytes()) {
        return None;
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    let of_filter: Vec<&str> = filter.split('.').collect();
    let stars = (0..of_filter.len()).filter(|&at| of_filter[at] == "*").map(|at| tokens[at]).collect();
    let rest =
        of_filter.iter().position(|token| *token == ">").map_or(Vec::new(), |at| tokens[at..].to_vec());
    Some((stars, rest))
}

/// A subject of a pattern: `*` stand for what is given, in order; `$1` for the first; `>` for the rest.
pub fn fill(pattern: &str, stars: &[&str], rest: &[&str]) -> String {
    let mut next = stars.iter();
    let mut out = Vec::new();
    for token in pattern.split('.') {
        match token.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok()) {
            Some(n) => out.push(stars[n - 1]),
            None if token == "*" => out.push(next.next().expect("as many as there are wildcards")),
            None if token == ">" => out.extend(rest),
            None => out.push(token),
        }
    }
    out.join(".")
}

/// Which subject of the exporter is asked by `subject` here, if the import is asked at all.
pub fn asked(import: &Import, subject: &str) -> Option<String> {
    let name = local(import);
    // In the order in which they stand here, what stood in place of the wildcards goes into those there.
    let filter = name.split('.').map(|token| if token.starts_with('$') { "*" } else { token });
    let (stars, rest) = matched(&filter.collect::<Vec<_>>().join("."), subject)?;
    if !name.contains('$') {
        return Some(fill(&import.subject, &stars, &rest));
    }
    let order = name.split('.').filter_map(|token| token.strip_prefix('$'));
    let order: Vec<usize> = order.map(|digits| digits.parse().expect("a number")).collect();
    let placed: Vec<&str> = order.iter().map(|n| stars[n - 1]).collect();
    Some(fill(&import.subject, &placed, &rest))
}

/// Account, peer, sid and subject of a delivery.
pub type Delivery = (usize, usize, usize, String);

/// Who must get a message.
#[derive(Debug, Default)]
pub struct Expected {
    pub each: Vec<Delivery>,
    /// One of each group.
    pub groups: Vec<Vec<Delivery>>,
}

impl World {
    pub fn mapped(&self, account: usize, subject: &str) -> String {
        let mapping = &self.0[account].mappings;
        let found = mapping.iter().find_map(|mapping| Some((mapping, matched(&mapping.subject, subject)?)));
        found.map_or(subject.to_owned(), |(mapping, (stars, rest))| {
            fill(&mapping.destinations[0].subject, &stars, &rest)
        })
    }

    pub fn subscribed(&self, account: usize, subject: &str) -> Vec<(Option<&'static str>, Delivery)> {
        let mut out = Vec::new();
        for (peer, subscriptions) in self.0[account].peers.iter().enumerate() {
            for (sid, (filter, queue)) in subscriptions.iter().enumerate() {
                if naive::matches(filter.as_bytes(), subject.as_bytes()) {
                    out.push((*queue, (account, peer, sid, subject.to_owned())));
                }
            }
        }
        out
    }

    /// `services` are those that were asked on the way here, by account and place.
    pub fn deliver(&self, account: usize, subject: &str, services: &[(usize, usize)], out: &mut Expected) {
        let mut here = self.subscribed(account, subject);
        if services.is_empty() {
            for (importer, tenant) in self.0.iter().enumerate() {
                for import in tenant.imports.iter().filter(|import| import.account == account.to_string()) {
                    if let (ImportKind::Stream { .. }, Some((stars, rest))) =
                        (&import.kind, matched(&import.subject, subject))
                    {
                        here.extend(self.subscribed(importer, &fill(&local(import), &stars, &rest)));
                    }
                }
            }
        }
        let mut groups: BTreeMap<&str, Vec<Delivery>> = BTreeMap::new();
        for (queue, delivery) in here {
            match queue {
                None => out.each.push(delivery),
                Some(queue) => groups.entry(queue).or_default().push(delivery),
            }
        }
        out.groups.extend(groups.into_values());
        for import in &self.0[account].imports {
            let ImportKind::Service { .. } = import.kind else { continue };
            let Some(there) = asked(import, subject) else { continue };
            let exporter: usize = import.account.parse().expect("a number");
            let exports = &self.0[exporter].exports;
            let service =
                exports.iter().position(|e| e.allows(import, &account.to_string())).expect("allowed");
            if !services.contains(&(exporter, service)) {
                let passed = [services, &[(exporter, service)]].concat();
                self.deliver(exporter, &self.mapped(exporter, &there), &passed, out);
            }
        }
    }

    /// Accounts that an agreement leads to from this one.
    pub fn reachable(&self, from: usize) -> BTreeSet<usize> {
        let takes = |to: usize, is: fn(&ImportKind) -> bool| {
            let imports = self.0[to].imports.iter().filter(move |import| is(&import.kind));
            imports.map(|import| import.account.parse::<usize>().expect("a number"))
        };
        let mut all = BTreeSet::from([from]);
        let mut services = vec![from];
        while let Some(account) = services.pop() {
            for exporter in takes(account, |kind| matches!(kind, ImportKind::Service { .. })) {
                if all.insert(exporter) {
                    services.push(exporter);
                }
            }
        }
        let streams =
            |to: &usize| takes(*to, |kind| matches!(kind, ImportKind::Stream { .. })).any(|f| f == from);
        all.extend((0..self.0.len()).filter(streams));
        all
    }
}
