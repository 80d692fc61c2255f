//! Why something is not done: each variant is one error of the API.

use crate::error::{self, ApiError};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident $(($field:ty))? $code:ident $($text:literal)?)*) => {
        /// Why a publish, a purge or a delete is refused.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Refusal {
            $($(#[doc = $doc])* $name $(($field))?,)*
        }

        impl From<&Refusal> for ApiError {
            fn from(refusal: &Refusal) -> Self {
                match refusal { $(refusals!(@pattern $name value $($field)?) => refusals!(@error $code value $($field)? $($text)?),)* }
            }
        }
    };
    (@pattern $name:ident $value:ident) => { Refusal::$name };
    (@pattern $name:ident $value:ident $field:ty) => { Refusal::$name($value) };
    (@error $code:ident $value:ident) => { error::$code.error() };
    (@error $code:ident $value:ident $text:literal) => { error::$code.with($text) };
    (@error $code:ident $value:ident $field:ty) => { error::$code.with($value) };
}

refusals! {
    /// The stream is sealed.
    Sealed STREAM_SEALED
    /// A limit of a stream that discards new messages, or a message that the store cannot hold.
    StoreFailed(&'static str) STREAM_STORE_FAILED
    /// Over `max_msg_size`.
    MessageTooLarge STREAM_MESSAGE_EXCEEDS_MAXIMUM
    /// Headers of more than 65,535 bytes.
    HeaderTooLarge STREAM_HEADER_EXCEEDS_MAXIMUM
    /// `Nats-Expected-Stream` names another one.
    StreamNotMatch STREAM_NOT_MATCH
    /// `Nats-Expected-Last-Sequence` or `-Last-Subject-Sequence`; with the sequence that there is.
    WrongLastSequence(u64) STREAM_WRONG_LAST_SEQUENCE
    /// The same within a batch, where no sequence can be named.
    WrongLastSequenceInBatch STREAM_WRONG_LAST_SEQUENCE_CONSTANT
    /// `Nats-Expected-Last-Msg-Id`; with the id that there is.
    WrongLastMsgId(String) STREAM_WRONG_LAST_MSG_ID
    /// `Nats-Expected-Last-Subject-Sequence-Subject` without the sequence.
    SubjectSequenceMissing STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID
    /// `Nats-Rollup`, with the reason.
    RollupFailed(String) STREAM_ROLLUP_FAILED
    /// `Nats-TTL` without `allow_msg_ttl`.
    TtlDisabled MESSAGE_TTL_DISABLED
    /// `Nats-TTL` that is none.
    TtlInvalid MESSAGE_TTL_INVALID
    /// `Nats-Incr` without `allow_msg_counter`.
    CounterDisabled MESSAGE_INCR_DISABLED
    /// A counter's message without `Nats-Incr`.
    CounterMissing MESSAGE_INCR_MISSING
    /// `Nats-Incr` with a payload.
    CounterPayload MESSAGE_INCR_PAYLOAD
    /// `Nats-Incr` that is no number, or stands beside a header that does not go with it.
    CounterInvalid MESSAGE_INCR_INVALID
    /// The last message of the subject has no value.
    CounterBroken MESSAGE_COUNTER_BROKEN
    /// `Nats-Stream-Source` is the server's own.
    SourceHeaderNotAllowed MESSAGE_SOURCE_HDR_NOT_ALLOWED
    /// `Nats-Schedule` without `allow_msg_schedules`.
    SchedulesDisabled MESSAGE_SCHEDULES_DISABLED
    /// `Nats-Schedule` that is none.
    SchedulePatternInvalid MESSAGE_SCHEDULES_PATTERN_INVALID
    /// `Nats-Schedule-Target` is missing, the subject itself, or none of the stream's.
    ScheduleTargetInvalid MESSAGE_SCHEDULES_TARGET_INVALID
    /// `Nats-Schedule-TTL` that is none.
    ScheduleTtlInvalid MESSAGE_SCHEDULES_TTL_INVALID
    /// `Nats-Schedule-Rollup`, or a rollup that does not go with a schedule.
    ScheduleRollupInvalid MESSAGE_SCHEDULES_ROLLUP_INVALID
    /// `Nats-Schedule-Source` is the subject, the target, or none of the stream's.
    ScheduleSourceInvalid MESSAGE_SCHEDULES_SOURCE_INVALID
    /// `Nats-Schedule-Next` or `Nats-Scheduler` of a client.
    SchedulerInvalid MESSAGE_SCHEDULES_SCHEDULER_INVALID
    /// `Nats-Schedule-Time-Zone` that is unknown.
    ScheduleZoneInvalid MESSAGE_SCHEDULES_TIME_ZONE_INVALID
    /// `Nats-Batch-Id` without `allow_atomic`.
    AtomicDisabled ATOMIC_PUBLISH_DISABLED
    /// `Nats-Batch-Sequence` is missing.
    AtomicSequenceMissing ATOMIC_PUBLISH_MISSING_SEQ
    /// A batch with a gap, or one that is unknown or came to its end.
    AtomicIncomplete ATOMIC_PUBLISH_INCOMPLETE_BATCH
    /// A header that batches cannot have.
    AtomicUnsupportedHeader(&'static str) ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH
    /// An id of more than 64 bytes.
    AtomicIdInvalid ATOMIC_PUBLISH_INVALID_BATCH_ID
    /// More messages than a batch may have, and how many that is.
    AtomicTooLarge(u64) ATOMIC_PUBLISH_TOO_LARGE_BATCH
    /// `Nats-Batch-Commit` that is neither `1` nor `eob`.
    AtomicCommitInvalid ATOMIC_PUBLISH_INVALID_BATCH_COMMIT
    /// A message id that the batch, or the duplicate window, has already.
    AtomicDuplicate ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE
    /// More batches than may be open.
    AtomicTooManyInFlight ATOMIC_PUBLISH_TOO_MANY_INFLIGHT
    /// A fast batch without `allow_batched`.
    FastDisabled BATCH_PUBLISH_DISABLED
    /// A reply subject of a fast batch that is not sound.
    FastPatternInvalid BATCH_PUBLISH_INVALID_PATTERN
    /// An id of more than 64 bytes.
    FastIdInvalid BATCH_PUBLISH_INVALID_BATCH_ID
    /// A fast batch that did not begin, or ended.
    FastIdUnknown BATCH_PUBLISH_UNKNOWN_BATCH_ID
    /// More fast batches than may be open.
    FastTooManyInFlight BATCH_PUBLISH_TOO_MANY_INFLIGHT
    /// `Nats-Required-Api-Level` is above this server's.
    ApiLevel REQUIRED_API_LEVEL
    /// The server has no room.
    ServerFull INSUFFICIENT_RESOURCES
    /// The account has no room.
    AccountFull ACCOUNT_RESOURCES_EXCEEDED
    /// `deny_purge`.
    PurgeDenied STREAM_PURGE_FAILED "stream purge not permitted"
    /// `deny_delete`.
    DeleteDenied STREAM_MSG_DELETE_FAILED "message delete not permitted"
    /// No such message to delete.
    NotFound NO_MESSAGE_FOUND
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::from(&refusal)
    }
}

impl Refusal {
    /// The error that the client is told.
    pub fn error(&self) -> ApiError {
        self.into()
    }

    /// Its number (`err_code`).
    pub fn code(&self) -> u16 {
        let ApiError { err_code, .. } = self.into();
        err_code
    }

    /// Its kind, by the numbers of HTTP (`code`).
    pub fn status(&self) -> u16 {
        self.error().code
    }
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&ApiError::from(self).description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each has its text: a code whose text has a placeholder, and a refusal that gives none, would end the process.
    #[test]
    fn what_is_denied_says_what() {
        for (refusal, text) in [
            (Refusal::PurgeDenied, "stream purge not permitted"),
            (Refusal::DeleteDenied, "message delete not permitted"),
            (Refusal::NotFound, "no message found"),
            (Refusal::Sealed, "invalid operation on sealed stream"),
            (Refusal::WrongLastSequence(7), "wrong last sequence: 7"),
        ] {
            assert_eq!(refusal.to_string(), text);
        }
    }
}
