//! Loads of MQTT 3.1.1: a publisher and subscribers, connections that come and leave, and connections that only wait.

mod flow;
mod link;
mod packet;

use super::load::{Carried, Load};
use super::progress::Progress;
use super::stop::Stop;
use super::target::Target;
use anyhow::{Context as _, Result, ensure};
use flow::Flow;
use link::{Entering, Link};
use std::time::{Duration, Instant};

/// A load of MQTT.
#[derive(Clone, Copy, Debug)]
pub enum Mqtt {
    /// One publisher; each subscriber gets every message.
    Flow {
        /// Connections that receive.
        subscribers: usize,
        /// Quality of service of messages and subscriptions: 0, or 1 with sessions that last.
        qos: u8,
        /// Payload bytes of each message.
        size: usize,
    },
    /// Connections that come and leave, one after the other.
    Storm,
    /// Connections with a subscription each, and nothing else.
    Idle {
        /// How many.
        connections: usize,
    },
}

impl Mqtt {
    /// Opens all connections.
    pub fn open(self, target: &Target) -> Result<Box<dyn Load>> {
        Ok(match self {
            Mqtt::Flow { subscribers, qos, size } => {
                ensure!(qos < 2 && subscribers > 0, "a flow has subscribers, and quality of service 0 or 1");
                Box::new(Flow::open(target, subscribers, qos, size)?)
            }
            Mqtt::Storm => Box::new(Storm { target: target.clone() }),
            Mqtt::Idle { connections } => Box::new(Idle::open(target, connections)?),
        })
    }
}

/// Connections that come and leave.
struct Storm {
    target: Target,
}

impl Load for Storm {
    /// Counts a connection as a message.
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let started = Instant::now();
        let mut entered = 0;
        loop {
            let now = Instant::now();
            if stop.left(entered, started, now) == 0 {
                break;
            }
            Entering::open(&self.target, &format!("storm{}", entered % 1000), true)?.leave()?;
            entered += 1;
            progress.tick(now, started, stop, entered, entered);
        }
        Ok(Carried { messages: entered, elapsed: started.elapsed(), ..Carried::default() })
    }
}

/// Open connections.
struct Idle {
    links: Vec<Link>,
}

impl Idle {
    fn open(target: &Target, connections: usize) -> Result<Self> {
        let open = |number| {
            let mut entering = Entering::open(target, &format!("idle{number:06}"), true)?;
            entering.subscribe(&format!("idle/{number:06}"), 0)?;
            entering.entered()
        };
        let links = (0..connections)
            .map(open)
            .collect::<Result<Vec<_>>>()
            .context("opening idle connections; `ulimit -n` bounds how many there can be")?;
        Ok(Self { links })
    }
}

impl Load for Idle {
    fn run(&mut self, stop: Stop, _: &mut Progress) -> Result<Carried> {
        let started = Instant::now();
        if let Stop::After(duration) = stop {
            std::thread::sleep(duration);
        }
        Ok(Carried { idle: self.links.len() as u64, elapsed: started.elapsed(), ..Carried::default() })
    }
}

/// Without anything received for so long, a run has failed.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
