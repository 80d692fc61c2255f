//! A server in a process of its own, and a connection to it.

use crate::waiting::Bounded;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Starts it, and connects once it says where it listens. INFO is not read yet.
pub fn begin(mut command: Command) -> (Child, BufReader<TcpStream>) {
    let mut process = command.stderr(Stdio::piped()).spawn().expect("the server starts");
    let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
    let said = "Listening for client connections on ";
    let address = lines.find_map(|line| line.ok()?.split_once(said).map(|(_, address)| address.to_owned()));
    let stream = TcpStream::connect(address.expect("it listens")).expect("connected").bounded();
    // Whatever else it says is of no interest, but must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    (process, BufReader::new(stream))
}
