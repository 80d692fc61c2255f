//! A traced message on its way into a stream, which decides behind the delivery whether it stores it.

use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// A message that came to a JetStream stream, which decides behind its delivery whether it stores it.
#[derive(Debug)]
pub struct Intake {
    /// The stream.
    pub stream: Box<str>,
    /// The message is only traced: it is not to be stored.
    pub only: bool,
    pub(crate) outcome: OnceLock<IntakeOutcome>,
}

/// What a stream decided on a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntakeOutcome {
    /// The subject under which it is stored; empty where the stream did not come as far as that.
    pub subject: Box<[u8]>,
    /// No consumer wants it, and the stream keeps nothing else.
    pub is_unwanted: bool,
    /// Why it is not stored, in the official words.
    pub error: Option<Box<str>>,
}

impl Intake {
    /// The stream has decided. What it says first holds.
    pub fn decide(&self, outcome: IntakeOutcome) {
        let _ = self.outcome.set(outcome);
    }

    /// What it decided; `None`: it did not, and will not.
    pub fn outcome(&self) -> Option<&IntakeOutcome> {
        self.outcome.get()
    }
}

/// The end of a trace: when all have let go of it who have something to add, what was set is called.
#[derive(Default)]
pub struct Ending(OnceLock<Mutex<Option<Act>>>);

type Act = Box<dyn FnOnce() + Send>;

impl Ending {
    /// Sets what reports the trace. Once.
    pub fn set(&self, report: impl FnOnce() + Send + 'static) {
        let _ = self.0.set(Mutex::new(Some(Box::new(report))));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(report) = self.0.take().and_then(Mutex::into_inner) {
            report();
        }
    }
}

/// A message as a stream gets it that is traced: what it decides goes there. The trace is not reported before this is dropped.
pub struct TracedIntake {
    intake: Arc<Intake>,
    _ending: Arc<Ending>,
}

impl TracedIntake {
    /// Of a message that is traced; `ending` is called when all have let go of it.
    pub(crate) fn new(intake: Arc<Intake>, ending: Arc<Ending>) -> Self {
        Self { intake, _ending: ending }
    }

    /// Where the decision goes.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }
}
