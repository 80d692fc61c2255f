//! Subscriptions that come and go at random while another server is told what there is, and what it should know in the end.

use crate::common::Client;
use dialtone_server::Server;
use std::collections::BTreeMap;

/// Different filters, more than one piece holds.
pub const FILTERS: u64 = 12_000;

/// What the other server has been told: the weight of each filter and queue group.
pub type View = BTreeMap<(String, String), u32>;

pub struct Churn {
    client: Client,
    random: u64,
    sids: u64,
    /// By sid: which filter, and whether in a queue group.
    subscribed: BTreeMap<u64, (u64, bool)>,
}

fn filter(number: u64) -> String {
    format!("a.{}.{}.{number}", number % 5, "x".repeat(60))
}

impl Churn {
    /// One subscription to each filter.
    pub fn begin(server: &Server, seed: u64) -> Self {
        let client = Client::connect(server, "");
        let mut churn = Self { client, random: seed, sids: 0, subscribed: BTreeMap::new() };
        (0..FILTERS).for_each(|number| churn.subscribe(number));
        churn.client.sync();
        churn
    }

    fn next(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn subscribe(&mut self, number: u64) {
        self.sids += 1;
        let is_member = number.is_multiple_of(3);
        let queue = if is_member { " q" } else { "" };
        self.client.send(&format!("SUB {}{queue} {}\r\n", filter(number), self.sids));
        self.subscribed.insert(self.sids, (number, is_member));
    }

    /// Some come and some go.
    pub fn go_on(&mut self) {
        for _ in 0..150 {
            let (begins, number) = (self.next(2) == 0, self.next(FILTERS));
            if begins {
                self.subscribe(number);
            } else if let Some(sid) = self.subscribed.range(number..).next().map(|(sid, _)| *sid) {
                self.client.send(&format!("UNSUB {sid}\r\n"));
                self.subscribed.remove(&sid);
            }
        }
        self.client.sync();
    }

    /// What is subscribed to, of the filters that are wanted. `most`: the greatest weight that is told of a queue group.
    pub fn expected(&self, most: u32, is_wanted: impl Fn(u64) -> bool) -> View {
        let mut expected = View::new();
        for (number, is_member) in self.subscribed.values().filter(|(number, _)| is_wanted(*number)) {
            let queue = if *is_member { "q".into() } else { String::new() };
            let weight = expected.entry((filter(*number), queue)).or_default();
            *weight = (*weight + 1).min(if *is_member { most } else { 1 });
        }
        expected
    }
}

/// Takes in what a line says of interest, by its words behind the account. False: it is no such line.
pub fn take(view: &mut View, words: &[&str]) -> bool {
    match *words {
        ["LS+" | "RS+", filter] => drop(view.insert((filter.into(), String::new()), 1)),
        ["LS+" | "RS+", filter, queue, weight] => {
            view.insert((filter.into(), queue.into()), weight.parse().expect("a number"));
        }
        ["LS-" | "RS-", filter] => drop(view.remove(&(filter.into(), String::new()))),
        ["LS-" | "RS-", filter, queue] => drop(view.remove(&(filter.into(), queue.into()))),
        _ => return false,
    }
    true
}
