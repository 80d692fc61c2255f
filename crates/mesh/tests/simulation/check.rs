//! What must be true once nothing more happens.

use crate::node::Node;
use crate::world::World;
use dialtone_mesh::{LinkId, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub fn all(world: &World<'_>) -> Result<(), String> {
    let living: Vec<(usize, &Node)> =
        world.nodes.iter().enumerate().filter_map(|(number, node)| Some((number, node.as_ref()?))).collect();
    for (at, (one, node)) in living.iter().enumerate() {
        one_name(living[0].1, node)?;
        no_connection_to_itself(node)?;
        client_urls(node, &living)?;
        for (other, its) in &living[at + 1..] {
            pair(world, (*one, node), (*other, its))
                .map_err(|wrong| format!("{} and {}: {wrong}", node.id, its.id))?;
        }
    }
    no_dials_at_the_end(world)?;
    no_dial_storm(world)
}

fn one_name(first: &Node, node: &Node) -> Result<(), String> {
    let (first, name) = (first.cluster.name().0, node.cluster.name().0);
    (first == name)
        .then_some(())
        .ok_or_else(|| format!("{} calls the cluster {name} instead of {first}", node.id))
}

fn no_connection_to_itself(node: &Node) -> Result<(), String> {
    let to_itself = node.joined.values().any(|(server, _)| server.as_str() == node.id);
    (!to_itself).then_some(()).ok_or_else(|| format!("{} is connected with itself", node.id))
}

fn client_urls(node: &Node, living: &[(usize, &Node)]) -> Result<(), String> {
    let not_leaving = living.iter().filter(|(_, other)| !other.lame_duck);
    let expected: BTreeSet<&String> = not_leaving.map(|(_, other)| &other.client_url).collect();
    let told: BTreeSet<&String> = node.told_clients.plain.iter().collect();
    if expected != told || told.len() != node.told_clients.plain.len() {
        return Err(format!("{} tells clients {:?}, not {expected:?}", node.id, node.told_clients.plain));
    }
    let own_first = node.lame_duck || node.told_clients.plain.first() == Some(&node.client_url);
    own_first.then_some(()).ok_or_else(|| format!("{} does not name itself first", node.id))
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
    let expected = places(world, one, other);
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

fn places(world: &World<'_>, one: usize, other: usize) -> BTreeSet<Place> {
    let (one, other) = (world.server_plan(one), world.server_plan(other));
    if one.pool_size == 0 || other.pool_size == 0 {
        return BTreeSet::from([Place::Single]);
    }
    let size = one.pool_size.max(other.pool_size);
    let pool = (0..size).map(|index| Place::Pool { index, size });
    let both = one.dedicated.iter().filter(|account| other.dedicated.contains(account));
    pool.chain(both.map(|account| Place::Dedicated((*account).into()))).collect()
}

/// Whom nobody misses nobody dials: only servers that are gone and configured, and accounts that the other server has no routes for.
fn no_dials_at_the_end(world: &World<'_>) -> Result<(), String> {
    let calm = world.whole_at() + Duration::from_secs(45);
    for (at, from, to, lane) in world.dialled.iter().filter(|(at, ..)| *at > calm) {
        let is_there = world
            .nodes
            .iter()
            .flatten()
            .any(|node| node.client_url.split(':').next() == to.split(':').next());
        let uneven = world.uneven();
        if is_there && !uneven {
            return Err(format!("at {at:?} server {from} dials {to} for {lane:?}, which it has"));
        }
    }
    Ok(())
}

/// No server dials another one for the same thing more often than a pool has places and delays allow.
fn no_dial_storm(world: &World<'_>) -> Result<(), String> {
    let mut by_what: BTreeMap<(usize, &str, String), Vec<Duration>> = BTreeMap::new();
    for (at, from, to, lane) in &world.dialled {
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
