//! Tar, as Go writes it: heads of 512 bytes, names that are too long in heads of their own before.

/// Bytes of a head, and what files are filled up to.
pub(super) const RECORD_BYTES: usize = 512;
/// Bytes of a name in a head.
const NAME_BYTES: usize = 100;

/// A head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) kind: Kind,
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    File,
    /// What is said of the next file.
    Extended,
    /// What is said of all.
    Global,
    /// Something that no archive of a stream has: a folder, a link, a device.
    Other,
}

/// Reads a head. `Ok(None)`: the end.
///
/// # Errors
/// It is none.
pub(super) fn head(record: &[u8; RECORD_BYTES]) -> Result<Option<Head>, ()> {
    if record.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let sum: u64 = record.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = record[148..156].iter().map(|byte| u64::from(*byte)).sum();
    if octal(&record[148..156]) != Some(sum - own + 8 * u64::from(b' ')) {
        return Err(());
    }
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8(bytes[..end].to_vec()).map_err(|_| ())
    };
    let (mut name, prefix) = (text(&record[..NAME_BYTES])?, text(&record[345..500])?);
    if record[257..262] == *b"ustar" && !prefix.is_empty() {
        name = format!("{prefix}/{name}");
    }
    let kind = match record[156] {
        b'0' | 0 => Kind::File,
        b'x' => Kind::Extended,
        b'g' => Kind::Global,
        _ => Kind::Other,
    };
    Ok(Some(Head { name, bytes: octal(&record[124..136]).ok_or(())?, kind }))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// The name in what is said of the next file.
///
/// # Errors
/// It cannot be read.
pub(super) fn extended_name(mut rest: &[u8]) -> Result<Option<String>, ()> {
    let mut name = None;
    while !rest.is_empty() {
        let blank = rest.iter().take(20).position(|byte| *byte == b' ').ok_or(())?;
        let bytes: usize =
            std::str::from_utf8(&rest[..blank]).ok().and_then(|text| text.parse().ok()).ok_or(())?;
        let line = rest.get(blank + 1..bytes).ok_or(())?;
        let line = line.strip_suffix(b"\n").ok_or(())?;
        if let Some(path) = line.strip_prefix(b"path=") {
            name = Some(String::from_utf8(path.to_vec()).map_err(|_| ())?);
        }
        rest = &rest[bytes..];
    }
    Ok(name)
}

/// Appends a file.
pub(crate) fn put_file(name: &str, content: &[u8], out: &mut Vec<u8>) {
    if name.len() > NAME_BYTES {
        let line = extended_line(name);
        put_head("PaxHeaders.0/long", line.len() as u64, b'x', out);
        put_content(line.as_bytes(), out);
    }
    put_head(name, content.len() as u64, b'0', out);
    put_content(content, out);
}

/// Appends the end.
pub(super) fn put_end(out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * RECORD_BYTES, 0);
}

/// A line whose length stands in itself.
fn extended_line(name: &str) -> String {
    let rest = format!(" path={name}\n");
    let mut bytes = rest.len() + 1;
    while format!("{bytes}{rest}").len() != bytes {
        bytes += 1;
    }
    format!("{bytes}{rest}")
}

fn put_head(name: &str, bytes: u64, kind: u8, out: &mut Vec<u8>) {
    let mut record = [0; RECORD_BYTES];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(NAME_BYTES)]);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{bytes:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u64 = record.iter().map(|byte| u64::from(*byte)).sum();
    record[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&record);
}

fn put_content(content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(content);
    out.resize(out.len() + content.len().next_multiple_of(RECORD_BYTES) - content.len(), 0);
}
