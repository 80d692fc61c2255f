//! Push consumers: acknowledged, ordered, of a group, with flow control.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{Context, Message};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::Outcome;
use crate::said::{floor, say, say_error, seen};

/// Plays the part.
pub async fn play(client: Client, js: Context) -> Outcome {
    let stream = js
        .create_stream(Config { name: "NEWS".into(), subjects: vec!["news.*".into()], ..Default::default() })
        .await?;
    for n in 0..2000 {
        let ack = js.publish(format!("news.{}", n % 4), n.to_string().into()).await?;
        if n % 100 == 99 {
            ack.await?;
        }
    }
    let config = push::Config {
        durable_name: Some("reader".into()),
        deliver_subject: "to.reader".into(),
        filter_subject: "news.1".into(),
        flow_control: true,
        idle_heartbeat: Duration::from_secs(1),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await?;
    say("a consumer", &consumer.cached_info().config);
    let messages: Vec<Message> = consumer.messages().await?.take(20).try_collect().await?;
    say("pushed", messages.iter().map(seen).collect::<Vec<_>>());
    for message in &messages {
        message.double_ack().await?;
    }
    say("acknowledged", floor(consumer.get_info().await?.ack_floor));
    let ordered = stream
        .create_consumer(push::OrderedConfig { deliver_subject: client.new_inbox(), ..Default::default() })
        .await?;
    let messages: Vec<Message> = ordered.messages().await?.take(2000).try_collect().await?;
    let in_order = messages
        .iter()
        .enumerate()
        .all(|(n, message)| message.info().is_ok_and(|info| info.stream_sequence == n as u64 + 1));
    say("ordered", in_order);
    let group = push::Config {
        durable_name: Some("group".into()),
        deliver_subject: "to.group".into(),
        deliver_group: Some("workers".into()),
        ack_policy: AckPolicy::None,
        ..Default::default()
    };
    let consumer = stream.create_consumer(group).await?;
    let members = [consumer.messages().await?, consumer.messages().await?];
    let all: Vec<u64> = futures::stream::select_all(members)
        .take(2000)
        .map_ok(|message| message.info().expect("a delivery").stream_sequence)
        .try_collect()
        .await?;
    say("a group", json!([all.len(), all.iter().sum::<u64>()]));
    let last = push::Config {
        deliver_subject: client.new_inbox(),
        deliver_policy: DeliverPolicy::LastPerSubject,
        filter_subject: ">".into(),
        headers_only: true,
        ack_policy: AckPolicy::None,
        ..Default::default()
    };
    let messages: Vec<Message> =
        stream.create_consumer(last).await?.messages().await?.take(4).try_collect().await?;
    say("only headers", messages.iter().map(seen).collect::<Vec<_>>());
    let cycle = push::Config {
        durable_name: Some("cycle".into()),
        deliver_subject: "news.x".into(),
        ..Default::default()
    };
    say_error("a cycle", stream.create_consumer(cycle).await);
    Ok(())
}
