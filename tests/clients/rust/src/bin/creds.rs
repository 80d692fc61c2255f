//! Connects with a creds file, and gets its own message back: `creds URL CREDS`.

use std::time::Duration;

use async_nats::ConnectOptions;
use futures::StreamExt;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, creds] = &arguments[..] else { return Err("URL and CREDS, please".into()) };
    let client = ConnectOptions::with_credentials_file(creds).await?.connect(url).await?;
    let mut subscription = client.subscribe("hello.rust").await?;
    client.publish("hello.rust", "hi".into()).await?;
    let message = timeout(Duration::from_secs(5), subscription.next()).await?.ok_or("no message")?;
    if message.payload == "hi" { Ok(()) } else { Err("another message".into()) }
}
