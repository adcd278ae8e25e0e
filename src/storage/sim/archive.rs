//! Copies hold what was there when they were taken, and are stores of their own.

use model::{Appender, DocumentChange, TenantId};

use super::support::*;
use crate::archive::backup::{backup, backups, restore};

#[test]
fn a_snapshot_is_a_store_and_the_original_never_notices() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)]), floats(2, &[(START, 2.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    store.append(&[floats(1, &[(START + 5, 1.5)]), floats(3, &[(START, 3.0)])]).unwrap();
    let documents = store.engine.documents();
    documents.write(TenantId::DEFAULT, &[DocumentChange::put("t", "k", "v")]).unwrap();
    let want = store.dump();
    let with_head = store.engine.snapshot(true).unwrap();
    let without = store.engine.snapshot(false).unwrap();
    // What comes later is not in it, whatever becomes of the files.
    store.append(&[floats(4, &[(START, 4.0)])]).unwrap();
    store.engine.delete(TenantId::DEFAULT, &[], model::TimeRange::ALL).unwrap();
    store.engine.purge().unwrap();
    store.append(&[floats(5, &[(START, 5.0)])]).unwrap();
    documents.write(TenantId::DEFAULT, &[DocumentChange::remove("t", "k")]).unwrap();
    let later = store.dump();
    let snapshots = dir.inside("snapshots");
    let copy_dir = snapshots.inside(&with_head);
    for _ in 0..2 {
        let copy = Store::open(&copy_dir);
        assert_eq!(copy.dump(), want);
        let value = copy.engine.documents().get(TenantId::DEFAULT, "t", b"k");
        assert_eq!(value.as_deref(), Some(&b"v"[..]));
    }
    // The copy goes its own way.
    let copy = Store::open(&copy_dir);
    copy.append(&[floats(6, &[(START, 6.0)])]).unwrap();
    copy.engine.flush_now().unwrap();
    copy.clock.set(START + 100 * HOUR);
    copy.engine.compact_now().unwrap();
    let change = DocumentChange::put("t", "k", "w");
    copy.engine.documents().write(TenantId::DEFAULT, &[change]).unwrap();
    assert_eq!(copy.dump().len(), want.len() + 1);
    drop(copy);
    assert_eq!(store.dump(), later);
    // Without its head it has the blocks, and a log of its own that begins anew.
    let copy = Store::open(&snapshots.inside(&without));
    assert_eq!(copy.engine.status().block_samples, 2);
    let rows = [floats(1, &[(START + 7, 7.0)])];
    copy.append(&rows).unwrap();
    drop(copy);
    let got = Store::open(&snapshots.inside(&without)).dump();
    assert_eq!(got[&series(1)].len(), 2);
    drop((store, documents));
    assert_eq!(Store::open(&dir).dump(), later);
}

#[test]
fn a_snapshot_that_fails_leaves_nothing() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    std::fs::write(dir.path().join("snapshots"), b"in the way").unwrap();
    let error = store.engine.snapshot(true).err().unwrap().to_string();
    assert!(error.contains("snapshots"), "{error}");
    std::fs::remove_file(dir.path().join("snapshots")).unwrap();
    store.engine.flush_now().unwrap();
    let chunks = dir.files("chunks").remove(0);
    std::fs::remove_file(&chunks).unwrap();
    assert!(store.engine.snapshot(true).is_err());
    assert_eq!(std::fs::read_dir(dir.path().join("snapshots")).unwrap().count(), 0);
}

#[test]
fn backups_take_what_changed_and_come_back_whole() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let samples: Vec<(i64, f64)> = (0..3000).map(|i| (START + i * 997, i as f64 * 0.3)).collect();
    let rows: Vec<Row> = (0..20).map(|n| floats(n, &samples)).collect();
    store.append(&rows).unwrap();
    store.engine.flush_now().unwrap();
    store.append(&[floats(50, &[(START + HOUR, 1.0)])]).unwrap();
    let first = store.dump();
    let copy =
        |store: &Store| dir.inside("snapshots").inside(&store.engine.snapshot(true).unwrap());
    let place = TestDir::new();
    let url = place.path().to_str().unwrap();
    let error = backup(dir.path(), url, 0, START).err().unwrap().to_string();
    assert!(error.contains("another process"), "{error}");
    let one = backup(copy(&store).path(), url, 0, START).unwrap();
    assert_eq!(one.sent_bytes, one.bytes);
    store.append(&[floats(51, &[(START + HOUR, 1.0)])]).unwrap();
    let second = store.dump();
    let two = backup(copy(&store).path(), url, 0, START + HOUR).unwrap();
    assert!(two.sent_bytes * 5 < two.bytes, "{two:?}");
    assert_eq!(backups(url).unwrap(), [one.name.clone(), two.name.clone()]);
    // The newest, and an older one.
    let home = TestDir::new();
    for (name, want) in [(None, &second), (Some(one.name.as_str()), &first)] {
        let target = home.inside(name.unwrap_or("newest"));
        let done = restore(url, name, target.path()).unwrap();
        assert!(done.bytes > 0);
        assert!(restore(url, name, target.path()).is_err(), "there is something already");
        assert!(crate::verify::verify(target.path()).unwrap().findings.is_empty());
        assert_eq!(Store::open(&target).dump(), *want);
    }
    // What nobody needs goes with the last backup that did.
    store.engine.flush_now().unwrap();
    store.clock.set(START + 100 * HOUR);
    store.engine.compact_now().unwrap();
    let before = place.files("").len();
    let three = backup(copy(&store).path(), url, 1, START + 2 * HOUR).unwrap();
    assert_eq!((three.removed, backups(url).unwrap()), (2, vec![three.name.clone()]));
    assert!(place.files("").len() < before);
    let target = home.inside("third");
    restore(url, None, target.path()).unwrap();
    assert_eq!(Store::open(&target).dump(), store.dump());
}

#[test]
fn the_newest_backup_is_the_last_one_made_whatever_the_clock_says() {
    let dir = TestDir::new();
    let place = TestDir::new();
    let url = place.path().to_str().unwrap();
    let mut names = Vec::new();
    for (at, now_ms) in [START, START, START, START - HOUR, START + 1].into_iter().enumerate() {
        let store = Store::open(&dir);
        store.append(&[floats(at as u64, &[(START, 1.0)])]).unwrap();
        drop(store);
        names.push(backup(dir.path(), url, 0, now_ms).unwrap().name);
        assert_eq!(backups(url).unwrap(), names);
    }
    let last = backup(dir.path(), url, 1, START - 2 * HOUR).unwrap();
    assert_eq!((last.removed, backups(url).unwrap()), (5, vec![last.name.clone()]));
    let home = TestDir::new();
    let target = home.inside("newest");
    assert_eq!(restore(url, None, target.path()).unwrap().name, last.name);
    assert_eq!(Store::open(&target).dump().len(), 5);
}

#[test]
fn a_damaged_backup_is_refused() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    drop(store);
    let place = TestDir::new();
    let url = place.path().to_str().unwrap();
    backup(dir.path(), url, 0, START).unwrap();
    let home = TestDir::new();
    for file in place.files("") {
        let bytes = std::fs::read(&file).unwrap();
        let mut changed = bytes.clone();
        let Some(byte) = changed.first_mut() else { continue };
        *byte ^= 1;
        std::fs::write(&file, changed).unwrap();
        let target = home.inside("store");
        let error = restore(url, None, target.path()).err().unwrap().to_string();
        assert!(error.contains("is damaged at byte"), "{error}");
        assert!(!target.path().exists());
        std::fs::write(&file, bytes).unwrap();
    }
}
