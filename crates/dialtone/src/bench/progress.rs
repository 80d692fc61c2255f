//! A progress bar on standard error, where that is a terminal.

use super::stop::Stop;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(200);
const CELLS: usize = 30;

/// Shows how far a run is; or, silent, nothing.
pub struct Progress {
    label: String,
    shown: Option<Shown>,
}

struct Shown {
    next: Instant,
    last: u64,
}

impl Progress {
    /// Shows nothing.
    pub fn silent() -> Progress {
        Progress { label: String::new(), shown: None }
    }

    /// Shows a bar named `label` if standard error is a terminal.
    pub fn on_terminal(label: &str) -> Progress {
        let shown =
            std::io::stderr().is_terminal().then(|| Shown { next: Instant::now() + INTERVAL, last: 0 });
        Progress { label: label.to_owned(), shown }
    }

    /// Draws the bar if the last drawing is old enough. `messages` is the count of this run so far.
    pub fn tick(&mut self, now: Instant, started: Instant, stop: Stop, sent: u64, messages: u64) {
        let Some(shown) = &mut self.shown else { return };
        if now < shown.next {
            return;
        }
        let since_last = now.duration_since(shown.next) + INTERVAL;
        let rate = messages.saturating_sub(shown.last) as f64 / since_last.as_secs_f64();
        *shown = Shown { next: now + INTERVAL, last: messages };
        let share = stop.share(sent, now.duration_since(started));
        let full = (share * CELLS as f64) as usize;
        let bar: String = (0..CELLS).map(|cell| if cell < full { '█' } else { '·' }).collect();
        // A terminal that went away is no reason to stop measuring.
        let _ =
            write!(std::io::stderr(), "\r{} {bar} {:3.0} %  {rate:.0} msg/s   ", self.label, share * 100.0);
    }

    /// Wipes the bar.
    pub fn finish(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
