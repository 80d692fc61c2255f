//! Connections that come, enter and leave, one after the other: what letting in costs.

use super::link::Link;
use super::load::{Carried, Load};
use super::progress::Progress;
use super::stop::Stop;
use super::target::Target;
use anyhow::Result;
use std::time::Instant;

/// Connections to be made.
pub struct Connect {
    target: Target,
}

impl Connect {
    /// Connections to this server.
    pub fn new(target: &Target) -> Connect {
        Connect { target: target.clone() }
    }
}

impl Load for Connect {
    /// Counts a connection as a message.
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let started = Instant::now();
        let mut entered = 0;
        loop {
            let now = Instant::now();
            if stop.left(entered, started, now) == 0 {
                break;
            }
            drop(Link::open(&self.target, b"")?);
            entered += 1;
            progress.tick(now, started, stop, entered, entered);
        }
        Ok(Carried { messages: entered, elapsed: started.elapsed(), ..Carried::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn each_connection_is_counted() {
        let mut connect = Connect::new(&Fake::start().target());
        let carried = connect.run(Stop::Messages(20), &mut Progress::silent()).unwrap();
        assert_eq!(carried.messages, 20);
    }
}
