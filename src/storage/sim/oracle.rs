//! Random writes, flushes, merges, crashes and restarts against a map that just remembers.

use base::rng::Rng;
use model::{
    Appender, Hints, Matcher, Pattern, SampleKind, Samples, Source, TenantId, TimeRange, ValueTest,
};

use super::rollups;
use super::support::*;
use crate::options::EngineOptions;

/// One random life of a store.
fn check(seed: u64, steps: usize) {
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let mut dir = TestDir::new();
    let open = |dir: &TestDir, now: i64| {
        let small = EngineOptions {
            wal_file_bytes: 16 * 1024,
            rollup_rules: rollups::rules(),
            rollup_range_ms: rollups::RANGE,
            ..options(dir)
        };
        let store = Store::open_with(small, std::sync::Arc::new(crate::DiskFiles)).unwrap();
        store.clock.set(now);
        store
    };
    let mut now = START;
    let mut store = open(&dir, now);
    let mut want = Content::new();
    for step in 0..steps {
        match rng.below(24) {
            0..=11 => {
                let rows = random_rows(&mut rng, now);
                store.append(&rows).unwrap();
                remember(&mut want, &rows);
            }
            12 => store.engine.flush_now().unwrap(),
            13 => store.engine.compact_now().unwrap(),
            14 | 15 => {
                now += rng.below(3 * HOUR as u64) as i64;
                store.clock.set(now);
                store.engine.maintain_now().unwrap();
            }
            16 => {
                drop(store);
                store = open(&dir, now);
            }
            17 => {
                let crashed = dir.copy();
                drop(store);
                dir = crashed;
                store = open(&dir, now);
            }
            18 | 19 => {
                let (matchers, range) = random_delete(&mut rng, now);
                store.engine.delete(TenantId::DEFAULT, &matchers, range).unwrap();
                forget(&mut want, &matchers, range);
                assert_eq!(store.dump(), want, "seed {seed} step {step} deleted");
            }
            20 => store.engine.purge().unwrap(),
            _ => {
                assert_eq!(store.dump(), want, "seed {seed} step {step}");
                rollups::check(&store, i64::MIN, &format!("seed {seed} step {step}"));
            }
        }
    }
    assert_eq!(store.dump(), want, "seed {seed} at the end");
    store.engine.flush_now().unwrap();
    store.clock.set(now + 1000 * HOUR);
    store.engine.compact_now().unwrap();
    assert_eq!(store.dump(), want, "seed {seed} merged");
    assert_eq!(store.metrics.wal_corrupt_records.get(), 0, "seed {seed}");
}

/// Readers of floats alone follow no more links of the head than their range needs.
#[test]
fn floats_of_any_range_are_there() {
    for seed in 0..20 {
        let (mut rng, dir) = (Rng::new(seed), TestDir::new());
        let store = Store::open(&dir);
        let mut at_ms = START;
        let mut written = Vec::new();
        for _ in 0..1 + rng.below(300) {
            at_ms += 1 + rng.below(20_000) as i64;
            written.push((at_ms, rng.below(1000) as f64 / 8.0));
            store.append(&[floats(1, &written[written.len() - 1..])]).unwrap();
        }
        for _ in 0..50 {
            let mut instant = || START + rng.below((at_ms - START) as u64 + 60_000) as i64;
            let (one, other) = (instant(), instant());
            let range = TimeRange::new(one.min(other), one.max(other));
            let selection = store.engine.select(&[], range, &Hints::default()).unwrap();
            let mut samples = Samples::default();
            for index in 0..selection.len() {
                selection.read(index, &mut samples).unwrap();
            }
            let expected = written.iter().copied().filter(|(at_ms, _)| range.contains(*at_ms));
            let found = samples.timestamps.iter().copied().zip(samples.values.iter().copied());
            assert!(found.eq(expected), "seed {seed} {range:?}");
        }
    }
}

pub(super) fn random_delete(rng: &mut Rng, now: i64) -> (Vec<Matcher>, TimeRange) {
    let name = format!("metric_{}", rng.below(7));
    let mut matchers = vec![Matcher::equal("__name__", name)];
    if rng.below(3) > 0 {
        let pattern = Pattern::new(&format!("host-{}.*", rng.below(10))).unwrap();
        matchers.push(Matcher::new("host", ValueTest::Regex(pattern)));
    }
    let start = now - rng.below(8 * HOUR as u64) as i64;
    let range = match rng.below(3) {
        0 => TimeRange::ALL,
        _ => TimeRange::new(start, start + rng.below(5 * HOUR as u64) as i64),
    };
    (matchers, range)
}

/// Takes deleted samples out of `content`.
pub(super) fn forget(content: &mut Content, matchers: &[Matcher], range: TimeRange) {
    content.retain(|labels, points| {
        let value = |name: &str| labels.get(name).unwrap_or_default();
        if matchers.iter().all(|matcher| matcher.matches(value(&matcher.name))) {
            points.retain(|at_ms, _| !range.contains(*at_ms));
        }
        !points.is_empty()
    });
}

pub(super) fn random_rows(rng: &mut Rng, now: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for _ in 0..1 + rng.below(20) {
        // Mostly now and in order, sometimes late, sometimes the same instant again.
        let late = if rng.one_in(6) { rng.below(20 * HOUR as u64) as i64 } else { 0 };
        let mut ts = now - late - rng.below(600) as i64 * 1000;
        let kinds =
            [SampleKind::Integer, SampleKind::Float, SampleKind::Float, SampleKind::Histogram];
        let kind = kinds[rng.below(4) as usize];
        let mut samples = Vec::new();
        let many = if rng.one_in(8) { 400 } else { 3 };
        for _ in 0..1 + rng.below(many) {
            ts += match rng.below(8) {
                0 => -(rng.below(30_000) as i64),
                1 => 0,
                _ => 1000,
            };
            let bits = match kind {
                SampleKind::Integer => rng.next_u64() >> rng.below(64),
                SampleKind::Histogram => rng.below(1 << 20),
                SampleKind::Float if rng.one_in(20) => rng.next_u64(),
                SampleKind::Float => (rng.below(1000) as f64 / 8.0).to_bits(),
            };
            samples.push((ts, kind, bits));
        }
        rows.push((series(rng.below(25)), samples));
    }
    rows
}

#[test]
fn every_acknowledged_sample_is_answered() {
    let (seeds, steps) = if std::env::var_os("LONG").is_some() { (500, 300) } else { (12, 80) };
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + seeds {
        check(seed, steps);
    }
}
