//! Streams, consumers, buckets and services by async-nats: prints what it saw, part by part. Arguments: the part and the server's URL.

mod kv;
mod objects;
mod pull;
mod push;
mod said;
mod services;
mod streams;

use std::env::args;
use std::time::Duration;

use async_nats::{Client, jetstream};
use tokio::time::timeout;

/// How a part ends.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn play(part: &str, client: Client) -> Outcome {
    let js = jetstream::new(client.clone());
    match part {
        "streams" => streams::play(js).await,
        "pull" => pull::play(js).await,
        "push" => push::play(client, js).await,
        "kv" => kv::play(js).await,
        "objects" => objects::play(js).await,
        "services" => services::play(client, js).await,
        _ => Err(format!("there is no part {part}").into()),
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let words: Vec<String> = args().collect();
    let client = async_nats::connect(&words[2]).await?;
    timeout(Duration::from_secs(60), play(&words[1], client)).await?
}
