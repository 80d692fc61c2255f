//! Streams: create, inform, update, list, publish, read, delete, purge.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Source, State, StorageType, Stream};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::Outcome;
use crate::said::{say, say_error, text};

fn acked(ack: PublishAck) -> Value {
    json!([ack.stream, ack.sequence, ack.domain, ack.duplicate])
}

fn plain(state: &State) -> Value {
    json!([
        state.messages,
        state.bytes,
        state.first_sequence,
        state.last_sequence,
        state.consumer_count,
        state.deleted_count,
        state.deleted
    ])
}

/// Plays the part.
pub async fn play(js: Context) -> Outcome {
    configurations(&js).await?;
    publishing(&js).await?;
    reading(js.get_stream("ORDERS").await?).await?;
    direct(&js).await?;
    mirror(&js).await?;
    let account = js.query_account().await?;
    say(
        "account",
        json!([account.streams, account.consumers, account.limits.max_streams, account.limits.max_storage]),
    );
    say("deleted", js.delete_stream("ORDERS").await?.success);
    say_error("deleted again", js.delete_stream("ORDERS").await);
    Ok(())
}

async fn configurations(js: &Context) -> Outcome {
    let orders = Config { name: "ORDERS".into(), subjects: vec!["orders.>".into()], ..Default::default() };
    say("created", &js.create_stream(orders.clone()).await?.cached_info().config);
    say_error("another with its name", js.create_stream(Config { max_messages: 5, ..orders.clone() }).await);
    say_error("subjects overlap", js.create_stream(Config { name: "OTHER".into(), ..orders.clone() }).await);
    let whole = Config {
        name: "WHOLE".into(),
        description: Some("many limits".into()),
        subjects: vec!["whole.*".into()],
        max_messages: 100,
        max_bytes: 100_000,
        max_messages_per_subject: 10,
        max_message_size: 1000,
        max_age: Duration::from_secs(3600),
        duplicate_window: Duration::from_secs(60),
        discard: DiscardPolicy::New,
        storage: StorageType::Memory,
        allow_direct: true,
        deny_delete: true,
        first_sequence: Some(1000),
        ..Default::default()
    };
    say("many limits", &js.create_stream(whole.clone()).await?.cached_info().config);
    say("updated", &js.update_stream(Config { max_messages: 200, ..whole.clone() }).await?.config);
    say_error(
        "storage does not change",
        js.update_stream(Config { storage: StorageType::File, ..whole }).await,
    );
    say_error("none", js.get_stream("NONE").await);
    let mut names: Vec<String> = js.stream_names().try_collect().await?;
    names.sort();
    say("names", names);
    say("by subject", js.stream_by_subject("whole.1").await?);
    say_error("by no subject", js.stream_by_subject("nowhere").await);
    Ok(())
}

async fn publishing(js: &Context) -> Outcome {
    say("first", acked(js.publish("orders.a", "one".into()).await?.await?));
    for name in ["with an id", "again"] {
        let message = PublishMessage::build().payload("two".into()).message_id("two");
        say(name, acked(js.send_publish("orders.a", message).await?.await?));
    }
    let build = PublishMessage::build;
    for (name, message) in [
        ("another stream", build().expected_stream("WHOLE")),
        ("another last sequence", build().expected_last_sequence(1)),
        ("another last id", build().expected_last_message_id("one")),
        ("another last of the subject", build().expected_last_subject_sequence(1)),
    ] {
        say_error(name, js.send_publish("orders.a", message).await?.await);
    }
    let message =
        build().expected_last_sequence(2).expected_last_message_id("two").expected_last_subject_sequence(2);
    say("the last", acked(js.send_publish("orders.a", message).await?.await?));
    let mut acks = Vec::new();
    for n in 0..1000 {
        acks.push(js.publish(format!("orders.{}", n % 5), n.to_string().into()).await?);
    }
    let mut in_order = true;
    for (n, ack) in acks.into_iter().enumerate() {
        in_order &= ack.await?.sequence == n as u64 + 4;
    }
    say("at once", in_order);
    say_error("no stream", js.publish("nowhere", "".into()).await?.await);
    Ok(())
}

async fn reading(stream: Stream) -> Outcome {
    let message = stream.get_raw_message(2).await?;
    say("by sequence", json!([message.subject.as_str(), message.sequence, text(&message.payload)]));
    let message = stream.get_last_raw_message_by_subject("orders.3").await?;
    say("last by subject", json!([message.subject.as_str(), message.sequence, text(&message.payload)]));
    let message = stream.raw_message_builder().sequence(100).next_by_subject("orders.0").send().await?;
    say("next by subject", json!([message.subject.as_str(), message.sequence, text(&message.payload)]));
    say_error("none", stream.get_raw_message(5000).await);
    say("deleted", stream.delete_message(100).await?);
    say_error("deleted again", stream.delete_message(100).await);
    let mut info = stream.info_builder().with_deleted(true).subjects("orders.*").fetch().await?;
    let mut subjects = Vec::new();
    while let Some(subject) = info.try_next().await? {
        subjects.push(subject);
    }
    subjects.sort();
    say("details", json!([plain(&info.info.state), subjects]));
    say("purged by subject", stream.purge().filter("orders.0").await?.purged);
    say("purged but", stream.purge().filter("orders.1").keep(5).await?.purged);
    say("purged up to", stream.purge().filter("orders.2").sequence(500).await?.purged);
    say("after", plain(&stream.get_info().await?.state));
    Ok(())
}

async fn direct(js: &Context) -> Outcome {
    for n in 0..20 {
        js.publish(format!("whole.{}", n % 4), n.to_string().into()).await?.await?;
    }
    let stream = js.get_stream("WHOLE").await?;
    let message = stream.direct_get(1004).await?;
    say("direct", json!([message.subject.as_str(), message.sequence, text(&message.payload)]));
    let message = stream.direct_get_last_for_subject("whole.2").await?;
    say("direct last", json!([message.subject.as_str(), message.sequence, text(&message.payload)]));
    let message = stream.direct_get_next_for_subject("whole.2", Some(1006)).await?;
    say("direct next", json!([message.subject.as_str(), message.sequence, text(&message.payload)]));
    say_error("direct none", stream.direct_get(1).await);
    Ok(())
}

async fn mirror(js: &Context) -> Outcome {
    let source = Source { name: "WHOLE".into(), ..Default::default() };
    let stream = js
        .create_stream(Config {
            name: "MIRROR".into(),
            mirror: Some(source),
            mirror_direct: true,
            ..Default::default()
        })
        .await?;
    for _ in 0..500 {
        if stream.get_info().await?.state.messages == 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    say("mirrored", plain(&stream.get_info().await?.state));
    let count = js.streams().filter(|info| std::future::ready(info.is_ok())).count().await;
    say("streams", count);
    Ok(())
}
