//! Pull consumers: fetch, batches, all acknowledgements, ordered ones, pause, priorities.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, PriorityPolicy, pull};
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{AckKind, Context, Message};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::Outcome;
use crate::said::{floor, say, say_error, seen};

/// Plays the part.
pub async fn play(js: Context) -> Outcome {
    let stream = js
        .create_stream(Config {
            name: "TASKS".into(),
            subjects: vec!["tasks.*".into()],
            ..Default::default()
        })
        .await?;
    for n in 0..100 {
        js.publish(format!("tasks.{}", n % 5), n.to_string().into()).await?.await?;
    }
    acknowledgements(&stream).await?;
    ordered(&stream).await?;
    administration(&stream).await?;
    priorities(&stream).await
}

async fn fetched(
    consumer: &Consumer<pull::Config>,
    count: usize,
) -> Result<Vec<Message>, Box<dyn std::error::Error + Send + Sync>> {
    consumer.fetch().max_messages(count).messages().await?.try_collect().await
}

async fn acknowledgements(stream: &Stream) -> Outcome {
    let consumer = stream
        .create_consumer(pull::Config { durable_name: Some("worker".into()), ..Default::default() })
        .await?;
    say("a consumer", &consumer.cached_info().config);
    let first = fetched(&consumer, 10).await?;
    say("fetched", first.iter().map(seen).collect::<Vec<_>>());
    first[0].double_ack().await?;
    first[1].double_ack_with(AckKind::Nak(None)).await?;
    say("again", seen(&fetched(&consumer, 1).await?[0]));
    first[2].double_ack_with(AckKind::Term).await?;
    first[3].double_ack_with(AckKind::Progress).await?;
    first[4].double_ack_with(AckKind::Nak(Some(Duration::from_secs(30)))).await?;
    for message in &first[5..] {
        message.double_ack().await?;
    }
    let info = consumer.get_info().await?;
    say(
        "floors",
        json!([
            floor(info.delivered),
            floor(info.ack_floor),
            info.num_ack_pending,
            info.num_pending,
            info.num_waiting
        ]),
    );
    let mut messages = consumer.stream().max_messages_per_batch(20).messages().await?;
    let mut count = 0;
    while count < 90 {
        messages.try_next().await?.ok_or("the end")?.double_ack().await?;
        count += 1;
    }
    say("consumed", count);
    let rest: Vec<Message> = consumer
        .batch()
        .max_messages(10)
        .expires(Duration::from_millis(200))
        .messages()
        .await?
        .try_collect()
        .await?;
    say("nothing more", rest.len());
    let bytes = stream
        .create_consumer(pull::Config {
            durable_name: Some("bytes".into()),
            ack_policy: AckPolicy::All,
            ..Default::default()
        })
        .await?;
    let few: Vec<Message> = bytes
        .batch()
        .max_messages(100)
        .max_bytes(300)
        .expires(Duration::from_millis(500))
        .messages()
        .await?
        .filter_map(|found| async { found.ok() })
        .collect()
        .await;
    say("few bytes", few.iter().map(seen).collect::<Vec<_>>());
    few.last().ok_or("nothing")?.double_ack().await?;
    say("all up to", floor(bytes.get_info().await?.ack_floor));
    Ok(())
}

async fn ordered(stream: &Stream) -> Outcome {
    let consumer = stream
        .create_consumer(pull::OrderedConfig { filter_subject: "tasks.2".into(), ..Default::default() })
        .await?;
    let messages: Vec<Message> = consumer.messages().await?.take(20).try_collect().await?;
    say(
        "ordered",
        messages
            .iter()
            .map(|message| message.info().expect("a delivery").stream_sequence)
            .collect::<Vec<_>>(),
    );
    let since = stream
        .create_consumer(pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 98 },
            ..Default::default()
        })
        .await?;
    let messages: Vec<Message> = since.messages().await?.take(3).try_collect().await?;
    say("since", messages.iter().map(seen).collect::<Vec<_>>());
    Ok(())
}

async fn administration(stream: &Stream) -> Outcome {
    let config =
        pull::Config { durable_name: Some("worker".into()), max_ack_pending: 7, ..Default::default() };
    say_error("created again", stream.create_consumer_strict(config.clone()).await);
    say("updated", &stream.update_consumer(config).await?.cached_info().config);
    say_error("none", stream.get_consumer::<pull::Config>("none").await);
    say(
        "filters",
        stream
            .create_consumer(pull::Config {
                durable_name: Some("some".into()),
                filter_subjects: vec!["tasks.1".into(), "tasks.2".into()],
                ..Default::default()
            })
            .await?
            .cached_info()
            .num_pending,
    );
    say_error(
        "filters overlap",
        stream
            .create_consumer(pull::Config {
                durable_name: Some("bad".into()),
                filter_subjects: vec!["tasks.1".into(), "tasks.*".into()],
                ..Default::default()
            })
            .await,
    );
    let reset = stream.reset_consumer("some", Some(50)).await?;
    say("reset", reset.reset_seq);
    let consumer = stream.get_consumer::<pull::Config>("some").await?;
    say("after the reset", seen(&fetched(&consumer, 1).await?[0]));
    let mut names: Vec<String> = stream
        .consumers()
        .try_filter_map(|info| async move { Ok(info.config.durable_name) })
        .try_collect()
        .await?;
    names.sort();
    say("names", names);
    say("deleted", stream.delete_consumer("some").await?.success);
    say_error("deleted again", stream.delete_consumer("some").await);
    Ok(())
}

async fn priorities(stream: &Stream) -> Outcome {
    let config = |name: &str, priority_policy| pull::Config {
        durable_name: Some(name.into()),
        priority_policy,
        priority_groups: vec!["g".into()],
        ..Default::default()
    };
    let overflow = stream.create_consumer(config("overflow", PriorityPolicy::Overflow)).await?;
    for (name, least) in [("overflow", 5), ("not enough", 500)] {
        let found: Vec<Message> = overflow
            .fetch()
            .max_messages(2)
            .group("g")
            .min_pending(least)
            .messages()
            .await?
            .filter_map(|found| async { found.ok() })
            .collect()
            .await;
        say(name, found.iter().map(seen).collect::<Vec<_>>());
    }
    let pinned = stream
        .create_consumer(pull::Config {
            priority_timeout: Duration::from_secs(60),
            ..config("pinned", PriorityPolicy::PinnedClient)
        })
        .await?;
    let mut messages = pinned.stream().group("g").messages().await?;
    say("pinned", seen(&messages.try_next().await?.ok_or("the end")?));
    stream.unpin_consumer("pinned", "g").await?;
    Ok(())
}
