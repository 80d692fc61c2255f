//! The threads of one server: how they are started, what happens when one panics, and whether they make progress.
//!
//! Begin with [`Threads::spawn`], which starts every thread of a server. A panic on one of them, in a task of a runtime too, is
//! reported with its reason and place before anything is unwound, and by default ends the process: what the panic left half done is
//! never used. [`Threads::fault`] says whether all threads make progress; it takes the time and waits for nothing.

mod progress;
#[cfg(test)]
mod tests;

use parking_lot::Mutex;
pub use progress::{Progress, Watch};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Arc, Once, OnceLock, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// The process's exit code after a panic: that of a Rust program whose main thread panics.
pub const PANIC_EXIT_CODE: i32 = 101;

thread_local! {
    /// The server that this thread works for.
    static CURRENT: RefCell<Option<Threads>> = const { RefCell::new(None) };
    /// Whether a panic of this thread is contained.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// A panic, as it is logged.
#[derive(Clone, Debug)]
pub struct Panic {
    thread: String,
    /// File, line and column.
    place: String,
    message: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {:?} panicked at {}: {}", self.thread, self.place, self.message)
    }
}

impl Panic {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let payload = info.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            thread: std::thread::current().name().unwrap_or("without a name").to_owned(),
            place,
            message: message.unwrap_or("no message").to_owned(),
        }
    }
}

type AtPanic = Box<dyn Fn(&Panic) + Send + Sync>;

#[derive(Default)]
struct Inner {
    at_panic: OnceLock<AtPanic>,
    panicked: OnceLock<Panic>,
    watched: Mutex<Vec<Weak<Progress>>>,
}

/// The threads of one server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Threads(Arc<Inner>);

impl Threads {
    /// What happens at a panic, on the thread that panics and before it is unwound. Only the first call counts; without one the
    /// process ends with [`PANIC_EXIT_CODE`]. If `then` returns, that thread ends and the server has a fault from then on.
    pub fn at_panic(&self, then: impl Fn(&Panic) + Send + Sync + 'static) {
        let _ = self.0.at_panic.set(Box::new(then));
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let threads = self.clone();
        Builder::new().name(name.into()).spawn(move || {
            threads.adopt();
            run()
        })
    }

    /// Starts a thread whose progress is watched.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn spawn_watched<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        watch: Watch,
        run: impl FnOnce(&Progress) -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let name = name.into();
        let progress = self.watch(&name, watch);
        self.spawn(name, move || run(&progress))
    }

    /// The calling thread, which was started by somebody else, works for the server from here on.
    pub fn adopt(&self) {
        install_hook();
        CURRENT.set(Some(self.clone()));
    }

    /// Watches a thread until the last holder of its progress lets go of it.
    pub(crate) fn watch(&self, name: &str, watch: Watch) -> Arc<Progress> {
        let progress = Arc::new(Progress::new(name, watch));
        self.0.watched.lock().push(Arc::downgrade(&progress));
        progress
    }

    /// What is wrong with the threads at this time: one that panicked, or those that stand still with work waiting.
    ///
    /// A thread that is at work is seen to stand still from the second look on, so that nobody has to keep the time for it.
    pub fn fault(&self, now: Instant) -> Option<String> {
        if let Some(panic) = self.0.panicked.get() {
            return Some(panic.to_string());
        }
        let mut watched = self.0.watched.lock();
        watched.retain(|progress| progress.strong_count() > 0);
        let stalls: Vec<String> =
            watched.iter().filter_map(|progress| progress.upgrade()?.stall(now)).collect();
        (!stalls.is_empty()).then(|| stalls.join(", "))
    }

    fn panicked(&self, panic: &Panic) {
        let _ = self.0.panicked.set(panic.clone());
        match self.0.at_panic.get() {
            Some(then) => then(panic),
            None => std::process::exit(PANIC_EXIT_CODE),
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}

/// Runs something on a thread of its own that works for whom the calling thread works for, and waits for it.
///
/// # Errors
/// The system refuses the thread.
///
/// # Panics
/// If `run` does.
pub fn apart<T: Send>(name: &str, run: impl FnOnce() -> T + Send) -> io::Result<T> {
    let current = CURRENT.with_borrow(Clone::clone);
    std::thread::scope(|scope| {
        let thread = Builder::new().name(name.to_owned()).spawn_scoped(scope, move || {
            if let Some(threads) = current {
                threads.adopt();
            }
            run()
        })?;
        thread.join().map_or_else(|payload| panic::resume_unwind(payload), Ok)
    })
}

/// Runs something of a library that may panic at what a peer sends, and is given up then: the panic stands in the log of the process, and nothing
/// else comes of it. `None`: it has panicked, and what it worked on must not be used any more.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    CONTAINED.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(run)).ok();
    CONTAINED.set(false);
    done
}

/// Puts the report of a server's threads behind the hook that the program has.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // It writes to stderr, with a backtrace if RUST_BACKTRACE asks for one.
            before(info);
            if CONTAINED.try_with(Cell::get).unwrap_or(false) {
                return;
            }
            // A thread that is just ending has no such variable any more, and does nothing for a server.
            let current = CURRENT.try_with(|current| current.try_borrow().ok().and_then(|c| c.clone()));
            if let Ok(Some(threads)) = current {
                threads.panicked(&Panic::of(info));
            }
        }));
    });
}
