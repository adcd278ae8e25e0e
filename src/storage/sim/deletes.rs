//! What is deleted is gone at once, stays gone, leaves the disk, and may be written again.

use model::{Appender, Catalog, Matcher, TenantId, TimeRange};

use super::support::*;

fn host(number: u64) -> Matcher {
    Matcher::equal("host", format!("host-{number}"))
}

fn labels_of(store: &Store) -> (Vec<String>, Vec<String>) {
    let engine = &store.engine;
    let names = engine.label_names(TenantId::DEFAULT, &[], TimeRange::ALL).unwrap();
    let hosts = engine.label_values(TenantId::DEFAULT, "host", &[], TimeRange::ALL, "", 0).unwrap();
    (names, hosts)
}

#[test]
fn a_deleted_series_is_gone_everywhere_and_may_come_back() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let old = [floats(1, &[(START, 1.0)]), floats(2, &[(START, 2.0)])];
    store.append(&old).unwrap();
    store.engine.flush_now().unwrap();
    let new = [floats(1, &[(START + 10, 3.0)]), floats(2, &[(START + 10, 4.0)])];
    store.append(&new).unwrap();
    store.engine.delete(TenantId::DEFAULT, &[host(1)], TimeRange::ALL).unwrap();
    let mut want = Content::new();
    remember(&mut want, &[old[1].clone(), new[1].clone()]);
    assert_eq!(store.dump(), want);
    assert_eq!(labels_of(&store).1, ["host-2"]);
    drop(store);
    let store = Store::open(&dir);
    assert_eq!(store.dump(), want, "after a restart");
    let again = [floats(1, &[(START, 5.0)])];
    store.append(&again).unwrap();
    remember(&mut want, &again);
    assert_eq!(store.dump(), want, "written again");
    assert_eq!(labels_of(&store).1, ["host-1", "host-2"]);
    assert!(store.metrics.deletes.get() >= 0);
    store.engine.purge().unwrap();
    assert_eq!(store.metrics.deletes.get(), 0);
    assert_eq!(store.dump(), want, "rewritten");
    drop(store);
    assert_eq!(Store::open(&dir).dump(), want);
}

#[test]
fn a_range_goes_and_its_neighbours_stay() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    let rows = [floats(3, &[(START, 1.0), (START + 5, 2.0), (START + 9, 3.0)])];
    store.append(&rows).unwrap();
    let range = TimeRange::new(START + 5, START + 8);
    store.engine.delete(TenantId::DEFAULT, &[host(3)], range).unwrap();
    store.engine.delete(TenantId(7), &[host(3)], TimeRange::ALL).unwrap();
    let mut want = Content::new();
    remember(&mut want, &[floats(3, &[(START, 1.0), (START + 9, 3.0)])]);
    assert_eq!(store.dump(), want);
}

#[test]
fn deleted_bytes_leave_the_disk() {
    let dir = TestDir::new();
    let store = Store::open(&dir);
    store.append(&[floats(1, &[(START, 1.0)]), floats(2, &[(START, 2.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    let before = store.engine.status();
    store.engine.delete(TenantId::DEFAULT, &[host(1)], TimeRange::ALL).unwrap();
    let waiting = || {
        let metrics = &store.metrics;
        (metrics.deletes.get(), metrics.delete_blocks.get(), metrics.delete_bytes.get())
    };
    assert_eq!(waiting(), (1, 1, before.block_bytes as i64));
    assert_eq!(store.metrics.delete_rewritten_bytes.get(), 0);
    // Nobody has to ask: some time later the block is written anew.
    store.clock.set(START + HOUR);
    store.engine.maintain_now().unwrap();
    let after = store.engine.status();
    assert!(after.block_bytes < before.block_bytes, "{after:?}");
    assert_eq!(after.block_samples, 1);
    assert_eq!(waiting(), (0, 0, 0));
    assert_eq!(store.metrics.delete_rewritten_bytes.get(), before.block_bytes);
    store.engine.delete(TenantId::DEFAULT, &[host(2)], TimeRange::ALL).unwrap();
    store.engine.purge().unwrap();
    assert_eq!(store.engine.status().blocks, 0);
}
