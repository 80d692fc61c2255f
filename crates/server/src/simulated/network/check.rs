//! What must hold: at any time, and once nothing more happens.

use super::client::{Client, answer};
use super::model::{Receivers, matches};
use super::world::{Published, World};
use std::collections::BTreeMap;

/// Who got a message: a client, the number of its connection, its subscription.
type Deliveries = Vec<(usize, u32, u32)>;

/// What strangers send: it may come as often as they send it.
pub(super) const STRANGE: &str = "strange";

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
            for got in client.got.iter().filter(|got| got.body != STRANGE) {
                all.entry(got.body.clone()).or_default().push((number, got.connection, got.sid));
            }
        }
        Ok(all)
    }

    /// Nothing comes twice, and nothing where it does not belong; whatever happens meanwhile.
    pub fn check_always(&mut self) -> Result<(), String> {
        let deliveries = self.deliveries()?;
        for (body, got) in &deliveries {
            for (index, delivery) in got.iter().enumerate() {
                if got[..index].contains(delivery) {
                    let (client, _, sid) = delivery;
                    return Err(format!("{body:?} came twice to client {client}, subscription {sid}"));
                }
            }
        }
        for message in self.published.clone() {
            let Some(got) = deliveries.get(&message.body) else { continue };
            let mut groups: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
            for &(client, _, sid) in got {
                if self.space_of(client) != message.space {
                    return Err(format!("{message:?} came to client {client}, which is in another account"));
                }
                let queue = self.queue_of(client, sid);
                if let Some(first) = queue.and_then(|queue| groups.insert(queue, (client, sid))) {
                    return Err(format!(
                        "{message:?} came to two of a group: {first:?}, {:?}",
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
            let plain = got.iter().map(|&(client, _, sid)| (client, sid));
            let mut plain: Vec<_> =
                plain.filter(|&(client, sid)| self.queue_of(client, sid).is_none()).collect();
            plain.sort_unstable();
            if plain != expected.all {
                return Err(format!("{message:?} came to {plain:?} instead of {:?}", expected.all));
            }
            self.check_answers(&message, &got, &deliveries)?;
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

    /// Whoever got a request has answered it, and the answer came.
    fn check_answers(
        &self,
        message: &Published,
        got: &Deliveries,
        all: &BTreeMap<String, Deliveries>,
    ) -> Result<(), String> {
        let Some(inbox) = message.inbox else { return Ok(()) };
        for &(client, _, sid) in got {
            let body = answer(&message.body, (client, sid));
            let came = all
                .get(&body)
                .is_some_and(|came| came.iter().any(|(c, _, s)| (*c, *s) == (message.client, inbox)));
            if !came {
                return Err(format!(
                    "{body:?} did not come to client {}, which asked {message:?}",
                    message.client
                ));
            }
        }
        Ok(())
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
