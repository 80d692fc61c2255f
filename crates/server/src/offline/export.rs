//! Writing all streams of a store as archives, as `nats account backup` does: a folder a stream, in a folder an account.

use super::check::{Why, each_message};
use super::opened::Opened;
use super::{OfflineError, folder};
use crate::streams::{Recovering, State, wall};
use dialtone_config::options::JetStream;
use dialtone_jetstream::api::StreamState;
use dialtone_jetstream::archive::{Compressor, ConsumerEntry, Writer};
use dialtone_jetstream::json;
use dialtone_jetstream::official::SnapshotWriter;
use dialtone_jetstream::time::Time;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 1024 * 1024;

/// By what servers the archives can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Those of 2.15 and later.
    Archive,
    /// Official ones before 2.15, and later ones, too.
    Tar,
}

impl Format {
    /// The name that `nats` looks for.
    fn file(self) -> &'static str {
        match self {
            Self::Archive => "stream.arc.s2",
            Self::Tar => "stream.tar.s2",
        }
    }
}

/// A stream that was written.
#[derive(Debug)]
pub struct Exported {
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Where it is; `None`: what it is cannot be read.
    pub folder: Option<PathBuf>,
    /// Messages in the archive.
    pub messages: u64,
    /// Messages that cannot be read, which are left out.
    pub unreadable: u64,
    /// Consumers.
    pub consumers: usize,
}

/// Writes all streams of a store to `out`; `own` has its key, if it is encrypted. Nothing of the store changes.
///
/// # Errors
/// There is no store, a server runs with it, it cannot be opened, or the archives cannot be written; a folder that is there already is not
/// written over.
pub fn export(
    (dir, own): (&Path, Option<&JetStream>),
    out: &Path,
    format: Format,
) -> Result<Vec<Exported>, OfflineError> {
    let folder = folder::store(dir)?;
    let opened = Opened::new(&folder, own)?;
    opened.streams.iter().map(|stream| write_stream(&opened, stream, out, format)).collect()
}

fn write_stream(
    opened: &Opened,
    stream: &Recovering,
    out: &Path,
    format: Format,
) -> Result<Exported, OfflineError> {
    let mut exported = Exported {
        account: stream.account.clone(),
        name: stream.name.clone(),
        folder: None,
        messages: 0,
        unreadable: 0,
        consumers: 0,
    };
    let Some(state) = &stream.state else { return Ok(exported) };
    let folder = out.join(file_name(&stream.account)).join(file_name(&stream.name));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| OfflineError::Disk(path, error)
    };
    let parent = folder.parent().unwrap_or(out);
    fs::create_dir_all(parent).map_err(failed(parent))?;
    fs::create_dir(&folder).map_err(failed(&folder))?;
    let path = folder.join(format.file());
    // Of what cannot be read it is only known behind it, and how much there is stands before it.
    each_message(&opened.store, stream.group, state, &mut |_, body| match body {
        Ok(_) => exported.messages += 1,
        Err(_) => exported.unreadable += 1,
    });
    let mut figures = state.archived_figures();
    figures.messages = exported.messages;
    let mut consumers = state.archived_consumers(u64::MAX);
    consumers.iter_mut().for_each(|(_, consumer)| raise_floor(consumer, figures.first_seq));
    figures.consumer_count = i64::try_from(consumers.len()).unwrap_or(i64::MAX);
    exported.consumers = consumers.len();
    let mut sink =
        Sink { file: fs::File::create_new(&path).map_err(failed(&path))?, bytes: Vec::new(), failed: None };
    match format {
        Format::Archive => write_archive((opened, stream, state), (&figures, &consumers), &mut sink),
        Format::Tar => write_tar((opened, stream, state), (&figures, &consumers), &mut sink),
    }
    sink.end().map_err(failed(&path))?;
    let about = [
        &b"{\"config\":"[..],
        &json::to_vec(&*state.meta.config),
        b",\"state\":",
        &json::to_vec(&figures),
        b"}\n",
    ];
    let path = folder.join("backup.json");
    fs::write(&path, about.concat()).map_err(failed(&path))?;
    exported.folder = Some(folder);
    Ok(exported)
}

/// Official servers have a consumer begin anew whose floor is further below the first message of its stream.
fn raise_floor(consumer: &mut ConsumerEntry, first: u64) {
    let Some(state) = &mut consumer.state else { return };
    let below = first.saturating_sub(1).min(state.delivered.stream_seq);
    if state.ack_floor.stream_seq < below {
        state.ack_floor.stream_seq = below;
        state.pending.0.retain(|seq, _| *seq > below);
        state.redelivered.0.retain(|seq, _| *seq > below);
    }
}

/// A stream of the store.
type Found<'a> = (&'a Opened, &'a Recovering, &'a State);

fn write_archive(
    (opened, stream, state): Found<'_>,
    (figures, consumers): (&StreamState, &[(String, ConsumerEntry)]),
    sink: &mut Sink,
) {
    let (mut writer, now) = (Writer::new(), wall());
    writer.state(figures, now, &mut sink.bytes);
    for (name, consumer) in consumers {
        writer.consumer(name, consumer, now, &mut sink.bytes);
    }
    each(opened, stream, state, &mut |subject, at, headers, payload| {
        writer.message(&String::from_utf8_lossy(subject), at, headers, payload, &mut sink.bytes);
        sink.go_on();
    });
    writer.end(&mut sink.bytes);
}

fn write_tar(
    (opened, stream, state): Found<'_>,
    (figures, consumers): (&StreamState, &[(String, ConsumerEntry)]),
    sink: &mut Sink,
) {
    let mut compressor = Compressor::new();
    let created = Time::from_unix_nanos(state.meta.created);
    let mut writer = SnapshotWriter::new(&state.meta.config, created, &mut compressor.gathered);
    each(opened, stream, state, &mut |subject, at, headers, payload| {
        writer.message(subject, at, headers, payload, &mut compressor.gathered);
        compressor.go_on(&mut sink.bytes);
        sink.go_on();
    });
    let last_time = if figures.last_ts.is_zero() { 0 } else { figures.last_ts.unix_nanos() };
    writer.messages_end(figures.last_seq, last_time, &mut compressor.gathered);
    for (name, consumer) in consumers {
        let made = state.consumer(name).map_or(0, |held| held.meta.created);
        let times = (Time::from_unix_nanos(made), wall());
        writer.consumer(name, consumer, times, &mut compressor.gathered);
        compressor.go_on(&mut sink.bytes);
        sink.go_on();
    }
    writer.end(&mut compressor.gathered);
    compressor.end(&mut sink.bytes);
}

/// Who takes a message: subject, sequence and time, headers, payload.
type Write<'a> = dyn FnMut(&[u8], (u64, i64), &[u8], &[u8]) + 'a;

/// Hands over each message that can be read.
fn each(opened: &Opened, stream: &Recovering, state: &State, write: &mut Write<'_>) {
    let messages = state.machine.messages();
    each_message(&opened.store, stream.group, state, &mut |seq, body: Result<&[u8], Why>| {
        if let (Ok(body), Some(head)) = (body, messages.head(seq)) {
            let (headers, payload) =
                body.split_at_checked(usize::from(head.header_bytes)).unwrap_or((&[], body));
            write(head.subject, (seq, head.time), headers, payload);
        }
    });
}

/// A file that is written a piece at a time; what goes wrong is kept for the end.
struct Sink {
    file: fs::File,
    bytes: Vec<u8>,
    failed: Option<std::io::Error>,
}

impl Sink {
    fn go_on(&mut self) {
        if self.bytes.len() >= WRITE_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = self.file.write_all(&self.bytes).err();
        }
        self.bytes.clear();
    }

    fn end(mut self) -> std::io::Result<()> {
        self.write();
        self.failed.map_or_else(|| self.file.sync_all(), Err)
    }
}

/// A name as that of a file: what would lead elsewhere is written as its code.
fn file_name(name: &str) -> String {
    let is_plain = !matches!(name, "" | "." | "..");
    let quoted = name.chars().map(|letter| match letter {
        '/' | '\\' | '\0' | '%' => format!("%{:02X}", letter as u32),
        _ => letter.to_string(),
    });
    let quoted: String = quoted.collect();
    if is_plain { quoted } else { quoted.replace('.', "%2E") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_elsewhere() {
        for (name, file) in [("$G", "$G"), ("..", "%2E%2E"), ("a/../b", "a%2F..%2Fb"), ("ORDERS", "ORDERS")] {
            assert_eq!(file_name(name), file);
        }
    }
}
