//! Object stores.

use async_nats::jetstream::Context;
use async_nats::jetstream::object_store::{Config, ObjectInfo, ObjectMetadata, ObjectStore, UpdateMetadata};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::Outcome;
use crate::said::{say, say_error};

fn plain(info: &ObjectInfo) -> Value {
    json!([info.name, info.description, info.size, info.chunks, info.digest, info.deleted])
}

async fn body(store: &ObjectStore, name: &str) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut found = Vec::new();
    store.get(name).await?.read_to_end(&mut found).await?;
    Ok(found)
}

/// Plays the part.
pub async fn play(js: Context) -> Outcome {
    let large: Vec<u8> = (0..700_000_u64).map(|n| (n * n % 251) as u8).collect();
    let mut store = js
        .create_object_store(Config {
            bucket: "files".into(),
            description: Some("of the test".into()),
            ..Default::default()
        })
        .await?;
    say("status", &js.get_stream("OBJ_files").await?.cached_info().config);
    say("put", plain(&store.put("large", &mut large.as_slice()).await?));
    let pieces = ObjectMetadata {
        name: "pieces".into(),
        chunk_size: Some(1000),
        description: Some("in pieces".into()),
        ..Default::default()
    };
    say("put in pieces", plain(&store.put(pieces, &mut &large[..10_500]).await?));
    say(
        "got",
        json!([body(&store, "large").await? == large, body(&store, "pieces").await? == large[..10_500]]),
    );
    say_error("got none", store.get("none").await);
    say("put again", plain(&store.put("pieces", &mut &large[..10]).await?));
    say("link", plain(&store.add_link("link", &store.get("pieces").await?).await?));
    say("by the link", body(&store, "link").await?.len());
    say(
        "renamed",
        plain(
            &store
                .update_metadata("pieces", UpdateMetadata { name: "renamed".into(), ..Default::default() })
                .await?,
        ),
    );
    let mut listed: Vec<String> = store.list().await?.map_ok(|info| info.name).try_collect().await?;
    listed.sort();
    say("list", listed);
    let mut watched: Vec<String> =
        store.watch_with_history().await?.take(3).map_ok(|info| info.name).try_collect().await?;
    watched.sort();
    say("watched", watched);
    store.delete("large").await?;
    say("info of what is deleted", plain(&store.info("large").await?));
    say_error("got what is deleted", store.get("large").await);
    let state = js.get_stream("OBJ_files").await?.cached_info().state.clone();
    say("state", json!([state.messages, state.first_sequence, state.last_sequence]));
    store.seal().await?;
    say_error("put to a sealed one", store.put("more", &mut &large[..10]).await);
    js.delete_object_store("files").await?;
    say_error("deleted", js.get_object_store("files").await);
    Ok(())
}
