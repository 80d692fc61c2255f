//! Files for one pair of eyes, written whole or not at all.

use anyhow::{Context as _, Result, ensure};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a file that is read; nothing that belongs here is longer.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Whether there is something at this path.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Makes a folder, and those above it, that only its owner enters.
pub fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making the folder {}", folder.display()))
}

/// Writes a file that only its owner reads. After an error or a crash there is what was there before, or all of `bytes`.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(file);
    make_folder(&folder)?;
    write_within(&folder, file, bytes).with_context(|| format!("writing {}", file.display()))
}

fn write_within(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    // Temporary files have mode 0600.
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Reads a text.
pub fn read(file: &Path) -> Result<String> {
    let reading = || format!("reading {}", file.display());
    let mut text = String::new();
    let mut limited = File::open(file).with_context(reading)?.take(FILE_BYTES_MAX + 1);
    limited.read_to_string(&mut text).with_context(reading)?;
    ensure!(text.len() as u64 <= FILE_BYTES_MAX, "{} is longer than {FILE_BYTES_MAX} bytes", file.display());
    Ok(text)
}

/// Removes a file.
pub fn remove(file: &Path) -> Result<()> {
    fs::remove_file(file).with_context(|| format!("removing {}", file.display()))
}

/// The names in a folder, sorted; none if there is no such folder.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    entries(folder, false)
}

/// The names of the folders in a folder, sorted; none if there is no such folder.
pub fn folders(folder: &Path) -> Result<Vec<String>> {
    entries(folder, true)
}

fn entries(folder: &Path, only_folders: bool) -> Result<Vec<String>> {
    let listing = || format!("listing {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(listing)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(listing)?;
        if let (Ok(name), true) = (entry.file_name().into_string(), !only_folders || entry.path().is_dir()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_the_owners_alone() {
        let top = tempfile::tempdir().expect("folder");
        let file = top.path().join("a/b/c.nk");
        write(&file, b"one").expect("written");
        write(&file, b"two").expect("written again");
        assert_eq!(read(&file).expect("read"), "two");
        assert_eq!(
            (mode(&file), mode(&top.path().join("a")), mode(&top.path().join("a/b"))),
            (0o600, 0o700, 0o700)
        );
        // Nothing is left of the writing.
        assert_eq!(names(&top.path().join("a/b")).expect("names"), ["c.nk"]);
        assert_eq!(folders(&top.path().join("a")).expect("folders"), ["b"]);
        assert!(names(&top.path().join("none")).expect("names").is_empty());
    }
}
