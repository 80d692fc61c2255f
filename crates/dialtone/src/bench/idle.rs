//! Connections with one subscription each that do nothing: what they cost is memory.

use super::link::Link;
use super::load::{Carried, Load};
use super::progress::Progress;
use super::stop::Stop;
use super::target::Target;
use anyhow::{Context as _, Result};
use std::time::{Duration, Instant};

/// Step in which a waiting run looks at the clock.
const STEP: Duration = Duration::from_millis(50);

/// Open connections.
pub struct Idle {
    links: Vec<Link>,
}

impl Idle {
    /// Opens `connections`, each with a subscription to a subject of its own.
    pub fn open(target: &Target, connections: usize) -> Result<Idle> {
        let links = (0..connections)
            .map(|number| Ok(Link::open(target, format!("SUB idle.{number:06} 1\r\n").as_bytes())?.0))
            .collect::<Result<Vec<_>>>()
            .context("opening idle connections; `ulimit -n` bounds how many there can be")?;
        Ok(Idle { links })
    }
}

impl Load for Idle {
    /// Waits. Meant to be shorter than the server's ping interval, since nothing is answered.
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let started = Instant::now();
        if let Stop::After(duration) = stop {
            while started.elapsed() < duration {
                std::thread::sleep(STEP.min(duration));
                progress.tick(Instant::now(), started, stop, 0, 0);
            }
        }
        Ok(Carried { idle: self.links.len() as u64, elapsed: started.elapsed(), ..Carried::default() })
    }
}
