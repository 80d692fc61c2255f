//! Wakes a poll at a fixed interval. `mio`'s own timeout counts whole milliseconds and rounds up, which would make
//! bursts larger for a server that answers later; Linux has a finer clock.

use anyhow::Result;
use mio::{Registry, Token};
use std::time::{Duration, Instant};

/// A clock that ticks.
pub struct Ticker {
    #[cfg(target_os = "linux")]
    timer: std::os::fd::OwnedFd,
    interval: Duration,
    next: Instant,
}

impl Ticker {
    /// Ticks every `interval` from here on; registered in the poll as `token`.
    pub fn new(registry: &Registry, token: Token, interval: Duration) -> Result<Ticker> {
        let next = Instant::now() + interval;
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{
                Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
                timerfd_settime,
            };
            use std::os::fd::AsRawFd as _;
            let timer =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            let step =
                Timespec { tv_sec: interval.as_secs() as i64, tv_nsec: i64::from(interval.subsec_nanos()) };
            timerfd_settime(
                &timer,
                TimerfdTimerFlags::empty(),
                &Itimerspec { it_interval: step, it_value: step },
            )?;
            registry.register(
                &mut mio::unix::SourceFd(&timer.as_raw_fd()),
                token,
                mio::Interest::READABLE,
            )?;
            Ok(Ticker { timer, interval, next })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (registry, token);
            Ok(Ticker { interval, next })
        }
    }

    /// Whether the interval is over since the last time this was true.
    pub fn ticked(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        #[cfg(target_os = "linux")]
        {
            // An unread timer would not wake the poll again. That it has not fired yet is no failure.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        }
        self.next = (self.next + self.interval).max(now.checked_sub(self.interval).unwrap_or(now));
        true
    }

    /// How long the poll may sleep, if nothing else wakes it.
    pub fn timeout(&self, now: Instant) -> Duration {
        // On Linux the timer fires first; elsewhere this is what ends the sleep.
        self.next.saturating_duration_since(now).max(Duration::from_micros(1))
    }
}
