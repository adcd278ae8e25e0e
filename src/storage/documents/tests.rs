//! Every acknowledged write is there after every kind of end, and no refused one is.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::metrics::Metrics;
use base::rng::Rng;
use model::{DocumentChange, DocumentError, Documents, TenantId};
use parking_lot::Mutex;

use super::DocumentStore;
use crate::error::StorageError;
use crate::layout::Layout;
use crate::lock::DirLock;
use crate::sim::disk::{Disk, DiskInMemory};
use crate::sim::support::{FaultyFiles, TestDir};
use crate::wal::file::{DiskFiles, LogFiles};

const T: TenantId = TenantId(4);

fn open_with(
    dir: &TestDir,
    files: Arc<dyn LogFiles>,
    metrics: &Metrics,
    bytes_max: u64,
) -> Result<DocumentStore, StorageError> {
    let layout = Layout::new(dir.path(), 0);
    let lock = Arc::new(DirLock::acquire(&layout.lock())?);
    DocumentStore::open(layout, files, metrics, bytes_max, lock)
}

fn open(dir: &TestDir) -> DocumentStore {
    let metrics = Metrics::default();
    let store = open_with(dir, Arc::new(DiskFiles), &metrics, 1 << 30).unwrap();
    assert_eq!(metrics.wal_corrupt_records.get(), 0);
    store
}

fn dump(store: &DocumentStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let found = store.scan(T, "t", b"", b"", usize::MAX);
    found.into_iter().map(|(key, value)| (key, value.to_vec())).collect()
}

fn remember(want: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: &[DocumentChange]) {
    for change in changes {
        match &change.value {
            Some(value) => want.insert(change.key.clone(), value.clone()),
            None => want.remove(&change.key),
        };
    }
}

fn random_changes(rng: &mut Rng) -> Vec<DocumentChange> {
    let one = |rng: &mut Rng| {
        let key = vec![b'k', rng.below(20) as u8];
        let value = vec![rng.below(256) as u8; rng.below(3000) as usize];
        if rng.one_in(4) {
            DocumentChange::remove("t", key)
        } else {
            DocumentChange::put("t", key, value)
        }
    };
    (0..=rng.below(4)).map(|_| one(rng)).collect()
}

#[test]
fn what_is_acknowledged_is_there_after_every_reopen_and_files_stay_small() {
    let dir = TestDir::new();
    let (mut rng, mut want) = (Rng::new(11), BTreeMap::new());
    for step in 0..300 {
        let store = open(&dir);
        assert!(dump(&store) == want, "step {step}");
        for _ in 0..=rng.below(5) {
            let changes = random_changes(&mut rng);
            store.write(T, &changes).unwrap();
            remember(&mut want, &changes);
        }
        assert!(dump(&open(&dir.copy())) == want, "a crash in step {step}");
    }
    let files = dir.files(".documents");
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(fs::metadata(&files[0]).unwrap().len() < 300_000);
    assert!(files[0] > dir.path().join("documents/00000000000000000005.documents"));
}

#[test]
fn a_torn_tail_is_cut_and_leaves_whole_writes() {
    let dir = TestDir::new();
    let store = open(&dir);
    store.write(T, &[DocumentChange::put("t", "a", "1")]).unwrap();
    let file = dir.files(".documents").remove(0);
    let good = fs::metadata(&file).unwrap().len();
    let both = [DocumentChange::put("t", "a", "2"), DocumentChange::put("t", "b", "2")];
    store.write(T, &both).unwrap();
    let bytes = fs::read(&file).unwrap();
    drop(store);
    for length in 0..bytes.len() {
        fs::write(&file, &bytes[..length]).unwrap();
        let store = open(&dir);
        let all = dump(&store);
        assert_eq!(all.len(), usize::from(length as u64 >= good), "cut at {length}: {all:?}");
        store.write(T, &[DocumentChange::put("t", "c", "3")]).unwrap();
        drop(store);
        assert_eq!(dump(&open(&dir)).len(), all.len() + 1, "cut at {length}");
        for file in dir.files(".documents") {
            fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn a_flipped_byte_is_named_and_costs_one_write() {
    let dir = TestDir::new();
    let store = open(&dir);
    for key in ["a", "b", "c"] {
        store.write(T, &[DocumentChange::put("t", key, "value")]).unwrap();
    }
    drop(store);
    let bytes = fs::read(dir.files(".documents").remove(0)).unwrap();
    for at in 0..bytes.len() {
        let dir = TestDir::new();
        fs::create_dir_all(dir.path().join("documents")).unwrap();
        let file = dir.path().join("documents/00000000000000000001.documents");
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        fs::write(&file, &damaged).unwrap();
        let metrics = Metrics::default();
        let store = open_with(&dir, Arc::new(DiskFiles), &metrics, 1 << 30).unwrap();
        let left = dump(&store).len();
        // A broken length of the last write cannot be told from a write that never finished.
        let is_tail = left == 2 && metrics.wal_corrupt_records.get() == 0;
        assert!(is_tail || metrics.wal_corrupt_records.get() == 1, "byte {at}");
        assert!(left >= 2, "byte {at}: {left} left");
        assert_eq!(dir.files(".damaged").len(), usize::from(!is_tail), "byte {at}");
        store.write(T, &[DocumentChange::put("t", "d", "value")]).unwrap();
        drop(store);
        assert_eq!(dump(&open(&dir)).len(), left + 1, "byte {at}");
    }
}

#[test]
fn a_full_disk_refuses_whole_writes_and_recovers() {
    let dir = TestDir::new();
    let files = Arc::new(FaultyFiles::new());
    let metrics = Metrics::default();
    let store = open_with(&dir, files.clone(), &metrics, 1 << 30).unwrap();
    let (mut rng, mut want) = (Rng::new(5), BTreeMap::new());
    for round in 0..200 {
        let room = if rng.one_in(3) { rng.below(4000) as i64 } else { -1 };
        files.room.store(room, Ordering::SeqCst);
        files.no_sync.store(rng.one_in(5), Ordering::SeqCst);
        files.no_truncate.store(rng.one_in(5), Ordering::SeqCst);
        let changes = random_changes(&mut rng);
        let could_cut = !files.no_truncate.load(Ordering::SeqCst);
        match store.write(T, &changes) {
            Ok(()) => remember(&mut want, &changes),
            Err(DocumentError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(dump(&store) == want, "round {round}");
        if could_cut {
            assert!(dump(&open(&dir.copy())) == want, "a crash in round {round}");
        }
    }
}

#[test]
fn limits_refuse_growth_and_let_room_be_made() {
    let dir = TestDir::new();
    let metrics = Metrics::default();
    let store = open_with(&dir, Arc::new(DiskFiles), &metrics, 1000).unwrap();
    let put = |key: &str, bytes: usize| DocumentChange::put("t", key, vec![7; bytes]);
    store.write(T, &[put("a", 800)]).unwrap();
    let refused = store.write(T, &[put("b", 200)]);
    assert!(matches!(refused, Err(DocumentError::Full { max: 1000, .. })), "{refused:?}");
    store.write(T, &[put("a", 100)]).unwrap();
    store.write(T, &[put("b", 200), DocumentChange::remove("t", "a")]).unwrap();
    drop(store);
    // A smaller limit than what is there keeps it, and lets it be removed.
    let store = open_with(&dir, Arc::new(DiskFiles), &metrics, 10).unwrap();
    assert_eq!(dump(&store).len(), 1);
    assert!(store.write(T, &[put("c", 1)]).is_err());
    store.write(T, &[DocumentChange::remove("t", "b")]).unwrap();
}

#[test]
fn a_second_holder_of_the_directory_is_refused() {
    let dir = TestDir::new();
    let _store = open(&dir);
    let second = open_with(&dir, Arc::new(DiskFiles), &Metrics::default(), 1);
    assert!(matches!(second, Err(StorageError::Locked { .. })));
}

/// Files follow each other here while operations fail, so that names are made and not made durable.
#[test]
fn a_process_that_dies_and_then_a_machine_that_does_lose_nothing() {
    for seed in 0..400 {
        let (dir, mut rng) = (TestDir::new(), Rng::new(seed));
        let disk = Arc::new(Mutex::new(Disk::new(rng.next_u64())));
        let open = || {
            let files = Arc::new(DiskInMemory(disk.clone()));
            open_with(&dir, files, &Metrics::default(), 1 << 30).unwrap()
        };
        let get = |store: &DocumentStore| store.get(T, "t", b"k").map(|value| value[0]);
        // So large that a few of them make the file stale.
        let change = |value: u8| [DocumentChange::put("t", "k", vec![value; 30_000])];
        let store = open();
        store.write(T, &change(1)).unwrap();
        let (mut stored, mut refused) = (1, Vec::new());
        disk.lock().fails_one_in = 2 + rng.below(8);
        disk.lock().dies_in = rng.one_in(2).then(|| 1 + rng.below(60));
        for value in 2..20 {
            match store.write(T, &change(value)) {
                Ok(()) => (stored, refused) = (value, Vec::new()),
                Err(_) => refused.push(value),
            }
        }
        disk.lock().is_dead = true;
        drop(store);
        disk.lock().revive();
        let store = open();
        let found = get(&store).unwrap();
        assert!(found == stored || refused.contains(&found), "seed {seed}: {found}, not {stored}");
        store.write(T, &change(99)).unwrap();
        disk.lock().is_dead = true;
        drop(store);
        disk.lock().lose_power();
        disk.lock().revive();
        assert_eq!(get(&open()), Some(99), "seed {seed}");
    }
}
