//! The index at a million series: creation, look-up, selects by kind, segment build, open and select,
//! bytes per series on disk and in memory.
//!
//! Two shapes of the devops data of TSBS (11 labels): `hosts` has a hostname per series, the worst
//! case of a dictionary; `metrics` has 100 metrics for each of 10,000 hosts. A plain program instead
//! of a statistics harness: each figure is a single pass over a million things. Then patterns over a
//! million names of pods, as users write them, and their negations.
//! `cargo bench -p index -- [series] [pods [pattern ...]]`; with `pods` the patterns only, those given instead
//! of the usual ones.

#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing better to do")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use base::rng::Rng;
use index::{Clauses, HeadIndex, SegmentReader, SegmentWriter, SeriesMerge};
use model::label::{Labels, LabelsRef, SeriesHasher};
use model::matcher::{Matcher, Pattern, ValueTest};

fn main() {
    let arguments = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let count: usize = arguments.unwrap_or(1_000_000);
    let shapes =
        if std::env::args().any(|argument| argument == "pods") { &[] } else { &SHAPES[..] };
    for (shape, metrics) in shapes {
        let all = series(count, *metrics);
        println!("== {shape}: {count} series, {metrics} metrics a host");
        run(&all);
    }
    println!("== small queries: 100 metrics of 1,000 hosts");
    small(&series(100_000, 100));
    println!("== pods: {count} series, each with a name of its own");
    patterns(&pods(count));
}

/// Metrics of a host by shape.
const SHAPES: [(&str, usize); 2] = [("hosts", 1), ("metrics", 100)];

/// Forms of patterns: few of the names match, and nearly all.
const PATTERNS: [&str; 20] = [
    ".*x9z2.*",
    ".*-x9z2.*",
    r".*\.c77",
    r".*\.c7[0-9]",
    "app17-.*|.*x9z2.*",
    "app17-.*|.*x9z2.*|.*y8w1.*",
    "(?i).*X9Z2.*",
    "(?i)app17-.*",
    "app17-[0-9a-f]+-x.*",
    "app1[0-9]-[a-f]+-.*",
    ".*-[xy]9z[0-9].*",
    "app[0-9]+-0a[0-9a-f]*-x.*",
    ".*x9.*z2.*",
    "(app1|app2)-.*",
    ".+-x[0-9]{4}.*",
    "[a-z].*",
    "app.*-.*",
    r"app[0-9]+-[0-9a-f]+-\w+\..*",
    r".*\.c[0-9]+",
    "[^.]+[.].*",
];

/// What dashboards ask: one metric, some of its hosts.
fn small(all: &[Labels]) {
    let hasher = SeriesHasher::with_seed(7);
    let hashes: Vec<u128> = all.iter().map(|labels| hasher.hash(labels.as_packed())).collect();
    let head = create(all, &hashes);
    let bytes = build(&head);
    let reader = SegmentReader::open(bytes.as_slice()).unwrap();
    let hosts =
        |text: &str| Matcher::new("hostname", ValueTest::Regex(Pattern::new(text).unwrap()));
    let metric = || Matcher::equal("__name__", "cpu_usage_3");
    for matchers in [
        vec![metric()],
        vec![metric(), hosts("host_(1|2|3|4|5|6|7|8)")],
        vec![metric(), hosts("host_.*7")],
        vec![metric(), hosts("host_(1|2).*")],
        vec![metric(), Matcher::equal("rack", "7"), hosts("host_(1|2).*")],
        vec![hosts("host_(1|2).*")],
    ] {
        let text: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        let text = text.join(",");
        let (found, a) = best(|| head.select(&matchers).unwrap().len());
        let (_, b) = best(|| reader.select(&matchers).unwrap().len());
        let (_, c) = best(|| head.series_max(&mut Clauses::new(&matchers)).unwrap());
        let (_, d) = best(|| reader.series_max(&mut Clauses::new(&matchers)).unwrap());
        println!("  {text:<60} {found:>8} {a:>10.1?} {b:>10.1?}, estimates {c:.1?} {d:.1?}");
    }
}

/// Names of a million pods: application, replica set and a text at random, region and cluster.
fn pods(count: usize) -> Vec<Labels> {
    let mut rng = Rng::new(5);
    let mut pod = || {
        let text: String = (0..5)
            .map(|_| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[rng.below(36) as usize]))
            .collect();
        let (app, set) = (rng.below(200), rng.below(1 << 36));
        let region = ["us-east-1", "eu-west-1", "ap-south-1"][rng.below(3) as usize];
        format!("app{app}-{set:09x}-{text}.{region}.c{}", rng.below(500))
    };
    (0..count).map(|_| Labels::from_pairs([("__name__", "up"), ("pod", pod().as_str())])).collect()
}

fn patterns(all: &[Labels]) {
    let hasher = SeriesHasher::with_seed(7);
    let hashes: Vec<u128> = all.iter().map(|labels| hasher.hash(labels.as_packed())).collect();
    let head = create(all, &hashes);
    let bytes = build(&head);
    let reader = SegmentReader::open(bytes.as_slice()).unwrap();
    println!("  {:<44} {:>8} {:>21} {:>21}", "pod", "series", "head =~ !~", "segment =~ !~");
    let given: Vec<String> = std::env::args().skip_while(|text| text != "pods").skip(1).collect();
    let given: Vec<&str> =
        given.iter().map(String::as_str).filter(|text| *text != "--bench").collect();
    for text in if given.is_empty() { &PATTERNS[..] } else { &given } {
        let pattern = Pattern::new(text).unwrap();
        let tests = [ValueTest::Regex(pattern.clone()), ValueTest::NotRegex(pattern)];
        let [matching, not] = tests.map(|test| [Matcher::new("pod", test)]);
        let head = |matchers| best(|| head.select(matchers).unwrap().len());
        let segment = |matchers| best(|| reader.select(matchers).unwrap().len());
        let ((found, a), (left, b)) = (head(&matching), head(&not));
        let ((_, c), (_, d)) = (segment(&matching), segment(&not));
        assert_eq!(found + left, all.len() as u64);
        println!("  {text:<44} {found:>8} {a:>10.1?} {b:>10.1?} {c:>10.1?} {d:>10.1?}");
    }
}

/// The labels of one host by the rules of TSBS's devops use case, with random choices.
fn series(count: usize, metrics: usize) -> Vec<Labels> {
    let mut rng = Rng::new(1);
    let mut out = Vec::with_capacity(count);
    let mut host = 0;
    while out.len() < count {
        let hostname = format!("host_{host}");
        let region = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1"]
            [rng.below(5) as usize];
        let datacenter = format!("{region}{}", ["a", "b", "c"][rng.below(3) as usize]);
        let rack = rng.below(100).to_string();
        let os = ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"][rng.below(3) as usize];
        let service = rng.below(20).to_string();
        let version = rng.below(2).to_string();
        let environment = ["production", "staging", "test"][rng.below(3) as usize];
        let team = ["SF", "NYC", "LON", "CHI"][rng.below(4) as usize];
        let arch = ["x64", "x86"][rng.below(2) as usize];
        for metric in 0..metrics.min(count - out.len()) {
            out.push(Labels::from_pairs([
                ("__name__", format!("cpu_usage_{metric}").as_str()),
                ("hostname", &hostname),
                ("region", region),
                ("datacenter", &datacenter),
                ("rack", &rack),
                ("os", os),
                ("arch", arch),
                ("team", team),
                ("service", &service),
                ("service_version", &version),
                ("service_environment", environment),
            ]));
        }
        host += 1;
    }
    out
}

fn run(all: &[Labels]) {
    let count = all.len();
    let hasher = SeriesHasher::with_seed(7);
    let hashes: Vec<u128> = all.iter().map(|labels| hasher.hash(labels.as_packed())).collect();
    let before = resident_bytes();
    let head = create(all, &hashes);
    let resident = resident_bytes().saturating_sub(before);
    let each = |bytes: usize| bytes as f64 / count as f64;
    let (own, sizes) = (head.memory_bytes(), head.dictionary_sizes());
    println!("  head memory: RSS {:.0} B/series, own estimate {:.0}", each(resident), each(own));
    println!("  dictionaries: {sizes:?} terms");
    look_up(&head, &hashes);
    let queries = queries();
    for (text, matchers) in &queries {
        let (found, took) = best(|| head.select(matchers).unwrap().len());
        println!("  head    {text:<44} {found:>8} series {took:>12.1?}");
    }
    let bytes = build(&head);
    println!("  segment: {:.1} B/series", each(bytes.len()));
    let (reader, took) = timed(|| SegmentReader::open(bytes.as_slice()).unwrap());
    for (section, bytes) in reader.section_bytes() {
        println!("    {section:<9} {:.2} B/series", each(bytes));
    }
    println!("  segment open {took:.1?}");
    for (text, matchers) in &queries {
        let (found, took) = best(|| reader.select(matchers).unwrap().len());
        println!("  segment {text:<44} {found:>8} series {took:>12.1?}");
    }
    read_back(&reader, count);
    drop_half(&head);
}

fn create(all: &[Labels], hashes: &[u128]) -> HeadIndex {
    let head = HeadIndex::new();
    let mut slowest = Duration::ZERO;
    let mut maintained = Duration::ZERO;
    let mut spent = Duration::ZERO;
    for (labels, hashes) in all.chunks(20_000).zip(hashes.chunks(20_000)) {
        let ((), took) = timed(|| {
            for (labels, hash) in labels.iter().zip(hashes) {
                let one = Instant::now();
                head.insert(*hash, labels.view()).unwrap();
                slowest = slowest.max(one.elapsed());
            }
        });
        spent += took;
        let (_, took) = timed(|| head.maintain().unwrap());
        maintained += took;
    }
    let each = spent.as_nanos() as f64 / all.len() as f64;
    println!(
        "  insert {each:.0} ns/series, slowest {slowest:.1?}; maintain {maintained:.1?} in all"
    );
    head
}

fn look_up(head: &HeadIndex, hashes: &[u128]) {
    let each = |took: Duration| took.as_nanos() as f64 / hashes.len() as f64;
    let mut out = Vec::new();
    let (_, ordered) = best(|| {
        for hashes in hashes.chunks(5000) {
            head.lookup_all(hashes.iter().copied(), &mut out);
            assert!(out.iter().all(Option::is_some));
        }
    });
    let mut shuffled = hashes.to_vec();
    let mut rng = Rng::new(3);
    for index in (1..shuffled.len()).rev() {
        shuffled.swap(index, rng.below(index as u64 + 1) as usize);
    }
    let (_, random) = best(|| {
        for hashes in shuffled.chunks(5000) {
            head.lookup_all(hashes.iter().copied(), &mut out);
        }
    });
    let (_, single) = best(|| shuffled.iter().filter(|hash| head.lookup(**hash).is_some()).count());
    println!(
        "  lookup: {:.0} ns in order, {:.0} ns random, {:.0} ns random one by one",
        each(ordered),
        each(random),
        each(single)
    );
}

fn queries() -> Vec<(String, Vec<Matcher>)> {
    let regex =
        |name: &str, text: &str| Matcher::new(name, ValueTest::Regex(Pattern::new(text).unwrap()));
    let equal = Matcher::equal;
    let lists = vec![
        vec![],
        vec![regex("__name__", ".+")],
        vec![equal("hostname", "host_777")],
        vec![equal("os", "Ubuntu16.10"), equal("rack", "7"), equal("team", "SF")],
        vec![regex("hostname", "host_(1|22|333|4444)")],
        vec![regex("hostname", "host_77.*")],
        vec![regex("hostname", "host_[0-9]*77")],
        vec![regex("hostname", ".*_[0-9]*77")],
        vec![regex("hostname", ".*77.*")],
        vec![regex("hostname", "(host|web)_[1-3]+")],
        vec![equal("__name__", "cpu_usage_0"), regex("hostname", ".*77")],
        vec![equal("rack", "7"), equal("service", "3"), regex("hostname", ".*77")],
        vec![Matcher::new("os", ValueTest::NotEqual("Ubuntu16.10".into()))],
        vec![Matcher::new("hostname", ValueTest::NotRegex(Pattern::new(".*7").unwrap()))],
        vec![equal("absent", "")],
    ];
    let text = |list: &Vec<Matcher>| {
        list.iter().map(|matcher| matcher.to_string()).collect::<Vec<_>>().join(",")
    };
    lists.into_iter().map(|list| (format!("{{{}}}", text(&list)), list)).collect()
}

/// Flushes the head: label order, then the segment.
fn build(head: &HeadIndex) -> Vec<u8> {
    let ids = head.select(&[]).unwrap();
    let (sorted, took) = timed(|| head.sorted(&ids));
    println!("  label order {took:.1?}");
    let mut packed = Vec::new();
    let (bytes, took) = timed(|| {
        let mut writer = SegmentWriter::new();
        for id in &sorted {
            packed.clear();
            head.labels_into(*id, &mut packed);
            writer.push(LabelsRef::from_packed(&packed)).unwrap();
        }
        writer.finish().unwrap()
    });
    println!("  segment build {took:.1?}");
    bytes
}

fn read_back(reader: &SegmentReader<&[u8]>, count: usize) {
    let mut out = Vec::new();
    let mut rng = Rng::new(9);
    let sample = 100_000;
    let (_, took) = timed(|| {
        for _ in 0..sample {
            out.clear();
            reader.labels_at(rng.below(count as u64) as u32, &mut out).unwrap();
            black_box(&out);
        }
    });
    println!("  labels_at random {:.0} ns", took.as_nanos() as f64 / f64::from(sample));
    let (_, took) = timed(|| {
        let cursors = [reader.series().unwrap(), reader.series().unwrap()];
        let mut merge = SeriesMerge::new(cursors).unwrap();
        while merge.next().unwrap().is_some() {}
    });
    println!(
        "  merge of two {:.0} ns a series and input",
        took.as_nanos() as f64 / count as f64 / 2.0
    );
    let (values, took) = timed(|| reader.label_values("hostname", &[], "", 0).unwrap().len());
    println!("  label_values(hostname) {values} in {took:.1?}");
}

fn drop_half(head: &HeadIndex) {
    let (values, took) = timed(|| head.label_values("hostname", &[], "", 0).unwrap().len());
    println!("  head label_values(hostname) {values} in {took:.1?}");
    let keep = (0..head.series_end()).filter(|id| id / 4096 % 4 == 0).collect();
    let before = head.memory_bytes();
    let ((), took) = timed(|| head.retain(&keep).unwrap());
    let percent = 100.0 * head.memory_bytes() as f64 / before as f64;
    println!("  retain a quarter: {took:.1?}, {percent:.0} % of the memory left");
}

/// The result and the CPU time of this thread, which other programs disturb less than the wall clock.
fn timed<T>(mut work: impl FnMut() -> T) -> (T, Duration) {
    let (start, used) = (Instant::now(), cpu_time());
    let result = work();
    let wall = start.elapsed();
    let used = used.and_then(|before| Some(cpu_time()? - before));
    // The kernel accounts in steps; what is shorter is better told by the wall clock.
    (result, used.filter(|used| *used > Duration::from_millis(20)).unwrap_or(wall))
}

/// CPU time of this thread so far; `None` where `/proc` is not there.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The fastest of five runs.
fn best<T>(mut work: impl FnMut() -> T) -> (T, Duration) {
    let (mut result, mut fastest) = timed(&mut work);
    for _ in 0..4 {
        let (again, took) = timed(&mut work);
        result = again;
        fastest = fastest.min(took);
    }
    (result, fastest)
}

/// Resident memory of this process; 0 where `/proc` is not there.
fn resident_bytes() -> usize {
    let page = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = page.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}
