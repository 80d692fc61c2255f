//! What was found in a store, in words.

use dialtone_server::offline::{Checked, DamageFound, Exported, Imported, StreamFound};
use std::fmt::Write as _;
use std::path::Path;

/// What a store holds, for people: accounts, streams and consumers, then what is wrong.
pub fn checked(found: &Checked) -> String {
    let mut out = format!("store {}\n", found.folder.display());
    let mut account = None;
    for stream in &found.streams {
        if account != Some(&stream.account) {
            let _ = writeln!(out, "account {}", stream.account);
            account = Some(&stream.account);
        }
        put_stream(stream, &mut out);
    }
    for (count, what) in [
        (
            found.torn_bytes,
            "bytes at the end of the log had not been acknowledged; the next start leaves them out",
        ),
        (
            found.unfinished as u64,
            "restores did not come to their end; the next start deletes what there is of them",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(out, "{count} {what}");
        }
    }
    found.damage.iter().for_each(|damage| put_damage(damage, &mut out));
    if found.damage_beyond > 0 {
        let _ = writeln!(out, "damage in {} more places", found.damage_beyond);
    }
    found.problems.iter().for_each(|problem| _ = writeln!(out, "problem: {problem}"));
    let accounts = found.streams.iter().map(|stream| &stream.account);
    let accounts = accounts.collect::<std::collections::BTreeSet<_>>().len();
    let sum = |of: fn(&StreamFound) -> u64| found.streams.iter().map(of).sum::<u64>();
    let (messages, bytes) = (sum(|stream| stream.messages), sum(|stream| stream.bytes));
    let streams = found.streams.len();
    let _ = writeln!(out, "{accounts} accounts, {streams} streams, {messages} messages, {bytes} bytes");
    out.push_str(if found.is_whole() { "everything can be read\n" } else { "NOT everything can be read\n" });
    out
}

/// What was written, for people: a line a stream.
pub fn exported(all: &[Exported]) -> String {
    let mut out = String::new();
    for Exported { account, name, folder, messages, unreadable, consumers } in all {
        let _ = write!(out, "stream {name} of account {account}: ");
        let Some(folder) = folder else {
            out.push_str("it CANNOT be read; what there is of it stays where it is\n");
            continue;
        };
        let _ = write!(out, "{messages} messages, {consumers} consumers in {}", folder.display());
        if *unreadable > 0 {
            let _ = write!(out, "; {unreadable} messages CANNOT be read and are left out");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{} streams", all.len());
    out
}

/// What was made, for people: a line a stream.
pub fn imported(all: &[Imported], to: &Path) -> String {
    let mut out = String::new();
    for Imported { account, name, messages } in all {
        let _ = writeln!(out, "stream {name} of account {account}: {messages} messages");
    }
    let _ = writeln!(out, "{} streams; start the server with store_dir {}", all.len(), to.display());
    out.push_str("the official server's files are where they were, unchanged\n");
    out
}

fn put_stream(stream: &StreamFound, out: &mut String) {
    let name = &stream.name;
    if !stream.is_readable {
        let _ = writeln!(out, "  stream {name}: CANNOT be read; what there is of it stays where it is");
        return;
    }
    let _ = write!(
        out,
        "  stream {name}: {} messages, {} bytes, {} subjects",
        stream.messages, stream.bytes, stream.subjects
    );
    let ends = [("first", stream.first, &stream.first_time), ("last", stream.last, &stream.last_time)];
    for (which, seq, time) in ends {
        let _ = write!(out, ", {which} {seq}");
        if let Some(time) = time {
            let _ = write!(out, " of {time}");
        }
    }
    out.push('\n');
    if stream.unreadable > 0 {
        let _ = writeln!(out, "    {} of its messages CANNOT be read", stream.unreadable);
    }
    for consumer in &stream.consumers {
        let _ = writeln!(
            out,
            "    consumer {}: delivered {}, acknowledged {}, waiting {}",
            consumer.name, consumer.delivered, consumer.ack_floor, consumer.waiting
        );
    }
}

fn put_damage(damage: &DamageFound, out: &mut String) {
    let DamageFound { file, from, to, stream, what } = damage;
    let _ = write!(out, "damage: {file}, bytes {from} to {to}: {what}");
    if let Some((account, name)) = stream {
        let _ = write!(out, " of stream {name} of account {account}");
    }
    out.push('\n');
}
