//! What the engine costs by itself: CPU per appended sample by thread, bytes per sample on disk,
//! time to reopen, to count a million series, and memory. Prints one table; not a criterion bench,
//! since each figure takes one long run over real files.
//!
//! `cargo bench -p storage -- [known|new] [directory]`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use base::clock::ManualClock;
use base::metrics::Metrics;
use base::rng::Rng;
use model::{Appender, Hints, Samples, Selection, Source, TenantId, TimeRange, WriteBatch};
use storage::{Engine, EngineOptions};

const START: i64 = 1_700_006_400_000;
const STEP_MS: i64 = 10_000;
const BATCH_ROWS: usize = 5_000;
const METRICS: [&str; 10] = [
    "cpu_usage_user",
    "cpu_usage_system",
    "cpu_usage_idle",
    "cpu_usage_nice",
    "cpu_usage_iowait",
    "cpu_usage_irq",
    "mem_used_percent",
    "disk_used_percent",
    "net_bytes_sent",
    "redis_latency",
];

/// CPU nanoseconds of the threads of this process whose name starts with `name`.
fn cpu_ns(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    tasks
        .filter(|task| read(task.path().join("comm")).starts_with(name))
        .filter_map(|task| {
            read(task.path().join("schedstat")).split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn bytes_of(dir: &Path, wanted: &str) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => bytes_of(&path, wanted),
            path if path.to_string_lossy().ends_with(wanted) => {
                entry.metadata().map_or(0, |meta| meta.len())
            }
            _ => 0,
        })
        .sum()
}

/// TSBS-devops-like walks: integers, two decimals, counters, full precision.
struct Walks(Vec<f64>, Rng);

impl Walks {
    fn new(series: usize) -> Self {
        let mut rng = Rng::new(7);
        Self((0..series).map(|_| rng.below(100) as f64).collect(), rng)
    }

    fn next(&mut self, series: usize) -> f64 {
        let step = self.1.unit_f64() * 2.0 - 1.0;
        let value = &mut self.0[series];
        match series % METRICS.len() {
            0..=5 => *value = (*value + (step * 1.6).round()).clamp(0.0, 100.0),
            6 | 7 => *value = ((*value + step) * 100.0).round().clamp(0.0, 10_000.0) / 100.0,
            8 => *value += (step.abs() * 5_000.0).round(),
            _ => *value = (*value + step).abs(),
        }
        *value
    }
}

fn push(batch: &mut WriteBatch, series: usize, ts: i64, value: f64) {
    let host = series / METRICS.len();
    batch.begin_row();
    batch.push_label(b"__name__", METRICS[series % METRICS.len()].as_bytes());
    batch.push_label(b"arch", if host.is_multiple_of(2) { b"x64" } else { b"x86" });
    batch.push_label(b"datacenter", format!("eu-west-1{}", ["a", "b", "c"][host % 3]).as_bytes());
    batch.push_label(b"hostname", format!("host_{host}").as_bytes());
    batch.push_label(b"os", ["Ubuntu16.10", "Ubuntu16.04LTS"][host % 2].as_bytes());
    batch.push_label(b"rack", format!("{}", host % 100).as_bytes());
    batch.push_label(b"region", ["eu-west-1", "us-east-1", "sa-east-1"][host % 3].as_bytes());
    batch.push_label(b"service", format!("{}", host % 20).as_bytes());
    batch.push_label(b"service_environment", ["test", "production"][host % 2].as_bytes());
    batch.push_label(b"service_version", format!("{}", host % 2).as_bytes());
    batch.push_label(b"team", ["SF", "NYC", "LON", "CHI"][host % 4].as_bytes());
    let _ = batch.end_labels();
    batch.push_float(ts, value);
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Engine {
    let options = EngineOptions { background: false, ..EngineOptions::new(dir) };
    match Engine::open(options, clock.clone(), Arc::new(Metrics::default())) {
        Ok(engine) => engine,
        Err(error) => panic!("cannot open the store: {error}"),
    }
}

fn write(engine: &Engine, series: usize, steps: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut walks = Walks::new(series);
    let mut batch = engine.batch(TenantId::DEFAULT);
    let (start, cpu) = (Instant::now(), cpu_ns("committer"));
    for step in 0..steps {
        for first in (0..series).step_by(BATCH_ROWS) {
            for number in first..series.min(first + BATCH_ROWS) {
                push(&mut batch, number, START + step as i64 * STEP_MS, walks.next(number));
            }
            let report = runtime.block_on(engine.append(batch)).expect("an accepted batch");
            batch = report.batch;
            batch.clear();
        }
    }
    let samples = (series * steps) as f64;
    println!(
        "append {series} series × {steps}: committer {:.0} ns CPU a sample, {:.1} s wall with generation, RSS {} MiB",
        (cpu_ns("committer") - cpu) as f64 / samples,
        start.elapsed().as_secs_f64(),
        rss_mib(),
    );
}

/// CPU seconds of the whole process, finished threads included.
fn process_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    // Fields 14 and 15 of the line, in ticks of 10 ms; the name was field 2.
    let ticks =
        behind_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn timed<T>(what: &str, body: impl FnOnce() -> T) -> T {
    let (start, cpu) = (Instant::now(), process_cpu_s());
    let out = body();
    println!(
        "{what}: {:.3} s, {:.2} s CPU, RSS {} MiB",
        start.elapsed().as_secs_f64(),
        process_cpu_s() - cpu,
        rss_mib()
    );
    out
}

fn count(engine: &Engine) {
    let selection: Box<dyn Selection> = timed("select all", || {
        engine.select(&[], TimeRange::ALL, &Hints::default()).expect("a selection")
    });
    let total = timed("read all", || {
        let mut samples = Samples::default();
        let mut total = 0;
        for index in 0..selection.len() {
            selection.read(index, &mut samples).expect("samples");
            total += samples.len();
        }
        total
    });
    println!("  {} series, {total} samples", selection.len());
}

fn sizes(dir: &Path, what: &str, engine: &Engine) {
    let status = engine.status();
    println!(
        "{what}: {} blocks, chunks {:.3} B a sample, index {:.1} B a series and block, log {} MiB",
        status.blocks,
        bytes_of(dir, "chunks") as f64 / status.block_samples.max(1) as f64,
        bytes_of(dir, "index") as f64 / (status.head_series.max(1) * status.blocks.max(1)) as f64,
        bytes_of(dir, ".wal") >> 20,
    );
}

fn run(dir: &Path, series: usize, steps: usize) {
    let _ = std::fs::remove_dir_all(dir);
    let clock = Arc::new(ManualClock::new(START));
    let engine = open(dir, &clock);
    write(&engine, series, steps);
    println!("  log {:.2} B a sample", bytes_of(dir, ".wal") as f64 / (series * steps) as f64);
    count(&engine);
    drop(engine);
    let engine = timed("reopen from the log", || open(dir, &clock));
    timed("flush", || engine.flush_now()).expect("a flush");
    sizes(dir, "after the flush", &engine);
    count(&engine);
    clock.set(START + 1_000 * 3_600_000);
    timed("compact", || engine.compact_now()).expect("a compaction");
    sizes(dir, "after the compaction", &engine);
    count(&engine);
    drop(engine);
    let engine = timed("reopen from blocks", || open(dir, &clock));
    drop(engine);
    let _ = std::fs::remove_dir_all(dir);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let what = words.first().map_or("", String::as_str);
    let parent = words.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("tributary-bench-{}", std::process::id()));
    if what != "new" {
        run(&dir, 100_000, 240);
    }
    if what != "known" {
        run(&dir, 1_000_000, 4);
    }
}
