//! Damage and failing disks: named, counted, contained; never a lost or an invented sample.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{AppendError, Hints, Samples, Source, TenantId, TimeRange};

use super::support::*;
use crate::inspect::inspect;

#[test]
fn a_tail_torn_at_any_byte_costs_the_last_write_only() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    let log = dir.files(".wal").remove(0);
    let before = fs::metadata(&log).unwrap().len();
    let first = store.dump();
    store.append(&[floats(1, &[(START + 1, 2.5)]), floats(2, &[(START, 3.0)])]).unwrap();
    let after = fs::metadata(&log).unwrap().len();
    drop(store);
    for length in before..after {
        let torn = dir.copy();
        let log = torn.files(".wal").remove(0);
        fs::File::options().write(true).open(&log).unwrap().set_len(length).unwrap();
        let store = Store::open(&torn);
        let mut got = store.dump();
        // The write is two records: the new series alone may have made it.
        got.retain(|_, points| !points.is_empty());
        assert_eq!(got, first, "cut at {length}");
        assert_eq!(store.metrics.wal_corrupt_records.get(), 0, "cut at {length}");
        store.append(&[floats(3, &[(START, 4.0)])]).unwrap();
        drop(store);
        assert_eq!(Store::open(&torn).dump().len(), 2, "cut at {length}");
    }
}

#[test]
fn a_flipped_byte_in_the_log_is_named_and_costs_its_record_only() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    for n in 0..3 {
        store.append(&[floats(n, &[(START, n as f64)])]).unwrap();
    }
    let want = store.dump();
    drop(store);
    let log = dir.files(".wal").remove(0);
    let bytes = fs::read(&log).unwrap();
    for at in 0..bytes.len() {
        let damaged = dir.copy();
        let log = damaged.files(".wal").remove(0);
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        fs::write(&log, &changed).unwrap();
        let mut text = Vec::new();
        let report = inspect(&log, &mut text, true).unwrap();
        // The file's last record with a changed length looks like an unfinished write.
        let text = String::from_utf8(text).unwrap();
        assert!(report.faults > 0 || text.contains("unfinished"), "{at}: {text}");
        let store = Store::open(&damaged);
        let got = store.dump();
        assert!(got.len() >= 2, "flip at {at} costs {} series", 3 - got.len());
        for (labels, points) in &got {
            assert_eq!(points, &want[labels], "flip at {at}");
        }
    }
}

#[test]
fn a_flipped_byte_in_a_block_is_named_and_stops_nothing_else() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let samples: Vec<(i64, f64)> = (0..50).map(|i| (START + i * 997, i as f64 * 0.37)).collect();
    store.append(&(0..5).map(|n| floats(n, &samples)).collect::<Vec<_>>()).unwrap();
    store.engine.flush_now().unwrap();
    let other = START + 2 * HOUR;
    store.append(&[floats(1, &[(other, 1.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    let want = store.dump();
    drop(store);
    let parts = [dir.files("chunks"), dir.files("index")].concat();
    // The second block's samples are read to see that they stay.
    let first: Vec<_> = parts.iter().filter(|p| fs::metadata(p).unwrap().len() > 0).collect();
    let mut detected = 0;
    for path in first {
        let bytes = fs::read(path).unwrap();
        for at in (0..bytes.len()).step_by(7) {
            let damaged = dir.copy();
            let place = damaged.path().join(path.strip_prefix(dir.path()).unwrap());
            let mut changed = bytes.clone();
            changed[at] ^= 0x04;
            fs::write(&place, &changed).unwrap();
            let mut text = Vec::new();
            let report = inspect(place.parent().unwrap(), &mut text, true).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(report.faults > 0, "{} at {at}: {text}", place.display());
            let store = Store::open(&damaged);
            for range in [TimeRange::new(START, other - 1), TimeRange::new(other, i64::MAX)] {
                match store.read(TenantId::DEFAULT, &[], range) {
                    Err(error) => {
                        let error = error.to_string();
                        assert!(error.contains("expected") && error.contains("/"), "{error}");
                        assert!(store.metrics.corrupt_sections.get() > 0);
                        detected += 1;
                    }
                    Ok(got) => {
                        for (labels, points) in &got {
                            for (ts, value) in points {
                                assert_eq!(want[labels].get(ts), Some(value), "flip at {at}");
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(detected > 10);
}

#[test]
fn a_damaged_manifest_stops_the_open_and_says_where() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    drop(store);
    let manifest = dir.files("1.json").remove(0);
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[30] ^= 1;
    fs::write(&manifest, bytes).unwrap();
    let error = Store::open_with(options(&dir), Arc::new(crate::DiskFiles)).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("manifest/s00000/") && text.contains("expected checksum line"), "{text}");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let dir = TestDir::new();
    let files = Arc::new(FaultyFiles::new());
    let store = Store::open_with(options(&dir), files.clone()).unwrap();
    let mut want = Content::new();
    let rows = [floats(1, &[(START, 1.0)])];
    store.append(&rows).unwrap();
    remember(&mut want, &rows);
    // However much of the group still fits, nothing of it may stay.
    for room in 0..120 {
        files.room.store(room, Ordering::SeqCst);
        let refused = store.append(&[floats(2, &[(START + room, 2.0)])]);
        if room < 60 {
            assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "room {room}");
            assert!(!store.engine.status().is_writable);
        } else if refused.is_ok() {
            remember(&mut want, &[floats(2, &[(START + room, 2.0)])]);
        }
        assert_eq!(store.dump(), want, "room {room}");
        assert_eq!(Store::open(&dir.copy()).dump().len(), want.len(), "room {room}");
    }
    files.room.store(-1, Ordering::SeqCst);
    let rows = [floats(2, &[(START + 500, 5.0)]), floats(3, &[(START, 3.0)])];
    store.append(&rows).unwrap();
    remember(&mut want, &rows);
    assert!(store.engine.status().is_writable);
    assert_eq!(store.dump(), want);
    drop(store);
    let store = Store::open(&dir);
    assert_eq!(store.dump(), want);
    assert_eq!(store.metrics.wal_corrupt_records.get(), 0);
}

#[test]
fn after_a_failed_sync_the_log_goes_on_in_a_new_file() {
    let dir = TestDir::new();
    let files = Arc::new(FaultyFiles::new());
    let store = Store::open_with(options(&dir), files.clone()).unwrap();
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    files.no_sync.store(true, Ordering::SeqCst);
    files.no_truncate.store(true, Ordering::SeqCst);
    assert!(store.append(&[floats(2, &[(START, 2.0)])]).is_err());
    files.no_sync.store(false, Ordering::SeqCst);
    // While the refused group cannot be cut off, nothing may follow it.
    assert!(store.append(&[floats(3, &[(START, 3.0)])]).is_err());
    files.no_truncate.store(false, Ordering::SeqCst);
    store.append(&[floats(4, &[(START, 4.0)])]).unwrap();
    let want = store.dump();
    assert_eq!(want.into_keys().collect::<Vec<_>>(), [series(1), series(4)]);
    assert_eq!(dir.files(".wal").len(), 2);
    drop(store);
    let got = Store::open(&dir).dump();
    assert_eq!(got.into_keys().collect::<Vec<_>>(), [series(1), series(4)]);
}

#[test]
fn a_failed_flush_keeps_the_head_and_is_tried_again() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    let want = store.dump();
    // A file where the blocks' directory should be.
    let blocks = dir.path().join("objects/blocks");
    let _ = fs::remove_dir_all(&blocks);
    fs::write(&blocks, b"in the way").unwrap();
    assert!(store.engine.flush_now().is_err());
    assert_eq!(store.metrics.flush_failures.get(), 1);
    assert!(dir.files("chunks").is_empty());
    assert_eq!(store.dump(), want);
    store.append(&[floats(1, &[(START, 2.0)])]).unwrap();
    fs::remove_file(&blocks).unwrap();
    store.engine.flush_now().unwrap();
    let hints = Hints::default();
    let selection = store.engine.select(&[], TimeRange::ALL, &hints).unwrap();
    let mut samples = Samples::default();
    selection.read(0, &mut samples).unwrap();
    assert_eq!(samples.values, [2.0], "the later write wins across frozen partitions");
    assert_eq!(store.engine.status().head_samples, 0);
}

#[test]
fn a_manifest_of_another_writer_stops_writes() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    let want = store.dump();
    let manifests = dir.path().join("objects/manifest/s00000");
    fs::create_dir_all(&manifests).unwrap();
    fs::write(manifests.join(format!("{:020}.json", 1)), b"not ours").unwrap();
    let error = store.engine.flush_now().err().unwrap();
    assert!(matches!(error, crate::StorageError::Fenced { number: 1 }), "{error}");
    assert!(store.append(&[floats(1, &[(START, 2.0)])]).is_err());
    assert_eq!(store.dump(), want, "reads go on");
}
