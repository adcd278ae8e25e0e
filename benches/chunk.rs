//! Chunk codecs: bytes and nanoseconds per sample over recorded and generated series.
//!
//! Prints one line per data set, chunk length and effort: the smallest of several passes, every
//! column checked against what was encoded. The data lie beside the compatibility vectors; without
//! them only the generated column is measured. "changing" lines leave out constant chunks.

use base::rng::Rng;
use chunk::{Effort, TimestampsEncoder, ValuesEncoder, decode_floats, decode_timestamps};
use model::SampleKind;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

const SETS: [&str; 4] = ["node", "prom", "nab", "tsbs"];
const LENGTHS: [usize; 4] = [120, 480, 1024, 4096];
const PASSES: usize = 5;

fn main() {
    println!("{:34} {:>9} {:>9} {:>9}", "", "B/sample", "encode ns", "decode ns");
    let mut absent = 0;
    for set in SETS {
        match load(set) {
            Some(data) => measure_set(set, &data),
            None => absent += 1,
        }
    }
    if absent > 0 {
        println!("{absent} files absent");
    }
    let mut rng = Rng::new(1);
    let mut walk = 0;
    let counter: Vec<u64> = (0..1 << 20)
        .map(|_| {
            walk += rng.below(1000);
            (walk as f64).to_bits()
        })
        .collect();
    measure("counter", &counter.chunks(1024).collect::<Vec<_>>());
}

/// Series as value bits, and timestamp columns by name.
struct Data {
    series: Vec<Vec<u64>>,
    timestamps: Vec<(String, Vec<i64>)>,
}

fn measure_set(set: &str, data: &Data) {
    for length in LENGTHS {
        let mut columns: Vec<&[u64]> = Vec::new();
        for series in &data.series {
            // A short rest counts when it is the only chunk or at least half of one.
            let chunks = series.chunks(length).enumerate();
            columns.extend(
                chunks
                    .filter(|(index, chunk)| *index == 0 || chunk.len() * 2 >= length)
                    .map(|(_, chunk)| chunk),
            );
        }
        measure(&format!("{set} {length}"), &columns);
        columns.retain(|column| column.iter().any(|bits| *bits != column[0]));
        measure(&format!("{set} {length} changing"), &columns);
    }
    for (name, timestamps) in &data.timestamps {
        if !name.starts_with('#') {
            measure_timestamps(&format!("{set} timestamps {name} 1024"), timestamps);
        }
    }
}

fn measure(name: &str, columns: &[&[u64]]) {
    // `cargo bench -p chunk -- "node 480"` measures what begins so.
    if std::env::args()
        .nth(1)
        .is_some_and(|wanted| wanted != "--bench" && !name.starts_with(&wanted))
    {
        return;
    }
    for effort in [Effort::Best, Effort::Fast] {
        let samples: usize = columns.iter().map(|column| column.len()).sum();
        let mut encoder = ValuesEncoder::new(effort);
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let encode_ns = fastest(samples, || {
            bytes.clear();
            ends.clear();
            for column in columns {
                encoder.encode(SampleKind::Float, column, &mut bytes);
                ends.push(bytes.len());
            }
        });
        let blobs = || std::iter::once(0).chain(ends.iter().copied()).zip(&ends);
        let mut out: Vec<f64> = Vec::new();
        for ((start, end), column) in blobs().zip(columns) {
            out.clear();
            decode_floats(&bytes[start..*end], &mut out).expect("a blob of ours");
            assert!(out.iter().map(|value| value.to_bits()).eq(column.iter().copied()), "{name}");
        }
        let decode_ns = fastest(samples, || {
            for (start, end) in blobs() {
                out.clear();
                decode_floats(&bytes[start..*end], &mut out).expect("a blob of ours");
                black_box(&out);
            }
        });
        print_line(&format!("{name} {effort:?}"), bytes.len(), samples, encode_ns, decode_ns);
    }
}

fn measure_timestamps(name: &str, timestamps: &[i64]) {
    let mut encoder = TimestampsEncoder::new(Effort::Best);
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let encode_ns = fastest(timestamps.len(), || {
        bytes.clear();
        ends.clear();
        for column in timestamps.chunks(1024) {
            encoder.encode(column, &mut bytes);
            ends.push(bytes.len());
        }
    });
    let mut out = Vec::new();
    let decode = |out: &mut Vec<i64>| {
        out.clear();
        let mut start = 0;
        for end in &ends {
            decode_timestamps(&bytes[start..*end], out).expect("a blob of ours");
            start = *end;
        }
    };
    decode(&mut out);
    assert_eq!(out, timestamps);
    let decode_ns = fastest(timestamps.len(), || decode(black_box(&mut out)));
    print_line(name, bytes.len(), timestamps.len(), encode_ns, decode_ns);
}

fn print_line(name: &str, bytes: usize, samples: usize, encode_ns: f64, decode_ns: f64) {
    let size = bytes as f64 / samples as f64;
    println!("{name:34} {size:9.4} {encode_ns:9.1} {decode_ns:9.2}");
}

/// Nanoseconds per sample of the fastest pass.
fn fastest(samples: usize, mut pass: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let start = Instant::now();
        pass();
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    best / samples.max(1) as f64
}

/// Reads a data set: 'TSD1', series (name, kind, count, floats), timestamp columns.
fn load(set: &str) -> Option<Data> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let vectors =
        std::env::var_os("TRIBUTARY_VECTORS").map_or(root.join("shared/vectors"), PathBuf::from);
    let file =
        std::fs::File::open(vectors.parent()?.join(format!("codec/data/{set}.bin.zst"))).ok()?;
    let bytes = zstd::decode_all(file).expect("a zstd file");
    let mut reader = base::codec::ByteReader::new(&bytes);
    assert_eq!(reader.take(4), b"TSD1");
    let series = (0..reader.u32())
        .map(|_| {
            let name = reader.u32() as usize;
            reader.take(name + 1);
            (0..reader.u32()).map(|_| reader.u64()).collect()
        })
        .collect();
    let timestamps = (0..reader.u32())
        .map(|_| {
            let length = reader.u32() as usize;
            let name = String::from_utf8_lossy(reader.take(length)).into_owned();
            (name, (0..reader.u32()).map(|_| reader.i64()).collect())
        })
        .collect();
    assert!(!reader.failed(), "{set} is cut");
    Some(Data { series, timestamps })
}
