//! Every byte of a store's files counts: a changed one is found by `verify`, named, and `repair`
//! keeps the rest.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Appender, DocumentChange, Matcher, TenantId, TimeRange};

use super::rollups;
use super::support::*;
use crate::repair::repair;
use crate::verify::verify;

/// A store with a block of two days, one of a window, one of summaries, a delete, documents, and a log with
/// series of an older file.
fn small_store(dir: &TestDir) -> Content {
    let store = rollups::open(dir, vec![rollups::rule("metric_2", &[HOUR])], None);
    let mut want = Content::new();
    for window in 0..3 {
        let at = START + window * 2 * HOUR;
        let samples = |n: u64| {
            (0..20).map(|i| (at + i * 1000, (n as f64) * 0.1 + i as f64)).collect::<Vec<_>>()
        };
        let rows: Vec<Row> = (0..4).map(|n| floats(n, &samples(n))).collect();
        store.append(&rows).unwrap();
        remember(&mut want, &rows);
        store.engine.flush_now().unwrap();
        if window == 1 {
            store.clock.set(START + 30 * HOUR);
            store.engine.compact_now().unwrap();
        }
    }
    let rows = [floats(1, &[(START + 7 * HOUR, 1.0)]), floats(9, &[(START + 7 * HOUR, 2.0)])];
    store.append(&rows).unwrap();
    remember(&mut want, &rows);
    store.append(&[floats(9, &[(START + 7 * HOUR + 1, 3.0)])]).unwrap();
    remember(&mut want, &[floats(9, &[(START + 7 * HOUR + 1, 3.0)])]);
    let range = TimeRange::new(START, START + 4000);
    store.engine.delete(TenantId::DEFAULT, &[Matcher::equal("host", "host-2")], range).unwrap();
    want.get_mut(&series(2)).unwrap().retain(|at_ms, _| !range.contains(*at_ms));
    let documents = store.engine.documents();
    for key in ["a", "b", "c"] {
        documents.write(TenantId::DEFAULT, &[DocumentChange::put("t", key, "value")]).unwrap();
    }
    assert_eq!(store.dump(), want);
    assert!(store.metrics.rollups.get() > 0);
    want
}

/// True for a file of a block of samples.
fn is_of_samples(file: &Path) -> bool {
    let meta = file.parent().map(|dir| fs::read_to_string(dir.join("meta.json")));
    meta.is_some_and(|meta| meta.is_ok_and(|meta| !meta.contains("width_ms")))
}

fn files_of(dir: &TestDir) -> Vec<PathBuf> {
    let mut files = dir.files("");
    // The lock has no content that anybody reads.
    files.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
    files
}

fn flipped(dir: &TestDir, file: &Path, at: usize, mask: u8) -> (TestDir, PathBuf) {
    let copy = dir.copy();
    let path = copy.path().join(file.strip_prefix(dir.path()).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= mask;
    fs::write(&path, bytes).unwrap();
    (copy, path)
}

/// Every so many bytes one is changed; `LONG` tries them all.
fn stride(many: usize) -> usize {
    if std::env::var_os("LONG").is_some() { 1 } else { many }
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let dir = TestDir::new();
    small_store(&dir);
    let report = verify(dir.path()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(report.files > 10);
    for file in files_of(&dir) {
        let length = fs::metadata(&file).unwrap().len() as usize;
        for at in (0..length).step_by(stride(3)) {
            let mask = [0x01, 0x20, 0x80, 0xff][at % 4];
            let (copy, path) = flipped(&dir, &file, at, mask);
            let report = verify(copy.path()).unwrap();
            let is_named = report.findings.iter().any(|finding| finding.file == path);
            assert!(is_named, "{} byte {at}: {:?}", file.display(), report.findings);
        }
    }
}

#[test]
fn what_is_cut_off_or_missing_is_found() {
    let dir = TestDir::new();
    small_store(&dir);
    for file in files_of(&dir) {
        let length = fs::metadata(&file).unwrap().len();
        for left in [length - 1, length / 2] {
            let copy = dir.copy();
            let path = copy.path().join(file.strip_prefix(dir.path()).unwrap());
            fs::File::options().write(true).open(&path).unwrap().set_len(left).unwrap();
            assert!(!verify(copy.path()).unwrap().findings.is_empty(), "{} {left}", path.display());
        }
        if file.to_str().unwrap().contains("blocks") {
            let copy = dir.copy();
            let path = copy.path().join(file.strip_prefix(dir.path()).unwrap());
            fs::remove_file(&path).unwrap();
            assert!(!verify(copy.path()).unwrap().findings.is_empty(), "{}", path.display());
        }
    }
}

#[test]
fn a_repaired_store_is_whole_and_has_the_rest() {
    let dir = TestDir::new();
    let want = small_store(&dir);
    let total: usize = want.values().map(|points| points.len()).sum();
    for file in files_of(&dir) {
        let length = fs::metadata(&file).unwrap().len() as usize;
        let name = file.display();
        let is_block = name.to_string().contains("blocks");
        let keeps_samples = !is_of_samples(&file);
        for at in (0..length).step_by(stride(length / 12 + 1)) {
            let (copy, path) = flipped(&dir, &file, at, 0x10);
            let report = repair(copy.path(), START).unwrap();
            let kept = report.kept.expect("something was wrong");
            let original = kept.join(path.strip_prefix(copy.path()).unwrap());
            assert!(original.is_file(), "{name} {at}: no original at {}", original.display());
            assert!(!report.actions.is_empty());
            let after = verify(copy.path()).unwrap();
            assert!(after.findings.is_empty(), "{name} {at}: {:?}", after.findings);
            assert!(repair(copy.path(), START).unwrap().kept.is_none());
            let store = Store::open(&copy);
            let got = store.dump();
            assert_eq!(store.metrics.corrupt_sections.get(), 0);
            if keeps_samples {
                // What was read of damaged summaries never passes for all.
                rollups::check(&store, i64::MIN, &format!("{name} {at}"));
            }
            let mut found = 0;
            for (labels, points) in &got {
                for (at_ms, point) in points {
                    let is_deleted = *labels == series(2) && *at_ms <= START + 4000;
                    let is_right = want[labels].get(at_ms) == Some(point);
                    // Only a manifest knows of a delete.
                    assert!(is_right || is_deleted, "{name} {at}: {labels} {at_ms}");
                    found += usize::from(is_right);
                }
            }
            let lost = total - found;
            let is_index = path.file_name().is_some_and(|name| name == "index");
            assert!(lost == 0 || !is_index, "{name} {at}: an index says everything twice");
            assert!(lost == 0 || is_block || name.to_string().contains("wal"), "{name} {at}");
            assert!(lost < total, "{name} {at}");
        }
    }
}

#[test]
fn a_running_store_is_not_verified() {
    let dir = TestDir::new();
    let _store = Store::open(&dir);
    let error = verify(dir.path()).err().unwrap().to_string();
    assert!(error.contains("another process"), "{error}");
}
