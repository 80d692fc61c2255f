//! What must hold: at any time, and once nothing more happens.

use super::client::Client;
use super::model::{Receivers, matches};
use super::world::{Published, World};
use std::collections::BTreeMap;

/// Who got a message: a client, the number of its connection, its subscription.
type Deliveries = Vec<(usize, u32, u32)>;

impl World<'_> {
    /// Who is to get a message now.
    pub fn receivers(&mut self, message: &Published) -> Receivers {
        let mut receivers = Receivers::default();
        for number in 0..self.plan.clients.len() {
            if self.space_of(number) != message.space {
                continue;
            }
            for (sid, sub) in &self.client(number).subs {
                if !matches(sub.filter, message.subject) {
                    continue;
                }
                match sub.queue {
                    Some(queue) => receivers.groups.entry(queue).or_default().push((number, *sid)),
                    None => receivers.all.push((number, *sid)),
                }
            }
        }
        receivers
    }

    fn deliveries(&mut self) -> Result<BTreeMap<String, Deliveries>, String> {
        let mut all: BTreeMap<String, Deliveries> = BTreeMap::new();
        for number in 0..self.plan.clients.len() {
            let client = self.client(number);
            if let Some(error) = client.errors.first() {
                return Err(format!("client {number} was told {error}"));
            }
            for got in &client.got {
                all.entry(got.body.clone()).or_default().push((number, got.connection, got.sid));
            }
        }
        Ok(all)
    }

    /// Nothing comes twice, and nothing where it does not belong; whatever happens meanwhile.
    pub fn check_always(&mut self) -> Result<(), String> {
        let deliveries = self.deliveries()?;
        for message in self.published.clone() {
            let Some(got) = deliveries.get(&message.body) else { continue };
            let mut groups: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
            for (index, &(client, connection, sid)) in got.iter().enumerate() {
                if self.space_of(client) != message.space {
                    return Err(format!("{message:?} came to client {client}, which is in another account"));
                }
                if got[..index].contains(&(client, connection, sid)) {
                    return Err(format!("{message:?} came twice to client {client}, subscription {sid}"));
                }
                if let Some(queue) = self.queue_of(client, sid)
                    && let Some(first) = groups.insert(queue, (client, sid))
                {
                    return Err(format!(
                        "{message:?} came to two of group {queue}: {first:?} and {:?}",
                        (client, sid)
                    ));
                }
            }
        }
        Ok(())
    }

    /// The messages that were published when all was whole came to all whom they are for, in order.
    pub fn check_whole(&mut self, from: usize) -> Result<(), String> {
        let deliveries = self.deliveries()?;
        for message in self.published.get(from..).unwrap_or_default().to_vec() {
            let expected = self.receivers(&message);
            let got = deliveries.get(&message.body).cloned().unwrap_or_default();
            let of_group = |client: &usize, sid: &u32| self.queues.get(&(*client, *sid)).copied().flatten();
            let mut plain: Vec<(usize, u32)> =
                got.iter().filter(|(c, _, s)| of_group(c, s).is_none()).map(|&(c, _, s)| (c, s)).collect();
            plain.sort_unstable();
            if plain != expected.all {
                return Err(format!("{message:?} came to {plain:?} instead of {:?}", expected.all));
            }
            for (queue, members) in &expected.groups {
                let taken: Vec<(usize, u32)> =
                    got.iter().map(|&(c, _, s)| (c, s)).filter(|member| members.contains(member)).collect();
                if taken.len() != 1 {
                    return Err(format!("{message:?} came to {taken:?} of group {queue}: {members:?}"));
                }
            }
        }
        self.check_order(from)
    }

    /// What one publisher sends on one subject comes in order.
    fn check_order(&mut self, from: usize) -> Result<(), String> {
        let places: BTreeMap<String, (usize, usize)> = self
            .published
            .iter()
            .enumerate()
            .skip(from)
            .map(|(at, m)| (m.body.clone(), (m.client, at)))
            .collect();
        for number in 0..self.plan.clients.len() {
            let mut last: BTreeMap<(u32, usize, String), usize> = BTreeMap::new();
            let client: &Client = self.client(number);
            for got in &client.got {
                let Some(&(publisher, at)) = places.get(&got.body) else { continue };
                let before = last.insert((got.sid, publisher, got.subject.clone()), at);
                if before.is_some_and(|before| before > at) {
                    return Err(format!("client {number} got {got:?} behind a later one"));
                }
            }
        }
        Ok(())
    }
}
