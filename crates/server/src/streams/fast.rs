//! Messages of fast batches, and what their publishers are told.

use super::answers::{self, Detail};
use super::emitter::emit_plain;
use super::session::Session;
use dialtone_jetstream::error::ApiError;
use dialtone_jetstream::json;
use dialtone_jetstream::stream::{FastAnswer, FastMark, Publish};
use dialtone_wire::message::Message;

/// A message of a fast batch is published to the stream.
pub(super) fn store(session: &mut Session<'_>, message: &Message<'_>, reply: &[u8]) {
    let mark = FastMark::of(reply);
    let publish =
        Publish { subject: message.subject, headers: message.headers(), payload: message.payload() };
    let mut said = Vec::new();
    let inner = &mut *session.inner;
    let wanted = session.hosted.wanted(&inner.state, inner.counted());
    let room = (&wanted, session.now);
    let machine = &inner.state.machine;
    let proposal = machine.admit_fast(&mut inner.batches.fast, mark.as_ref(), &publish, room, &mut said);
    if let (Some(proposal), Some(mark)) = (proposal, mark) {
        match session.carry_out(&proposal) {
            Ok(seq) => session.inner.batches.fast.stored(&mark, seq, &mut said),
            Err(refusal) => session.inner.batches.fast.refused(&mark, refusal, &mut said),
        }
    }
    if session.inner.state.meta.config.no_ack {
        return;
    }
    let id = mark.map_or(&b""[..], |mark| mark.id);
    for said in said {
        let payload = text(session, id, &said);
        match said {
            // What says that messages are stored waits until they are on disk.
            FastAnswer::Flow { seq: 1.., .. } | FastAnswer::Done { .. } => {
                session.answer_publisher(reply, &payload);
            }
            _ => {
                emit_plain(session.turn, session.account, reply, &payload);
            }
        }
    }
}

fn text(session: &Session<'_>, id: &[u8], said: &FastAnswer) -> Vec<u8> {
    let name = &session.hosted.name;
    match said {
        FastAnswer::Flow { seq, every } => {
            format!("{{\"type\":\"ack\",\"seq\":{seq},\"msgs\":{every}}}").into_bytes()
        }
        FastAnswer::Gap { expected, seq } => {
            format!("{{\"type\":\"gap\",\"last_seq\":{expected},\"seq\":{seq}}}").into_bytes()
        }
        FastAnswer::Failed { seq, refusal } => {
            let error = json::to_vec(&ApiError::from(refusal));
            let begin = format!("{{\"type\":\"err\",\"seq\":{seq},\"error\":");
            [begin.as_bytes(), &error, b"}"].concat()
        }
        FastAnswer::Refused(refusal) => answers::refused(name, refusal),
        FastAnswer::Done { seq, count, is_duplicate } => {
            let detail = Detail::Batch { id, count: *count, is_duplicate: *is_duplicate };
            answers::stored(name, session.hosted.domain(), *seq, &detail)
        }
    }
}
