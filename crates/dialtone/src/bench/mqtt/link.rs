//! One MQTT connection: entered with blocking calls, then non-blocking under a `mio` poll.

use super::super::link::connect;
use super::super::target::Target;
use super::packet::{self, CONNACK, Packets, SUBACK};
use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read as _, Write as _};

/// A connection that was let in.
pub struct Link {
    /// The socket.
    pub stream: TcpStream,
    /// What came with the answers.
    pub packets: Packets,
    /// What must go out before anything else.
    out: Vec<u8>,
}

/// A connection, as it enters.
pub struct Entering {
    stream: std::net::TcpStream,
    packets: Packets,
}

impl Entering {
    /// Connects, and waits for CONNACK. Errors: no connection, or it is refused.
    pub fn open(target: &Target, id: &str, clean: bool) -> Result<Self> {
        let at = || format!("server {}", target.address);
        let stream = connect(&target.address).with_context(at)?;
        let mut entering = Self { stream, packets: Packets::default() };
        let mut out = Vec::new();
        packet::connect(&mut out, target, id, clean);
        entering.ask(&out, CONNACK, |body| body.get(1) == Some(&0)).with_context(at)?;
        Ok(entering)
    }

    /// Subscribes. Errors: it is refused.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> Result<()> {
        let mut out = Vec::new();
        packet::subscribe(&mut out, filter, qos);
        self.ask(&out, SUBACK, |body| body.get(2) == Some(&qos))
    }

    /// Says DISCONNECT, and waits until the server has closed the connection.
    pub fn leave(mut self) -> Result<()> {
        self.stream.write_all(packet::DISCONNECT)?;
        while self.stream.read(&mut [0; 256])? > 0 {}
        Ok(())
    }

    /// From now on non-blocking.
    pub fn entered(self) -> Result<Link> {
        self.stream.set_nonblocking(true)?;
        Ok(Link { stream: TcpStream::from_std(self.stream), packets: self.packets, out: Vec::new() })
    }

    fn ask(&mut self, question: &[u8], answer: u8, is_good: impl Fn(&[u8]) -> bool) -> Result<()> {
        self.stream.write_all(question)?;
        let mut buffer = [0; 4096];
        loop {
            while let Some((first, body)) = self.packets.next()? {
                if first == answer {
                    ensure!(is_good(body), "the server refused: {body:?}");
                    return Ok(());
                }
            }
            let bytes = self.stream.read(&mut buffer).context("waiting for the server")?;
            ensure!(bytes > 0, "the server closed the connection");
            self.packets.push(buffer.get(..bytes).unwrap_or_default());
        }
    }
}

impl Link {
    /// Reads what is there into the buffer; 0: nothing is. Errors: the server closed the connection.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(bytes) => Ok(bytes),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(error).context("reading from the server"),
        }
    }

    /// Puts bytes in line for [`Link::flush`].
    pub fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what is queued; true when all is gone.
    pub fn flush(&mut self) -> Result<bool> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(sent) => drop(self.out.drain(..sent)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    return Ok(false);
                }
                Err(error) => return Err(error).context("writing to the server"),
            }
        }
        Ok(true)
    }
}
