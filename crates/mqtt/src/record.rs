//! What is kept of a session in its stream: the record of the official server, which reads ours and whose records are read here, and beside it what MQTT 5 has
//! more. Source: nats-server 2.15.0, asked.
//!
//! A record comes from a stream, which others can write to: how large it may be, how deep and how much of it is taken is bounded.

mod written;

use crate::session::Expiry;
use crate::subscriptions::{Subscribed, Wanted};
use dialtone_jetstream::api::read_plain;
use dialtone_jetstream::config::ConsumerConfig;
use dialtone_jetstream::json::to_vec;
use dialtone_wire::mqtt::subject::{map_filter, put_filter};
use dialtone_wire::mqtt::{PacketId, Qos, SubscribeOptions, SubscriptionId};
use std::collections::BTreeMap;
use written::{More, MoreSent, MoreSubscribed, Written};

/// Bytes of a record: more than 10,000 subscriptions, each with its consumers.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A session, as far as it is not in the streams of messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The hash of the name of the server that wrote it.
    pub origin: String,
    /// The client identifier.
    pub id: String,
    /// Whether it ends with its connection.
    pub clean: bool,
    /// The user that it belongs to; empty: whoever of the account comes, as in records of official servers.
    pub user: String,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscribed>,
    /// Its consumers, by [`consumer_key`].
    pub consumers: BTreeMap<String, Box<ConsumerConfig>>,
    /// The consumer by which it is reminded of PUBREL.
    pub pubrel: Option<Box<ConsumerConfig>>,
    /// How long it outlives its connection.
    pub expiry: Expiry,
    /// When its connection ended, in seconds since 1970; 0: it has not.
    pub ended: u64,
    /// Messages that were sent to its client by the connection that ended, and not acknowledged, in their order.
    pub sent: Vec<Sent>,
}

/// A message that was sent and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The key of the consumer that brought it.
    pub consumer: String,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The identifier that it has with the client.
    pub id: PacketId,
    /// The quality of service that it was sent with.
    pub qos: Qos,
}

/// It is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// More bytes than a record has.
    #[error("a record of {0} bytes")]
    Size(usize),
    /// Not what records look like.
    #[error("{0}")]
    Json(String),
}

/// The key of the consumer for a filter of NATS. `is_parent`: it is that for the level above the `#` of a filter.
pub fn consumer_key(filter: &str, is_parent: bool) -> String {
    if is_parent { format!("{filter} fwc") } else { filter.to_owned() }
}

impl Record {
    /// Reads a record, an official one or ours. Subscriptions that cannot be are left out.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &[u8]) -> Result<Self, BadRecord> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(BadRecord::Size(text.len()));
        }
        let written: Written = read_plain(text, Written::GO).map_err(BadRecord::Json)?;
        let more = written.more.unwrap_or_default();
        let expiry = match more.expiry {
            _ if written.clean => Expiry::AtEnd,
            Some(seconds) => Expiry::of(seconds, u32::MAX),
            None => Expiry::Never,
        };
        let mut subscriptions: Vec<Subscribed> = more.subs.iter().filter_map(MoreSubscribed::read).collect();
        let known: std::collections::HashSet<Vec<u8>> =
            subscriptions.iter().filter_map(|of| plain_key(&of.filter)).collect();
        for (key, qos) in &written.subs {
            if known.contains(key.as_bytes()) {
                continue;
            }
            let mut filter = String::new();
            let options = SubscribeOptions::from_byte(*qos).filter(|_| *qos <= Qos::ExactlyOnce as u8);
            if let (Ok(()), Some(options)) = (put_filter(&mut filter, key.as_bytes()), options) {
                subscriptions.push(Subscribed { filter: filter.into(), options, id: None });
            }
        }
        Ok(Self {
            origin: written.origin,
            id: written.id,
            clean: written.clean,
            user: more.user,
            subscriptions,
            consumers: written.cons.into_iter().map(|(key, config)| (key, Box::new(config))).collect(),
            pubrel: written.pubrel.map(Box::new),
            expiry,
            ended: more.ended,
            sent: more.sent.iter().filter_map(MoreSent::read).collect(),
        })
    }

    /// The record as it is stored.
    pub fn write(&self) -> Vec<u8> {
        let mut subs = BTreeMap::new();
        let mut more = More { user: self.user.clone(), ended: self.ended, ..More::default() };
        more.expiry = match self.expiry {
            Expiry::After(seconds) => Some(seconds),
            Expiry::AtEnd | Expiry::Never => None,
        };
        more.sent = self.sent.iter().map(MoreSent::of).collect();
        for subscribed in &self.subscriptions {
            let qos = subscribed.options.qos;
            let key = plain_key(&subscribed.filter).and_then(|key| String::from_utf8(key).ok());
            let is_whole = key.as_deref().is_some_and(|key| {
                let (mut filter, plain) =
                    (String::new(), SubscribeOptions { qos, ..SubscribeOptions::default() });
                let is_same =
                    put_filter(&mut filter, key.as_bytes()).is_ok() && *filter == *subscribed.filter;
                is_same && subscribed.options == plain && subscribed.id.is_none()
            });
            subs.extend(key.map(|key| (key, qos as u8)));
            if !is_whole {
                more.subs.push(MoreSubscribed {
                    filter: subscribed.filter.to_string(),
                    options: subscribed.options.byte(),
                    id: subscribed.id.map_or(0, SubscriptionId::get),
                });
            }
        }
        to_vec(&Written {
            origin: self.origin.clone(),
            id: self.id.clone(),
            clean: self.clean,
            subs,
            cons: self.consumers.iter().map(|(key, config)| (key.clone(), (**config).clone())).collect(),
            pubrel: self.pubrel.as_deref().cloned(),
            more: Some(more).filter(|more| *more != More::default()),
        })
    }

    /// Whether it is over: its connection ended longer ago than it outlives it. `now` is in seconds since 1970.
    pub fn is_over(&self, now: u64) -> bool {
        match self.expiry {
            _ if self.ended == 0 => false,
            Expiry::AtEnd => true,
            Expiry::After(seconds) => now.saturating_sub(self.ended) >= u64::from(seconds),
            Expiry::Never => false,
        }
    }
}

/// The key of a subscription in the official record; `None`: it is a shared one, which has none there.
fn plain_key(filter: &str) -> Option<Vec<u8>> {
    let wanted = Wanted::parse(filter, true).ok().filter(|wanted| wanted.group.is_none())?;
    let mut subject = Vec::new();
    map_filter(&mut subject, wanted.filter).ok()?;
    Some(subject)
}

impl MoreSent {
    fn of(sent: &Sent) -> Self {
        let Sent { consumer, sequence, id, qos } = sent;
        Self { consumer: consumer.clone(), sequence: *sequence, id: u32::from(id.get()), qos: *qos as u8 }
    }

    fn read(&self) -> Option<Sent> {
        let id = PacketId::new(u16::try_from(self.id).ok()?)?;
        let qos = Qos::of(self.qos).filter(|qos| *qos > Qos::AtMostOnce)?;
        Some(Sent { consumer: self.consumer.clone(), sequence: self.sequence, id, qos })
    }
}

impl MoreSubscribed {
    fn read(&self) -> Option<Subscribed> {
        Wanted::parse(&self.filter, true).ok()?;
        let options = SubscribeOptions::from_byte(self.options)?;
        Some(Subscribed { filter: self.filter.as_str().into(), options, id: SubscriptionId::new(self.id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::{Hash, message_consumer, release_consumer, tests::settings};
    use dialtone_wire::mqtt::RetainHandling;
    use proptest::prelude::*;

    fn plain(filter: &str, qos: Qos) -> Subscribed {
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        Subscribed { filter: filter.into(), options, id: None }
    }

    /// Written by the official server.
    const OFFICIAL: &str = r#"{"origin":"NUmM6cRx","id":"sub","subs":{"t.\u003e":1,"v":0},"cons":{"t fwc":{"durable_name":"ZCesaM56_l3","deliver_policy":"new","ack_policy":"explicit","ack_wait":7000000000,"filter_subject":"$MQTT.msgs.t","replay_policy":"instant","max_ack_pending":9,"deliver_subject":"$MQTT.sub.l3","inactive_threshold":180000000000,"num_replicas":0,"mem_storage":true},"t.\u003e":{"durable_name":"ZCesaM56_ZV","deliver_policy":"new","ack_policy":"explicit","ack_wait":7000000000,"filter_subject":"$MQTT.msgs.t.\u003e","replay_policy":"instant","max_ack_pending":9,"deliver_subject":"$MQTT.sub.ZV","inactive_threshold":180000000000,"num_replicas":0,"mem_storage":true}},"pubrel":{"durable_name":"$MQTT_PUBREL_ZCesaM56","deliver_policy":"new","ack_policy":"explicit","ack_wait":7000000000,"filter_subject":"$MQTT.out.pubrel.ZCesaM56","replay_policy":"instant","max_ack_pending":9,"deliver_subject":"$MQTT.deliver.pubrel.ZCesaM56","inactive_threshold":180000000000,"num_replicas":0,"mem_storage":true}}"#;

    #[test]
    fn an_official_record_is_read_and_written_byte_by_byte() {
        let (settings, client) = (settings(), Hash::of("sub"));
        let consumers = [("t", true, "l3"), ("t.>", false, "ZV")];
        let consumers = consumers.map(|(filter, is_parent, nuid)| {
            (consumer_key(filter, is_parent), Box::new(message_consumer(&settings, client, filter, nuid)))
        });
        let record = Record {
            origin: "NUmM6cRx".into(),
            id: "sub".into(),
            subscriptions: vec![plain("t/#", Qos::AtLeastOnce), plain("v", Qos::AtMostOnce)],
            consumers: consumers.into(),
            pubrel: Some(Box::new(release_consumer(&settings, client))),
            expiry: Expiry::Never,
            ..Record::default()
        };
        assert_eq!(Record::read(OFFICIAL.as_bytes()), Ok(record.clone()));
        assert_eq!(String::from_utf8(record.write()).unwrap(), OFFICIAL);
        let text = r#"{"origin":"NUmM6cRx","id":"pub","clean":true}"#;
        let clean = Record::read(text.as_bytes()).unwrap();
        assert_eq!((clean.clean, clean.expiry, clean.write()), (true, Expiry::AtEnd, text.into()));
    }

    /// What MQTT 5 has more stands beside what official servers read.
    #[test]
    fn mqtt_5_is_written_beside_the_official_record() {
        let options = SubscribeOptions {
            qos: Qos::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::Never,
        };
        let subscriptions = vec![
            Subscribed { filter: "a/+".into(), options, id: SubscriptionId::new(7) },
            plain("$share/g/b", Qos::AtLeastOnce),
            plain("c/*", Qos::AtMostOnce),
        ];
        let record = Record {
            id: "x".into(),
            user: "u".into(),
            subscriptions,
            expiry: Expiry::After(60),
            ended: 1000,
            sent: [(1, Qos::AtLeastOnce), (65535, Qos::ExactlyOnce)]
                .map(|(id, qos)| Sent {
                    consumer: "a.*".into(),
                    sequence: 7,
                    id: PacketId::new(id).unwrap(),
                    qos,
                })
                .to_vec(),
            ..Record::default()
        };
        let text = String::from_utf8(record.write()).unwrap();
        assert_eq!(
            text,
            r#"{"id":"x","subs":{"a.*":2,"c.*":0},"mqtt5":{"user":"u","expiry":60,"ended":1000,"subs":[{"filter":"a/+","options":46,"id":7},{"filter":"$share/g/b","options":1},{"filter":"c/*","options":0}],"sent":[{"consumer":"a.*","seq":7,"id":1,"qos":1},{"consumer":"a.*","seq":7,"id":65535,"qos":2}]}}"#
        );
        assert_eq!(Record::read(text.as_bytes()), Ok(record.clone()));
        assert_eq!((record.is_over(1059), record.is_over(1060)), (false, true));
    }

    #[test]
    fn what_is_no_record_is_refused_and_what_cannot_be_is_left_out() {
        for text in ["", "[]", "{", "{\"subs\":5}", "{\"subs\":{\"a\":300}}"] {
            assert!(Record::read(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(Record::read(deep.as_bytes()).is_err());
        assert_eq!(
            Record::read(&vec![b' '; RECORD_BYTES_MAX + 1]),
            Err(BadRecord::Size(RECORD_BYTES_MAX + 1))
        );
        let text = r#"{"subs":{"a":7,"a+":1,"b":1,"":1},"mqtt5":{"subs":[{"filter":"a#","options":1},{"filter":"c","options":255}],"sent":[{"consumer":"b","seq":1,"id":65536,"qos":1},{"consumer":"b","seq":1,"id":1,"qos":0},{"id":0,"qos":1}]},"new":{}}"#;
        let record = Record::read(text.as_bytes()).unwrap();
        assert_eq!((record.subscriptions, record.sent), (vec![plain("b", Qos::AtLeastOnce)], vec![]));
    }

    proptest! {
        #[test]
        fn any_record_comes_back(
            filters in proptest::collection::btree_map("([$]share/g/)?[a+/.*]{1,4}(/#)?", (0u8..64, 0u32..3), 0..5),
            expiry in prop_oneof![Just(Expiry::Never), (1u32..100).prop_map(Expiry::After)],
            ended: u64,
        ) {
            let mut subscriptions: Vec<Subscribed> = filters.iter().filter_map(|(filter, (options, id))| {
                MoreSubscribed { filter: filter.clone(), options: *options, id: *id }.read()
            }).collect();
            let record = Record { subscriptions: subscriptions.clone(), expiry, ended, ..Record::default() };
            let mut back = Record::read(&record.write()).unwrap();
            let key = |of: &Subscribed| of.filter.clone();
            subscriptions.sort_by_key(key);
            back.subscriptions.sort_by_key(key);
            // Different filters of MQTT may be one of NATS; of these the one that says more stands for itself.
            let keys: std::collections::BTreeSet<_> = filters.keys().map(|filter| plain_key(filter).unwrap_or(filter.clone().into())).collect();
            if keys.len() == filters.len() {
                prop_assert_eq!(&back.subscriptions, &subscriptions);
            }
            prop_assert_eq!((back.expiry, back.ended), (expiry, ended));
        }
    }
}
