//! Tokens in a folder, a file for each account: `KEY.jwt`, as nsc and the official server have them.
//!
//! A token is written to a file of its own, synced, and then given its name: after a crash the folder holds the old
//! token or the whole new one. What an acknowledgement said is there survives the machine.

use crate::clock::now;
use crate::log::{Event, Logger};
use dialtone_config::operator::{Folder, Keeps};
use dialtone_identity::jwt::{self, Body, DecodedJwt, JWT_BYTES_MAX};
use dialtone_identity::operator::is_account;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How a token's file ends.
const EXTENSION: &str = ".jwt";
/// How the file of a deleted account ends, behind that. The official name.
const DELETED: &str = ".deleted";
/// How a file ends that holds no token of the account that it is named after.
const DAMAGED: &str = ".damaged";
/// How a file begins that is being written.
const UNFINISHED: &str = ".unfinished-";

/// Why a token is not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No account's key: nothing else becomes the name of a file (CVE-2022-28357).
    #[error("not a valid public account nkey")]
    Key,
    /// There are as many as there may be.
    #[error("jwt store is full")]
    Full,
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What is known of a file without reading it.
#[derive(Debug)]
struct Entry {
    hash: [u8; 32],
    issued_at: i64,
    expires: Option<i64>,
    used: Instant,
    kept: Instant,
}

impl Entry {
    fn lasts(&self) -> bool {
        self.expires.is_none_or(|until| until >= now())
    }
}

/// A folder of tokens.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    keeps: Keeps,
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Store {
    /// Opens a folder, which is made if it is not there. Files that hold no token of the account that they are named
    /// after are set aside and reported.
    ///
    /// Errors: the folder cannot be read or written.
    pub fn open(folder: &Folder, log: &Logger) -> io::Result<Self> {
        let store = Self {
            dir: folder.dir.clone(),
            keeps: folder.keeps.clone(),
            entries: Mutex::new(BTreeMap::new()),
        };
        if !store.dir.is_dir() {
            fs::create_dir_all(&store.dir)?;
            fs::set_permissions(&store.dir, Permissions::from_mode(0o700))?;
        }
        let mut aside = Vec::new();
        for entry in fs::read_dir(&store.dir)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with(UNFINISHED) {
                // Nobody was notified that it is there.
                fs::remove_file(&path)?;
            } else if let Some(key) = name.strip_suffix(EXTENSION) {
                match examine(&path, key) {
                    Ok((jwt, token)) => store.remember(key, &jwt, &token),
                    Err(why) => aside.push((path.clone(), why)),
                }
            }
        }
        for (path, why) in aside {
            let mut to = path.clone().into_os_string();
            to.push(DAMAGED);
            fs::rename(&path, &to)?;
            let text = format_args!("{} is set aside as {}: {why}", path.display(), Path::new(&to).display());
            log.emit(Event::AccountFault, "", text);
        }
        sync_folder(&store.dir)?;
        Ok(store)
    }

    /// The token of an account.
    pub fn load(&self, key: &str) -> Option<String> {
        self.tidy();
        self.entries.lock().get_mut(key)?.used = Instant::now();
        read(&self.path(key)?).ok()
    }

    /// Whether there is a token of this account.
    pub fn has(&self, key: &str) -> bool {
        self.tidy();
        self.entries.lock().contains_key(key)
    }

    /// When the token of an account was signed.
    pub fn issued_at(&self, key: &str) -> Option<i64> {
        self.entries.lock().get(key).map(|entry| entry.issued_at)
    }

    /// Keeps a token of an account. When this returns it is on the disk.
    pub fn save(&self, key: &str, jwt: &str, token: &DecodedJwt) -> Result<(), StoreError> {
        // Servers that compare their folders send each other a token a line.
        let jwt = &jwt::single_line(jwt);
        let path = self.path(key).ok_or(StoreError::Key)?;
        self.make_room(key)?;
        let unfinished = self.dir.join(format!("{UNFINISHED}{key}-{:016x}", rand::random::<u64>()));
        let written = write(&unfinished, jwt).and_then(|()| fs::rename(&unfinished, &path));
        if let Err(cause) = written {
            // What is left of it is removed at the next start, if it cannot be now.
            let _ = fs::remove_file(&unfinished);
            return Err(cause.into());
        }
        sync_folder(&self.dir)?;
        self.remember(key, jwt, token);
        Ok(())
    }

    /// Deletes the token of an account. Whether there was one.
    pub fn delete(&self, key: &str) -> Result<bool, StoreError> {
        let path = self.path(key).ok_or(StoreError::Key)?;
        if self.entries.lock().remove(key).is_none() {
            return Ok(false);
        }
        match self.keeps {
            Keeps::All { hard_delete: false, .. } => {
                let mut to = path.clone().into_os_string();
                to.push(DELETED);
                fs::rename(&path, to)?;
            }
            _ => fs::remove_file(&path)?,
        }
        sync_folder(&self.dir)?;
        Ok(true)
    }

    /// Whether requests may delete.
    pub fn allows_delete(&self) -> bool {
        !matches!(self.keeps, Keeps::All { allow_delete: false, .. })
    }

    /// The accounts whose tokens are not over, in order.
    pub fn list(&self) -> Vec<String> {
        self.tidy();
        self.entries.lock().iter().filter(|(_, entry)| entry.lasts()).map(|(key, _)| key.clone()).collect()
    }

    /// A hash of everything that is kept: two folders with the same tokens have the same.
    pub fn hash(&self) -> [u8; 32] {
        let mut all = [0; 32];
        for entry in self.entries.lock().values().filter(|entry| entry.lasts()) {
            for (sum, byte) in all.iter_mut().zip(entry.hash) {
                *sum ^= byte;
            }
        }
        all
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        is_account(key).then(|| self.dir.join(format!("{key}{EXTENSION}")))
    }

    fn remember(&self, key: &str, jwt: &str, token: &DecodedJwt) {
        let (hash, now) = (Sha256::digest(jwt.as_bytes()).into(), Instant::now());
        let (issued_at, expires) = (token.issued_at, token.expires);
        let entry = Entry { hash, issued_at, expires, used: now, kept: now };
        self.entries.lock().insert(key.to_owned(), entry);
    }

    /// One more account must fit: a cache forgets the one that was used least, a full folder refuses.
    fn make_room(&self, key: &str) -> Result<(), StoreError> {
        let mut entries = self.entries.lock();
        if entries.contains_key(key) {
            return Ok(());
        }
        match self.keeps {
            Keeps::All { limit: Some(limit), .. } if entries.len() as u64 >= limit => Err(StoreError::Full),
            Keeps::All { .. } => Ok(()),
            Keeps::Some { limit, .. } => {
                while entries.len() as u64 >= limit {
                    let least =
                        entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
                    let Some(least) = least else { break };
                    entries.remove(&least);
                    self.drop_file(&least);
                }
                Ok(())
            }
        }
    }

    /// A cache forgets what it has kept for too long.
    fn tidy(&self) {
        let Keeps::Some { ttl, .. } = self.keeps else { return };
        if ttl.is_zero() {
            return;
        }
        let mut entries = self.entries.lock();
        let over: Vec<String> =
            entries.iter().filter(|(_, e)| e.kept.elapsed() > ttl).map(|(key, _)| key.clone()).collect();
        for key in over {
            entries.remove(&key);
            self.drop_file(&key);
        }
    }

    fn drop_file(&self, key: &str) {
        if let Some(path) = self.path(key) {
            // A file that stays is found again by the next start, and dropped then.
            let _ = fs::remove_file(path);
        }
    }
}

/// The token in a file, if it is one of the account that the file is named after.
fn examine(path: &Path, key: &str) -> Result<(String, DecodedJwt), String> {
    if !is_account(key) {
        return Err("its name is no account's public key".into());
    }
    let jwt = read(path).map_err(|cause| cause.to_string())?;
    let token = jwt::decode(&jwt).map_err(|error| error.to_string())?;
    match token.body {
        Body::Account(_) if token.subject.to_string() == key => Ok((jwt, token)),
        _ => Err("its JWT is of something else than its name says".into()),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(JWT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, jwt: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(jwt.as_bytes())?;
    file.sync_all()
}

/// A name is on the disk only when its folder is.
fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether a token is worth keeping: of an account, and good now or later.
pub fn is_current(token: &DecodedJwt) -> bool {
    matches!(token.body, Body::Account(_)) && token.expires.is_none_or(|until| until >= now())
}

#[cfg(test)]
mod tests;
