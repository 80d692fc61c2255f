//! Key-value buckets.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::kv::{Config, Entry, Store};
use futures::{Stream, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::Outcome;
use crate::said::{say, say_error, text};

fn plain(entry: &Entry) -> Value {
    json!([
        entry.key,
        text(&entry.value),
        entry.revision,
        entry.delta,
        format!("{:?}", entry.operation),
        entry.seen_current
    ])
}

/// Plays the part.
pub async fn play(js: Context) -> Outcome {
    let kv = js
        .create_key_value(Config {
            bucket: "settings".into(),
            history: 3,
            description: "of the test".into(),
            ..Default::default()
        })
        .await?;
    say(
        "status",
        json!([kv.status().await?.info.config, kv.status().await?.values(), kv.status().await?.history()]),
    );
    values(&kv).await?;
    watchers(&js).await?;
    let short = js
        .create_key_value(Config {
            bucket: "short".into(),
            limit_markers: Some(Duration::from_secs(2)),
            ..Default::default()
        })
        .await?;
    let watch = short.watch_all().await?;
    short.create_with_ttl("brief", "x".into(), Duration::from_secs(1)).await?;
    taken("its life", watch, 2).await?;
    say_error("no bucket", js.get_key_value("none").await);
    js.delete_key_value("settings").await?;
    say_error("deleted again", js.delete_key_value("settings").await);
    Ok(())
}

async fn values(kv: &Store) -> Outcome {
    say("put", kv.put("colour", "red".into()).await?);
    say("got", kv.entry("colour").await?.as_ref().map(plain));
    say("created", kv.create("size", "big".into()).await?);
    say_error("created again", kv.create("size", "small".into()).await);
    say("updated", kv.update("size", "small".into(), 2).await?);
    say_error("updated with a wrong revision", kv.update("size", "huge".into(), 2).await);
    say("got a revision", kv.entry_for_revision("size", 2).await?.as_ref().map(plain));
    say("got none", kv.get("none").await?.is_none());
    for value in ["green", "blue", "white"] {
        kv.put("colour", value.into()).await?;
    }
    let history: Vec<Entry> = kv.history("colour").await?.try_collect().await?;
    say("history", history.iter().map(plain).collect::<Vec<_>>());
    kv.delete("size").await?;
    say("got what is deleted", kv.get("size").await?.is_none());
    let keys: Vec<String> = kv.keys().await?.try_collect().await?;
    say("keys", keys);
    say("created after", kv.create("size", "back".into()).await?);
    say_error("deleted with a wrong revision", kv.delete_expect_revision("size", Some(1)).await);
    kv.purge("colour").await?;
    let history: Vec<Entry> = kv.history("colour").await?.try_collect().await?;
    say("history after", history.iter().map(plain).collect::<Vec<_>>());
    Ok(())
}

async fn taken<E: std::error::Error + Send + Sync + 'static>(
    name: &str,
    watch: impl Stream<Item = Result<Entry, E>> + Unpin,
    count: usize,
) -> Outcome {
    let found: Vec<Entry> = watch.take(count).try_collect().await?;
    say(name, found.iter().map(plain).collect::<Vec<_>>());
    Ok(())
}

async fn watchers(js: &Context) -> Outcome {
    let kv =
        js.create_key_value(Config { bucket: "watched".into(), history: 5, ..Default::default() }).await?;
    let all = kv.watch_all().await?;
    for n in 0..6 {
        kv.put(format!("key.{}", n % 3), n.to_string().into()).await?;
    }
    kv.delete("key.1").await?;
    // How many are behind one depends on how fast they come.
    let updates: Vec<Entry> = all.take(7).try_collect().await?;
    say("all updates", updates.iter().map(|entry| (&entry.key, entry.revision)).collect::<Vec<_>>());
    taken("with the last", kv.watch_with_history("key.0").await?, 1).await?;
    taken("two keys", kv.watch_many_with_history(["key.0", "key.2"]).await?, 2).await?;
    taken("from a revision", kv.watch_all_from_revision(5).await?, 3).await
}
