//! Services, whose work is in a stream.

use std::collections::HashMap;

use async_nats::Client;
use async_nats::jetstream::{Context, stream};
use async_nats::service::ServiceExt;
use async_nats::service::error::Error;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::Outcome;
use crate::said::{say, text};

/// Plays the part.
pub async fn play(client: Client, js: Context) -> Outcome {
    let audit = js
        .create_stream(stream::Config {
            name: "AUDIT".into(),
            subjects: vec!["audit.>".into()],
            ..Default::default()
        })
        .await?;
    let metadata = HashMap::from([("team".to_owned(), "test".to_owned())]);
    let service = client
        .service_builder()
        .description("works on text")
        .metadata(metadata)
        .start("text", "1.2.3")
        .await?;
    let group = service.group("text");
    let mut upper = group.endpoint("upper").await?;
    let mut fail = group.endpoint_builder().name("fail").queue_group("own").add("fail").await?;
    tokio::spawn(async move {
        while let Some(request) = upper.next().await {
            let body = request.message.payload.clone();
            let sequence = js
                .publish("audit.upper", body.clone())
                .await
                .expect("published")
                .await
                .expect("acknowledged")
                .sequence;
            request
                .respond(Ok(format!("{sequence} {}", text(&body).to_uppercase()).into()))
                .await
                .expect("answered");
        }
    });
    tokio::spawn(async move {
        while let Some(request) = fail.next().await {
            request.respond(Err(Error { code: 422, status: "cannot do it".into() })).await.expect("answered");
        }
    });
    say("answer", text(&client.request("text.upper", "words".into()).await?.payload));
    let failed = client.request("text.fail", "".into()).await?;
    let mut headers: Vec<String> = failed
        .headers
        .iter()
        .flat_map(|headers| headers.iter())
        .map(|(name, values)| format!("{name}: {values:?}"))
        .collect();
    headers.sort();
    say("error", json!([headers, text(&failed.payload)]));
    for verb in ["PING", "INFO", "STATS"] {
        for name in ["", ".text"] {
            let answer: Value = serde_json::from_slice(
                &client.request(format!("$SRV.{verb}{name}"), "".into()).await?.payload,
            )?;
            say(verb, sorted(answer));
        }
    }
    say("audited", text(&audit.get_last_raw_message_by_subject("audit.upper").await?.payload));
    service.stop().await?;
    Ok(())
}

/// Endpoints in the order of their names.
fn sorted(mut answer: Value) -> Value {
    if let Some(endpoints) = answer.get_mut("endpoints").and_then(Value::as_array_mut) {
        endpoints.sort_by_key(|endpoint| endpoint["name"].to_string());
    }
    answer
}
