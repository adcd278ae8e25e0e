//! The head while it changes: creation, maintenance and dropping beside selects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::rng::Rng;
use model::label::{LabelError, Labels, LabelsRef, METRIC_NAME, SeriesHasher};
use model::matcher::{Matcher, Pattern, ValueTest};
use model::nodes_of_values;
use roaring::RoaringBitmap;

use super::{HeadIndex, SeriesId};
use crate::equivalence::segment;
use crate::{Clauses, SegmentReader, SelectCache};

fn labels(index: u64) -> Labels {
    let (host, rack) = (format!("host-{}", index % 3000), format!("r{}", index % 7));
    let name = format!("m{}", index / 3000);
    Labels::from_pairs([("__name__", name.as_str()), ("host", &host), ("rack", &rack)])
}

/// Whatever happens beside a select, it returns only series that pass, and all that stood still.
#[test]
fn selects_are_right_while_series_come_and_go() {
    let (head, hasher) = (HeadIndex::new(), SeriesHasher::with_seed(1));
    let insert = |index: u64| {
        let labels = labels(index);
        head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap().0
    };
    let test = |text: &str| ValueTest::Regex(Pattern::new(text).unwrap());
    let not = ValueTest::NotRegex(Pattern::new(".*[13579]").unwrap());
    let queries = [
        vec![Matcher::new("host", test(".*7")), Matcher::equal("rack", "r3")],
        vec![Matcher::new("host", not)],
        vec![Matcher::new("__name__", test("m0|m1")), Matcher::new("host", test("host-1.+"))],
    ];
    let stays = |index: u64| index < 1000;
    let kept: RoaringBitmap = (0..1000).map(|index| insert(index).0).collect();
    let done = AtomicBool::new(false);
    let cache = SelectCache::new(1 << 20, Arc::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng::new(5);
            for round in 0..30 {
                for _ in 0..300 {
                    insert(rng.below(60_000));
                }
                if round % 5 == 4 {
                    head.retain(&kept).unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                head.freeze_all().unwrap();
                std::thread::yield_now();
            }
        });
        while !done.load(Ordering::Acquire) {
            for matchers in &queries {
                let passes = |labels: &Labels| {
                    let value = |name| labels.get(name).unwrap_or("");
                    matchers.iter().all(|matcher| matcher.matches(value(&matcher.name)))
                };
                for mut clauses in [Clauses::new(matchers), Clauses::cached(matchers, &cache)] {
                    let found = head.select_by(&mut clauses).unwrap();
                    for id in found.iter() {
                        let labels = head.labels(SeriesId(id));
                        assert!(labels.is_empty() || passes(&labels), "{labels} by {matchers:?}");
                    }
                    let expected =
                        (0..1000).filter(|index| stays(*index) && passes(&labels(*index)));
                    assert_eq!(found.range_cardinality(0..1000), expected.count() as u64);
                }
            }
        }
    });
    assert!(head.select(&[]).unwrap().is_superset(&kept));
}

#[test]
fn wrong_labels_create_nothing() {
    let head = HeadIndex::new();
    let twice = [1, b'a', 1, b'x', 1, b'a', 1, b'y'];
    let error = head.insert(1, LabelsRef::from_packed(&twice)).unwrap_err();
    assert_eq!(error, LabelError::Duplicate("a".into()));
    assert_eq!((head.len(), head.lookup(1)), (0, None));
    assert_eq!(head.label_names(&[]).unwrap(), Vec::<String>::new());
    assert_eq!(head.label_values("a", &[], "", 0).unwrap(), Vec::<String>::new());
}

#[test]
fn look_ups_find_what_was_created() {
    let (head, hasher) = (HeadIndex::new(), SeriesHasher::with_seed(2));
    let hashes: Vec<u128> = (0..500).map(|index| hasher.hash(labels(index).as_packed())).collect();
    for (index, hash) in (0..).zip(&hashes) {
        assert_eq!(head.insert(*hash, labels(index).view()), Ok((SeriesId(index as u32), true)));
        assert_eq!(head.insert(*hash, labels(index).view()), Ok((SeriesId(index as u32), false)));
    }
    let mut found = Vec::new();
    let order = [7usize, 8, 9, 3, 499, 0];
    head.lookup_all(order.iter().map(|index| hashes[*index]).chain([12345]), &mut found);
    let expected = order.iter().map(|index| Some(SeriesId(*index as u32))).chain([None]);
    assert!(found.iter().copied().eq(expected));
    let (mut packed, mut ends) = (Vec::new(), Vec::new());
    head.labels_all(&[4, 1000], &mut packed, &mut ends);
    assert_eq!((packed.as_slice(), ends), (labels(4).as_packed(), vec![packed.len(); 2]));
    assert_eq!(head.largest_values("rack", 1), [("r0".into(), 72)]);
    assert_eq!(head.cardinality().labels[0].name, "host");
}

#[test]
fn one_level_of_paths_is_the_same_everywhere() {
    let (mut rng, hasher) = (Rng::new(23), SeriesHasher::with_seed(1));
    for round in 0..20 {
        let head = HeadIndex::new();
        let mut all: Vec<Labels> = Vec::new();
        for number in 0..rng.below(200) {
            let depth = rng.below(4) + 1;
            let element =
                |rng: &mut Rng| ["a", "b", "ab", "a-b", "", "\u{e9}", "b0"][rng.below(7) as usize];
            let path: Vec<&str> = (0..depth).map(|_| element(&mut rng)).collect();
            let labels = Labels::from_pairs([(METRIC_NAME, path.join(".").as_str())]);
            head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
            all.push(labels);
            if number == 100 {
                head.freeze_all().unwrap();
            }
        }
        if round % 2 == 1 && !all.is_empty() {
            // Half of the series go, and some of their pairs with them.
            let keep: RoaringBitmap = (0..head.series_end()).filter(|id| id % 2 == 0).collect();
            head.retain(&keep).unwrap();
        }
        let sorted: std::collections::BTreeSet<Labels> = all.iter().cloned().collect();
        let bytes = segment(&sorted);
        let segment = SegmentReader::open(&bytes[..]).unwrap();
        for prefix in ["", "a", "a.", "a.b", "b.", ".", "ab.a.", "x"] {
            let values = head.label_values(METRIC_NAME, &[], prefix, 0).unwrap();
            for limit in [1, 3, 20, 1000] {
                let first = head.label_values(METRIC_NAME, &[], prefix, limit).unwrap();
                assert_eq!(first, values[..limit.min(values.len())], "{prefix} {limit}");
            }
            for limit in [0, 1, 3] {
                let got = head.value_nodes(METRIC_NAME, prefix, limit).unwrap();
                assert_eq!(got, nodes_of_values(&values, prefix, limit), "{prefix} {limit}");
                let values = segment.label_values(METRIC_NAME, &[], prefix, 0).unwrap();
                let got = segment.value_nodes(METRIC_NAME, prefix, limit).unwrap();
                assert_eq!(got, nodes_of_values(&values, prefix, limit), "{prefix} {limit}");
            }
        }
    }
}
