//! Keys that stand in several blocks, each declared once: [`super::keys`] says in which.

use super::block;
use super::keys::Status::{Reloads, Restarts};
use super::reader::{self, Block, Notes};
use super::rule::Rule::Within;
use std::time::Duration;

block! {
    /// Where a block listens.
    pub struct Address in "" {
        host: String = "0.0.0.0".into(),
            host | "net": "Address to listen on. Default: all.", read (reader::text), Within(Restarts);
        /// `Some(0)`: nothing listens. `None` takes a free one.
        port: Option<u16> = Some(0),
            port: "Port to listen on. -1 takes a free one. Default: none, and nothing listens.",
            read (reader::port), Within(Restarts);
    }
    first {
        listen: Restarts, "`host:port` to listen on.";
    }
}

block! {
    /// How other servers are dialled.
    pub struct Dialing in "" {
        /// Those that the configuration names are tried for ever.
        retries: usize = 0,
            connect_retries: "Attempts to reach again a server that another one spoke of. Default 0.",
            read (reader::limit), Within(Reloads);
        backoff: bool = false,
            connect_backoff: "Wait longer after each attempt.", read (reader::boolean), Within(Reloads);
    }
}

block! {
    /// How long the other end of a link may take nothing.
    pub struct Writing in "" {
        /// `None`: as clients.
        deadline: Option<Duration> = None,
            write_deadline: "How long a connection may take nothing. Default: as clients.",
            noting (|v, notes| reader::optional_duration(v, "write_deadline", notes)), Within(Reloads);
        /// Whether a connection that took nothing for so long is kept.
        retry: bool = true,
            write_timeout: "What happens then: `default` or `retry` keeps the connection; `close`.",
            read (|v| reader::write_timeout(v).map(|retry| retry.unwrap_or(true))), Within(Reloads);
    }
}

impl Address {
    /// Whether anything listens there.
    pub fn is_on(&self) -> bool {
        self.port != Some(0)
    }

    /// Reads the keys: `listen` wins over the keys that name a host or a port alone.
    pub(crate) fn read_all(&mut self, block: &Block<'_>, notes: &mut Notes) {
        self.read(block, notes);
        block.set_listen(&mut self.host, &mut self.port, &mut notes.errors);
    }
}
