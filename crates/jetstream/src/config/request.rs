//! Requests that carry a configuration.

use super::{ConsumerAction, ConsumerConfig, StreamConfig};
use crate::json::document;

document! {
    /// A request to create or update a stream.
    pub struct StreamRequest = "StreamConfigRequest" {
        embed /// What it shall be.
        pub config: StreamConfig, "StreamConfig";
        /// Whether what the server would change by itself is an error.
        pub pedantic: bool, "pedantic" omitempty "bool";
    }
}

document! {
    /// A request to create or update a consumer.
    pub struct ConsumerRequest = "CreateConsumerRequest" {
        /// The stream.
        pub stream_name: String, "stream_name" always "string";
        /// What it shall be.
        pub config: ConsumerConfig, "config" always "server.ConsumerConfig";
        /// What may be done.
        pub action: ConsumerAction, "action" always "server.ConsumerAction";
        /// Whether what the server would change by itself is an error.
        pub pedantic: bool, "pedantic" omitempty "bool";
    }
}
