//! The endpoints of the JetStream API, their requests and responses.
//!
//! [`parse`] says which endpoint a subject is, with the names that stand in it; [`Endpoint::row`] what is known of it. [`requests`] and [`responses`]
//! are the documents, in the official order of their fields.

mod account;
pub mod advisories;
mod beyond;
mod endpoint;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod info;
pub mod names;
mod paging;
mod requests;
mod responses;

pub use account::{AccountInfo, ApiStats, LimitsShown, Tier};
pub use beyond::{
    CancelRequest, CancelResponse, DelayedMessage, DelayedRequest, DelayedResponse, RedriveRequest,
    RedriveResponse,
};
pub use endpoint::{API_PREFIX, Audience, Body, ENDPOINTS, Endpoint, Request, Row, domain_mappings, parse};
pub use info::{
    Bytes, ClusterInfo, ConsumerInfo, LostMessages, PriorityGroupState, SequenceInfo, StoredMessage,
    StreamAlternate, StreamInfo, StreamSourceInfo, StreamState,
};
pub use paging::{LIST_MAX, NAMES_MAX, Paged, SUBJECTS_MAX, page};
pub use requests::{
    ConsumersRequest, MessageDeleteRequest, MessageGetRequest, NakRequest, NextRequest, PageRequest,
    PauseRequest, PriorityGroup, PurgeRequest, ResetRequest, RestoreRequest, SnapshotRequest,
    StreamInfoRequest, StreamsRequest, UnpinRequest, is_empty, read_list, read_plain, read_request,
};
pub use responses::{
    AccountInfoResponse, AccountPurgeResponse, ConsumerListResponse, ConsumerNamesResponse,
    ConsumerPauseResponse, ConsumerResetResponse, ConsumerResponse, MessageGetResponse, PublishAck,
    PublishError, PublishResponse, PurgeResponse, Response, RestoreResponse, SnapshotResponse,
    StreamCreateResponse, StreamInfoResponse, StreamListResponse, StreamNamesResponse, StreamResponse,
    SuccessResponse, error_answer, system_error_answer,
};

#[cfg(test)]
mod tests;
