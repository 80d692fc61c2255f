//! The table of series. A name that was published stays, with its meaning.

use super::links::LinkRow;
use super::streams::{ConsumerRow, StreamRow};
use super::{AccountRow, Reading, Sink};
use crate::connection_failures::LoginFailure;
use crate::jetstream::figures::memory_used;
use crate::policy::COMPATIBLE_VERSION;
use crate::process;
use crate::queues;
use crate::share::LaneFigures;
use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

/// Whether a value can go down.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Gauge,
    /// Only grows, from the start of the process.
    Counter,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// One series, or one for each of its label values.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) read: fn(&Reading<'_>, &mut Sink<'_>),
}

/// Series with one value.
const fn one(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Reading<'_>, &mut Sink<'_>),
) -> Series {
    Series { name, kind, labels: &[], help, read }
}

/// Series of each account.
const fn each_account(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Reading<'_>, &mut Sink<'_>),
) -> Series {
    Series { name, kind, labels: &["account", "account_name"], help, read }
}

/// Series of each lane of each queue inside.
const fn each_lane(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Reading<'_>, &mut Sink<'_>),
) -> Series {
    Series { name, kind, labels: &["queue", "lane"], help, read }
}

/// Series of the links of a kind to each other end.
const fn each_link(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Reading<'_>, &mut Sink<'_>),
) -> Series {
    Series { name, kind, labels: &["kind", "remote"], help, read }
}

fn links(reading: &Reading<'_>, sink: &mut Sink<'_>, figure: fn(&LinkRow) -> f64) {
    for row in &reading.links {
        sink.put(&[row.kind.link_name(), &row.remote], figure(row));
    }
}

/// Series of each stream.
const fn each_stream(
    name: &'static str,
    help: &'static str,
    read: fn(&Reading<'_>, &mut Sink<'_>),
) -> Series {
    Series { name, kind: Gauge, labels: &["account", "stream"], help, read }
}

/// Series of each consumer.
const fn each_consumer(
    name: &'static str,
    help: &'static str,
    read: fn(&Reading<'_>, &mut Sink<'_>),
) -> Series {
    Series { name, kind: Gauge, labels: &["account", "stream", "consumer"], help, read }
}

fn streams(reading: &Reading<'_>, sink: &mut Sink<'_>, figure: fn(&StreamRow) -> u64) {
    for row in &reading.streams.streams {
        sink.put(&[&row.account, &row.stream], figure(row) as f64);
    }
}

fn consumers(reading: &Reading<'_>, sink: &mut Sink<'_>, figure: fn(&ConsumerRow) -> u64) {
    for row in &reading.streams.consumers {
        sink.put(&[&row.account, &row.stream, &row.consumer], figure(row) as f64);
    }
}

fn lanes(reading: &Reading<'_>, sink: &mut Sink<'_>, figure: fn(&LaneFigures) -> u64) {
    for (queue, lane, figures) in queues::figures(reading.node) {
        sink.put(&[queue, lane.name()], figure(&figures) as f64);
    }
}

fn accounts(reading: &Reading<'_>, sink: &mut Sink<'_>, figure: fn(&AccountRow) -> u64) {
    for row in &reading.accounts {
        sink.put(&[&row.account, &row.name], figure(row) as f64);
    }
}

use Kind::{Counter, Gauge};

pub(super) const TABLE: &[Series] = &[
    Series {
        name: "dialtone_build_info",
        kind: Gauge,
        labels: &["version", "nats_version", "commit"],
        help: "Always 1; the labels hold Dialtone's version, that of nats-server it is compatible with, and its commit.",
        read: |_, sink| {
            let commit = option_env!("DIALTONE_COMMIT").unwrap_or_default();
            sink.put(&[env!("CARGO_PKG_VERSION"), COMPATIBLE_VERSION, commit], 1.0);
        },
    },
    one("dialtone_uptime_seconds", Gauge, "Seconds since the start.", |r, sink| {
        sink.put(&[], r.node.monitoring.start_instant.elapsed().as_secs_f64());
    }),
    one("dialtone_connections", Gauge, "Connections.", |r, sink| {
        sink.put(&[], r.node.connections.registry.len() as f64);
    }),
    one(
        "dialtone_connections_max",
        Gauge,
        "Connections that are let in at most; +Inf without a limit.",
        |r, sink| {
            let max = r.node.settings.policy().options.limits.connections_max;
            sink.put(&[], if max == 0 { f64::INFINITY } else { max as f64 });
        },
    ),
    one("dialtone_connections_total", Counter, "Connections since the start.", |r, sink| {
        sink.put(&[], r.node.connections.registry.total() as f64);
    }),
    Series {
        name: "dialtone_failed_logins_total",
        kind: Counter,
        labels: &["reason"],
        help: "Connections that were not let in: `credentials` are wrong, a `token` is not valid, an authorization service refuses or does not answer (`callout`), a `proxy` is missing or not trusted, the `timeout` passed, or the server was `overloaded` and too many logins waited.",
        read: |r, sink| {
            for reason in LoginFailure::ALL {
                sink.put(&[reason.name()], r.node.connections.failures.failed_logins(reason) as f64);
            }
        },
    },
    one(
        "dialtone_subscriptions",
        Gauge,
        "Subscriptions of all accounts, those of the server itself among them.",
        |r, sink| {
            sink.put(&[], r.node.accounts.all().iter().map(|account| account.subscriptions() as f64).sum());
        },
    ),
    one("dialtone_pending_bytes", Gauge, "Bytes that wait to be written to connections.", |r, sink| {
        let pending =
            |session: &std::sync::Arc<crate::registry::Session>| session.peer.pending_bytes() as f64;
        sink.put(&[], r.node.connections.registry.open().iter().map(pending).sum());
    }),
    one("dialtone_received_messages_total", Counter, "Messages from clients.", |r, sink| {
        sink.put(&[], r.traffic.in_msgs as f64);
    }),
    one("dialtone_received_bytes_total", Counter, "Bytes of those messages.", |r, sink| {
        sink.put(&[], r.traffic.in_bytes as f64);
    }),
    one("dialtone_sent_messages_total", Counter, "Messages to clients.", |r, sink| {
        sink.put(&[], r.traffic.out_msgs as f64);
    }),
    one("dialtone_sent_bytes_total", Counter, "Bytes of those messages.", |r, sink| {
        sink.put(&[], r.traffic.out_bytes as f64);
    }),
    one(
        "dialtone_slow_consumers_total",
        Counter,
        "Connections that read too slowly; clients are closed then.",
        |r, sink| sink.put(&[], r.node.connections.failures.slow.total() as f64),
    ),
    one(
        "dialtone_stale_connections_total",
        Counter,
        "Connections closed because they did not answer.",
        |r, sink| sink.put(&[], r.node.connections.failures.stale.total() as f64),
    ),
    one(
        "dialtone_stalled_producers_total",
        Counter,
        "Times a producer was held back for a slow reader.",
        |r, sink| sink.put(&[], r.node.connections.failures.stalled.load(Relaxed) as f64),
    ),
    each_account("dialtone_account_connections", Gauge, "Connections of the account.", |r, sink| {
        accounts(r, sink, |row| row.figures.connections);
    }),
    each_account("dialtone_account_subscriptions", Gauge, "Subscriptions of the account.", |r, sink| {
        accounts(r, sink, |row| row.figures.subscriptions);
    }),
    each_account(
        "dialtone_account_received_messages_total",
        Counter,
        "Messages from the account's connections.",
        |r, sink| accounts(r, sink, |row| row.figures.in_msgs),
    ),
    each_account("dialtone_account_received_bytes_total", Counter, "Bytes of those messages.", |r, sink| {
        accounts(r, sink, |row| row.figures.in_bytes);
    }),
    each_account(
        "dialtone_account_refused_messages_total",
        Counter,
        "Messages from the account's connections that were refused by its rate limits.",
        |r, sink| accounts(r, sink, |row| row.figures.refused_msgs),
    ),
    each_account(
        "dialtone_account_delayed_messages_total",
        Counter,
        "Messages from the account's connections that its rate limits let wait.",
        |r, sink| accounts(r, sink, |row| row.figures.delayed_msgs),
    ),
    each_account(
        "dialtone_account_sent_messages_total",
        Counter,
        "Messages to the account's connections.",
        |r, sink| accounts(r, sink, |row| row.figures.out_msgs),
    ),
    each_account("dialtone_account_sent_bytes_total", Counter, "Bytes of those messages.", |r, sink| {
        accounts(r, sink, |row| row.figures.out_bytes);
    }),
    each_lane(
        "dialtone_queue_items",
        Gauge,
        "Items that wait in a lane of a queue inside the server.",
        |r, sink| {
            lanes(r, sink, |lane| lane.waiting as u64);
        },
    ),
    each_lane(
        "dialtone_queue_shares",
        Gauge,
        "Accounts and addresses that have something in the lane.",
        |r, sink| {
            lanes(r, sink, |lane| lane.shares as u64);
        },
    ),
    each_lane(
        "dialtone_queue_cost",
        Gauge,
        "What the waiting items cost: bytes, or items where each costs the same.",
        |r, sink| lanes(r, sink, |lane| lane.cost as u64),
    ),
    each_lane(
        "dialtone_queue_largest_share_cost",
        Gauge,
        "The part of that cost that the account or address with most has.",
        |r, sink| lanes(r, sink, |lane| lane.largest_share as u64),
    ),
    each_lane(
        "dialtone_queue_dropped_items_total",
        Counter,
        "Items that were dropped from the share with most, because the lane was full.",
        |r, sink| lanes(r, sink, |lane| lane.dropped),
    ),
    one("process_start_time_seconds", Gauge, "When the server started, in seconds since 1970.", |r, sink| {
        let since = r.node.monitoring.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        sink.put(&[], since.as_secs_f64());
    }),
    one("process_resident_memory_bytes", Gauge, "Resident memory.", |_, sink| {
        sink.put(&[], process::resident_bytes() as f64);
    }),
    one("process_cpu_seconds_total", Counter, "Processor time used.", |_, sink| {
        sink.put(&[], process::cpu_seconds());
    }),
    one(
        "process_open_fds",
        Gauge,
        "Open file descriptors; absent where the system does not say.",
        |_, sink| {
            if let Some(open) = process::open_files() {
                sink.put(&[], open as f64);
            }
        },
    ),
    one("process_max_fds", Gauge, "File descriptors that may be open; +Inf without a limit.", |_, sink| {
        sink.put(&[], process::open_files_max().map_or(f64::INFINITY, |max| max as f64));
    }),
    Series {
        name: "dialtone_mqtt_connections",
        kind: Gauge,
        labels: &["version"],
        help: "Clients of MQTT, by the version that they speak; `sn`: by the gateway for MQTT-SN.",
        read: |r, sink| {
            for (version, count) in r.mqtt.connections {
                sink.put(&[version], count as f64);
            }
        },
    },
    one(
        "dialtone_mqtt_refused_connections_total",
        Counter,
        "Clients of MQTT whose CONNECT was answered by a refusal.",
        |r, sink| sink.put(&[], r.node.connections.client_ids.figures.refused.load(Relaxed) as f64),
    ),
    Series {
        name: "dialtone_mqtt_received_messages_total",
        kind: Counter,
        labels: &["qos"],
        help: "Messages that clients of MQTT published, wills among them, by quality of service.",
        read: |r, sink| {
            let received = &r.node.connections.client_ids.figures.received;
            for (qos, count) in ["0", "1", "2"].into_iter().zip(received) {
                sink.put(&[qos], count.load(Relaxed) as f64);
            }
        },
    },
    Series {
        name: "dialtone_mqtt_kept",
        kind: Gauge,
        labels: &["what"],
        help: "What the streams of MQTT on this server keep: each `session`; each `message` of quality of service 1 and 2 that somebody has not acknowledged; what is `held` until PUBREL, or as a will that waits; PUBREL that is not answered (`released`); each `retained` message.",
        read: |r, sink| {
            for (what, count) in r.mqtt.kept {
                sink.put(&[what], count as f64);
            }
        },
    },
    one("dialtone_mqtt_waiting_wills", Gauge, "Wills that wait until their clients come back.", |r, sink| {
        sink.put(&[], r.node.connections.client_ids.late_wills.len() as f64);
    }),
    Series {
        name: "dialtone_mqtt_sn_clients",
        kind: Gauge,
        labels: &["state"],
        help: "Clients of MQTT-SN: `awake` or `asleep`.",
        read: |r, sink| {
            let gateway = &r.node.connections.client_ids.figures.gateway;
            for (state, count) in ["awake", "asleep"].into_iter().zip(gateway) {
                sink.put(&[state], count.load(Relaxed) as f64);
            }
        },
    },
    each_link(
        "dialtone_links",
        Gauge,
        "Connections to another server: to a `route` of the cluster, a `gateway` of another cluster, a `hub` or a `spoke`.",
        |r, sink| links(r, sink, |row| row.links as f64),
    ),
    each_link(
        "dialtone_link_subscriptions",
        Gauge,
        "Interest that the other end has told: filters and queue groups.",
        |r, sink| links(r, sink, |row| row.subscriptions as f64),
    ),
    each_link(
        "dialtone_link_interest_told_total",
        Counter,
        "Begins and ends of interest that the other end was told.",
        |r, sink| links(r, sink, |row| row.carried.interest_told as f64),
    ),
    each_link(
        "dialtone_link_pending_bytes",
        Gauge,
        "Bytes that wait for the other end to read them.",
        |r, sink| {
            links(r, sink, |row| row.pending_bytes as f64);
        },
    ),
    each_link("dialtone_link_received_messages_total", Counter, "Messages from the other end.", |r, sink| {
        links(r, sink, |row| row.carried.traffic.in_msgs as f64);
    }),
    each_link("dialtone_link_received_bytes_total", Counter, "Their bytes.", |r, sink| {
        links(r, sink, |row| row.carried.traffic.in_bytes as f64);
    }),
    each_link("dialtone_link_sent_messages_total", Counter, "Messages to the other end.", |r, sink| {
        links(r, sink, |row| row.carried.traffic.out_msgs as f64);
    }),
    each_link("dialtone_link_sent_bytes_total", Counter, "Their bytes.", |r, sink| {
        links(r, sink, |row| row.carried.traffic.out_bytes as f64);
    }),
    each_link(
        "dialtone_link_rtt_seconds",
        Gauge,
        "Round-trip time of the slowest link to the other end; 0 before the first answer.",
        |r, sink| links(r, sink, |row| row.rtt.as_secs_f64()),
    ),
    each_link(
        "dialtone_link_compression_ratio",
        Gauge,
        "Bytes for the other end, over those that compressed links sent; absent without any.",
        |r, sink| {
            for row in &r.links {
                if let Some(ratio) = row.compressed.ratio() {
                    sink.put(&[row.kind.link_name(), &row.remote], ratio);
                }
            }
        },
    ),
    one("dialtone_streams", Gauge, "JetStream streams.", |r, sink| {
        sink.put(&[], r.streams.count as f64);
    }),
    one("dialtone_consumers", Gauge, "Their consumers.", |r, sink| {
        sink.put(&[], r.streams.consumers_count as f64);
    }),
    one("dialtone_streams_memory_bytes", Gauge, "Bytes of messages of streams in memory.", |r, sink| {
        sink.put(&[], r.streams.bytes[0] as f64);
    }),
    one("dialtone_streams_file_bytes", Gauge, "Bytes of messages of streams in files.", |r, sink| {
        sink.put(&[], r.streams.bytes[1] as f64);
    }),
    Series {
        name: "dialtone_streams_memory_used_bytes",
        kind: Gauge,
        labels: &["part"],
        help: "Bytes of memory that streams in files take of `memory_limit`, by part.",
        read: |r, sink| {
            memory_used(r.node).iter().for_each(|(part, used, _)| sink.put(&[part], *used as f64))
        },
    },
    Series {
        name: "dialtone_streams_memory_share_bytes",
        kind: Gauge,
        labels: &["part"],
        help: "Bytes that each of these parts may take.",
        read: |r, sink| {
            memory_used(r.node).iter().for_each(|(part, _, share)| sink.put(&[part], *share as f64))
        },
    },
    one("dialtone_jetstream_api_requests_total", Counter, "Requests to the API of JetStream.", |r, sink| {
        sink.put(&[], r.node.streams.asked_by_all().total as f64);
    }),
    one(
        "dialtone_jetstream_api_errors_total",
        Counter,
        "Those of them that were answered with an error.",
        |r, sink| {
            sink.put(&[], r.node.streams.asked_by_all().errors as f64);
        },
    ),
    one(
        "dialtone_store_failed",
        Gauge,
        "1 if the store of streams has failed for good, so that JetStream is off; absent without JetStream.",
        |r, sink| {
            if let Some(shared) = r.node.streams.shared() {
                sink.put(&[], f64::from(u8::from(shared.failure().is_some())));
            }
        },
    ),
    one(
        "dialtone_store_log_bytes",
        Gauge,
        "Bytes of the log of streams behind its last checkpoint; absent without JetStream.",
        |r, sink| {
            if let Some(store) = r.node.streams.shared().and_then(|shared| shared.store()) {
                sink.put(&[], store.behind() as f64);
            }
        },
    ),
    each_stream("dialtone_stream_messages", "Messages of the stream.", |r, sink| {
        streams(r, sink, |row| row.messages);
    }),
    each_stream("dialtone_stream_bytes", "Their bytes.", |r, sink| {
        streams(r, sink, |row| row.bytes);
    }),
    Series {
        name: "dialtone_consumers_held",
        kind: Gauge,
        labels: &["reason"],
        help: "Consumers with messages and somebody who waits for them, by what holds them up.",
        read: |r, sink| {
            for (reason, count) in &r.streams.held {
                sink.put(&[reason], *count as f64);
            }
        },
    },
    one(
        "dialtone_consumers_standing_total",
        Counter,
        "Consumers that delivered nothing for 10 seconds though nothing holds them up, each time.",
        |r, sink| sink.put(&[], r.node.streams.standing.load(Relaxed) as f64),
    ),
    each_stream("dialtone_stream_consumers", "Consumers of the stream.", |r, sink| {
        streams(r, sink, |row| row.consumers);
    }),
    each_consumer(
        "dialtone_consumer_pending_messages",
        "Messages that the consumer has yet to deliver.",
        |r, sink| {
            consumers(r, sink, |row| row.pending);
        },
    ),
    each_consumer(
        "dialtone_consumer_ack_pending_messages",
        "Messages that wait for their acknowledgement.",
        |r, sink| {
            consumers(r, sink, |row| row.ack_pending);
        },
    ),
    each_consumer(
        "dialtone_consumer_redelivered_messages",
        "Messages of the consumer that were delivered more than once.",
        |r, sink| {
            consumers(r, sink, |row| row.redelivered);
        },
    ),
    each_consumer(
        "dialtone_consumer_waiting_requests",
        "Pull requests that wait for messages.",
        |r, sink| {
            consumers(r, sink, |row| row.waiting);
        },
    ),
    one(
        "dialtone_store_damages_total",
        Counter,
        "Places of the store of streams that were found not to be readable; absent without JetStream.",
        |r, sink| {
            if let Some(shared) = r.node.streams.shared() {
                sink.put(&[], shared.damages.found().0 as f64);
            }
        },
    ),
];
