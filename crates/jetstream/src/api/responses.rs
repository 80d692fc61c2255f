//! What responses say. Each begins with its type and its error, if it is one.

use super::{AccountInfo, ConsumerInfo, Endpoint, Paged, StoredMessage, StreamInfo, StreamState};
use crate::config::StreamConfig;
use crate::error::ApiError;
use crate::json::{document, to_vec};
use crate::time::{Nanos, Time};
use std::collections::BTreeMap;

document! {
    /// What all responses begin with; alone, the answer to something that has nothing else to say.
    pub struct Response = "ApiResponse" {
        /// Which kind of response.
        pub kind: String, "type" always "string";
        /// What went wrong.
        pub error: Option<ApiError>, "error" omitempty "server.ApiError";
    }
}

impl Response {
    /// The beginning of a response of success.
    pub fn ok(endpoint: Endpoint) -> Self {
        Self { kind: endpoint.response_type(), error: None }
    }

    /// The beginning of a response that is an error.
    pub fn error(endpoint: Endpoint, error: ApiError) -> Self {
        Self { kind: endpoint.response_type(), error: Some(error) }
    }
}

/// Declares a response: the beginning, and what follows it.
macro_rules! response {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident = $go:literal { $($rest:tt)* }
    ) => {
        document! {
            $(#[$attribute])*
            pub struct $name = $go {
                embed /// The beginning.
                pub response: Response, "ApiResponse";
                $($rest)*
            }
        }

        impl $name {
            /// A response that is an error.
            pub fn error(endpoint: Endpoint, error: ApiError) -> Self {
                Self { response: Response::error(endpoint, error), ..Self::default() }
            }
        }
    };
}

response! {
    /// What an account has and may have.
    pub struct AccountInfoResponse = "JSApiAccountInfoResponse" {
        embed /// All of it.
        pub info: Option<AccountInfo>, "JetStreamAccountStats";
    }
}

response! {
    /// A stream that was created.
    pub struct StreamCreateResponse = "JSApiStreamCreateResponse" {
        embed /// What there is to say of it.
        pub info: Option<StreamInfo>, "StreamInfo";
        /// True for every stream that there is now.
        pub did_create: bool, "did_create" omitempty "bool";
    }
}

response! {
    /// A stream that was changed.
    pub struct StreamResponse = "JSApiStreamUpdateResponse" {
        embed /// What there is to say of it.
        pub info: Option<StreamInfo>, "StreamInfo";
    }
}

response! {
    /// What there is to say of a stream.
    pub struct StreamInfoResponse = "JSApiStreamInfoResponse" {
        embed /// The page of its subjects, if they were asked for.
        pub paged: Paged, "ApiPaged";
        embed /// All of it.
        pub info: Option<StreamInfo>, "StreamInfo";
    }
}

response! {
    /// The names of streams. Official servers say `null` for none.
    pub struct StreamNamesResponse = "JSApiStreamNamesResponse" {
        embed /// The page.
        pub paged: Paged, "ApiPaged";
        /// The names.
        pub streams: Option<Vec<String>>, "streams" always "[]string";
    }
}

response! {
    /// Streams.
    pub struct StreamListResponse = "JSApiStreamListResponse" {
        embed /// The page.
        pub paged: Paged, "ApiPaged";
        /// The streams.
        pub streams: Vec<StreamInfo>, "streams" always "[]*server.StreamInfo";
        /// Those of which nobody told anything.
        pub missing: Vec<String>, "missing" omitempty "[]string";
        /// Those that nobody has, and why.
        pub offline: BTreeMap<String, String>, "offline" omitempty "map[string]string";
    }
}

response! {
    /// Something that was done.
    pub struct SuccessResponse = "JSApiStreamDeleteResponse" {
        /// Whether it was done.
        pub success: bool, "success" omitempty "bool";
    }
}

impl SuccessResponse {
    /// It was done.
    pub fn ok(endpoint: Endpoint) -> Self {
        Self { response: Response::ok(endpoint), success: true }
    }
}

response! {
    /// An account whose streams are deleted.
    pub struct AccountPurgeResponse = "JSApiAccountPurgeResponse" {
        /// Whether that has begun.
        pub initiated: bool, "initiated" omitempty "bool";
    }
}

response! {
    /// Messages that were deleted.
    pub struct PurgeResponse = "JSApiStreamPurgeResponse" {
        /// Whether it was done.
        pub success: bool, "success" omitempty "bool";
        /// How many.
        pub purged: u64, "purged" always "uint64";
    }
}

response! {
    /// A message.
    pub struct MessageGetResponse = "JSApiMsgGetResponse" {
        /// All of it.
        pub message: Option<StoredMessage>, "message" omitempty "server.StoredMsg";
    }
}

response! {
    /// A stream whose archive is on its way.
    pub struct SnapshotResponse = "JSApiStreamSnapshotResponse" {
        /// What it is.
        pub config: Option<StreamConfig>, "config" omitempty "server.StreamConfig";
        /// What it holds.
        pub state: Option<StreamState>, "state" omitempty "server.StreamState";
    }
}

response! {
    /// Where an archive is wanted.
    pub struct RestoreResponse = "JSApiStreamRestoreResponse" {
        /// The subject.
        pub deliver_subject: String, "deliver_subject" always "string";
    }
}

response! {
    /// A consumer that was created or asked for.
    pub struct ConsumerResponse = "JSApiConsumerInfoResponse" {
        embed /// What there is to say of it.
        pub info: Option<ConsumerInfo>, "ConsumerInfo";
    }
}

response! {
    /// The names of consumers.
    pub struct ConsumerNamesResponse = "JSApiConsumerNamesResponse" {
        embed /// The page.
        pub paged: Paged, "ApiPaged";
        /// The names.
        pub consumers: Vec<String>, "consumers" always "[]string";
    }
}

response! {
    /// Consumers.
    pub struct ConsumerListResponse = "JSApiConsumerListResponse" {
        embed /// The page.
        pub paged: Paged, "ApiPaged";
        /// The consumers.
        pub consumers: Vec<ConsumerInfo>, "consumers" always "[]*server.ConsumerInfo";
        /// Those of which nobody told anything.
        pub missing: Vec<String>, "missing" omitempty "[]string";
        /// Those that nobody has, and why.
        pub offline: BTreeMap<String, String>, "offline" omitempty "map[string]string";
    }
}

response! {
    /// Whether a consumer is paused.
    pub struct ConsumerPauseResponse = "JSApiConsumerPauseResponse" {
        /// Whether it is.
        pub paused: bool, "paused" always "bool";
        /// Until when.
        pub pause_until: Time, "pause_until" always "time.Time";
        /// For how long.
        pub pause_remaining: Nanos, "pause_remaining" omitempty "time.Duration";
    }
}

response! {
    /// A consumer that begins again.
    pub struct ConsumerResetResponse = "JSApiConsumerResetResponse" {
        embed /// What there is to say of it.
        pub info: Option<ConsumerInfo>, "ConsumerInfo";
        /// The sequence that it begins with.
        pub reset_seq: u64, "reset_seq" always "uint64";
    }
}

document! {
    /// A message that is stored.
    pub struct PublishAck = "PubAck" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// Its sequence.
        pub seq: u64, "seq" always "uint64";
        /// Whether it was there already.
        pub duplicate: bool, "duplicate" omitempty "bool";
        /// The value of the counter.
        pub val: String, "val" omitempty "string";
        /// The batch.
        pub batch: String, "batch" omitempty "string";
        /// How many messages the batch has.
        pub count: u64, "count" omitempty "uint64";
    }
}

document! {
    /// What went wrong with a publish.
    pub struct PublishError = "ApiResponse" {
        /// The error.
        pub error: Option<ApiError>, "error" omitempty "server.ApiError";
    }
}

document! {
    /// The answer to a publish. Behind an error stands an acknowledgement that has the stream alone.
    pub struct PublishResponse = "JSPubAckResponse" {
        embed /// What went wrong.
        pub failed: PublishError, "ApiResponse";
        embed /// What is stored.
        pub ack: PublishAck, "PubAck";
    }
}

impl PublishResponse {
    /// The answer to a publish that was refused.
    pub fn error(stream: &str, error: ApiError) -> Self {
        let ack = PublishAck { stream: stream.to_owned(), ..PublishAck::default() };
        Self { failed: PublishError { error: Some(error) }, ack }
    }
}

/// The answer of an endpoint that is an error, with whatever else its answers always say.
pub fn error_answer(endpoint: Endpoint, error: ApiError) -> Vec<u8> {
    match endpoint {
        Endpoint::StreamInfo => to_vec(&StreamInfoResponse::error(endpoint, error)),
        Endpoint::StreamNames => to_vec(&StreamNamesResponse::error(endpoint, error)),
        Endpoint::StreamList => to_vec(&StreamListResponse::error(endpoint, error)),
        Endpoint::StreamPurge => to_vec(&PurgeResponse::error(endpoint, error)),
        Endpoint::StreamRestore => to_vec(&RestoreResponse::error(endpoint, error)),
        Endpoint::ConsumerNames => to_vec(&ConsumerNamesResponse::error(endpoint, error)),
        Endpoint::ConsumerList => to_vec(&ConsumerListResponse::error(endpoint, error)),
        Endpoint::ConsumerPause => to_vec(&ConsumerPauseResponse::error(endpoint, error)),
        Endpoint::ConsumerReset => to_vec(&ConsumerResetResponse::error(endpoint, error)),
        _ => to_vec(&Response::error(endpoint, error)),
    }
}

/// An answer to the system account, which has no JetStream of its own.
pub fn system_error_answer(error: ApiError) -> Vec<u8> {
    to_vec(&Response { kind: "io.nats.jetstream.api.v1.system_response".to_owned(), error: Some(error) })
}
