//! What a server in this process does, seen by clients, other servers and scripts that stand for them.

#[path = "../common/churn.rs"]
mod churn;
#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod compression;
mod config_values;
mod floods;
mod gateway_old;
mod gateway_reload;
mod gateways;
mod in_process;
mod leaf_tls;
mod leaf_websocket;
mod leafs;
mod leaving;
mod limits;
mod log;
mod metrics;
mod mqtt_auth;
mod mqtt_broker_topics;
mod mqtt_expired;
mod mqtt_limits;
mod mqtt_resumed;
mod mqtt_rights;
mod mqtt_sessions;
mod mqtt_shared;
mod mqtt_sn;
mod mqtt_traces;
mod network;
mod operator;
mod rebalance;
mod reload;
mod routes;
mod shares;
mod stay;
mod streams;
mod traces;
mod turn;
mod usage;
mod websocket;
mod zones;
