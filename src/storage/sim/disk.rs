//! A disk in memory that behaves as badly as real ones may: operations fail with or without an
//! effect, the process dies between any two of them, and a power failure takes what was not synced,
//! in any order and in sectors.
//!
//! What is modelled: the content of a file is durable up to its last sync; a name (made, renamed,
//! removed) is durable once its directory was synced, and the changes of one directory reach the
//! disk in their order; a cut is durable when it returns.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::rng::Rng;
use parking_lot::Mutex;

use crate::wal::file::{FileBytes, LogFile, LogFiles};

/// Bytes that reach the disk together.
const SECTOR_BYTES: usize = 64;

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done.
    Fine,
    /// It reports an error, and may have been done in part.
    Fails,
}

/// A change of a directory that is not durable yet; `None` removes the name.
type NameChange = (PathBuf, Option<u64>);

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

/// The state of the disk.
#[derive(Debug)]
pub(crate) struct Disk {
    rng: Rng,
    files: HashMap<u64, Content>,
    next_file: u64,
    names: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    journal: BTreeMap<PathBuf, Vec<NameChange>>,
    /// Bytes that still fit; `None` is endless.
    pub(crate) room: Option<u64>,
    /// Operations until the process dies.
    pub(crate) dies_in: Option<u64>,
    /// The process is dead: nothing it still does has an effect.
    pub(crate) is_dead: bool,
    /// One in so many operations fails; 0 for none.
    pub(crate) fails_one_in: u64,
    /// A cut has failed: bytes of refused writes may still be there.
    pub(crate) is_uncut: bool,
    /// Operations so far.
    pub(crate) operations: u64,
}

fn broken() -> io::Error {
    io::Error::other("input/output error")
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no such file")
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            files: HashMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            journal: BTreeMap::new(),
            room: None,
            dies_in: None,
            is_dead: false,
            fails_one_in: 0,
            is_uncut: false,
            operations: 0,
        }
    }

    /// Decides about the next operation that changes something.
    pub(crate) fn step(&mut self) -> Verdict {
        self.operations += 1;
        if self.is_dead {
            return Verdict::Fails;
        }
        if let Some(left) = &mut self.dies_in {
            *left = left.saturating_sub(1);
            self.is_dead = *left == 0;
        }
        let fails = self.fails_one_in > 0 && self.rng.one_in(self.fails_one_in);
        if self.is_dead || fails { Verdict::Fails } else { Verdict::Fine }
    }

    /// True once in two: whether a failing operation had its effect.
    pub(crate) fn has_effect(&mut self) -> bool {
        self.rng.one_in(2)
    }

    /// Takes `bytes` of the room; false when they do not fit.
    pub(crate) fn take_room(&mut self, bytes: u64) -> bool {
        match &mut self.room {
            Some(room) if *room < bytes => false,
            Some(room) => {
                *room -= bytes;
                true
            }
            None => true,
        }
    }

    /// A new process: nothing fails until somebody says so.
    pub(crate) fn revive(&mut self) {
        (self.is_dead, self.dies_in, self.fails_one_in, self.room) = (false, None, 0, None);
        self.is_uncut = false;
    }

    /// Takes away what was not durable: of every directory's changes the last ones, of every
    /// file's tail any sectors.
    pub(crate) fn lose_power(&mut self) {
        for (_, changes) in std::mem::take(&mut self.journal) {
            let kept = self.rng.below(changes.len() as u64 + 1) as usize;
            for (path, file) in changes.into_iter().take(kept) {
                apply(&mut self.durable, path, file);
            }
        }
        self.names = self.durable.clone();
        // In the order of the files, for the seed to mean the same life every time.
        let mut numbers: Vec<u64> = self.files.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(content) = self.files.get_mut(&number) else { continue };
            let tail = content.bytes.len() - content.synced;
            let kept = content.synced + self.rng.below(tail as u64 + 1) as usize;
            content.bytes.truncate(kept);
            let mixes = self.rng.one_in(2);
            for sector in content.bytes[content.synced..].chunks_mut(SECTOR_BYTES) {
                if mixes && self.rng.one_in(3) {
                    sector.fill(0);
                }
            }
            content.synced = content.bytes.len();
        }
    }

    /// Changes one bit of a file; its name. `None` when there is no byte.
    pub(crate) fn rot(&mut self, rng: &mut Rng) -> Option<(PathBuf, usize)> {
        let filled = |number: &u64| self.files.get(number).is_some_and(|c| !c.bytes.is_empty());
        let all: Vec<(PathBuf, u64)> = self
            .names
            .iter()
            .filter(|(_, number)| filled(number))
            .map(|(path, number)| (path.clone(), *number))
            .collect();
        let (path, number) = all.get(rng.below(all.len() as u64) as usize)?.clone();
        let bytes = &mut self.files.get_mut(&number)?.bytes;
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << rng.below(8);
        Some((path, at))
    }

    fn change_name(&mut self, path: &Path, file: Option<u64>) {
        apply(&mut self.names, path.to_owned(), file);
        self.journal.entry(parent(path)).or_default().push((path.to_owned(), file));
    }

    fn sync_names(&mut self, dir: &Path) {
        for (path, file) in self.journal.remove(dir).unwrap_or_default() {
            apply(&mut self.durable, path, file);
        }
    }

    fn number(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(missing)
    }

    fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        if self.is_dead {
            return Err(broken());
        }
        let verdict = self.step();
        let fits = match self.room {
            Some(room) => bytes.len().min(room as usize),
            None => bytes.len(),
        };
        let written = match verdict {
            Verdict::Fine => fits,
            Verdict::Fails => self.rng.below(fits as u64 + 1) as usize,
        };
        self.take_room(written as u64);
        self.files.entry(number).or_default().bytes.extend_from_slice(&bytes[..written]);
        match verdict {
            Verdict::Fails => Err(broken()),
            Verdict::Fine if fits < bytes.len() => Err(full()),
            Verdict::Fine => Ok(()),
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, path: PathBuf, file: Option<u64>) {
    match file {
        Some(file) => names.insert(path, file),
        None => names.remove(&path),
    };
}

/// The log's file operations on a [`Disk`].
#[derive(Clone, Debug)]
pub(crate) struct DiskInMemory(pub(crate) Arc<Mutex<Disk>>);

impl DiskInMemory {
    /// Does `act`, which the disk may refuse before or after it.
    fn change<T>(&self, act: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.0.lock();
        let was_dead = disk.is_dead;
        if disk.step() == Verdict::Fine {
            return act(&mut disk);
        }
        if !was_dead && disk.has_effect() {
            act(&mut disk)?;
        }
        Err(broken())
    }

    fn read<T>(&self, act: impl FnOnce(&Disk) -> io::Result<T>) -> io::Result<T> {
        let disk = self.0.lock();
        if disk.is_dead { Err(broken()) } else { act(&disk) }
    }
}

#[derive(Debug)]
struct OpenFile(Arc<Mutex<Disk>>, u64);

impl LogFile for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().append(self.1, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let number = self.1;
        DiskInMemory(self.0.clone()).change(|disk| {
            let content = disk.files.get_mut(&number).ok_or_else(missing)?;
            content.synced = content.bytes.len();
            Ok(())
        })
    }
}

impl LogFiles for DiskInMemory {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let number = self.change(|disk| {
            if disk.names.contains_key(path) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "file exists"));
            }
            if disk.room == Some(0) {
                return Err(full());
            }
            disk.next_file += 1;
            let number = disk.next_file;
            disk.files.insert(number, Content::default());
            disk.change_name(path, Some(number));
            Ok(number)
        })?;
        self.change(|disk| {
            disk.sync_names(&parent(path));
            Ok(())
        })?;
        Ok(Box::new(OpenFile(self.0.clone(), number)))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let number = self.read(|disk| disk.number(path))?;
        Ok(Box::new(OpenFile(self.0.clone(), number)))
    }

    fn read(&self, path: &Path) -> io::Result<FileBytes> {
        self.read(|disk| {
            let number = disk.number(path)?;
            Ok(disk.files.get(&number).ok_or_else(missing)?.bytes.clone().into())
        })
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(LogFiles::read(self, path)?.len() as u64)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.read(|disk| {
            let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
            let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
            Ok(inside.filter_map(name).collect())
        })
    }

    fn sync_names(&self, dir: &Path) -> io::Result<()> {
        self.change(|disk| {
            disk.sync_names(dir);
            Ok(())
        })
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.change(|_| Ok(()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|disk| {
            let number = disk.number(from)?;
            // One entry of the journal of a real file system: both names change or none.
            disk.change_name(to, Some(number));
            disk.change_name(from, None);
            Ok(())
        })?;
        self.change(|disk| {
            disk.sync_names(&parent(to));
            Ok(())
        })
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let cut = self.change(|disk| {
            let number = disk.number(path)?;
            let content = disk.files.get_mut(&number).ok_or_else(missing)?;
            content.bytes.truncate(length as usize);
            content.synced = content.bytes.len();
            Ok(())
        });
        self.0.lock().is_uncut |= cut.is_err();
        cut
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|disk| {
            disk.number(path)?;
            disk.change_name(path, None);
            Ok(())
        })
    }
}
