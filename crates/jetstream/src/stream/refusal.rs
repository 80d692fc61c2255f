//! Why something is not done: each variant is one error of the API.

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident $(($field:ty))? $status:literal $code:literal $text:literal)*) => {
        /// Why a publish, a purge or a delete is refused. Its text is what the client is told.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Refusal {
            $($(#[doc = $doc])* #[error($text)] $name $(($field))?,)*
        }

        impl Refusal {
            /// The error code of the API (`err_code`).
            pub fn code(&self) -> u16 {
                match self { $(refusals!(@pattern $name $($field)?) => $code,)* }
            }

            /// Its kind, by the numbers of HTTP (`code`).
            pub fn status(&self) -> u16 {
                match self { $(refusals!(@pattern $name $($field)?) => $status,)* }
            }
        }
    };
    (@pattern $name:ident) => { Self::$name };
    (@pattern $name:ident $field:ty) => { Self::$name(_) };
}

refusals! {
    /// The stream is sealed.
    Sealed 400 10109 "invalid operation on sealed stream"
    /// A limit of a stream that discards new messages, or a message that the store cannot hold.
    StoreFailed(&'static str) 503 10077 "{0}"
    /// Over `max_msg_size`.
    MessageTooLarge 400 10054 "message size exceeds maximum allowed"
    /// Headers of more than 65,535 bytes.
    HeaderTooLarge 400 10097 "header size exceeds maximum allowed of 64k"
    /// `Nats-Expected-Stream` names another one.
    StreamNotMatch 400 10060 "expected stream does not match"
    /// `Nats-Expected-Last-Sequence` or `-Last-Subject-Sequence`; with the sequence that there is.
    WrongLastSequence(u64) 400 10071 "wrong last sequence: {0}"
    /// The same within a batch, where no sequence can be named.
    WrongLastSequenceInBatch 400 10164 "wrong last sequence"
    /// `Nats-Expected-Last-Msg-Id`; with the id that there is.
    WrongLastMsgId(String) 400 10070 "wrong last msg ID: {0}"
    /// `Nats-Expected-Last-Subject-Sequence-Subject` without the sequence.
    SubjectSequenceMissing 400 10193 "missing sequence for expected last sequence per subject"
    /// `Nats-Rollup`, with the reason.
    RollupFailed(String) 500 10111 "{0}"
    /// `Nats-TTL` without `allow_msg_ttl`.
    TtlDisabled 400 10166 "per-message TTL is disabled"
    /// `Nats-TTL` that is none.
    TtlInvalid 400 10165 "invalid per-message TTL"
    /// `Nats-Incr` without `allow_msg_counter`.
    CounterDisabled 400 10168 "message counters is disabled"
    /// A counter's message without `Nats-Incr`.
    CounterMissing 400 10169 "message counter increment is missing"
    /// `Nats-Incr` with a payload.
    CounterPayload 400 10170 "message counter has payload"
    /// `Nats-Incr` that is no number, or stands beside a header that does not go with it.
    CounterInvalid 400 10171 "message counter increment is invalid"
    /// The last message of the subject has no value.
    CounterBroken 400 10172 "message counter is broken"
    /// `Nats-Stream-Source` is the server's own.
    SourceHeaderNotAllowed 400 10227 "message stream source header is not allowed"
    /// `Nats-Schedule` without `allow_msg_schedules`.
    SchedulesDisabled 400 10188 "message schedules is disabled"
    /// `Nats-Schedule` that is none.
    SchedulePatternInvalid 400 10189 "message schedules pattern is invalid"
    /// `Nats-Schedule-Target` is missing, the subject itself, or none of the stream's.
    ScheduleTargetInvalid 400 10190 "message schedules target is invalid"
    /// `Nats-Schedule-TTL` that is none.
    ScheduleTtlInvalid 400 10191 "message schedules invalid per-message TTL"
    /// `Nats-Schedule-Rollup`, or a rollup that does not go with a schedule.
    ScheduleRollupInvalid 400 10192 "message schedules invalid rollup"
    /// `Nats-Schedule-Source` is the subject, the target, or none of the stream's.
    ScheduleSourceInvalid 400 10203 "message schedules source is invalid"
    /// `Nats-Schedule-Next` or `Nats-Scheduler` of a client.
    SchedulerInvalid 400 10212 "message schedules invalid scheduler"
    /// `Nats-Schedule-Time-Zone` that is unknown.
    ScheduleZoneInvalid 400 10223 "message schedules time zone is invalid"
    /// `Nats-Batch-Id` without `allow_atomic`.
    AtomicDisabled 400 10174 "atomic publish is disabled"
    /// `Nats-Batch-Sequence` is missing.
    AtomicSequenceMissing 400 10175 "atomic publish sequence is missing"
    /// A batch with a gap, or one that is unknown or came to its end.
    AtomicIncomplete 400 10176 "atomic publish batch is incomplete"
    /// A header that batches cannot have.
    AtomicUnsupportedHeader(&'static str) 400 10177 "atomic publish unsupported header used: {0}"
    /// An id of more than 64 bytes.
    AtomicIdInvalid 400 10179 "atomic publish batch ID is invalid"
    /// More messages than a batch may have, and how many that is.
    AtomicTooLarge(u64) 400 10199 "atomic publish batch is too large: {0}"
    /// `Nats-Batch-Commit` that is neither `1` nor `eob`.
    AtomicCommitInvalid 400 10200 "atomic publish batch commit is invalid"
    /// A message id that the batch, or the duplicate window, has already.
    AtomicDuplicate 400 10201 "atomic publish batch contains duplicate message id"
    /// More batches than may be open.
    AtomicTooManyInFlight 429 10210 "atomic publish too many inflight"
    /// `Nats-Required-Api-Level` is above this server's.
    ApiLevel 412 10185 "JetStream minimum api level required"
    /// The server has no room.
    ServerFull 503 10023 "insufficient resources"
    /// The account has no room.
    AccountFull 400 10002 "resource limits exceeded for account"
    /// `deny_purge`.
    PurgeDenied 500 10110 "stream purge not permitted"
    /// `deny_delete`.
    DeleteDenied 500 10057 "message delete not permitted"
    /// No such message to delete.
    NotFound(u64) 400 10043 "sequence {0} not found"
}
