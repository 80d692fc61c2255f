//! A disk in memory that fails on purpose: it loses and tears what was not synced, reports errors at a chosen call, and fills up.
//!
//! What it may do is what real ones do: of a file, sectors of 512 bytes that were not synced survive a power loss or not, each on its own; of
//! a folder, the changes up to some moment survive; a sync that failed may have written some sectors, and reading shows all of them until the
//! cache is given up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Access, Disk, File, Lock};

/// Bytes that are written as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What goes wrong at a call that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything stops: this call does part of its work, and all that follow fail, until `SimulatedDisk::restart`.
    Crash,
    /// The device reports an error, and has done part of the work.
    Error,
    /// There is no room for so many calls, as long as a file that is not open any more is not removed.
    Full {
        /// How many calls in a row find no room.
        calls: u64,
    },
    /// A write does half of its work, and says so.
    Short,
}

/// What a restart comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The process ended: everything that was written is there, synced or not.
    Kill,
    /// The machine lost its power: what was not synced is there in part, by this seed.
    PowerLoss(u64),
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names that are not durable, in order.
    renames: Vec<Rename>,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    locks: HashSet<PathBuf>,
    calls: u64,
    fault: Option<(u64, Fault)>,
    crashed: bool,
    random: u64,
    /// Bytes that all files may have together, where there is a bound.
    room: Option<u64>,
}

#[derive(Clone)]
struct Rename {
    path: PathBuf,
    inode: Option<u64>,
}

#[derive(Default, Clone)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges that were written and not synced.
    unsynced: Vec<(usize, usize)>,
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    /// From now on, the `at`th call that changes something fails, counted from 1.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        let mut state = self.0.lock();
        state.calls = 0;
        state.fault = Some((at, fault));
    }

    /// No call fails any more; how many there were since `fail_at`.
    pub fn stop_failing(&self) -> u64 {
        let mut state = self.0.lock();
        state.fault = None;
        state.calls
    }

    /// How many bytes all files may have together from now on; `None`: there is no bound. A write gets as much room as there is, then none.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.0.lock().room = bytes;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// The machine, or the process, begins anew.
    pub fn restart(&self, after: After) {
        let mut state = self.0.lock();
        state.crashed = false;
        state.fault = None;
        state.locks.clear();
        let After::PowerLoss(seed) = after else { return };
        state.random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let changes = std::mem::take(&mut state.renames);
        // Changes of names are journaled in their order, so some first of them survive.
        let survive = state.below(changes.len() as u64 + 1) as usize;
        for change in &changes[..survive] {
            state.make_durable(change);
        }
        state.names = state.durable_names.clone();
        let inodes: Vec<u64> =
            state.inodes.keys().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        for id in inodes {
            state.keep_some(id);
            if let Some(inode) = state.inodes.get_mut(&id) {
                inode.current = inode.durable.clone();
            }
        }
    }

    /// A copy that goes its own way.
    pub fn fork(&self) -> SimulatedDisk {
        let state = self.0.lock();
        SimulatedDisk(Arc::new(Mutex::new(State {
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            renames: state.renames.clone(),
            inodes: state.inodes.clone(),
            next_inode: state.next_inode,
            random: state.random,
            ..State::default()
        })))
    }

    /// All files and their lengths.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let state = self.0.lock();
        state.names.iter().map(|(path, id)| (path.clone(), state.inodes[id].current.len())).collect()
    }

    /// What a file holds.
    pub fn read(&self, path: &Path) -> Vec<u8> {
        let state = self.0.lock();
        let inode = state.names.get(path).and_then(|id| state.inodes.get(id));
        inode.map(|inode| inode.current.clone()).unwrap_or_default()
    }

    /// Changes bits of a byte, on the device itself.
    pub fn flip(&self, path: &Path, offset: usize, bits: u8) {
        self.change(path, |bytes| bytes[offset] ^= bits);
    }

    /// Writes over bytes of a file, on the device itself; what is behind its end is left out.
    pub fn overwrite(&self, path: &Path, offset: usize, patch: &[u8]) {
        self.change(path, |bytes| {
            let rest = bytes.get_mut(offset..).unwrap_or_default();
            rest.iter_mut().zip(patch).for_each(|(byte, new)| *byte = *new);
        });
    }

    /// Shortens a file, on the device itself.
    pub fn truncate(&self, path: &Path, bytes: usize) {
        self.change(path, |file| file.truncate(bytes));
    }

    /// Removes a file, on the device itself.
    pub fn lose(&self, path: &Path) {
        let mut state = self.0.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    fn change(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let Some(id) = state.names.get(path).copied() else { return };
        if let Some(inode) = state.inodes.get_mut(&id) {
            change(&mut inode.current);
            inode.durable = inode.current.clone();
            inode.unsynced.clear();
        }
    }
}

/// What is to be done with a call.
enum Verdict {
    Go,
    Half,
    Part(io::Error),
}

impl State {
    fn below(&mut self, bound: u64) -> u64 {
        self.random |= 1;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound.max(1)
    }

    fn used(&self) -> u64 {
        // Several names may stand for one file.
        let inodes: std::collections::BTreeSet<u64> = self.names.values().copied().collect();
        let files = inodes.iter().filter_map(|id| self.inodes.get(id));
        files.map(|inode| inode.current.len() as u64).sum()
    }

    /// How many of so many bytes there is room for, at an offset of a file.
    fn room_for(&self, inode: u64, offset: u64, bytes: usize) -> usize {
        let Some(room) = self.room else { return bytes };
        let there = self.inodes.get(&inode).map_or(0, |inode| inode.current.len() as u64);
        let left = there.max(offset) - offset + room.saturating_sub(self.used());
        // A hole takes none, which these tests do not make.
        usize::try_from(left).map_or(bytes, |left| left.min(bytes))
    }

    /// Counts a call that changes something. `Part`: some of its work may be done, then it fails.
    fn call(&mut self, takes_room: bool) -> io::Result<Verdict> {
        if self.crashed {
            return Err(io::Error::other("simulated crash"));
        }
        self.calls += 1;
        let Some((at, fault)) = self.fault else { return Ok(Verdict::Go) };
        match fault {
            Fault::Full { calls } if self.calls >= at && self.calls < at + calls && takes_room => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::Full { .. } => Ok(Verdict::Go),
            Fault::Crash if self.calls >= at => {
                self.crashed = true;
                Ok(Verdict::Part(io::Error::other("simulated crash")))
            }
            Fault::Error if self.calls == at => {
                Ok(Verdict::Part(io::Error::other("simulated error of the device")))
            }
            Fault::Short if self.calls == at => Ok(Verdict::Half),
            _ => Ok(Verdict::Go),
        }
    }

    fn set(&mut self, path: &Path, inode: Option<u64>) {
        match inode {
            Some(id) => _ = self.names.insert(path.to_path_buf(), id),
            None => _ = self.names.remove(path),
        }
        self.renames.push(Rename { path: path.to_path_buf(), inode });
    }

    fn make_durable(&mut self, change: &Rename) {
        match change.inode {
            Some(id) => _ = self.durable_names.insert(change.path.clone(), id),
            None => _ = self.durable_names.remove(&change.path),
        }
    }

    /// Some sectors of what was not synced become durable, the others never do.
    fn keep_some(&mut self, id: u64) {
        let Some(mut inode) = self.inodes.remove(&id) else { return };
        for (from, to) in std::mem::take(&mut inode.unsynced) {
            for sector in from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES) {
                if self.below(2) == 0 {
                    inode.make_durable(
                        (sector * SECTOR_BYTES).max(from),
                        ((sector + 1) * SECTOR_BYTES).min(to),
                    );
                }
            }
        }
        self.inodes.insert(id, inode);
    }

    fn sync_dir(&mut self, dir: &Path) {
        let (durable, rest) = std::mem::take(&mut self.renames)
            .into_iter()
            .partition(|change| change.path.parent() == Some(dir));
        self.renames = rest;
        let durable: Vec<Rename> = durable;
        durable.iter().for_each(|change| self.make_durable(change));
    }
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        self.unsynced.push((offset, end));
    }

    fn make_durable(&mut self, from: usize, to: usize) {
        let to = to.min(self.current.len());
        if from < to {
            if self.durable.len() < to {
                self.durable.resize(to, 0);
            }
            self.durable[from..to].copy_from_slice(&self.current[from..to]);
        }
    }
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        // Folders are there, so that tests count what the store does with files.
        match self.0.lock().crashed {
            true => Err(io::Error::other("simulated crash")),
            false => Ok(()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut state = self.0.lock();
        let file = |inode| Box::new(SimulatedFile { disk: self.clone(), inode }) as Box<dyn File>;
        let known = state.names.get(path).copied();
        match (access, known) {
            (Access::Create, None) => {
                let verdict = state.call(true)?;
                let id = state.next_inode;
                if matches!(verdict, Verdict::Go | Verdict::Half) || state.below(2) == 0 {
                    state.next_inode += 1;
                    state.inodes.insert(id, Inode::default());
                    state.set(path, Some(id));
                }
                match verdict {
                    Verdict::Part(error) => Err(error),
                    Verdict::Go | Verdict::Half => Ok(file(id)),
                }
            }
            (Access::Create, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (Access::Read | Access::Write, Some(id)) => match state.crashed {
                true => Err(io::Error::other("simulated crash")),
                false => Ok(file(id)),
            },
            (Access::Read | Access::Write, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let verdict = state.call(false)?;
        let id = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        if matches!(verdict, Verdict::Go | Verdict::Half) || state.below(2) == 0 {
            state.names.remove(from);
            state.renames.push(Rename { path: from.to_path_buf(), inode: None });
            state.set(to, Some(id));
        }
        match verdict {
            Verdict::Part(error) => Err(error),
            Verdict::Go | Verdict::Half => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.crashed && !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let verdict = state.call(false)?;
        if matches!(verdict, Verdict::Go | Verdict::Half) || state.below(2) == 0 {
            state.set(path, None);
        }
        match verdict {
            Verdict::Part(error) => Err(error),
            Verdict::Go | Verdict::Half => Ok(()),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        match state.call(false)? {
            Verdict::Part(error) => {
                if state.below(2) == 0 {
                    state.sync_dir(dir);
                }
                Err(error)
            }
            Verdict::Go | Verdict::Half => {
                state.sync_dir(dir);
                Ok(())
            }
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        match self.0.lock().locks.insert(path.to_path_buf()) {
            true => Ok(Box::new(SimulatedLock { disk: self.clone(), path: path.to_path_buf() })),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
}

impl File for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        if state.crashed {
            return Err(io::Error::other("simulated crash"));
        }
        let bytes = state.inodes.get(&self.inode).map_or(&[][..], |inode| &inode.current);
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let there = rest.len().min(buffer.len());
        buffer[..there].copy_from_slice(&rest[..there]);
        Ok(there)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.0.lock();
        let verdict = state.call(true)?;
        let part = state.below(bytes.len() as u64 + 1) as usize;
        let fits = state.room_for(self.inode, offset, bytes.len());
        if fits < bytes.len() && matches!(verdict, Verdict::Go) {
            let Some(inode) = state.inodes.get_mut(&self.inode).filter(|_| fits > 0) else {
                return Err(io::ErrorKind::StorageFull.into());
            };
            inode.write(&bytes[..fits], offset as usize);
            return Ok(fits);
        }
        let Some(inode) = state.inodes.get_mut(&self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match verdict {
            Verdict::Go => inode.write(bytes, offset as usize),
            Verdict::Half => {
                let half = bytes.len().div_ceil(2);
                inode.write(&bytes[..half], offset as usize);
                return Ok(half);
            }
            Verdict::Part(error) => {
                inode.write(&bytes[..part], offset as usize);
                return Err(error);
            }
        }
        Ok(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        match state.call(false)? {
            Verdict::Part(error) => {
                // The cache counts the sectors as written, and goes on showing them.
                state.keep_some(self.inode);
                Err(error)
            }
            Verdict::Go | Verdict::Half => {
                if let Some(inode) = state.inodes.get_mut(&self.inode) {
                    inode.durable = inode.current.clone();
                    inode.unsynced.clear();
                }
                Ok(())
            }
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().inodes.get(&self.inode).map_or(0, |inode| inode.current.len() as u64))
    }

    fn forget_cached(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        if let Some(inode) = state.inodes.get_mut(&self.inode)
            && inode.unsynced.is_empty()
        {
            inode.current = inode.durable.clone();
        }
        Ok(())
    }
}

struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl Lock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}
