//! Documents of requests that official servers do not have.

use crate::error::ApiError;
use crate::json::document;

document! {
    /// Which dead letters of a stream are put back.
    pub struct RedriveRequest = "RedriveRequest" {
        /// Those of this consumer; empty is all.
        pub consumer: String, "consumer" omitempty "string";
        /// Those from this sequence on.
        pub seq: u64, "seq" omitempty "uint64";
        /// How many at most; 0 is as many as one request may have.
        pub batch: i64, "batch" omitempty "int";
    }
}

document! {
    /// What became of them.
    pub struct RedriveResponse = "RedriveResponse" {
        /// What it is.
        pub kind: String, "type" always "string";
        /// Why nothing was put back.
        pub error: Option<ApiError>, "error" omitempty "ApiError";
        /// Those that are in their streams again, and no dead letters any more.
        pub redriven: u64, "redriven" always "uint64";
        /// Those that stay, since their stream is not there, or does not take them.
        pub kept: u64, "kept" always "uint64";
        /// Why the first of these stays.
        pub reason: String, "reason" omitempty "string";
        /// Where to go on.
        pub next: u64, "next" always "uint64";
        /// Whether all letters were looked at.
        pub complete: bool, "complete" always "bool";
    }
}
