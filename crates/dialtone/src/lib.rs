//! A messaging server that speaks the NATS protocols, as a command and as a library.
//!
//! A program that embeds the server connects to it without any socket that others could see:
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//!
//! let server = dialtone::Server::builder().in_process_only().quiet().start()?;
//!
//! let mut subscriber = BufReader::new(server.connect_in_process()?);
//! subscriber.get_mut().write_all(b"CONNECT {\"verbose\":false}\r\nSUB orders.* 1\r\nPING\r\n")?;
//! let mut line = String::new();
//! while line != "PONG\r\n" {
//!     line.clear();
//!     subscriber.read_line(&mut line)?;
//! }
//!
//! let mut publisher = server.connect_in_process()?;
//! publisher.write_all(b"CONNECT {\"verbose\":false}\r\nPUB orders.new 5\r\nhello\r\n")?;
//!
//! let mut lines = subscriber.lines().map_while(Result::ok).skip_while(|line| line.starts_with("INFO"));
//! assert_eq!(lines.next().as_deref(), Some("MSG orders.new 1 5"));
//! assert_eq!(lines.next().as_deref(), Some("hello"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Options come from [`load`], which reads a configuration file, or are set one by one in [`Options`].
#![forbid(unsafe_code)]

pub mod bench;
mod command_line;
pub mod explain;
pub mod identity;
pub mod redrive;
pub mod serve;
pub mod store;

pub use dialtone_config::{Options, load};
pub use dialtone_server::{Builder, Server, StartError};
