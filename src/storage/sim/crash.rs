//! Random lives of a store on a disk that fails, fills up, dies and rots.
//!
//! Method: one thread drives an engine, so that a seed is one life (`SEED=17 cargo test -p storage
//! crash` shows it again); every operation on the disk may fail or be the process's last; after each
//! death the next process must have what was acknowledged, exactly, and nothing that was refused or
//! deleted. `SIM_SEEDS` sets the number of lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::error::{Classify as _, ErrorKind};
use base::rng::Rng;
use model::{Appender, DocumentChange, TenantId, TimeRange};
use parking_lot::Mutex;

use super::disk::Disk;
use super::expected::Expected;
use super::objects::ObjectsInMemory;
use super::oracle::{random_delete, random_rows};
use super::rollups;
use super::support::*;
use crate::error::StorageError;
use crate::options::EngineOptions;

/// Lives of one run of the tests.
const SEEDS: u64 = 100;
/// Lives at once: each waits for its own threads most of the time.
const AT_ONCE: usize = 4;
/// What one life does.
const STEPS: u64 = 40;
/// Table of the documents.
const TABLE: &str = "simulated";

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// It closes.
    Orderly,
    /// It is killed: what it has written stays in the memory of the system.
    Killed,
    /// The machine is: what was not synced may be gone.
    PowerFailure,
}

/// One life.
struct Life {
    seed: u64,
    rng: Rng,
    dir: TestDir,
    disk: Arc<Mutex<Disk>>,
    objects: ObjectsInMemory,
    retention_ms: Option<i64>,
    now_ms: i64,
    store: Option<Store>,
    expected: Expected,
    documents: BTreeMap<u64, u64>,
    doubtful: Vec<(u64, u64)>,
    step: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let disk = Arc::new(Mutex::new(Disk::new(rng.next_u64())));
        let objects = ObjectsInMemory::new(disk.clone());
        let retention_ms = rng.one_in(3).then_some(30 * HOUR);
        let expected = Expected::new();
        let mut life = Self {
            seed,
            rng,
            dir: TestDir::new(),
            disk,
            objects,
            retention_ms,
            now_ms: START,
            store: None,
            expected,
            documents: BTreeMap::new(),
            doubtful: Vec::new(),
            step: 0,
        };
        life.start();
        life
    }

    fn what(&self) -> String {
        format!("seed {} step {}", self.seed, self.step)
    }

    fn options(&mut self) -> EngineOptions {
        EngineOptions {
            wal_file_bytes: 4096,
            wal_bytes_max: 32 << 10,
            partitions_max: 4,
            retention_ms: self.retention_ms,
            rollup_rules: rollups::rules(),
            rollup_range_ms: rollups::RANGE,
            seed: Some(self.rng.next_u64()),
            ..options(&self.dir)
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn set_time(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.store().clock.set(now_ms);
        self.expected.earliest_ms = self.retention_ms.map_or(i64::MIN, |ms| now_ms - ms);
    }

    /// Starts a process; the disk may be the end of the first few.
    fn start(&mut self) {
        for attempt in 0.. {
            let options = self.options();
            if attempt < 3 && self.rng.one_in(4) {
                let mut disk = self.disk.lock();
                disk.dies_in = self.rng.one_in(2).then(|| 1 + self.rng.below(20));
                disk.fails_one_in = 10;
            }
            match Store::open_in_memory(options, &self.disk, &self.objects, self.now_ms) {
                Ok(store) => {
                    self.store = Some(store);
                    break;
                }
                Err(error) => {
                    let is_due = attempt < 3 && error.kind() == ErrorKind::Unavailable;
                    assert!(is_due, "{}: {error}", self.what());
                    self.end(Death::Killed);
                }
            }
        }
        // A death that did not come while it started does not come while it is looked at.
        let was_dead = self.disk.lock().is_dead;
        if was_dead {
            self.end(Death::PowerFailure);
            return self.start();
        }
        self.disk.lock().revive();
        self.expected.earliest_ms = self.retention_ms.map_or(i64::MIN, |ms| self.now_ms - ms);
        let got = self.store().dump();
        let what = self.what();
        self.expected.settle(got, &what);
        rollups::check(self.store(), self.expected.earliest_ms, &what);
        self.settle_documents();
        assert!(self.store().engine.status().is_writable, "{what}");
    }

    /// Ends the process, if there is one, and brings the disk back.
    fn end(&mut self, death: Death) {
        if death != Death::Orderly {
            self.disk.lock().is_dead = true;
        }
        self.store = None;
        let mut disk = self.disk.lock();
        if death == Death::PowerFailure {
            disk.lose_power();
        }
        disk.revive();
    }

    fn restart(&mut self, death: Death) {
        self.end(death);
        self.start();
    }

    /// Compares everything, while nothing fails.
    fn check(&mut self) {
        let before = {
            let mut disk = self.disk.lock();
            let before = (disk.fails_one_in, disk.dies_in, disk.room);
            (disk.fails_one_in, disk.dies_in, disk.room) = (0, None, None);
            before
        };
        self.expected.check(&self.store().dump(), &self.what());
        rollups::check(self.store(), self.expected.earliest_ms, &self.what());
        for (key, value) in &self.documents {
            assert_eq!(self.document(*key), Some(*value), "{} document {key}", self.what());
        }
        let mut disk = self.disk.lock();
        (disk.fails_one_in, disk.dies_in, disk.room) = before;
    }

    fn run(&mut self) {
        for step in 1..=STEPS {
            self.step = step;
            self.act();
            if self.disk.lock().is_dead {
                let death = [Death::Killed, Death::PowerFailure][self.rng.below(2) as usize];
                self.restart(death);
            } else if !self.store().engine.status().is_writable && self.rng.one_in(3) {
                // A failed disk is what people restart for.
                self.restart(Death::Killed);
            } else if self.rng.one_in(4) {
                self.check();
            }
        }
        self.disk.lock().revive();
        self.restart(Death::PowerFailure);
        self.store().engine.flush_now().unwrap();
        self.set_time(self.now_ms + 20 * HOUR);
        self.store().engine.compact_now().unwrap();
        self.check();
        self.restart(Death::Orderly);
        assert_eq!(self.store().metrics.corrupt_sections.get(), 0, "{}", self.what());
    }

    fn act(&mut self) {
        match self.rng.below(32) {
            0..=11 => self.append(),
            12 | 13 => self.try_to(|store| store.engine.flush_now()),
            14 => self.try_to(|store| store.engine.compact_now()),
            15..=17 => {
                let now_ms = self.now_ms + self.rng.below(4 * HOUR as u64) as i64;
                self.set_time(now_ms);
                self.try_to(|store| store.engine.maintain_now());
            }
            18 => self.restart(Death::Orderly),
            19 => self.restart(Death::Killed),
            20 | 21 => self.restart(Death::PowerFailure),
            22 | 23 => self.delete(),
            24 => self.try_to(|store| match store.engine.purge() {
                Ok(()) => Ok(()),
                Err(_) => Err(StorageError::Closed { action: "purge" }),
            }),
            25 | 26 => self.write_document(),
            27 | 28 => self.disk.lock().dies_in = Some(1 + self.rng.below(40)),
            29 => {
                let one_in = [0, 5, 20, 50][self.rng.below(4) as usize];
                self.disk.lock().fails_one_in = one_in;
            }
            30 => self.disk.lock().room = Some(self.rng.below(3000)),
            _ => self.disk.lock().room = None,
        }
    }

    /// Does what may fail, and must change no answer.
    fn try_to(&mut self, act: impl FnOnce(&Store) -> Result<(), StorageError>) {
        let calm = {
            let disk = self.disk.lock();
            disk.dies_in.is_none() && disk.fails_one_in == 0 && disk.room.is_none()
        };
        if let Err(error) = act(self.store()) {
            let is_due = !calm || matches!(error, StorageError::Fenced { .. });
            assert!(
                is_due || !self.store().engine.status().is_writable,
                "{}: {error}",
                self.what()
            );
        } else if calm {
            self.check();
        }
    }

    fn append(&mut self) {
        let mut rows = random_rows(&mut self.rng, self.now_ms);
        rows.truncate(4);
        for (labels, samples) in &mut rows {
            // Few series and few instants, so that the same one is written again and again.
            *labels = series(self.rng.below(6));
            samples.truncate(40);
            samples.iter_mut().for_each(|(at_ms, ..)| *at_ms -= at_ms.rem_euclid(10_000));
        }
        match self.store().append(&rows) {
            Ok(report) => self.expected.acknowledge(&rows, &report.rejects),
            Err(_) => {
                let disk = self.disk.lock();
                // A refused write is cut off at once; only a disk that refuses that too may keep it.
                if disk.is_dead || disk.is_uncut {
                    drop(disk);
                    self.expected.doubt(&rows);
                }
            }
        }
    }

    fn delete(&mut self) {
        let (matchers, range) = random_delete(&mut self.rng, self.now_ms);
        match self.store().engine.delete(TenantId::DEFAULT, &matchers, range) {
            Ok(()) => self.expected.delete(&matchers, range),
            Err(_) => self.expected.doubt_delete(&matchers, range),
        }
    }

    fn document(&self, key: u64) -> Option<u64> {
        let documents = self.store().engine.documents();
        let value = documents.get(TenantId::DEFAULT, TABLE, &key.to_le_bytes())?;
        Some(u64::from_le_bytes((*value).try_into().unwrap()))
    }

    fn write_document(&mut self) {
        let (key, value) = (self.rng.below(8), self.rng.next_u64());
        let change = DocumentChange::put(TABLE, key.to_le_bytes(), value.to_le_bytes());
        match self.store().engine.documents().write(TenantId::DEFAULT, &[change]) {
            Ok(()) => {
                self.documents.insert(key, value);
            }
            Err(_) => self.doubtful.push((key, value)),
        }
    }

    fn settle_documents(&mut self) {
        for key in 0..8 {
            let (found, want) = (self.document(key), self.documents.get(&key).copied());
            let is_doubted = found.is_some_and(|found| self.doubtful.contains(&(key, found)));
            assert!(found == want || is_doubted, "{} document {key}", self.what());
            if let Some(found) = found {
                self.documents.insert(key, found);
            }
        }
        self.doubtful.clear();
    }

    /// Lets a few bits change while nobody looks; whatever is missing afterwards was complained of.
    fn rot(&mut self) {
        self.disk.lock().revive();
        self.end(Death::Orderly);
        for _ in 0..1 + self.rng.below(3) {
            if self.rng.one_in(2) {
                self.objects.rot(&mut self.rng);
            } else {
                self.disk.lock().rot(&mut self.rng);
            }
        }
        let options = self.options();
        let what = format!("{} rotten", self.what());
        let store = match Store::open_in_memory(options, &self.disk, &self.objects, self.now_ms) {
            Ok(store) => store,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                return;
            }
        };
        let complaints = store.metrics.wal_corrupt_records.get()
            + store.metrics.corrupt_sections.get()
            + store.metrics.wal_cut_bytes.get();
        match store.read(TenantId::DEFAULT, &[], TimeRange::ALL) {
            Ok(got) => {
                let is_whole = self.expected.check_damaged(&got, &what);
                assert!(is_whole || complaints > 0, "{what}: samples are missing without a word");
            }
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("damaged at byte"), "{what}: {error}");
            }
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn seeds() -> std::ops::Range<u64> {
    let count = number("SIM_SEEDS").unwrap_or(SEEDS);
    match number("SEED") {
        Some(seed) => seed..seed + number("SIM_SEEDS").unwrap_or(1),
        None => 0..count,
    }
}

/// Lives `live` for every seed, some at once; a life that fails is named by its thread.
fn each_seed(live: impl Fn(u64) + Sync) {
    let seeds = Mutex::new(seeds());
    let worker = || {
        loop {
            let Some(seed) = seeds.lock().next() else { break };
            let thread = std::thread::Builder::new().name(format!("seed {seed}"));
            std::thread::scope(|scope| {
                thread.spawn_scoped(scope, || live(seed)).unwrap();
            });
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(worker))));
}

#[test]
fn crash_nothing_acknowledged_is_lost() {
    each_seed(|seed| Life::new(seed).run());
}

#[test]
fn crash_rotten_bytes_are_complained_of() {
    each_seed(|seed| {
        let mut life = Life::new(seed);
        for _ in 0..12 {
            life.append();
            if life.rng.one_in(4) {
                life.try_to(|store| store.engine.flush_now());
            }
        }
        life.rot();
    });
}
