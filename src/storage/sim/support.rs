//! Directories, engines, batches and reads for the tests of this crate.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use base::clock::ManualClock;
use base::metrics::Metrics;
use base::rng::Rng;
use model::{
    AppendError, AppendReport, Appender, Hints, Histogram, Labels, Matcher, ResetHint, SampleKind,
    Samples, Source, SourceError, TenantId, TimeRange, histogram,
};

use super::disk::{Disk, DiskInMemory};
use super::objects::ObjectsInMemory;
use crate::engine::Engine;
use crate::error::StorageError;
use crate::options::EngineOptions;
use parking_lot::Mutex;

use crate::wal::file::{DiskFiles, FileBytes, LogFile, LogFiles};

pub(crate) const HOUR: i64 = 3_600_000;
/// Where the tests live: the start of a 12 h range.
pub(crate) const START: i64 = 1_700_006_400_000 / (36 * HOUR * 2) * (36 * HOUR * 2);

/// A directory that goes with the test.
pub(crate) struct TestDir {
    path: PathBuf,
    is_owned: bool,
}

impl TestDir {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tributary-storage-{}-{number}", std::process::id());
        // Memory where there is such a thing: hundreds of crashes should not wear out a disk.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self { path, is_owned: true }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory inside this one, which goes with this one.
    pub(crate) fn inside(&self, name: &str) -> TestDir {
        TestDir { path: self.path.join(name), is_owned: false }
    }

    /// What a crash at this moment would leave.
    pub(crate) fn copy(&self) -> TestDir {
        let copy = TestDir::new();
        copy_dir(&self.path, &copy.path);
        copy
    }

    /// All files with this ending, sorted.
    pub(crate) fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.path, &mut |path| {
            if path.to_str().unwrap().ends_with(ending) {
                found.push(path.to_owned());
            }
        });
        found.sort();
        found
    }
}

impl TestDir {
    /// The directories of blocks, whatever is in them, sorted.
    pub(crate) fn block_dirs(&self) -> Vec<PathBuf> {
        let mut dirs = vec![self.path.join("objects/blocks")];
        for _ in ["tenant", "shard", "block"] {
            let entries = dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
            dirs = entries.map(|entry| entry.unwrap().path()).collect();
        }
        dirs.sort();
        dirs
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        if self.is_owned {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn walk(dir: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// An engine with its clock and metrics.
pub(crate) struct Store {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) fn options(dir: &TestDir) -> EngineOptions {
    EngineOptions { background: false, ..EngineOptions::new(dir.path()) }
}

impl Store {
    pub(crate) fn open(dir: &TestDir) -> Self {
        Self::open_with(options(dir), Arc::new(DiskFiles)).unwrap()
    }

    pub(crate) fn open_with(
        options: EngineOptions,
        files: Arc<dyn LogFiles>,
    ) -> Result<Self, StorageError> {
        let clock = Arc::new(ManualClock::new(START));
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::open_with(options, clock.clone(), metrics.clone(), files)?;
        Ok(Self { engine, clock, metrics })
    }

    /// A store whose files and objects are in memory; only its lock is in `options.data_dir`.
    pub(crate) fn open_in_memory(
        options: EngineOptions,
        disk: &Arc<Mutex<Disk>>,
        objects: &ObjectsInMemory,
        now_ms: i64,
    ) -> Result<Self, StorageError> {
        let clock = Arc::new(ManualClock::new(now_ms));
        let metrics = Arc::new(Metrics::default());
        let files = Arc::new(DiskInMemory(disk.clone()));
        let opened = || Ok(objects.opened());
        let engine = Engine::open_on(options, clock.clone(), metrics.clone(), files, opened)?;
        Ok(Self { engine, clock, metrics })
    }

    /// Appends rows of (labels, samples).
    pub(crate) fn append(&self, rows: &[Row]) -> Result<AppendReport, AppendError> {
        self.append_for(TenantId::DEFAULT, rows)
    }

    pub(crate) fn append_for(
        &self,
        tenant: TenantId,
        rows: &[Row],
    ) -> Result<AppendReport, AppendError> {
        let mut batch = self.engine.batch(tenant);
        for (labels, samples) in rows {
            batch.begin_row();
            batch.set_labels(labels.view());
            for (ts, kind, bits) in samples {
                match kind {
                    SampleKind::Histogram => {
                        batch.push_histogram(*ts, &histogram_of(*bits)).unwrap();
                    }
                    kind => batch.push_bits(*ts, *kind, *bits),
                }
                batch.set_start(start_of(*bits));
            }
        }
        wait(self.engine.append(batch))
    }

    /// Everything that a tenant has: labels → time → (kind, bits).
    pub(crate) fn dump(&self) -> Content {
        self.read(TenantId::DEFAULT, &[], TimeRange::ALL).unwrap()
    }

    pub(crate) fn read(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Content, SourceError> {
        let hints = Hints {
            tenant,
            sorted: true,
            integers: true,
            histograms: true,
            starts: true,
            ..Hints::default()
        };
        let selection = self.engine.select(matchers, range, &hints)?;
        let mut content = Content::new();
        let mut previous: Option<Labels> = None;
        let mut reader = selection.reader();
        for index in 0..selection.len() {
            let labels = selection.labels(index);
            let (mut some, mut expected) = (Vec::new(), Vec::new());
            selection.put_labels(index, &["host".to_owned()], &mut some);
            labels.view().put_some(&mut expected, |name| name == "host");
            assert_eq!(some, expected, "{labels}");
            assert!(previous.is_none_or(|previous| previous < labels), "not sorted: {labels}");
            previous = Some(labels.clone());
            let mut samples = Samples::default();
            reader.read_in_order(index, selection.len(), &mut samples)?;
            let of_series = points(&samples);
            if !of_series.is_empty() {
                content.insert(labels, of_series);
            }
        }
        Ok(content)
    }
}

pub(crate) type Row = (Labels, Vec<(i64, SampleKind, u64)>);
pub(crate) type Points = BTreeMap<i64, (SampleKind, u64)>;
pub(crate) type Content = BTreeMap<Labels, Points>;

pub(crate) fn points(samples: &Samples) -> Points {
    assert!(samples.timestamps.is_sorted_by(|a, b| a < b), "not ascending and unique");
    let at = |index: usize| {
        let point = match (samples.integers.get(index), samples.histogram(index)) {
            (Some(Some(integer)), _) => (SampleKind::Integer, *integer as u64),
            (_, Some(histogram)) => (SampleKind::Histogram, seed_of(histogram)),
            _ => (SampleKind::Float, samples.values[index].to_bits()),
        };
        let start = samples.starts.get(index).copied().unwrap_or(0);
        assert_eq!(start, start_of(point.1), "{point:?}");
        point
    };
    samples.timestamps.iter().enumerate().map(|(index, ts)| (*ts, at(index))).collect()
}

/// When the counting of the sample with these bits began.
fn start_of(bits: u64) -> i64 {
    if bits % 5 < 2 { START - (bits % 3) as i64 } else { 0 }
}

/// The histogram that `seed` stands for; its sum tells the seed.
fn histogram_of(seed: u64) -> Histogram {
    let histogram = histogram::testing::random(&mut Rng::new(seed));
    Histogram { sum: seed as f64, ..histogram }
}

/// The seed of a histogram, which is otherwise what was written; what is known of resets may change.
fn seed_of(histogram: &Histogram) -> u64 {
    let seed = histogram.sum as u64;
    let mut want = histogram_of(seed);
    if want.reset_hint != ResetHint::Gauge {
        want.reset_hint = histogram.reset_hint;
    }
    assert!(histogram::testing::same_bits(histogram, &want), "{histogram:?} {want:?}");
    seed
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn series(number: u64) -> Labels {
    let (name, host) = (format!("metric_{}", number % 7), format!("host-{number}"));
    Labels::from_pairs([("__name__", name.as_str()), ("host", host.as_str())])
}

pub(crate) fn floats(number: u64, samples: &[(i64, f64)]) -> Row {
    let samples = samples.iter().map(|(ts, v)| (*ts, SampleKind::Float, v.to_bits()));
    (series(number), samples.collect())
}

/// Adds what was acknowledged to `content`.
pub(crate) fn remember(content: &mut Content, rows: &[Row]) {
    for (labels, samples) in rows {
        let series = content.entry(labels.clone()).or_default();
        series.extend(samples.iter().map(|(ts, kind, bits)| (*ts, (*kind, *bits))));
    }
}

/// Log files that fail on demand.
#[derive(Debug, Default)]
pub(crate) struct FaultyFiles {
    /// Bytes that can still be written; negative is endless.
    pub(crate) room: Arc<AtomicI64>,
    /// Syncs fail.
    pub(crate) no_sync: Arc<AtomicBool>,
    /// Cuts fail.
    pub(crate) no_truncate: Arc<AtomicBool>,
}

impl FaultyFiles {
    pub(crate) fn new() -> Self {
        let files = Self::default();
        files.room.store(-1, Ordering::SeqCst);
        files
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn LogFile>,
    room: Arc<AtomicI64>,
    no_sync: Arc<AtomicBool>,
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

impl FaultyFiles {
    fn faulty(&self, inner: Box<dyn LogFile>) -> Box<dyn LogFile> {
        let (room, no_sync) = (self.room.clone(), self.no_sync.clone());
        Box::new(FaultyFile { inner, room, no_sync })
    }
}

impl LogFiles for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(self.faulty(DiskFiles.create(path)?))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(self.faulty(DiskFiles.reopen(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<FileBytes> {
        DiskFiles.read(path)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        DiskFiles.length(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        DiskFiles.list(dir)
    }

    fn sync_names(&self, dir: &Path) -> io::Result<()> {
        DiskFiles.sync_names(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        DiskFiles.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskFiles.rename(from, to)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        if self.no_truncate.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        DiskFiles.truncate(path, length)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskFiles.remove(path)
    }
}

impl LogFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        if room < 0 {
            return self.inner.append(bytes);
        }
        let fits = bytes.len().min(room as usize);
        self.inner.append(&bytes[..fits])?;
        self.room.store(room - fits as i64, Ordering::SeqCst);
        if fits < bytes.len() { Err(full()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.no_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        self.inner.sync()
    }
}
