//! Copies hold what was there when they were taken, and are stores of their own.

use model::{Appender, DocumentChange, TenantId};

use super::support::*;

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
