//! What is refused, with which reason, and that its neighbours are stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::memory::MemoryWatch;
use model::histogram::HistogramBuckets;
use model::{
    Appender, Hints, Histogram, Labels, Matcher, RejectReason, Samples, Source, SourceError,
    TenantId, TimeRange,
};

use super::support::*;
use crate::options::EngineOptions;
use crate::retention::RetentionRule;

#[test]
fn samples_out_of_bounds_and_series_too_many_are_rejects() {
    let dir = TestDir::new();
    let options = EngineOptions {
        retention_ms: Some(HOUR),
        future_ms_max: Some(HOUR),
        series_max: Some(2),
        ..options(&dir)
    };
    let store = Store::open_with(options, Arc::new(crate::DiskFiles)).unwrap();
    let empty_name = model::LabelsRef::from_packed(&[0, 1, b'v']).to_labels();
    let rows = [
        floats(1, &[(START - HOUR - 1, 0.0), (START, 1.0), (START + HOUR + 1, 2.0)]),
        floats(2, &[(START + 2 * HOUR, 1.0)]),
        (empty_name, floats(0, &[(START, 1.0)]).1),
        floats(3, &[(START, 1.0)]),
        floats(4, &[(START, 1.0)]),
        floats(1, &[(START + 1, 1.5)]),
    ];
    let report = store.append(&rows).unwrap();
    assert_eq!(report.written, 3);
    let rejects: Vec<_> = report.rejects.iter().map(|r| (r.row, r.sample)).collect();
    assert_eq!(rejects, [(0, Some(0)), (0, Some(2)), (1, Some(0)), (2, None), (4, None)]);
    let min_ms = START - HOUR;
    let too_old = RejectReason::TooOld { timestamp_ms: min_ms - 1, min_ms };
    assert_eq!(report.rejects[0].reason, too_old);
    assert!(matches!(report.rejects[2].reason, RejectReason::TooFarInFuture { .. }));
    assert!(matches!(report.rejects[3].reason, RejectReason::Labels(_)));
    assert_eq!(report.rejects[4].reason, RejectReason::SeriesLimit { max: 2 });
    let got: Vec<Labels> = store.dump().into_keys().collect();
    assert_eq!(got, [series(1), series(3)]);
    assert_eq!(store.dump()[&series(1)].len(), 2);
}

/// From open buffers, sealed chunks, the log and blocks.
#[test]
fn a_series_longer_than_its_reader_has_room_for_is_not_read_to_its_end() {
    let dir = TestDir::new();
    let mut store = Store::open(&dir);
    let of = |count: f64| Histogram {
        count: count * 160.0,
        positive: HistogramBuckets::from_counts((0..160).map(|bucket| (bucket, count))),
        ..Histogram::default()
    };
    let mut batch = store.engine.batch(TenantId::DEFAULT);
    for number in [1, 2] {
        batch.begin_row();
        batch.set_labels(series(number).view());
        for index in 0..300 {
            let at_ms = START + i64::from(index) * 1000;
            match number {
                1 => batch.push_histogram(at_ms, &of(f64::from(index))).unwrap(),
                _ => batch.push_float(at_ms, f64::from(index)),
            }
        }
    }
    wait(store.engine.append(batch)).unwrap();
    let weight = 300 * of(1.0).weight() as u64;
    let check = |store: &Store| {
        let read = |number, samples_max| {
            let hints = Hints { histograms: true, samples_max, ..Hints::default() };
            let host = Matcher::equal("host", format!("host-{number}"));
            let selection = store.engine.select(&[host], TimeRange::ALL, &hints).unwrap();
            let mut samples = Samples::default();
            selection.read(0, &mut samples).map(|()| samples.len())
        };
        for samples_max in [0, weight + 300] {
            assert_eq!(read(1, samples_max).unwrap(), 300);
        }
        for samples_max in [1, weight / 20, weight / 2, weight - 1] {
            assert!(matches!(read(1, samples_max), Err(SourceError::TooLarge { .. })));
        }
        assert_eq!((read(2, 300).unwrap(), read(2, 299).is_err()), (300, true));
    };
    check(&store);
    drop(store);
    store = Store::open(&dir);
    check(&store);
    store.engine.flush_now().unwrap();
    check(&store);
}

#[test]
fn extreme_times_never_overflow() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let far = [i64::MIN, i64::MIN / 4 - 1, i64::MIN / 4, 0, -1, i64::MAX / 4, i64::MAX];
    let samples: Vec<(i64, f64)> = far.iter().map(|ts| (*ts, *ts as f64)).collect();
    let report = store.append(&[floats(1, &samples)]).unwrap();
    assert_eq!(report.written, 4);
    store.engine.flush_now().unwrap();
    store.engine.compact_now().unwrap();
    let times: Vec<i64> = store.dump()[&series(1)].keys().copied().collect();
    assert_eq!(times, [i64::MIN / 4, -1, 0, i64::MAX / 4]);
}

#[test]
fn old_samples_leave_with_their_blocks() {
    let dir = TestDir::new();
    let options = EngineOptions { retention_ms: Some(24 * HOUR), ..options(&dir) };
    let store = Store::open_with(options, Arc::new(crate::DiskFiles)).unwrap();
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    store.append(&[floats(2, &[(START + 1, 1.0)])]).unwrap();
    store.clock.set(START + 30 * HOUR);
    store.append(&[floats(3, &[(START + 29 * HOUR, 1.0)])]).unwrap();
    store.engine.maintain_now().unwrap();
    store.engine.maintain_now().unwrap();
    assert_eq!(store.dump().into_keys().collect::<Vec<_>>(), [series(3)]);
    assert_eq!(store.metrics.retention_deleted_blocks.get(), 1);
    assert_eq!(dir.files("meta.json").len(), 0);
    drop(store);
    assert_eq!(Store::open(&dir).dump().into_keys().collect::<Vec<_>>(), [series(3)]);
}

#[test]
fn some_series_are_kept_longer_and_some_shorter() {
    let dir = TestDir::new();
    let rule = |host: &str, keep_ms| RetentionRule {
        matchers: vec![Matcher::equal("host", host)],
        keep_ms,
    };
    let options = EngineOptions {
        retention_ms: Some(24 * HOUR),
        retention_rules: vec![rule("host-1", Some(6 * HOUR)), rule("host-2", None)],
        ..options(&dir)
    };
    let open = || Store::open_with(options.clone(), Arc::new(crate::DiskFiles)).unwrap();
    let store = open();
    let rows: Vec<Row> = (1..4).map(|n| floats(n, &[(START, 1.0), (START + 1, 2.0)])).collect();
    store.append(&rows).unwrap();
    store.engine.flush_now().unwrap();
    let hosts_after = |store: &Store, hours: i64| {
        store.clock.set(START + hours * HOUR);
        store.engine.maintain_now().unwrap();
        store.dump().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(hosts_after(&store, 5).len(), 3);
    assert_eq!(hosts_after(&store, 7), [series(2), series(3)]);
    assert_eq!(store.engine.status().block_samples, 4, "they are off the disk");
    assert_eq!(hosts_after(&store, 25), [series(2)]);
    assert_eq!(hosts_after(&store, 100_000), [series(2)]);
    // What a rule keeps for ever may be written for any time.
    store.append(&[floats(2, &[(START - HOUR, 0.5)])]).unwrap();
    assert_eq!(store.dump()[&series(2)].len(), 3);
    drop(store);
    assert_eq!(open().dump()[&series(2)].len(), 3);
}

#[test]
fn the_oldest_blocks_make_room() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let window = |n: i64| {
        let at = START + n * 2 * HOUR;
        floats(1, &(0..500).map(|i| (at + i * 1009, (i * i) as f64 * 0.77)).collect::<Vec<_>>())
    };
    for n in 0..6 {
        store.append(&[window(n)]).unwrap();
        store.engine.flush_now().unwrap();
    }
    let bytes = store.engine.status().block_bytes;
    let log = store.metrics.wal_size_bytes.get() as u64;
    drop(store);
    let limit = Some(log + bytes / 2 + 100);
    let options = EngineOptions { retention_bytes: limit, ..options(&dir) };
    let store = Store::open_with(options, Arc::new(crate::DiskFiles)).unwrap();
    store.engine.maintain_now().unwrap();
    store.engine.maintain_now().unwrap();
    let times: Vec<i64> = store.dump()[&series(1)].keys().copied().collect();
    assert_eq!((times.len(), times[0]), (3 * 500, START + 3 * 2 * HOUR));
    assert_eq!(dir.files("meta.json").len(), 3);
}

#[test]
fn a_head_beyond_its_limits_flushes_early_and_pushes_back() {
    let dir = TestDir::new();
    let options = EngineOptions { partitions_max: 2, ..options(&dir) };
    let store = Store::open_with(options, Arc::new(crate::DiskFiles)).unwrap();
    let window = |n: i64| floats(1, &[(START + n * 2 * HOUR, n as f64)]);
    for n in 0..17 {
        store.append(&[window(n)]).unwrap();
    }
    assert!(store.append(&[window(17)]).is_err(), "8 × 2 windows are passed");
    store.engine.maintain_now().unwrap();
    assert_eq!(store.engine.status().partitions, 2);
    store.append(&[window(17)]).unwrap();
    assert_eq!(store.dump()[&series(1)].len(), 18);
}

#[test]
fn impossible_options_are_named() {
    let dir = TestDir::new();
    for (bad, name) in [
        (EngineOptions { partition_ms: 0, ..options(&dir) }, "partition_ms"),
        (EngineOptions { wal_file_bytes: 1, ..options(&dir) }, "wal_file_bytes"),
        (EngineOptions { retention_ms: Some(0), ..options(&dir) }, "retention_ms"),
    ] {
        let error = Store::open_with(bad, Arc::new(crate::DiskFiles)).err().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// A store in a process that holds what `held` says, of so many bytes that it may.
fn limited(dir: &TestDir, limit: u64, held: fn() -> Option<u64>) -> Store {
    let memory = Arc::new(MemoryWatch::reading(limit, held));
    let options = EngineOptions { memory, ..options(dir) };
    Store::open_with(options, Arc::new(crate::DiskFiles)).unwrap()
}

/// Lets the process hold `bytes`, and waits until that is seen: a reading is good for some milliseconds.
fn hold(held: &AtomicU64, bytes: u64) {
    held.store(bytes, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(15));
}

#[test]
fn tight_memory_empties_the_head_and_full_memory_refuses() {
    static HELD: AtomicU64 = AtomicU64::new(0);
    let dir = TestDir::new();
    let store = limited(&dir, 5000, || Some(HELD.load(Ordering::SeqCst)));
    let hold = |bytes| hold(&HELD, bytes);
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    store.engine.maintain_now().unwrap();
    assert_eq!(store.engine.status().partitions, 1);
    hold(3200);
    store.engine.maintain_now().unwrap();
    assert_eq!(store.engine.status().partitions, 0, "written out");
    store.append(&[floats(1, &[(START + 1, 1.0)])]).unwrap();
    hold(4500);
    let refused = store.append(&[floats(1, &[(START + 2, 1.0)])]).err().unwrap();
    assert!(refused.to_string().contains("4500 of 5000 bytes"), "{refused}");
    hold(500);
    store.append(&[floats(1, &[(START + 2, 1.0)])]).unwrap();
    assert_eq!(store.dump()[&series(1)].len(), 3);
}

#[test]
fn a_head_of_many_series_and_few_samples_is_forgotten_for_the_sake_of_its_index() {
    static HELD: AtomicU64 = AtomicU64::new(0);
    const LIMIT: u64 = 16 << 20;
    let dir = TestDir::new();
    let store = limited(&dir, LIMIT, || Some(HELD.load(Ordering::SeqCst)));
    let hold = |percent: u64| hold(&HELD, LIMIT / 100 * percent);
    // A quarter of a megabyte of samples is not worth a flush, a megabyte of index is.
    let fill = |ts: i64| {
        let rows: Vec<_> = (0..6000).map(|number| floats(number, &[(ts, 1.0)])).collect();
        store.append(&rows).unwrap();
        store.engine.maintain_now().unwrap();
        store.engine.status().head_series
    };
    assert_eq!(fill(START), 6000, "memory is calm");
    hold(60);
    assert_eq!(fill(START + 1), 0);
    assert_eq!(fill(START + 2), 6000, "not again so soon");
    hold(80);
    store.engine.maintain_now().unwrap();
    assert_eq!(store.engine.status().head_series, 0, "full memory waits for nothing");
    hold(10);
    store.append(&[floats(7, &[(START + 3, 1.0)])]).unwrap();
    let dump = store.dump();
    assert_eq!((dump.len(), dump[&series(7)].len(), dump[&series(8)].len()), (6000, 4, 3));
}

#[test]
fn what_blocks_keep_of_the_head_is_claimed_once_and_shown() {
    static HELD: AtomicU64 = AtomicU64::new(0);
    const LIMIT: u64 = 16 << 20;
    let memory = Arc::new(MemoryWatch::reading(LIMIT, || Some(HELD.load(Ordering::SeqCst))));
    let dir = TestDir::new();
    let options = EngineOptions { memory: memory.clone(), ..options(&dir) };
    let store = Store::open_with(options, Arc::new(crate::DiskFiles)).unwrap();
    let rows: Vec<_> = (0..6000).map(|number| floats(number, &[(START, 1.0)])).collect();
    store.append(&rows).unwrap();
    store.engine.flush_now().unwrap();
    store.append(&[floats(7, &[(START + 1, 1.0)])]).unwrap();
    // One series of block and head, where there is so much room.
    let select = |room: u64| {
        HELD.store(LIMIT / 4 * 3 - memory.owed() - room, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(15));
        let matchers = [Matcher::equal("host", "host-7")];
        store.engine.select(&matchers, TimeRange::ALL, &Hints::default()).map(|found| found.len())
    };
    assert!(select(20_000).is_err());
    assert_eq!(select(30_000).unwrap(), 1);
    assert_eq!(select(20_000).unwrap(), 1, "they are there");
    store.engine.maintain_now().unwrap();
    assert_eq!(store.metrics.block_id_bytes.get(), 4 * 6000);
}

#[test]
fn where_memory_is_scarce_new_series_wait_and_others_go_on() {
    static HELD: AtomicU64 = AtomicU64::new(0);
    let dir = TestDir::new();
    let store = limited(&dir, 10_000, || Some(HELD.load(Ordering::SeqCst)));
    let hold = |bytes| hold(&HELD, bytes);
    let (known, new) = (|at| floats(1, &[(START + at, at as f64)]), floats(2, &[(START, 1.0)]));
    store.append(&[known(0)]).unwrap();
    hold(6600);
    store.append(&[known(1)]).unwrap();
    let refused = store.append(&[known(2), new.clone()]).err().unwrap();
    assert!(refused.to_string().contains("new series have to wait"), "{refused}");
    let other = store.append_for(TenantId(9), &[known(0)]).err().unwrap();
    assert!(other.to_string().contains("new series have to wait"), "{other}");
    let dump = store.dump();
    assert_eq!((dump.len(), dump[&series(1)].len()), (1, 2), "a refused batch leaves nothing");
    hold(6900);
    assert!(store.append(&[known(2)]).is_err(), "now nothing is taken");
    hold(500);
    store.append(&[known(2), new]).unwrap();
    drop(store);
    let dump = Store::open(&dir).dump();
    assert_eq!((dump.len(), dump[&series(1)].len()), (2, 3));
}
