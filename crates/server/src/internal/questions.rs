//! Questions about the server, answered on threads of their own: their documents are large, and the control thread has
//! commands and revocations to serve.

use super::{Host, Message, Publisher};
use crate::share::line::{Line, Next};
use crate::share::{Lane, Share};
use dialtone_net::threads::{Progress, Watch};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads that answer. A share has one of them at a time, so its questions are answered in the order in which they came,
/// and whoever asks for much leaves the others to the rest.
const THREADS: usize = 2;
/// How long one answer may take before its thread is reported to stand still: some list a hundred thousand connections, or
/// read as many files.
const STALL: Duration = Duration::from_secs(60);
/// How long a thread sleeps before it lets go of what it remembers of accounts and connections.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// Builds an answer.
pub(super) type Task<N> = Box<dyn FnOnce(&mut Publisher<N>) + Send>;

/// A question that waits.
pub(super) enum Question<N> {
    /// By message.
    Message(Message),
    /// By HTTP, or whatever else.
    Task(Task<N>),
}

/// Starts the threads.
///
/// # Errors
///
/// The system refuses a thread.
pub(super) fn start<N: Host>(node: &Arc<N>, line: &Arc<Line<Question<N>>>) -> std::io::Result<()> {
    for _ in 0..THREADS {
        let (line, publisher) = (line.clone(), Publisher::new(node.clone()));
        let run = move |progress: &Progress| answer_all(&line, publisher, progress);
        node.threads().spawn_watched("questions", Watch::new(STALL), run)?;
    }
    Ok(())
}

fn answer_all<N: Host>(line: &Line<Question<N>>, mut publisher: Publisher<N>, progress: &Progress) {
    let (mut is_idle, mut has_more) = (true, false);
    loop {
        let sleep = if has_more { Duration::ZERO } else { IDLE_TIME };
        let next = line.next((!is_idle).then(|| Instant::now() + sleep));
        progress.begin();
        publisher.turn.begin(Instant::now());
        match next {
            Next::Item(job, question) => {
                answer(&mut publisher, question);
                has_more = publisher.turn.finish();
                line.done(job);
                is_idle = false;
            }
            Next::TimedOut if has_more => has_more = publisher.turn.finish(),
            Next::TimedOut => {
                publisher.turn.idle();
                is_idle = true;
            }
            Next::Flags(_) => {}
            Next::Closed => return,
        }
        progress.end();
    }
}

fn answer<N: Host>(publisher: &mut Publisher<N>, question: Question<N>) {
    match question {
        Question::Message(message) => {
            // Who asked and left, or listens no longer, costs nothing more.
            if publisher.is_awaited(&message)
                && let Some(handler) = publisher.node.internal().question_handler(message.sid)
            {
                handler(publisher, &message);
            }
        }
        Question::Task(task) => task(publisher),
    }
}

impl<N: Host> super::Internal<N> {
    /// Has a question answered whose cost is about `bytes` while it waits. It is dropped if its share has too much of them.
    pub(crate) fn ask_server(
        &self,
        share: Share,
        bytes: usize,
        task: impl FnOnce(&mut Publisher<N>) + Send + 'static,
    ) {
        self.queues.questions.push(Lane::Question, share, bytes, Question::Task(Box::new(task)));
    }
}
