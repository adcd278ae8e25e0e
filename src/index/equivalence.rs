//! Head = segment = any split over segments = a plain filter, for random series and matchers.
//!
//! Method: label sets are drawn from few names and values so that everything collides; each index
//! is asked the same random matchers and compared, by labels, with testing every series. A red run
//! prints its seed; `check(seed)` replays it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::rng::Rng;
use model::label::{Labels, SeriesHasher};
use model::matcher::{Matcher, Pattern, ValueTest};
use roaring::RoaringBitmap;

use crate::{
    Clauses, HeadIndex, IndexError, SegmentReader, SegmentWriter, SelectCache, SeriesMerge,
    merge_segments,
};

const NAMES: [&str; 8] = ["__name__", "A", "host", "hos", "host\u{0}x", "dc", "é", "zone"];
const PATTERNS: [&str; 18] = [
    ".*",
    ".+",
    "",
    "web.*",
    "web-[0-9]+",
    ".*7",
    "a|b|",
    "(?i)WEB-1",
    "[^a]",
    r"\w+",
    "web-1.+",
    "x?",
    "(a|web-2).*",
    r"web\b.*",
    "a.b",
    ".*e.*",
    "é|\u{0}",
    "(web-1|web-12|web-3)",
];

pub(crate) fn value(rng: &mut Rng) -> String {
    match rng.below(6) {
        0 => "a".into(),
        1 => ["b", "é", "\u{0}", "a\nb", "web", "web-"][rng.below(6) as usize].into(),
        _ => format!("web-{}", rng.below(40)),
    }
}

pub(crate) fn label_set(rng: &mut Rng) -> Labels {
    let count = rng.below(6);
    let pairs: Vec<(&str, String)> =
        (0..count).map(|_| (NAMES[rng.below(8) as usize], value(rng))).collect();
    Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

fn matcher(rng: &mut Rng) -> Matcher {
    let name = if rng.one_in(12) { "absent" } else { NAMES[rng.below(8) as usize] };
    let text = if rng.one_in(4) { String::new() } else { value(rng) };
    let pattern = Pattern::new(PATTERNS[rng.below(PATTERNS.len() as u64) as usize]).unwrap();
    let test = match rng.below(5) {
        0 => ValueTest::Equal(text),
        1 => ValueTest::NotEqual(text),
        2 => ValueTest::Regex(pattern),
        3 => ValueTest::NotRegex(pattern),
        _ => ValueTest::OneOf(BTreeSet::from([text, value(rng), value(rng)]).into_iter().collect()),
    };
    Matcher::new(name, test)
}

/// Every answer of an index, by labels.
#[derive(Debug, PartialEq)]
struct Answers {
    series: BTreeSet<Labels>,
    names: BTreeSet<String>,
    values: BTreeMap<&'static str, BTreeSet<String>>,
}

fn brute_force<'l>(all: impl Iterator<Item = &'l Labels>, matchers: &[Matcher]) -> Answers {
    let passes = |labels: &&Labels| {
        matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
    };
    let series: BTreeSet<Labels> = all.filter(passes).cloned().collect();
    let labels = || series.iter().flat_map(Labels::iter);
    let names = labels().map(|(name, _)| name.to_owned()).collect();
    let of = |name| labels().filter(move |(n, v)| *n == name && v.starts_with("web"));
    let values = NAMES.map(|name| (name, of(name).map(|(_, value)| value.to_owned()).collect()));
    Answers { series, names, values: values.into_iter().collect() }
}

/// An estimate by texts is no less than what there is; where a sample of few series is tested against other
/// matchers, it sees what is frequent.
fn assert_estimate(most: Option<u64>, found: u64, matchers: &[Matcher]) {
    let Some(most) = most else { return };
    let is_counted = |matcher: &Matcher| {
        matches!(matcher.test, ValueTest::Equal(_) | ValueTest::OneOf(_))
            && !matcher.matches_missing()
    };
    let least = if matchers.iter().all(is_counted) { found } else { found / 8 };
    assert!(most >= least, "{most} instead of {found}: {matchers:?}");
}

/// The second time an index is asked, or the first time after its size was, it may know.
fn assert_cached(
    cache: &SelectCache,
    matchers: &[Matcher],
    found: &RoaringBitmap,
    select: impl Fn(&mut Clauses<'_>) -> Result<Arc<RoaringBitmap>, IndexError>,
    series_max: impl Fn(&mut Clauses<'_>) -> Result<Option<u64>, IndexError>,
) {
    let clauses = || Clauses::cached(matchers, cache);
    assert_estimate(series_max(&mut clauses()).unwrap(), found.len(), matchers);
    for _ in 0..2 {
        assert_eq!(*select(&mut clauses()).unwrap(), *found, "{matchers:?}");
    }
    assert_estimate(series_max(&mut clauses()).unwrap(), found.len(), matchers);
}

fn head_answers(head: &HeadIndex, matchers: &[Matcher], cache: &SelectCache) -> Answers {
    let ids = head.select(matchers).unwrap();
    assert_cached(cache, matchers, &ids, |by| head.select_by(by), |by| head.series_max(by));
    assert_estimate(head.series_max(&mut Clauses::new(matchers)).unwrap(), ids.len(), matchers);
    let sorted = head.sorted(&ids);
    assert!(sorted.windows(2).all(|pair| head.labels(pair[0]) < head.labels(pair[1])));
    let some = ["A", "dc", "host", "nobody"].map(str::to_owned);
    for id in &sorted {
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        head.put_some_labels(*id, &some, &mut found);
        head.labels(*id).view().put_some(&mut expected, |name| model::has_name(&some, name));
        assert_eq!(found, expected, "{:?}", head.labels(*id));
    }
    let values = NAMES.map(|name| {
        let all = head.label_values(name, matchers, "web", 0).unwrap();
        for limit in [1, 2, 5] {
            let first = head.label_values(name, matchers, "web", limit).unwrap();
            assert_eq!(first, all[..limit.min(all.len())], "{name} {matchers:?} {limit}");
        }
        (name, all.into_iter().collect())
    });
    Answers {
        series: sorted.into_iter().map(|id| head.labels(id)).collect(),
        names: head.label_names(matchers).unwrap().into_iter().collect(),
        values: values.into_iter().collect(),
    }
}

fn segment_answers(
    segments: &[SegmentReader<Vec<u8>>],
    matchers: &[Matcher],
    cache: &SelectCache,
) -> Answers {
    let mut series = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut values: BTreeMap<_, BTreeSet<String>> =
        NAMES.map(|name| (name, BTreeSet::new())).into_iter().collect();
    for segment in segments {
        let ids = segment.select(matchers).unwrap();
        let select = |by: &mut Clauses<'_>| segment.select_by(by);
        assert_cached(cache, matchers, &ids, select, |by| segment.series_max(by));
        assert_estimate(
            segment.series_max(&mut Clauses::new(matchers)).unwrap(),
            ids.len(),
            matchers,
        );
        for id in ids {
            series.insert(segment.labels(id).unwrap());
        }
        names.extend(segment.label_names(matchers).unwrap());
        for (name, values) in &mut values {
            values.extend(segment.label_values(name, matchers, "web", 0).unwrap());
        }
    }
    Answers { series, names, values }
}

pub(crate) fn segment<'l>(sorted: impl IntoIterator<Item = &'l Labels>) -> Vec<u8> {
    let mut writer = SegmentWriter::new();
    for labels in sorted {
        writer.push(labels.view()).unwrap();
    }
    writer.finish().unwrap()
}

fn open(bytes: Vec<u8>) -> SegmentReader<Vec<u8>> {
    let reader = SegmentReader::open(bytes).unwrap();
    reader.verify().unwrap();
    reader
}

fn check(seed: u64) {
    let mut rng = Rng::new(seed);
    let hasher = SeriesHasher::with_seed(seed);
    let count = [0, 1, 30, 300, 1000][rng.below(5) as usize];
    let mut all: BTreeSet<Labels> = (0..count).map(|_| label_set(&mut rng)).collect();
    let head = HeadIndex::new();
    for labels in &all {
        head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
        if rng.one_in(200) {
            head.freeze_all().unwrap();
        }
    }
    if rng.one_in(2) {
        let keep: RoaringBitmap = (0..head.series_end()).filter(|_| !rng.one_in(3)).collect();
        all = keep.iter().map(|id| head.labels(crate::SeriesId(id))).collect();
        head.retain(&keep).unwrap();
        for _ in 0..20 {
            let labels = label_set(&mut rng);
            head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
            all.insert(labels);
        }
    }
    assert_eq!(head.len(), all.len(), "seed {seed}");
    let whole = vec![open(segment(&all))];
    let parts = 1 + rng.below(4);
    let mut split: Vec<BTreeSet<&Labels>> = (0..parts).map(|_| BTreeSet::new()).collect();
    for labels in &all {
        split[rng.below(parts) as usize].insert(labels);
        if rng.one_in(4) {
            split[rng.below(parts) as usize].insert(labels);
        }
    }
    let split: Vec<_> = split.into_iter().map(|part| open(segment(part))).collect();
    check_merge(&split, &all, seed);
    let cache = SelectCache::new(8 << 20, Arc::default());
    let asked: Vec<Vec<Matcher>> =
        (0..30).map(|_| (0..rng.below(4)).map(|_| matcher(&mut rng)).collect()).collect();
    for matchers in &asked {
        let expected = brute_force(all.iter(), matchers);
        let shown = || format!("seed {seed}, matchers {matchers:?}");
        assert_eq!(head_answers(&head, matchers, &cache), expected, "head, {}", shown());
        assert_eq!(segment_answers(&whole, matchers, &cache), expected, "segment, {}", shown());
        assert_eq!(segment_answers(&split, matchers, &cache), expected, "split, {}", shown());
    }
    // What was kept stays right while series come and go, few of them and many.
    for (come, go) in [(1, 0), (5, 9), (0, 2), (3000, 2), (1, 1)] {
        for _ in 0..come {
            let labels = label_set(&mut rng);
            head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
        }
        if go > 0 {
            let keep = (0..head.series_end()).filter(|_| !rng.one_in(go)).collect();
            head.retain(&keep).unwrap();
        }
        for matchers in &asked {
            let found = head.select(matchers).unwrap();
            assert_cached(
                &cache,
                matchers,
                &found,
                |by| head.select_by(by),
                |by| head.series_max(by),
            );
        }
    }
}

/// The merge yields each label set once, in order, with all places it is at.
fn check_merge(split: &[SegmentReader<Vec<u8>>], all: &BTreeSet<Labels>, seed: u64) {
    let cursors: Vec<_> = split.iter().map(|part| part.series().unwrap()).collect();
    let mut merge = SeriesMerge::new(cursors).unwrap();
    let mut merged = Vec::new();
    let mut places = 0;
    while let Some((labels, sources)) = merge.next().unwrap() {
        for (input, id) in sources {
            assert_eq!(split[*input].labels(*id).unwrap().view(), labels, "seed {seed}");
        }
        places += sources.len();
        merged.push(labels.to_labels());
    }
    assert!(merged.iter().eq(all.iter()), "seed {seed}");
    assert_eq!(places, split.iter().map(|part| part.len() as usize).sum::<usize>());
    assert_eq!(merge_segments(split).unwrap(), segment(all), "seed {seed}");
}

/// A part of a random pattern, from those that users write and some that look into characters.
fn part(rng: &mut Rng, depth: u64) -> String {
    const LEAVES: [&str; 27] = [
        ".*", ".*", ".+", ".", "a", "ab", "b-", "-1", "1", "[0-9]+", "[a-b]", "[^-]*", "é", "[é€]",
        "€.*", r"\.", "[^a]+", r"\w+", "(?i:AB)", "x?", "b{2}", ".{2}", "", "ba", "-", "k", r"\d*",
    ];
    let some = |rng: &mut Rng, most: u64| {
        let count = 1 + rng.below(most);
        (0..count).map(|_| part(rng, depth - 1)).collect::<Vec<_>>()
    };
    match if depth == 0 { 9 } else { rng.below(8) } {
        0 => format!("(?:{})", some(rng, 3).join("|")),
        1 => format!("(?:{})*", some(rng, 2).concat()),
        2 => format!("({})", some(rng, 2).join("|")),
        3 => format!("{}.*", some(rng, 1).concat()),
        4 => format!(".*{}", some(rng, 1).concat()),
        5 => some(rng, 4).concat(),
        _ => LEAVES[rng.below(LEAVES.len() as u64) as usize].into(),
    }
}

/// A random pattern; few of them look around.
fn pattern(rng: &mut Rng) -> String {
    let alternatives: Vec<String> = (0..1 + rng.below(3)).map(|_| part(rng, 3)).collect();
    let text = alternatives.join("|");
    match rng.below(16) {
        0 => format!("(?i){text}"),
        1 => format!("^(?:{text})$"),
        2 => format!("^{text}$"),
        3 => format!(r"{text}\b.*"),
        _ => text,
    }
}

/// Values that share much and differ in characters of one to four bytes; long ones among them.
fn text(rng: &mut Rng) -> String {
    const PIECES: [&str; 14] =
        ["a", "b", "-", "1", "2", ".", "é", "€", "😀", "ab-1", "\n", "K", "\u{212a}", "A"];
    // Most begin alike, so that branches are large.
    let mut text = ["", "ab-1.", "ab-", "b"][rng.below(4) as usize].to_owned();
    let most = [2, 6, 6, 12, 60][rng.below(5) as usize];
    for _ in 0..1 + rng.below(most) {
        text.push_str(PIECES[rng.below(14) as usize]);
    }
    text
}

fn check_patterns(seed: u64) {
    let mut rng = Rng::new(seed);
    let hasher = SeriesHasher::with_seed(seed);
    let head = HeadIndex::new();
    let count = [50, 300, 6000][rng.below(3) as usize];
    let values: BTreeSet<String> = (0..count).map(|_| text(&mut rng)).collect();
    let mut all: BTreeSet<Labels> = BTreeSet::new();
    for value in &values {
        for copy in 0..1 + rng.below(3) {
            let copy = copy.to_string();
            all.insert(Labels::from_pairs([("host", value.as_str()), ("m", &copy)]));
        }
    }
    all.extend((0..9).map(|at| Labels::from_pairs([("m", at.to_string().as_str())])));
    for (number, labels) in all.iter().enumerate() {
        head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
        if number == all.len() / 2 {
            head.freeze_all().unwrap();
        }
    }
    let segment = open(segment(&all));
    for _ in 0..20 {
        let text = pattern(&mut rng);
        let Ok(pattern) = Pattern::new(&text) else { continue };
        // The matching of Prometheus, by the engine of the `regex` crate.
        let plain = regex_automata::meta::Regex::new(&format!("^(?s:{text})$")).unwrap();
        let matching: BTreeSet<&str> = values
            .iter()
            .map(String::as_str)
            .chain([""])
            .filter(|value| plain.is_match(*value))
            .collect();
        let matches = |labels: &Labels| matching.contains(labels.get("host").unwrap_or_default());
        for negated in [false, true] {
            let test = if negated { ValueTest::NotRegex } else { ValueTest::Regex };
            let mut matchers = vec![Matcher::new("host", test(pattern.clone()))];
            if rng.one_in(3) {
                matchers.push(Matcher::equal("m", "0"));
            }
            let passes = |labels: &&Labels| {
                matches(labels) != negated && (matchers.len() == 1 || labels.get("m") == Some("0"))
            };
            let expected: BTreeSet<Labels> = all.iter().filter(passes).cloned().collect();
            let ids = head.select(&matchers).unwrap();
            let of_head: BTreeSet<Labels> =
                ids.iter().map(|id| head.labels(crate::SeriesId(id))).collect();
            let ids = segment.select(&matchers).unwrap();
            let of_segment: BTreeSet<Labels> =
                ids.iter().map(|id| segment.labels(id).unwrap()).collect();
            assert!(of_head == expected, "head, seed {seed}, {matchers:?}");
            assert!(of_segment == expected, "segment, seed {seed}, {matchers:?}");
        }
    }
}

#[test]
fn patterns_find_what_a_plain_regex_finds() {
    let seeds = if std::env::var_os("LONG").is_some() { 2000 } else { 8 };
    for seed in 0..seeds {
        check_patterns(seed);
    }
}

#[test]
fn every_index_answers_like_a_plain_filter() {
    let seeds = if std::env::var_os("LONG").is_some() { 2000 } else { 10 };
    for seed in 0..seeds {
        check(seed);
    }
}
