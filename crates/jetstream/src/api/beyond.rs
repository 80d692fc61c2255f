//! Documents of requests that official servers do not have.

use crate::error::ApiError;
use crate::json::document;
use crate::time::Time;

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
    /// Which delayed messages are listed.
    pub struct DelayedRequest = "DelayedRequest" {
        /// Those behind this number.
        pub behind: u64, "behind" omitempty "uint64";
        /// Those of these subjects; empty is all.
        pub subject: String, "subject" omitempty "string";
    }
}

document! {
    /// A delayed message.
    pub struct DelayedMessage = "DelayedMessage" {
        /// Its number.
        pub id: u64, "id" always "uint64";
        /// Its subject.
        pub subject: String, "subject" always "string";
        /// When it is stored.
        pub at: Option<Time>, "at" omitempty "time.Time";
        /// Bytes of its headers and payload.
        pub bytes: u64, "bytes" always "uint64";
    }
}

document! {
    /// The delayed messages of a stream, by number.
    pub struct DelayedResponse = "DelayedResponse" {
        /// What it is.
        pub kind: String, "type" always "string";
        /// Why there is no list.
        pub error: Option<ApiError>, "error" omitempty "ApiError";
        /// How many the stream has.
        pub total: u64, "total" always "uint64";
        /// Some of them.
        pub delayed: Vec<DelayedMessage>, "delayed" always "[]DelayedMessage";
        /// Whether these are the last.
        pub complete: bool, "complete" always "bool";
    }
}

document! {
    /// Which delayed message is given up.
    pub struct CancelRequest = "CancelRequest" {
        /// Its number.
        pub id: u64, "id" always "uint64";
    }
}

document! {
    /// Whether it is.
    pub struct CancelResponse = "CancelResponse" {
        /// What it is.
        pub kind: String, "type" always "string";
        /// Why it is not.
        pub error: Option<ApiError>, "error" omitempty "ApiError";
        /// It is on disk that it is never stored.
        pub success: bool, "success" always "bool";
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
