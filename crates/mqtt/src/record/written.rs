//! The record as JSON: the official fields, and one that official servers pass over.

use dialtone_jetstream::config::ConsumerConfig;
use dialtone_jetstream::document;
use std::collections::BTreeMap;

document! {
    /// The record.
    pub struct Written = "mqttPersistedSession" {
        /// The hash of the name of the server that wrote it.
        pub origin: String, "origin" omitempty "string";
        /// The client identifier.
        pub id: String, "id" omitempty "string";
        /// Whether it ends with its connection.
        pub clean: bool, "clean" omitempty "bool";
        /// Filters of NATS with their quality of service.
        pub subs: BTreeMap<String, u8>, "subs" omitempty "map[string]uint8";
        /// Consumers by their keys.
        pub cons: BTreeMap<String, ConsumerConfig>, "cons" omitempty "map[string]*server.ConsumerConfig";
        /// The consumer that reminds of PUBREL.
        pub pubrel: Option<ConsumerConfig>, "pubrel" omitempty "server.ConsumerConfig";
        /// What the official record has no place for.
        pub more: Option<More>, "mqtt5" omitempty "mqtt5";
    }
}

document! {
    /// What the official record has no place for.
    pub struct More = "mqtt5" {
        /// The user that it belongs to.
        pub user: String, "user" omitempty "string";
        /// Seconds that it outlives its connection.
        pub expiry: Option<u32>, "expiry" omitempty "uint32";
        /// When the connection ended, in seconds since 1970.
        pub ended: u64, "ended" omitempty "uint64";
        /// Subscriptions that are more than a filter and a quality of service.
        pub subs: Vec<MoreSubscribed>, "subs" omitempty "[]mqtt5";
        /// Messages that were sent and not acknowledged.
        pub sent: Vec<MoreSent>, "sent" omitempty "[]mqtt5";
    }
}

document! {
    /// A message that was sent and not acknowledged.
    pub struct MoreSent = "mqtt5" {
        /// The key of its consumer.
        pub consumer: String, "consumer" always "string";
        /// Its sequence.
        pub sequence: u64, "seq" always "uint64";
        /// Its packet identifier.
        pub id: u32, "id" always "uint32";
        /// Its quality of service.
        pub qos: u8, "qos" always "uint8";
    }
}

document! {
    /// A subscription.
    pub struct MoreSubscribed = "mqtt5" {
        /// The filter as the client names it.
        pub filter: String, "filter" always "string";
        /// Its options, as they stand in SUBSCRIBE.
        pub options: u8, "options" always "uint8";
        /// The client's number for it; 0: it has none.
        pub id: u32, "id" omitempty "uint32";
    }
}
