//! Summaries say what samples say: whenever anybody looks, whatever was written late, deleted, merged,
//! expired or interrupted.
//!
//! Method: the same store answers twice, once with samples alone, which are summarized here, once with
//! summaries allowed; run by run both must say the same.

use model::{
    Appender, Catalog, Hints, Matcher, Pattern, Samples, Source, Summary, TenantId, TimeRange,
};
use model::{ValueTest, run_of, summarize};

use super::support::*;
use crate::options::EngineOptions;
use crate::rollup::rules::RollupRule;
use base::rng::Rng;

const MINUTE: i64 = 60_000;

/// Rolls up the metrics whose names match.
pub(crate) fn rule(pattern: &str, widths_ms: &[i64]) -> RollupRule {
    let pattern = Pattern::new(pattern).unwrap();
    let matchers = vec![Matcher::new("__name__", ValueTest::Regex(pattern))];
    RollupRule { matchers, widths_ms: widths_ms.to_vec(), keep_ms: None }
}

/// Rules for the random lives: some series at two widths, some at one, some not at all.
pub(crate) fn rules() -> Vec<RollupRule> {
    vec![rule("metric_[0-3]", &[5 * MINUTE, HOUR]), rule("metric_4", &[HOUR])]
}

/// Ranges that random lives live to see rolled up and joined.
pub(crate) const RANGE: i64 = 2 * HOUR;

type Runs = std::collections::BTreeMap<String, Vec<Summary>>;

/// Everything a store has, summarized by runs of `width_ms`; by summaries of its own if `cut_ms` says so.
/// Also how many of the rows had any.
fn runs(store: &Store, width_ms: i64, cut_ms: Option<i64>) -> (Runs, usize) {
    let hints = Hints { sorted: true, cut_ms, ..Hints::default() };
    let selection = store.engine.select(&[], TimeRange::ALL, &hints).unwrap();
    let (mut runs, mut rolled) = (Runs::new(), 0);
    for index in 0..selection.len() {
        let mut samples = Samples::default();
        selection.read(index, &mut samples).unwrap();
        assert!(samples.timestamps.is_sorted_by(|a, b| a < b), "not ascending and unique");
        let mut own = Vec::new();
        if samples.summaries.is_empty() {
            summarize(&samples.timestamps, &samples.values, width_ms, &mut own);
        } else {
            assert_eq!(samples.summaries.len(), samples.len());
            rolled += 1;
            let mut open = None;
            for summary in &samples.summaries {
                let run = run_of(summary.last_ms, width_ms);
                // Wider ones only stand in where samples are gone.
                let is_inside = run == run_of(summary.first_ms, width_ms);
                assert!(is_inside || samples.reach_ms > width_ms, "{summary:?}");
                match own.last_mut() {
                    Some(last) if open == Some(run) => Summary::join(last, summary),
                    _ => own.push(*summary),
                }
                open = Some(run);
            }
        }
        if !own.is_empty() {
            runs.insert(selection.labels(index).to_string(), own);
        }
    }
    (runs, rolled)
}

/// `summary` as text with every bit but those that the order of additions decides.
fn exact(summary: &Summary) -> String {
    let Summary { first_ms, last_ms, first, last, min, max, count, nans, ended, .. } = summary;
    let bits = [first, last, min, max].map(|value| value.to_bits());
    // Of a run of markers only that there is one counts.
    let first_ms = if *count == 0 { last_ms } else { first_ms };
    format!("{first_ms} {last_ms} {bits:x?} {count} {nans} {ended}")
}

fn is_near(left: f64, right: f64, scale: f64) -> bool {
    left.to_bits() == right.to_bits()
        || (left - right).abs() <= scale * 1e-12
        || left.is_nan() && right.is_nan()
        || scale > 1e290
}

/// Compares runs that begin at `earliest_ms` or later; returns how many rows had summaries.
pub(crate) fn check(store: &Store, earliest_ms: i64, what: &str) -> usize {
    let mut total = 0;
    for (width_ms, cut_ms) in [(HOUR, HOUR), (5 * MINUTE, 5 * MINUTE), (HOUR, 7 * MINUTE)] {
        let (want, _) = runs(store, width_ms, None);
        let (got, rolled) = runs(store, width_ms, Some(cut_ms));
        total += rolled;
        let empty = Vec::new();
        for name in want.keys().chain(got.keys()) {
            let settled = |runs: &Runs| {
                let all = runs.get(name).unwrap_or(&empty);
                let is_kept = |one: &&Summary| {
                    let start_ms = run_of(one.last_ms, HOUR).0 * HOUR;
                    earliest_ms == i64::MIN || start_ms >= earliest_ms
                };
                all.iter().filter(is_kept).copied().collect::<Vec<_>>()
            };
            let (want, got) = (settled(&want), settled(&got));
            let text = |all: &[Summary]| all.iter().map(exact).collect::<Vec<_>>();
            assert_eq!(text(&got), text(&want), "{what}: {name} at {width_ms} cut at {cut_ms}");
            for (got, want) in got.iter().zip(&want) {
                let scale = want.min.abs().max(want.max.abs()) * want.count as f64;
                let is_same = is_near(got.sum.value(), want.sum.value(), scale)
                    && is_near(got.lost, want.lost, scale);
                assert!(is_same, "{what}: {name}: {got:?} {want:?}");
            }
        }
    }
    total
}

/// A store with rules, short ranges and perhaps a retention.
pub(crate) fn open(
    dir: &TestDir,
    rollup_rules: Vec<RollupRule>,
    retention_ms: Option<i64>,
) -> Store {
    let range =
        EngineOptions { rollup_rules, rollup_range_ms: RANGE, retention_ms, ..options(dir) };
    Store::open_with(range, std::sync::Arc::new(crate::DiskFiles)).unwrap()
}

/// A day of a gauge and of a counter, a sample every 20 s.
fn fill(store: &Store) {
    let mut rng = Rng::new(9);
    for number in 0..6 {
        let mut value = 0.0;
        let samples = (0..24 * 180).map(|i| {
            value = match rng.below(500) {
                0 => 0.0,
                _ => value + rng.below(50) as f64,
            };
            (START + i * 20_000, value)
        });
        store.append(&[floats(number, &samples.collect::<Vec<_>>())]).unwrap();
    }
}

fn roll(store: &Store, now_ms: i64) {
    store.clock.set(now_ms);
    store.engine.flush_now().unwrap();
    for _ in 0..20 {
        store.engine.maintain_now().unwrap();
    }
}

#[test]
fn late_samples_and_deletes_show_at_once_and_are_rolled_up_later() {
    let dir = TestDir::new();
    let store = open(&dir, rules(), None);
    fill(&store);
    roll(&store, START + 30 * HOUR);
    let made = store.metrics.rollups.get();
    assert!(made > 20, "{made}");
    assert_eq!(check(&store, i64::MIN, "rolled up"), 5 + 4, "rows with summaries");
    store.append(&[floats(1, &[(START + HOUR + 7, 5.0), (START + HOUR, 3.0)])]).unwrap();
    check(&store, i64::MIN, "late in the head");
    store.engine.flush_now().unwrap();
    check(&store, i64::MIN, "late in a block");
    let matchers = [Matcher::equal("__name__", "metric_2")];
    let range = TimeRange::new(START + 100 * MINUTE, START + 300 * MINUTE);
    store.engine.delete(TenantId::DEFAULT, &matchers, range).unwrap();
    check(&store, i64::MIN, "deleted");
    drop(store);
    let store = open(&dir, rules(), None);
    check(&store, i64::MIN, "opened again");
    roll(&store, START + 90 * HOUR);
    assert!(store.metrics.rollups.get() > 0);
    check(&store, i64::MIN, "rolled up again");
    store.engine.purge().unwrap();
    check(&store, i64::MIN, "purged");
    assert!(
        crate::verify::verify(&{
            drop(store);
            dir.path().to_owned()
        })
        .unwrap()
        .findings
        .is_empty()
    );
}

#[test]
fn summaries_outlive_their_samples() {
    let dir = TestDir::new();
    let store = open(&dir, Vec::new(), None);
    fill(&store);
    store.engine.flush_now().unwrap();
    let want = runs(&store, HOUR, None).0;
    drop(store);
    // Rules and a retention at once: first everything is rolled up, then samples go.
    let store = open(&dir, rules(), Some(6 * HOUR));
    roll(&store, START + 100 * HOUR);
    let (samples, _) = runs(&store, HOUR, None);
    assert!(samples.is_empty(), "{:?}", samples.keys());
    let (after, _) = runs(&store, HOUR, Some(HOUR));
    assert_eq!(after.len(), 5);
    for (name, got) in &after {
        let text = |all: &[Summary]| all.iter().map(exact).collect::<Vec<_>>();
        assert_eq!(text(got), text(&want[name]), "{name}");
    }
    // Readers who cut elsewhere get what there is, and labels are still found.
    let (coarse, rolled) = runs(&store, 24 * HOUR, Some(7 * MINUTE));
    assert_eq!((coarse.len(), rolled), (after.len(), 5));
    let names =
        store.engine.label_values(TenantId::DEFAULT, "__name__", &[], TimeRange::ALL, "", 0);
    assert_eq!(names.unwrap().len(), 5);
    // What is deleted then is gone for good.
    let matchers = [Matcher::equal("__name__", "metric_1")];
    store.engine.delete(TenantId::DEFAULT, &matchers, TimeRange::ALL).unwrap();
    assert_eq!(runs(&store, HOUR, Some(HOUR)).0.len(), after.len() - 1);
    roll(&store, START + 200 * HOUR);
    assert_eq!(runs(&store, HOUR, Some(HOUR)).0.len(), after.len() - 1);
}

#[test]
fn other_rules_make_other_summaries() {
    let dir = TestDir::new();
    let store = open(&dir, vec![rule("metric_0", &[HOUR])], None);
    fill(&store);
    roll(&store, START + 30 * HOUR);
    assert_eq!(check(&store, i64::MIN, "one"), 1);
    drop(store);
    let store = open(&dir, vec![rule("metric_[01]", &[HOUR])], None);
    roll(&store, START + 30 * HOUR);
    assert_eq!(check(&store, i64::MIN, "two"), 2);
}

#[test]
fn copies_have_the_summaries() {
    let dir = TestDir::new();
    let store = open(&dir, rules(), None);
    fill(&store);
    roll(&store, START + 30 * HOUR);
    store.append(&[floats(1, &[(START + HOUR + 7, 5.0)])]).unwrap();
    store.engine.flush_now().unwrap();
    let snapshot = dir.inside("snapshots").inside(&store.engine.snapshot(true).unwrap());
    let (place, home) = (TestDir::new(), TestDir::new());
    let url = place.path().to_str().unwrap();
    crate::archive::backup::backup(snapshot.path(), url, 0, START).unwrap();
    let target = home.inside("restored");
    crate::archive::backup::restore(url, None, target.path()).unwrap();
    for dir in [&snapshot, &target] {
        assert!(crate::verify::verify(dir.path()).unwrap().findings.is_empty());
        assert!(check(&Store::open(dir), i64::MIN, "copied") > 0);
    }
}
