//! The decoder against prost's own encoder, and against bytes that are no message.

use base::rng::Rng;
use model::{Labels, SampleKind};
use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<HistogramMessage>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<MetadataMessage>,
    /// What old senders put there.
    #[prost(int64, tag = "6")]
    created_timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct HistogramMessage {
    #[prost(uint64, tag = "1")]
    count_int: u64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(int64, tag = "17")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct MetadataMessage {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

const SYMBOLS: [&str; 9] =
    ["", "__name__", "up_total", "job", "a", "trace_id", "x1", "Counts.", "seconds"];

fn request(timeseries: Vec<TimeSeries>) -> Request {
    Request { symbols: SYMBOLS.map(str::to_owned).to_vec(), timeseries }
}

fn sample(timestamp: i64, value: f64) -> Sample {
    Sample { value, timestamp, start_timestamp: 0 }
}

fn counted() -> HistogramMessage {
    HistogramMessage {
        count_int: 5,
        sum: 7.5,
        schema: 1,
        positive_spans: vec![Span { offset: -1, length: 2 }],
        positive_deltas: vec![4, -3],
        timestamp: 9,
        start_timestamp: 3,
    }
}

fn batch() -> WriteBatch {
    WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(7))
}

fn decoded(request: &Request) -> (Decoded, WriteBatch) {
    let mut batch = batch();
    let decoded = decode(&request.encode_to_vec(), &KnownKeys::default(), &mut batch).unwrap();
    (decoded, batch)
}

#[test]
fn a_request_becomes_rows() {
    let (decoded, batch) = decoded(&request(vec![TimeSeries {
        // Not sorted, which senders may do.
        labels_refs: vec![3, 4, 1, 2],
        samples: vec![Sample { start_timestamp: 5, ..sample(10, 1.5) }, sample(11, 2.5)],
        histograms: vec![counted()],
        exemplars: vec![Exemplar { labels_refs: vec![5, 6], value: 1.0, timestamp: 10 }],
        metadata: Some(MetadataMessage { kind: 1, help_ref: 7, unit_ref: 8 }),
        created_timestamp: 77,
    }]));
    assert_eq!((decoded.samples, decoded.histograms, decoded.fault_count), (3, 1, 0));
    let labels = Labels::from_pairs([("__name__", "up_total"), ("job", "a")]);
    let rows = batch.rows();
    assert_eq!(batch.labels(&rows[0]), labels.view());
    assert_eq!(batch.samples(&rows[0]).0, [10, 11]);
    assert_eq!([batch.start_ms(&rows[0], 0), batch.start_ms(&rows[0], 1)], [5, 0]);
    assert_eq!((rows[1].kind, batch.start_ms(&rows[1], 0)), (SampleKind::Histogram, 3));
    let bits = batch.samples(&rows[1]).1[0];
    let stored = model::histogram::decode(batch.histogram(bits)).unwrap();
    assert_eq!(stored.positive.iter().collect::<Vec<_>>(), [(-1, 4.0), (0, 1.0)]);
    let exemplar = &decoded.exemplars[0];
    assert_eq!(exemplar.series, labels.as_packed());
    assert_eq!(exemplar.labels, Labels::from_pairs([("trace_id", "x1")]).as_packed());
    let metadata = &decoded.metadata[0];
    assert_eq!((metadata.family.as_str(), metadata.kind), ("up_total", 1));
    assert_eq!((metadata.help.as_str(), metadata.unit.as_str()), ("Counts.", "seconds"));
}

#[test]
fn each_fault_costs_its_series_alone() {
    let good = || TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![sample(1, 1.0)],
        ..TimeSeries::default()
    };
    for (labels_refs, want) in [
        (vec![1, 2, 3], "odd number"),
        (vec![1, 99], "reference beyond"),
        (vec![3, 4], "no metric name"),
        (vec![1, 0], "no metric name"),
        (vec![1, 2, 0, 4], "a label name is empty"),
        (vec![1, 2, 3, 4, 3, 2], "job"),
        (vec![], "no metric name"),
    ] {
        let bad = TimeSeries { labels_refs, ..good() };
        let (decoded, batch) = decoded(&request(vec![good(), bad, good()]));
        assert_eq!((decoded.fault_count, batch.rows().len()), (1, 2), "{want}");
        assert!(decoded.faults[0].contains(want), "{:?} lacks {want:?}", decoded.faults);
    }
    let empty = TimeSeries { samples: vec![], ..good() };
    let wrong = HistogramMessage { count_int: 6, ..counted() };
    let wrong = TimeSeries { histograms: vec![wrong], ..good() };
    let (decoded, batch) = decoded(&request(vec![empty, wrong]));
    assert_eq!((decoded.fault_count, decoded.samples, batch.rows().len()), (2, 1, 1));
    assert!(decoded.faults[0].contains("at least one sample"), "{:?}", decoded.faults);
    assert!(decoded.faults[1].contains("observation"), "{:?}", decoded.faults);
}

#[test]
fn a_known_spelling_is_known_under_any_table() {
    let series = |labels_refs: Vec<u32>| TimeSeries {
        labels_refs,
        samples: vec![sample(1, 1.0)],
        ..TimeSeries::default()
    };
    let first = request(vec![series(vec![1, 2, 3, 4])]);
    let mut known = KnownKeys::default();
    let mut before = batch();
    let learned = decode(&first.encode_to_vec(), &known, &mut before).unwrap().learned;
    assert_eq!(learned.len(), 1);
    known.learn(&learned);
    let symbols = ["", "zzz", "job", "a", "up_total", "__name__"];
    let second = Request {
        symbols: symbols.map(str::to_owned).to_vec(),
        timeseries: vec![series(vec![5, 4, 2, 3]), series(vec![5, 4, 2, 1])],
    };
    let mut after = batch();
    let decoded = decode(&second.encode_to_vec(), &known, &mut after).unwrap();
    assert_eq!(decoded.learned.len(), 1, "the second is another series");
    assert!(after.rows()[0].is_raw);
    after.unpack(0);
    let (a, b) = (before.rows()[0], after.rows()[0]);
    assert_eq!((a.hash, before.labels(&a)), (b.hash, after.labels(&b)));
}

#[test]
fn a_table_must_start_empty() {
    for symbols in [vec![], vec!["a".to_owned()]] {
        let request = Request { symbols, timeseries: vec![] };
        let result = decode(&request.encode_to_vec(), &KnownKeys::default(), &mut batch());
        assert_eq!(result, Err(RemoteWriteError::Symbols));
    }
}

#[test]
fn damaged_messages_never_panic() {
    let series = TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![sample(1, 1.0)],
        histograms: vec![counted()],
        exemplars: vec![Exemplar { labels_refs: vec![5, 6], value: 1.0, timestamp: 10 }],
        metadata: Some(MetadataMessage { kind: 1, help_ref: 7, unit_ref: 8 }),
        created_timestamp: 0,
    };
    let whole = request(vec![series; 3]).encode_to_vec();
    let mut rng = Rng::new(12);
    let mut known = KnownKeys::default();
    for _ in 0..20_000 {
        let mut damaged = whole.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(damaged.len() as u64) as usize;
            damaged[at] = rng.next_u64() as u8;
        }
        damaged.truncate(rng.below(whole.len() as u64 + 1) as usize);
        let mut batch = batch();
        if let Ok(decoded) = decode(&damaged, &known, &mut batch) {
            known.learn(&decoded.learned);
        }
        for row in 0..batch.rows().len() {
            batch.unpack(row);
        }
    }
}
