//! async-nats against the server at `$SERVER`: prints a line for each thing that works, ends with an error at the first that does not.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, client::RequestErrorKind};
use futures::StreamExt;
use tokio::time::timeout;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SEED: &str = "SUAH6HNJ3LG7VOXTLL2XC365TLO5HO3ARUIIAA4FQFQQINOOQBQPBZDMVI";
const LONG: Duration = Duration::from_secs(10);

fn here() -> PathBuf {
    PathBuf::from(env::var("CLIENTS").expect("CLIENTS names the folder of the client tests"))
}

/// A server with one of the files of `configs/`, on a free port of the loopback interface.
struct Server {
    config: &'static str,
    port: u16,
    /// Where it listens for WebSocket, if it does.
    websocket_port: u16,
    process: Child,
}

impl Server {
    fn new(config: &'static str) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [port, websocket_port] = listeners.map(|l| l.local_addr().expect("its address").port());
        Self { config, port, websocket_port, process: Self::spawn(config, port, websocket_port) }
    }

    fn spawn(config: &str, port: u16, websocket_port: u16) -> Child {
        let process = Command::new(env::var("SERVER").expect("SERVER names the binary"))
            .args(["-c", &format!("configs/{config}.conf"), "-a", "127.0.0.1", "-p", &port.to_string()])
            .current_dir(here())
            .env("WEBSOCKET_PORT", websocket_port.to_string())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let end = Instant::now() + LONG;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "the server did not start with configs/{config}.conf");
            thread::sleep(Duration::from_millis(20));
        }
        process
    }

    fn url(&self) -> String {
        match self.config {
            "websocket" | "websocket-users" => format!("ws://127.0.0.1:{}", self.websocket_port),
            _ => format!("nats://127.0.0.1:{}", self.port),
        }
    }

    fn restart(&mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("kill runs").success());
        self.process.wait().expect("the server ends");
        self.process = Self::spawn(self.config, self.port, self.websocket_port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ok(name: &str) {
    println!("ok {name}");
}

async fn refused(server: &Server, options: ConnectOptions) {
    let error = options.connect(server.url()).await.expect_err("was let in");
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation, "{error}");
}

async fn authentication() -> Outcome {
    let users = Server::new("users");
    for user in ["alice", "bob"] {
        let options = ConnectOptions::with_user_and_password(user.into(), "s3cret".into());
        options.connect(users.url()).await?.flush().await?;
    }
    ok("user and password");
    for user in ["alice", "bob"] {
        refused(&users, ConnectOptions::with_user_and_password(user.into(), "wrong".into())).await;
    }
    refused(&users, ConnectOptions::new()).await;
    ok("wrong password");

    let token = Server::new("token");
    ConnectOptions::with_token("t0ken".into()).connect(token.url()).await?.flush().await?;
    refused(&token, ConnectOptions::with_token("other".into())).await;
    ok("token");

    let nkey = Server::new("nkey");
    ConnectOptions::with_nkey(SEED.into()).connect(nkey.url()).await?.flush().await?;
    ok("nkey");
    Ok(())
}

async fn websocket_users() -> Outcome {
    let server = Server::new("websocket-users");
    let user = |name: &str, password: &str| ConnectOptions::with_user_and_password(name.into(), password.into());
    user("page", "s3cret").connect(server.url()).await?.flush().await?;
    refused(&server, user("page", "wrong")).await;
    refused(&server, user("shell", "s3cret")).await;
    ok("users by WebSocket");
    Ok(())
}

async fn tls(config: &'static str) -> Outcome {
    let server = Server::new(config);
    let options = ConnectOptions::new().add_root_certificates(here().join("tls/ca.pem"));
    let client = match config {
        "tls" => options.require_tls(true).connect(format!("tls://localhost:{}", server.port)).await?,
        _ => options.connect(format!("wss://localhost:{}", server.websocket_port)).await?,
    };
    let mut sub = client.subscribe("secret").await?;
    client.publish("secret", vec![0; 100_000].into()).await?;
    let message = timeout(LONG, sub.next()).await?.ok_or("no message")?;
    assert_eq!(message.payload.len(), 100_000);
    ok(config);
    Ok(())
}

async fn messages(server: &Server) -> Outcome {
    let client = async_nats::connect(server.url()).await?;
    ok("connect");

    let mut sub = client.subscribe("greet.*").await?;
    for n in 0..1000 {
        client.publish(format!("greet.{n}"), n.to_string().into()).await?;
    }
    for n in 0..1000 {
        let message = timeout(LONG, sub.next()).await?.ok_or("no message")?;
        assert_eq!(message.subject.as_str(), format!("greet.{n}"));
        assert_eq!(message.payload, n.to_string());
    }
    sub.unsubscribe().await?;
    ok("publish and subscribe");

    queue(&client).await?;

    let mut questions = client.subscribe("double").await?;
    let answerer = client.clone();
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let reply = question.reply.expect("a reply subject");
            let _ = answerer.publish(reply, [&question.payload[..], &question.payload].concat().into()).await;
        }
    });
    client.flush().await?;
    assert_eq!(client.request("double", "ab".into()).await?.payload, "abab");
    ok("request and reply");
    let error = client.request("nobody.there", "".into()).await.expect_err("somebody answered");
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
    ok("no responders");

    let mut sub = client.subscribe("headers").await?;
    let mut headers = HeaderMap::new();
    headers.insert("One", "1");
    headers.append("Two", "zwei");
    headers.append("Two", "drei");
    client.publish_with_headers("headers", headers.clone(), "body".into()).await?;
    let message = timeout(LONG, sub.next()).await?.ok_or("no message")?;
    assert_eq!(message.headers, Some(headers));
    assert_eq!(message.payload, "body");
    ok("headers");
    Ok(())
}

async fn queue(client: &Client) -> Outcome {
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    for n in 0..3 {
        let (counts, mut sub) = (counts.clone(), client.queue_subscribe("work", "workers".into()).await?);
        tokio::spawn(async move {
            while sub.next().await.is_some() {
                counts[n].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..300 {
        client.publish("work", "job".into()).await?;
    }
    client.flush().await?;
    let total = || counts.iter().map(|c| c.load(Ordering::Relaxed)).sum::<usize>();
    let end = Instant::now() + LONG;
    while total() < 300 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(total(), 300);
    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) > 0), "{counts:?}");
    ok("queue groups");
    Ok(())
}

/// The server has done all that this client sent: `flush` alone only says that it left.
async fn settle(client: &Client) {
    client.request("nobody.there", "".into()).await.expect_err("somebody answered");
}

async fn drain(server: &Server) -> Outcome {
    let other = async_nats::connect(server.url()).await?;
    let client = async_nats::connect(server.url()).await?;
    let mut sub = client.subscribe("drain").await?;
    settle(&client).await;
    for _ in 0..200 {
        other.publish("drain", "x".into()).await?;
    }
    settle(&other).await;
    settle(&client).await;
    client.drain().await?;
    let mut seen = 0;
    while timeout(LONG, sub.next()).await?.is_some() {
        seen += 1;
    }
    assert_eq!(seen, 200);
    ok("drain");
    Ok(())
}

async fn reconnect(server: &mut Server) -> Outcome {
    let (told, mut back) = tokio::sync::mpsc::unbounded_channel();
    let options = ConnectOptions::new().event_callback(move |event| {
        let told = told.clone();
        async move {
            let _ = told.send(event);
        }
    });
    let client = options.connect(server.url()).await?;
    let mut sub = client.subscribe("again").await?;
    settle(&client).await;
    server.restart();
    let mut gone = false;
    loop {
        match timeout(LONG, back.recv()).await?.ok_or("the client ended")? {
            Event::Disconnected => gone = true,
            Event::Connected if gone => break,
            _ => {}
        }
    }
    client.publish("again", "here".into()).await?;
    assert_eq!(timeout(LONG, sub.next()).await?.ok_or("no message")?.payload, "here");
    ok("reconnect");
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    for config in ["open", "websocket"] {
        println!("configs/{config}.conf:");
        let mut server = Server::new(config);
        messages(&server).await?;
        drain(&server).await?;
        reconnect(&mut server).await?;
    }
    websocket_users().await?;
    authentication().await?;
    tls("tls").await?;
    tls("websocket-tls").await
}
