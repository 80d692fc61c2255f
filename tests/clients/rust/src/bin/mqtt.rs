//! rumqttc against the broker at 127.0.0.1:$MQTT_PORT, in the version of the first argument: 4 (3.1.1) or 5. Prints a line for each thing that
//! works, ends with an error at the first that does not.

use rumqttc::v5::mqttbytes::v5::{Packet as Packet5, PublishProperties};
use rumqttc::{mqttbytes, v5};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Got {
    text: String,
    qos: u8,
    retain: bool,
    properties: Option<PublishProperties>,
}

/// What a connection tells: that it answered, or a message.
#[derive(Debug)]
enum Event {
    Connected { session_present: bool },
    Subscribed,
    Acknowledged,
    Message(Got),
}

enum Either {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

struct Client {
    client: Either,
    events: UnboundedReceiver<Event>,
    messages: Vec<Got>,
}

fn port() -> Result<u16, Failure> {
    Ok(std::env::var("MQTT_PORT")?.parse()?)
}

impl Client {
    async fn open(name: &str, version: u8, clean: bool) -> Result<(Self, bool), Failure> {
        let (sender, events) = unbounded_channel();
        let client = if version == 5 { open_v5(name, clean, sender)? } else { open_v4(name, clean, sender)? };
        let mut it = Self { client, events, messages: Vec::new() };
        let Event::Connected { session_present } =
            it.wait(|event| matches!(event, Event::Connected { .. })).await?
        else {
            return Err("no CONNACK".into());
        };
        Ok((it, session_present))
    }

    async fn wait(&mut self, is: impl Fn(&Event) -> bool) -> Result<Event, Failure> {
        loop {
            match timeout(PATIENCE, self.events.recv()).await?.ok_or("the connection is gone")? {
                event if is(&event) => return Ok(event),
                Event::Message(got) => self.messages.push(got),
                _ => {}
            }
        }
    }

    async fn message(&mut self, text: &str) -> Result<Got, Failure> {
        let got = if self.messages.is_empty() {
            match self.wait(|event| matches!(event, Event::Message(_))).await? {
                Event::Message(got) => got,
                other => return Err(format!("{other:?}").into()),
            }
        } else {
            self.messages.remove(0)
        };
        if got.text == text { Ok(got) } else { Err(format!("{got:?}, not {text}").into()) }
    }

    async fn subscribe(&mut self, filter: &str, qos: u8) -> Result<(), Failure> {
        match &self.client {
            Either::V4(client) => client.subscribe(filter, mqttbytes::qos(qos)?).await?,
            Either::V5(client) => {
                client.subscribe(filter, v5::mqttbytes::qos(qos).ok_or("QoS")?).await?;
            }
        }
        self.wait(|event| matches!(event, Event::Subscribed)).await?;
        Ok(())
    }

    async fn publish(&mut self, topic: &str, text: &str, qos: u8, retain: bool) -> Result<(), Failure> {
        match &self.client {
            Either::V4(client) => client.publish(topic, mqttbytes::qos(qos)?, retain, text).await?,
            Either::V5(client) => {
                let qos = v5::mqttbytes::qos(qos).ok_or("QoS")?;
                client.publish(topic, qos, retain, text.to_owned()).await?;
            }
        }
        if qos > 0 {
            self.wait(|event| matches!(event, Event::Acknowledged)).await?;
        }
        Ok(())
    }

    async fn close(self) -> Result<(), Failure> {
        match &self.client {
            Either::V4(client) => client.disconnect().await?,
            Either::V5(client) => client.disconnect().await?,
        }
        let mut events = self.events;
        while timeout(PATIENCE, events.recv()).await?.is_some() {}
        Ok(())
    }
}

fn open_v4(name: &str, clean: bool, sender: UnboundedSender<Event>) -> Result<Either, Failure> {
    use rumqttc::{Event as Noted, Packet};
    let mut options = rumqttc::MqttOptions::new(name, "127.0.0.1", port()?);
    options.set_keep_alive(Duration::from_secs(60)).set_clean_session(clean);
    let (client, mut connection) = rumqttc::AsyncClient::new(options, 100);
    tokio::spawn(async move {
        while let Ok(noted) = connection.poll().await {
            let Noted::Incoming(packet) = noted else { continue };
            let event = match packet {
                Packet::ConnAck(ack) => Event::Connected { session_present: ack.session_present },
                Packet::SubAck(_) => Event::Subscribed,
                Packet::PubAck(_) | Packet::PubComp(_) => Event::Acknowledged,
                Packet::Publish(of) => Event::Message(Got {
                    text: String::from_utf8_lossy(&of.payload).into_owned(),
                    qos: of.qos as u8,
                    retain: of.retain,
                    properties: None,
                }),
                _ => continue,
            };
            let _ = sender.send(event);
        }
    });
    Ok(Either::V4(client))
}

fn open_v5(name: &str, clean: bool, sender: UnboundedSender<Event>) -> Result<Either, Failure> {
    let mut options = v5::MqttOptions::new(name, "127.0.0.1", port()?);
    options.set_keep_alive(Duration::from_secs(60)).set_clean_start(clean);
    options.set_session_expiry_interval((!clean).then_some(600));
    let (client, mut connection) = v5::AsyncClient::new(options, 100);
    tokio::spawn(async move {
        while let Ok(noted) = connection.poll().await {
            let v5::Event::Incoming(packet) = noted else { continue };
            let event = match packet {
                Packet5::ConnAck(ack) => Event::Connected { session_present: ack.session_present },
                Packet5::SubAck(_) => Event::Subscribed,
                Packet5::PubAck(_) | Packet5::PubComp(_) => Event::Acknowledged,
                Packet5::Publish(of) => Event::Message(Got {
                    text: String::from_utf8_lossy(&of.payload).into_owned(),
                    qos: of.qos as u8,
                    retain: of.retain,
                    properties: of.properties,
                }),
                _ => continue,
            };
            let _ = sender.send(event);
        }
    });
    Ok(Either::V5(client))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let version: u8 = std::env::args().nth(1).ok_or("a version is missing")?.parse()?;
    let name = |of: &str| format!("rust{version}{of}");
    let topic = |of: &str| format!("rust{version}/{of}");
    let (mut a, _) = Client::open(&name("a"), version, true).await?;
    let (mut b, _) = Client::open(&name("b"), version, true).await?;
    for qos in 0..=2 {
        a.subscribe(&topic(&format!("m/{qos}/+")), qos).await?;
        for at in 0..20 {
            b.publish(&topic(&format!("m/{qos}/{at}")), &at.to_string(), qos, false).await?;
        }
        for at in 0..20 {
            let got = a.message(&at.to_string()).await?;
            assert_eq!((got.qos, got.retain), (qos, false));
        }
    }
    println!("ok messages of QoS 0, 1 and 2");

    b.publish(&topic("r"), "kept", 1, true).await?;
    a.subscribe(&topic("r"), 1).await?;
    assert!(a.message("kept").await?.retain, "is not marked as retained");
    b.publish(&topic("r"), "", 1, true).await?;
    a.message("").await?;
    println!("ok retained messages");

    let (mut s, _) = Client::open(&name("s"), version, false).await?;
    s.subscribe(&topic("s"), 1).await?;
    s.close().await?;
    for at in 0..10 {
        b.publish(&topic("s"), &at.to_string(), 1, false).await?;
    }
    let (mut s, session_present) = Client::open(&name("s"), version, false).await?;
    assert!(session_present);
    for at in 0..10 {
        s.message(&at.to_string()).await?;
    }
    s.close().await?;
    Client::open(&name("s"), version, true).await?.0.close().await?;
    println!("ok a session goes on");

    if let Either::V5(client) = &b.client {
        a.subscribe(&topic("p"), 1).await?;
        let properties = PublishProperties {
            content_type: Some("text/plain".into()),
            response_topic: Some(topic("answers")),
            correlation_data: Some("17".into()),
            user_properties: vec![("color".into(), "red".into())],
            ..PublishProperties::default()
        };
        let qos = v5::mqttbytes::QoS::AtLeastOnce;
        client.publish_with_properties(topic("p"), qos, false, "text", properties.clone()).await?;
        let got = a.message("text").await?.properties.ok_or("no properties")?;
        assert_eq!(got.content_type, properties.content_type);
        assert_eq!(got.response_topic, properties.response_topic);
        assert_eq!(got.correlation_data, properties.correlation_data);
        assert_eq!(got.user_properties, properties.user_properties);
        println!("ok properties");
    }
    a.close().await?;
    b.close().await
}
