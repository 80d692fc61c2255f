//! How all connections between servers are read and what they say alike; in what they differ is their dialect and who implements
//! [`Speaker`].

use crate::conduct::Conduct;
use crate::log::Event;
use crate::policy::Policy;
use crate::protocol::{Progress, send_error, trace_out};
use dialtone_broker::deliver::Turn;
use dialtone_wire::CloseReason;
use dialtone_wire::interserver::{
    Dialect, Limits, Op, ParseError, Parsed, RoutedMessage, Unfinished, parse, usual_message,
};
use std::fmt::{Arguments, Display};

/// How much longer lines of servers may be than those of clients: INFO of a large cluster is long. The official figure.
const CONTROL_LINE_FACTOR: usize = 16;

/// What another server may send at most, with messages of so many bytes.
pub(crate) fn limits(policy: &Policy, payload_bytes_max: usize) -> Limits {
    let line_bytes_max = policy.options.limits.control_line_bytes_max;
    Limits { control_line_bytes_max: line_bytes_max.saturating_mul(CONTROL_LINE_FACTOR), payload_bytes_max }
}

/// How what comes in is read.
pub(crate) struct Reading {
    /// The language of the connection.
    pub(crate) dialect: Dialect,
    unfinished: Unfinished,
}

impl Reading {
    /// Of a connection that has just been made.
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, unfinished: Unfinished::Unknown }
    }
}

/// A connection between servers.
pub(crate) trait Speaker {
    /// What one read brought; counted at its end, not per message.
    type Batch;

    /// What it has in common with all connections.
    fn conduct(&self) -> &Conduct;

    /// How it is read.
    fn reading(&mut self) -> &mut Reading;

    /// Whether messages may come.
    fn is_joined(&self) -> bool;

    /// Whether the other end has not said who it is, and must say that first.
    fn is_stranger(&self) -> bool;

    /// Whether a stranger may say something that begins so.
    fn may_become_valid(&self, begin: &[u8]) -> bool;

    /// Takes a message that the other server passes on.
    fn take_message(&mut self, routed: &RoutedMessage<'_>, batch: &mut Self::Batch, turn: &mut Turn);

    /// Takes one operation, whatever it is.
    fn operate(&mut self, op: Op<'_>, batch: &mut Self::Batch, turn: &mut Turn);

    /// Whether what follows the last operation is in frames. Asked once an operation.
    fn begins_framing(&mut self) -> bool;

    /// A stranger says something else than who it is.
    fn turn_away(&mut self, turn: &mut Turn);
}

/// Takes all whole operations at the front of what came in.
#[inline(always)]
pub(crate) fn read<S: Speaker>(
    speaker: &mut S,
    input: &[u8],
    batch: &mut S::Batch,
    turn: &mut Turn,
) -> Progress {
    let mut progress = Progress::default();
    if speaker.conduct().is_checking() {
        return progress;
    }
    let Reading { dialect, unfinished } = speaker.reading();
    if *unfinished != Unfinished::Unknown {
        if unfinished.awaits(input, dialect) {
            if let Unfinished::Message { bytes } = *unfinished {
                progress.want = bytes;
            }
            return progress;
        }
        *unfinished = Unfinished::Unknown;
    }
    while !speaker.conduct().peer().is_closing() {
        let rest = input.get(progress.used..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        if speaker.is_joined()
            && let Some((routed, used)) = usual_message(rest, &speaker.reading().dialect)
        {
            speaker.take_message(&routed, batch, turn);
            progress.used += used;
            continue;
        }
        match parse(rest, &speaker.reading().dialect) {
            Ok(Parsed::Op(op, used)) => {
                speaker.operate(op, batch, turn);
                progress.used += used;
                if speaker.begins_framing() {
                    progress.begins_framing = true;
                    break;
                }
                // What is behind a call for TLS in plain is no word of the other end's.
                if speaker.conduct().is_checking() || speaker.conduct().is_securing() {
                    break;
                }
            }
            Ok(Parsed::Partial { .. }) if speaker.is_stranger() && !speaker.may_become_valid(rest) => {
                speaker.turn_away(turn);
                break;
            }
            Ok(Parsed::Partial { total }) => {
                progress.want = total;
                speaker.reading().unfinished.note(rest, total);
                break;
            }
            // Of a stranger it matters more than what is wrong that it does not say who it is.
            Err(problem)
                if speaker.is_stranger() && !is_too_long(&problem, speaker.may_become_valid(rest)) =>
            {
                speaker.turn_away(turn);
                break;
            }
            Err(problem) => {
                unreadable(speaker.conduct(), &problem, turn);
                break;
            }
        }
    }
    progress
}

/// Whether somebody begins to say who it is, at too great length.
fn is_too_long(problem: &ParseError, is_valid_so_far: bool) -> bool {
    is_valid_so_far && matches!(problem, ParseError::ControlLine { .. })
}

/// The bytes are no protocol.
#[cold]
fn unreadable(conduct: &Conduct, problem: &ParseError, turn: &mut Turn) {
    let reason = match problem {
        ParseError::ControlLine { .. } => CloseReason::MaxControlLineExceeded,
        ParseError::Payload { .. } => CloseReason::MaxPayloadExceeded,
        ParseError::UnknownOperation(_) | ParseError::Arguments { .. } => CloseReason::ProtocolViolation,
    };
    conduct.log(Event::ProtocolError, format_args!("{problem}"));
    match problem.answer() {
        Some(error) => refuse(conduct, error.text(), reason, turn),
        None => conduct.peer().close(reason),
    }
}

/// What CONNECT or INFO says. Whoever says it in another way is closed.
pub(crate) fn readable<T, E: Display>(conduct: &Conduct, said: Result<T, E>) -> Option<T> {
    said.map_err(|problem| {
        conduct.log(Event::ProtocolError, format_args!("{problem}"));
        conduct.peer().close(CloseReason::ProtocolViolation);
    })
    .ok()
}

/// Sends an error and closes.
pub(crate) fn refuse(conduct: &Conduct, error: &str, reason: CloseReason, turn: &mut Turn) {
    send_error(conduct, error, turn);
    conduct.peer().close(reason);
}

/// Sends lines behind what this turn has for the other end already.
pub(crate) fn send(conduct: &Conduct, what: &str, bytes: &[u8], turn: &mut Turn) {
    trace_out(conduct, format_args!("{what}"));
    turn.enqueue(conduct.peer(), bytes);
}

/// Logs a message that another server passes on, by a line that says so.
#[cold]
pub(crate) fn trace_message(conduct: &Conduct, line: Arguments<'_>, routed: &RoutedMessage<'_>) {
    conduct.log(Event::TraceIn, format_args!("<<- [{line}]"));
    let body = crate::client::traced_body(&conduct.policy.options.log, routed.message.body());
    conduct.log(Event::TraceIn, format_args!("<<- MSG_PAYLOAD: [{body}]"));
}
