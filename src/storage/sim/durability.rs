//! Acknowledged samples survive crashes, flushes, merges and their combination.

use model::{
    Appender, BucketSpan, Catalog, Hints, Histogram, HistogramBuckets, Matcher, ResetHint,
    SampleKind, Samples, Source, TenantId, TimeRange,
};

use super::support::*;
use crate::error::StorageError;
use crate::options::{EngineOptions, WalSync};

#[test]
fn samples_come_back_after_a_crash_a_drop_and_a_close() {
    let dir = TestDir::new();
    let mut want = Content::new();
    let kinds = [SampleKind::Float, SampleKind::Integer];
    let bits = [0x7ff0_0000_0000_0002, u64::MAX, (-0.0f64).to_bits(), 7, i64::MIN as u64];
    let rows: Vec<Row> = (0..50)
        .map(|number| {
            let at = |step: i64| {
                let kind = kinds[(number as usize + step as usize / 9) % 2];
                (START + step * 10_000, kind, bits[step as usize % 5])
            };
            (series(number), (0..300).map(at).collect())
        })
        .collect();
    let store = Store::open(&dir);
    store.append(&rows).unwrap();
    remember(&mut want, &rows);
    assert_eq!(store.dump(), want);
    let crashed = dir.copy();
    let after_crash = Store::open(&crashed);
    assert_eq!(after_crash.dump(), want);
    drop(store);
    let store = Store::open(&dir);
    assert_eq!(store.dump(), want);
    store.engine.close().unwrap();
    assert!(store.append(&rows).is_err());
    assert_eq!(store.dump(), want, "selections outlive the close");
    drop(store);
    assert_eq!(Store::open(&dir).dump(), want);
}

#[test]
fn an_interrupted_flush_or_merge_changes_nothing_and_is_repeated() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let mut want = Content::new();
    for round in 0..4 {
        let rows: Vec<Row> =
            (0..20).map(|number| floats(number, &[(START + round, round as f64)])).collect();
        store.append(&rows).unwrap();
        remember(&mut want, &rows);
        store.engine.interrupt(true);
        let flushed = store.engine.flush_now();
        assert!(matches!(flushed, Err(StorageError::Closed { .. })), "{flushed:?}");
        assert_eq!(dir.block_dirs().len(), round as usize, "what was begun is swept");
        assert_eq!(store.dump(), want);
        assert_eq!(Store::open(&dir.copy()).dump(), want);
        store.engine.interrupt(false);
        store.engine.flush_now().unwrap();
        assert_eq!(store.dump(), want);
    }
    store.clock.set(START + 100 * HOUR);
    store.engine.interrupt(true);
    let merged = store.engine.compact_now();
    assert!(matches!(merged, Err(StorageError::Closed { .. })), "{merged:?}");
    assert_eq!((dir.block_dirs().len(), store.dump()), (4, want.clone()));
    store.engine.interrupt(false);
    store.engine.compact_now().unwrap();
    assert_eq!((dir.files("chunks").len(), store.dump()), (1, want.clone()));
    drop(store);
    assert_eq!(Store::open(&dir).dump(), want);
}

#[test]
fn what_a_dead_process_was_writing_is_swept_at_the_start() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let row = floats(1, &[(START, 1.0)]);
    store.append(std::slice::from_ref(&row)).unwrap();
    store.engine.flush_now().unwrap();
    drop(store);
    let live = dir.block_dirs();
    // One that had just been begun, and one with a file that was not complete: object_store keeps such
    // under another name.
    for (id, file) in [("0".repeat(26), None), ("1".repeat(26), Some("chunks#1"))] {
        let begun = live[0].with_file_name(id);
        std::fs::create_dir(&begun).unwrap();
        file.iter().for_each(|file| std::fs::write(begun.join(file), "half").unwrap());
    }
    let foreign = live[0].with_file_name("lost+found");
    std::fs::create_dir(&foreign).unwrap();
    // A manifest between its writing and its renaming, and what is nobody's business.
    let manifests = dir.files(".json").into_iter().rfind(|path| !path.ends_with("meta.json"));
    let newest = manifests.unwrap();
    let staged =
        [newest.with_extension("json#1"), newest.with_file_name(format!("{:020}.json#12", 99))];
    let notes = newest.with_file_name("notes.json#1");
    staged.iter().chain([&notes]).for_each(|path| std::fs::write(path, "half").unwrap());
    let store = Store::open(&dir);
    assert_eq!(dir.block_dirs(), [live, vec![foreign]].concat(), "only blocks are deleted");
    assert!(staged.iter().all(|path| !path.exists()) && newest.exists() && notes.exists());
    assert_eq!(store.dump().len(), 1);
}

#[test]
fn an_interval_syncs_later_and_answers_at_once() {
    let dir = TestDir::new();
    let options = EngineOptions { wal_sync: WalSync::Interval(1), ..options(&dir) };
    let store = Store::open_with(options, std::sync::Arc::new(crate::DiskFiles)).unwrap();
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    store.engine.sync_now().unwrap();
    let crashed = dir.copy();
    assert_eq!(Store::open(&crashed).dump(), store.dump());
}

#[test]
fn tenants_do_not_see_each_other() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append_for(TenantId(1), &[floats(1, &[(START, 1.0)])]).unwrap();
    store.append_for(TenantId(2), &[floats(1, &[(START, 2.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    store.append_for(TenantId(2), &[floats(2, &[(START, 3.0)])]).unwrap();
    drop(store);
    let store = Store::open(&dir);
    let read = |tenant| store.read(TenantId(tenant), &[], TimeRange::ALL).unwrap();
    assert_eq!(read(0).len(), 0);
    assert_eq!(read(1)[&series(1)][&START].1, 1.0f64.to_bits());
    assert_eq!(read(2)[&series(1)][&START].1, 2.0f64.to_bits());
    assert_eq!(read(2).len(), 2);
}

#[test]
fn a_second_process_is_refused() {
    let dir = TestDir::new();
    let _store = Store::open(&dir);
    let second = Store::open_with(options(&dir), std::sync::Arc::new(crate::DiskFiles));
    assert!(matches!(second.err(), Some(StorageError::Locked { .. })));
}

#[test]
fn flushed_log_files_go_and_series_stay() {
    let dir = TestDir::new();
    let small = EngineOptions { wal_file_bytes: 4096, ..options(&dir) };
    let store = Store::open_with(small, std::sync::Arc::new(crate::DiskFiles)).unwrap();
    let mut want = Content::new();
    for step in 0..60 {
        let rows: Vec<Row> =
            (0..40).map(|n| floats(n, &[(START + step * 60_000, step as f64)])).collect();
        store.append(&rows).unwrap();
        remember(&mut want, &rows);
    }
    let before = dir.files(".wal").len();
    assert!(before >= 3, "{before}");
    store.engine.flush_now().unwrap();
    assert_eq!(dir.files(".wal").len(), 1);
    assert_eq!(dir.files(".series").len(), 1);
    // Series are only in the series file now; their new samples are only in the log.
    let rows: Vec<Row> = (0..40).map(|n| floats(n, &[(START + 2 * HOUR, 0.5)])).collect();
    store.append(&rows).unwrap();
    remember(&mut want, &rows);
    drop(store);
    let store = Store::open(&dir);
    assert_eq!(store.metrics.wal_corrupt_records.get(), 0);
    assert_eq!(store.dump(), want);
    assert_eq!(store.engine.status().head_samples, 40);
}

#[test]
fn selections_outlive_flush_merge_and_forgetting() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let rows: Vec<Row> = (0..20).map(|n| floats(n, &[(START, n as f64)])).collect();
    store.append(&rows).unwrap();
    let hints = Hints::default();
    let selection = store.engine.select(&[], TimeRange::ALL, &hints).unwrap();
    store.engine.flush_now().unwrap();
    store.clock.set(START + 40 * HOUR);
    store.engine.maintain_now().unwrap();
    assert_eq!(store.engine.status().head_series, 20, "the selection still names them");
    let check = |selection: &dyn model::Selection| {
        assert_eq!(selection.len(), 20);
        for index in 0..20 {
            let mut samples = Samples::default();
            selection.read(index, &mut samples).unwrap();
            let labels = selection.labels(index);
            let host = labels.get("host").unwrap().strip_prefix("host-").unwrap();
            assert_eq!(samples.values, [host.parse::<f64>().unwrap()]);
        }
    };
    check(&*selection);
    drop(selection);
    store.engine.maintain_now().unwrap();
    assert_eq!(store.engine.status().head_series, 0);
    // They come back under new numbers.
    store.append(&rows).unwrap();
    check(&*store.engine.select(&[], TimeRange::ALL, &hints).unwrap());
    drop(store);
    check(&*Store::open(&dir).engine.select(&[], TimeRange::ALL, &hints).unwrap());
}

#[test]
fn merges_shorten_the_list_and_change_no_answer() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let mut want = Content::new();
    for window in 0..8 {
        let at = START + window * 2 * HOUR;
        for part in 0..2 {
            let rows: Vec<Row> = (0..30)
                .map(|n| {
                    let sample = |i: i64| (at + i * 1000, (i * (part + 1)) as f64);
                    floats(n + 10 * part as u64, &(part..200).map(sample).collect::<Vec<_>>())
                })
                .collect();
            store.append(&rows).unwrap();
            remember(&mut want, &rows);
            store.engine.flush_now().unwrap();
        }
    }
    assert_eq!(store.engine.status().blocks, 16);
    store.clock.set(START + 100 * HOUR);
    let old = store.engine.select(&[], TimeRange::ALL, &Hints::default()).unwrap();
    store.engine.compact_now().unwrap();
    assert_eq!(store.engine.status().blocks, 1);
    assert_eq!(store.dump(), want);
    assert!(dir.files("meta.json").len() > 1, "a selection holds the old blocks");
    drop(old);
    store.engine.compact_now().unwrap();
    assert_eq!(dir.files("meta.json").len(), 1);
    drop(store);
    let store = Store::open(&dir);
    assert_eq!(store.dump(), want);
    let range = TimeRange::new(START + 5000, START + 2 * HOUR + 7000);
    for points in want.values_mut() {
        points.retain(|ts, _| range.contains(*ts));
    }
    want.retain(|_, points| !points.is_empty());
    assert_eq!(store.read(TenantId::DEFAULT, &[], range).unwrap(), want);
}

#[test]
fn names_and_values_come_from_head_and_blocks() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)]), floats(2, &[(START, 1.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    store.append(&[floats(2, &[(START + 1, 1.0)]), floats(3, &[(START, 1.0)])]).unwrap();
    let tenant = TenantId::DEFAULT;
    let names = store.engine.label_names(tenant, &[], TimeRange::ALL).unwrap();
    assert_eq!(names, ["__name__", "host"]);
    let values = |matchers: &[Matcher], prefix: &str, limit| {
        store.engine.label_values(tenant, "host", matchers, TimeRange::ALL, prefix, limit).unwrap()
    };
    assert_eq!(values(&[], "", 0), ["host-1", "host-2", "host-3"]);
    assert_eq!(values(&[], "host-", 2), ["host-1", "host-2"]);
    assert_eq!(values(&[Matcher::equal("__name__", "metric_3")], "", 0), ["host-3"]);
    let nothing = TimeRange::new(START - HOUR, START - 1);
    assert!(store.engine.label_names(tenant, &[], nothing).unwrap().is_empty());
}

/// The hints that a reader gets, which are Prometheus's: unknown for the first, then what comparing
/// says; the same from open buffers, sealed chunks, after a restart and from blocks.
#[test]
fn counter_resets_are_found_on_the_way_in() {
    let of = |count: f64| Histogram {
        count,
        sum: count,
        positive: HistogramBuckets {
            spans: vec![BucketSpan { offset: 1, length: 1 }],
            counts: vec![count],
        },
        ..Histogram::default()
    };
    let dir = TestDir::new();
    let mut store = Store::open(&dir);
    let mut batch = store.engine.batch(TenantId::DEFAULT);
    batch.begin_row();
    batch.set_labels(series(1).view());
    for index in 0..300 {
        // The counter begins anew at 150, which no seal falls on; the gauge at 250 is one by itself.
        let count = f64::from(if index < 150 { index } else { index - 150 });
        let reset_hint = if index == 250 { ResetHint::Gauge } else { ResetHint::Unknown };
        let histogram = Histogram { reset_hint, ..of(count) };
        batch.push_histogram(START + i64::from(index) * 1000, &histogram).unwrap();
    }
    wait(store.engine.append(batch)).unwrap();
    let hints = |store: &Store, from: i64| {
        let hints = Hints { histograms: true, ..Hints::default() };
        let range = TimeRange::new(START + from * 1000, i64::MAX);
        let selection = store.engine.select(&[], range, &hints).unwrap();
        let mut samples = Samples::default();
        selection.read(0, &mut samples).unwrap();
        let hint = |index| samples.histogram(index).unwrap().reset_hint;
        (0..samples.len()).map(hint).collect::<Vec<_>>()
    };
    let mut want = vec![ResetHint::NotReset; 300];
    want[0] = ResetHint::Unknown;
    want[150] = ResetHint::Reset;
    want[250] = ResetHint::Gauge;
    assert_eq!(hints(&store, 0), want);
    assert_eq!(hints(&store, 145), want[145..]);
    drop(store);
    store = Store::open(&dir);
    assert_eq!(hints(&store, 0), want);
    store.engine.flush_now().unwrap();
    assert_eq!(hints(&store, 0), want);
    // Whoever does not ask for histograms sees no sample of them.
    let selection = store.engine.select(&[], TimeRange::ALL, &Hints::default()).unwrap();
    let mut samples = Samples::default();
    selection.read(0, &mut samples).unwrap();
    assert!(samples.is_empty());
}

#[test]
fn a_restart_brings_back_no_series_whose_samples_are_in_blocks() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let mut want = Content::new();
    let write = |want: &mut Content, numbers: std::ops::Range<u64>, ts: i64| {
        let rows: Vec<Row> = numbers.map(|number| floats(number, &[(ts, 1.0)])).collect();
        store.append(&rows).unwrap();
        remember(want, &rows);
    };
    write(&mut want, 0..100, START);
    store.engine.flush_now().unwrap();
    write(&mut want, 90..110, START + 1);
    // The log still has all of them: its only file is needed.
    let reopened = Store::open(&dir.copy());
    assert_eq!(reopened.engine.status().head_series, 20);
    assert_eq!(reopened.dump(), want);
    // One that was forgotten is introduced to the log anew.
    let rows = [floats(5, &[(START + 2, 1.0)]), floats(95, &[(START + 2, 1.0)])];
    let again = dir.copy();
    let store = Store::open(&again);
    store.append(&rows).unwrap();
    remember(&mut want, &rows);
    assert_eq!(Store::open(&again.copy()).dump(), want);
    assert_eq!(store.engine.status().head_series, 21);
}
