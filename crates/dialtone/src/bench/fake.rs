//! A server for tests of the generator: the few operations it uses, subjects compared as they are.

use super::target::Target;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A running server; its threads end with their connections, and the listening one with the process.
pub struct Fake {
    address: SocketAddr,
}

#[derive(Default)]
struct State {
    subscriptions: Vec<Subscription>,
    published: u64,
    /// The number of the message that is not delivered.
    lost: Option<u64>,
}

struct Subscription {
    connection: usize,
    subject: String,
    queue: Option<String>,
    sid: String,
    stream: TcpStream,
}

impl Fake {
    /// A server that delivers everything.
    pub fn start() -> Fake {
        Fake::run(State::default())
    }

    /// A server that loses the message of this number, counted from 1.
    pub fn start_losing(number: u64) -> Fake {
        Fake::run(State { lost: Some(number), ..State::default() })
    }

    /// Where it listens.
    pub fn target(&self) -> Target {
        Target::parse(&self.address.to_string()).unwrap()
    }

    fn run(state: State) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(state));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (stream, state) = (stream.unwrap(), Arc::clone(&state));
                std::thread::spawn(move || {
                    // The generator closes its connections when a test is over.
                    let _ = serve(connection, &stream, &state);
                    state.lock().unwrap().subscriptions.retain(|known| known.connection != connection);
                });
            }
        });
        Fake { address }
    }
}

fn serve(connection: usize, stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut output = stream;
    output.write_all(b"INFO {}\r\n")?;
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING"] => output.write_all(b"PONG\r\n")?,
            ["SUB", subject, queue @ .., sid] => state.lock().unwrap().subscriptions.push(Subscription {
                connection,
                subject: (*subject).to_owned(),
                queue: queue.first().map(|name| (*name).to_owned()),
                sid: (*sid).to_owned(),
                stream: stream.try_clone()?,
            }),
            ["UNSUB", sid] => state
                .lock()
                .unwrap()
                .subscriptions
                .retain(|known| known.connection != connection || known.sid != *sid),
            ["PUB", subject, reply @ .., size] => {
                let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
                input.read_exact(&mut payload)?;
                state.lock().unwrap().deliver(subject, reply.first().copied(), &payload);
            }
            _ => {}
        }
        line.clear();
    }
    Ok(())
}

impl State {
    fn deliver(&mut self, subject: &str, reply: Option<&str>, payload: &[u8]) {
        self.published += 1;
        if self.lost == Some(self.published) {
            return;
        }
        let mut queues_served = Vec::new();
        for known in self.subscriptions.iter().filter(|known| known.subject == subject) {
            if known.queue.is_some() {
                if queues_served.contains(&&known.queue) {
                    continue;
                }
                queues_served.push(&known.queue);
            }
            let reply = reply.map_or(String::new(), |reply| format!("{reply} "));
            let mut message =
                format!("MSG {subject} {} {reply}{}\r\n", known.sid, payload.len() - 2).into_bytes();
            message.extend_from_slice(payload);
            // A receiver that has gone, of the flow before, is no fault of this publisher.
            let _ = (&known.stream).write_all(&message);
        }
    }
}
