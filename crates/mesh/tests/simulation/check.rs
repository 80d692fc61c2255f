//! What must be true once nothing more happens.

use crate::node::{Node, leaf_url};
use crate::plan::ACCOUNTS;
use crate::world::World;
use dialtone_mesh::{Lane, LinkId, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub fn all(world: &World<'_>) -> Result<(), String> {
    let living = living(world);
    for (_, node) in &living {
        one_name(living[0].1, node)?;
        no_connection_to_itself(node)?;
        client_urls(node, &living)?;
        leaf_urls(node, &living)?;
    }
    mesh(world)?;
    no_dials_at_the_end(world)?;
    no_dial_storm(world)
}

/// Whether each two servers have all connections that they should have, and no more.
pub fn mesh(world: &World<'_>) -> Result<(), String> {
    let living = living(world);
    for (at, (one, node)) in living.iter().enumerate() {
        for (other, its) in &living[at + 1..] {
            if node.is_official && its.is_official {
                // How they are connected with each other is their affair.
                continue;
            }
            pair(world, (*one, node), (*other, its))
                .map_err(|wrong| format!("{} and {}: {wrong}", node.id, its.id))?;
        }
    }
    Ok(())
}

fn living<'a>(world: &'a World<'_>) -> Vec<(usize, &'a Node)> {
    world.nodes.iter().enumerate().filter_map(|(number, node)| Some((number, node.as_ref()?))).collect()
}

fn one_name(first: &Node, node: &Node) -> Result<(), String> {
    let (first, name) = (first.server.cluster_name(), node.server.cluster_name());
    (first == name)
        .then_some(())
        .ok_or_else(|| format!("{} calls the cluster {name} instead of {first}", node.id))
}

fn no_connection_to_itself(node: &Node) -> Result<(), String> {
    let to_itself = node.joined.values().any(|(server, _)| server.as_str() == node.id);
    (!to_itself).then_some(()).ok_or_else(|| format!("{} is connected with itself", node.id))
}

fn client_urls(node: &Node, living: &[(usize, &Node)]) -> Result<(), String> {
    if node.is_official {
        return Ok(());
    }
    let not_leaving = living.iter().filter(|(_, other)| !other.lame_duck);
    let expected: BTreeSet<&String> = not_leaving.map(|(_, other)| &other.client_url).collect();
    let told: BTreeSet<&String> = node.told_clients.plain.iter().collect();
    if expected != told || told.len() != node.told_clients.plain.len() {
        return Err(format!("{} tells clients {:?}, not {expected:?}", node.id, node.told_clients.plain));
    }
    let own_first = node.lame_duck || node.told_clients.plain.first() == Some(&node.client_url);
    own_first.then_some(()).ok_or_else(|| format!("{} does not name itself first", node.id))
}

fn leaf_urls(node: &Node, living: &[(usize, &Node)]) -> Result<(), String> {
    if node.is_official {
        return Ok(());
    }
    let not_leaving = living.iter().filter(|(_, other)| !other.lame_duck);
    let expected: BTreeSet<String> = not_leaving.map(|(_, other)| leaf_url(&other.client_url)).collect();
    let told: BTreeSet<String> = node.told_leafs.iter().cloned().collect();
    let is_right = expected == told && told.len() == node.told_leafs.len();
    is_right
        .then_some(())
        .ok_or_else(|| format!("{} tells leaf nodes {:?}, not {expected:?}", node.id, node.told_leafs))
}

fn joined<'a>(node: &'a Node, other: &'a Node) -> BTreeMap<&'a Place, Vec<LinkId>> {
    let mut found: BTreeMap<&Place, Vec<LinkId>> = BTreeMap::new();
    for (link, (server, place)) in &node.joined {
        if server.as_str() == other.id {
            found.entry(place).or_default().push(*link);
        }
    }
    found
}

/// Exactly one connection for each place, the same place at both ends.
fn pair(world: &World<'_>, (one, node): (usize, &Node), (other, its): (usize, &Node)) -> Result<(), String> {
    let expected = places(world, (one, node), (other, its));
    let (mut here, mut there) = (joined(node, its), joined(its, node));
    // An account that only one of the two has a route for: it dials in vain, from time to time.
    for places in [&mut here, &mut there] {
        places.retain(|place, _| expected.contains(*place) || !matches!(place, Place::Dedicated(_)));
    }
    for (places, at) in [(&here, node), (&there, its)] {
        if !places.keys().copied().eq(expected.iter()) {
            return Err(format!("{} has {:?}, not {expected:?}", at.id, places.keys()));
        }
    }
    for (place, links) in &here {
        let (&[mine], &[theirs]) = (&links[..], &there[place][..]) else {
            return Err(format!("{place:?} has several connections"));
        };
        if !world.same_connection((one, mine), (other, theirs)) {
            return Err(format!("{place:?} is not the same connection at both ends"));
        }
    }
    Ok(())
}

fn places(world: &World<'_>, (one, node): (usize, &Node), (other, its): (usize, &Node)) -> BTreeSet<Place> {
    let (one, other) = (world.server_plan(one), world.server_plan(other));
    if one.pool_size == 0 || other.pool_size == 0 {
        return BTreeSet::from([Place::Single]);
    }
    let size = one.pool_size.max(other.pool_size);
    let pool = (0..size).map(|index| Place::Pool { index, size });
    let both = ACCOUNTS.into_iter().filter(|a| node.server.is_dedicated(a) && its.server.is_dedicated(a));
    pool.chain(both.map(|account| Place::Dedicated(account.into()))).collect()
}

/// Whether servers differ in the accounts that have routes of their own.
fn is_uneven(world: &World<'_>) -> bool {
    let dedicated = |node: &Node| ACCOUNTS.map(|account| node.server.is_dedicated(account));
    let all: BTreeSet<_> = world.nodes.iter().flatten().map(dedicated).collect();
    all.len() > 1
}

type Dialled = (Duration, usize, String, Lane);

/// What servers of ours dialled. Official ones dial as they do.
fn ours<'a>(world: &'a World<'_>) -> impl Iterator<Item = &'a Dialled> {
    world.dialled.iter().filter(|(_, from, ..)| !world.server_plan(*from).official)
}

/// Whom nobody misses nobody dials: only servers that are gone and configured, and accounts that the other server has no routes for.
fn no_dials_at_the_end(world: &World<'_>) -> Result<(), String> {
    let calm = world.whole_at() + Duration::from_secs(45);
    for (at, from, to, lane) in ours(world).filter(|(at, ..)| *at > calm) {
        let is_there = world
            .nodes
            .iter()
            .flatten()
            .any(|node| node.client_url.split(':').next() == to.split(':').next());
        let uneven = is_uneven(world);
        if is_there && !uneven {
            return Err(format!("at {at:?} server {from} dials {to} for {lane:?}, which it has"));
        }
    }
    Ok(())
}

/// No server dials another one for the same thing more often than a pool has places and delays allow.
fn no_dial_storm(world: &World<'_>) -> Result<(), String> {
    let mut by_what: BTreeMap<(usize, &str, String), Vec<Duration>> = BTreeMap::new();
    for (at, from, to, lane) in ours(world) {
        by_what.entry((*from, to, format!("{lane:?}"))).or_default().push(*at);
    }
    const MOST: usize = 12;
    for (what, times) in by_what {
        let storm = times.windows(MOST + 1).find(|times| times[MOST] - times[0] < Duration::from_secs(1));
        if let Some(storm) = storm {
            return Err(format!("{what:?} is dialled {MOST} times from {:?}", storm[0]));
        }
    }
    Ok(())
}
