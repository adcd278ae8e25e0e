//! The decoder against prost's own encoder (an independent implementation of the wire format), and
//! against bytes that are no message.

use base::rng::Rng;
use model::{Labels, SeriesHasher, TenantId, WriteBatch};
use prost::Message as _;

use super::*;
use crate::prometheus::generated::{Label, Sample, TimeSeries, WriteRequest};

fn batch() -> WriteBatch {
    WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(7))
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    TimeSeries {
        labels: labels
            .iter()
            .map(|(name, value)| Label { name: (*name).into(), value: (*value).into() })
            .collect(),
        samples: samples.iter().map(|&(timestamp, value)| Sample { timestamp, value }).collect(),
        ..TimeSeries::default()
    }
}

#[test]
fn a_request_becomes_rows() {
    let request = WriteRequest {
        timeseries: vec![
            series(&[("job", "a"), ("__name__", "up")], &[(1, 1.0), (-5, f64::NAN)]),
            series(&[("job", "nameless")], &[(1, 1.0)]),
            series(&[("__name__", "twice"), ("a", "1"), ("a", "2")], &[(1, 1.0)]),
            series(&[("__name__", "no_samples")], &[]),
            series(&[("__name__", "zero")], &[(0, 0.0)]),
        ],
        metadata: vec![],
    };
    let mut batch = batch();
    let decoded = decode(&request.encode_to_vec(), &KnownKeys::default(), &mut batch).unwrap();
    assert_eq!(decoded.dropped_series, 2);
    assert_eq!(decoded.samples, 3);
    let shown: Vec<String> = batch.rows().iter().map(|row| batch.labels(row).to_string()).collect();
    assert_eq!(shown, [r#"{__name__="up", job="a"}"#, r#"{__name__="zero"}"#]);
    assert_eq!(batch.samples(&batch.rows()[0]).0, [1, -5]);
    assert_eq!(batch.samples(&batch.rows()[1]).1, [0]);
}

#[test]
fn labels_behind_samples_are_still_labels() {
    let mut message = Vec::new();
    let tail = series(&[("zone", "x")], &[]).encode_to_vec();
    let head = series(&[("__name__", "up")], &[(9, 2.5)]).encode_to_vec();
    let both: Vec<u8> = [head, tail].concat();
    prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut message);
    prost::encoding::encode_varint(both.len() as u64, &mut message);
    message.extend(both);
    let mut batch = batch();
    assert_eq!(decode(&message, &KnownKeys::default(), &mut batch).unwrap().samples, 1);
    let labels = Labels::from_pairs([("__name__", "up"), ("zone", "x")]);
    assert_eq!(batch.labels(&batch.rows()[0]), labels.view());
}

#[test]
fn a_known_spelling_gives_the_same_rows() {
    let request = WriteRequest {
        timeseries: vec![
            series(&[("job", "a"), ("__name__", "up"), ("empty", "")], &[(1, 1.0), (2, 2.0)]),
            series(&[("__name__", "up")], &[(3, 3.0)]),
            series(&[("job", "nameless")], &[(1, 1.0)]),
        ],
        metadata: vec![],
    };
    let message = request.encode_to_vec();
    let (mut first, mut second, mut known) = (batch(), batch(), KnownKeys::default());
    let learned = decode(&message, &known, &mut first).unwrap().learned;
    assert_eq!(learned.len(), 2, "a dropped series is never known");
    known.learn(&learned);
    let decoded = decode(&message, &known, &mut second).unwrap();
    assert_eq!((decoded.samples, decoded.dropped_series, decoded.learned.len()), (3, 1, 0));
    for index in 0..first.rows().len() {
        assert!(second.rows()[index].is_raw);
        second.unpack(index);
        let (a, b) = (first.rows()[index], second.rows()[index]);
        assert_eq!(a.hash, b.hash);
        assert_eq!(first.labels(&a), second.labels(&b));
        assert_eq!(first.samples(&a), second.samples(&b));
    }
}

#[test]
fn a_body_that_inflates_too_far_is_refused_unread() {
    let mut bomb = Vec::new();
    prost::encoding::encode_varint(REMOTE_WRITE_BYTES_MAX as u64 + 1, &mut bomb);
    let mut out = Vec::new();
    assert!(matches!(decompress(&bomb, &mut out), Err(RemoteWriteError::TooLarge { .. })));
    let mut liar = Vec::new();
    prost::encoding::encode_varint(REMOTE_WRITE_BYTES_MAX as u64, &mut liar);
    assert!(matches!(decompress(&liar, &mut out), Err(RemoteWriteError::Snappy(_))));
    assert_eq!(out.capacity(), 0);
    assert!(decompress(b"", &mut out).is_err());
}

#[test]
fn damaged_messages_never_panic() {
    let request = WriteRequest {
        timeseries: vec![series(&[("__name__", "up"), ("job", "a")], &[(1, 1.0), (2, 2.0)]); 3],
        metadata: vec![],
    };
    let whole = request.encode_to_vec();
    let seed = 11;
    let mut rng = Rng::new(seed);
    for _ in 0..20_000 {
        let mut damaged = whole.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(damaged.len() as u64) as usize;
            damaged[at] = rng.next_u64() as u8;
        }
        damaged.truncate(rng.below(whole.len() as u64 + 1) as usize);
        let mut batch = batch();
        let _ = decode(&damaged, &KnownKeys::default(), &mut batch);
        let mut out = Vec::new();
        let _ = decompress(&damaged, &mut out);
    }
}

#[test]
fn histograms_exemplars_and_metadata_are_taken() {
    use crate::prometheus::generated::{
        BucketSpan, Exemplar, Histogram, MetricMetadata, histogram::Count,
    };
    let histogram = Histogram {
        count: Some(Count::CountInt(3)),
        sum: 4.5,
        schema: 3,
        positive_spans: vec![BucketSpan { offset: 2, length: 2 }],
        positive_deltas: vec![2, -1],
        timestamp: 7,
        ..Histogram::default()
    };
    let wrong = Histogram { count: Some(Count::CountInt(4)), ..histogram.clone() };
    let trace = vec![Label { name: "trace_id".into(), value: "x".into() }];
    let exemplar = Exemplar { labels: trace, value: 2.0, timestamp: 7 };
    let with = |histograms: Vec<Histogram>, exemplars: Vec<Exemplar>| TimeSeries {
        histograms,
        exemplars,
        ..series(&[("__name__", "h")], &[])
    };
    let request = WriteRequest {
        timeseries: vec![
            with(vec![histogram], vec![exemplar.clone()]),
            with(vec![wrong], vec![]),
            // Prometheus sends exemplars as series of their own.
            with(vec![], vec![exemplar]),
        ],
        metadata: vec![MetricMetadata {
            r#type: 3,
            metric_family_name: "h".into(),
            help: "Helps.".into(),
            unit: String::new(),
        }],
    };
    let mut known = KnownKeys::default();
    // Once unknown, once known.
    for round in 0..2 {
        let mut batch = batch();
        let decoded = decode(&request.encode_to_vec(), &known, &mut batch).unwrap();
        assert_eq!((decoded.samples, decoded.histograms), (1, 1), "{round}");
        assert_eq!(decoded.fault_count, 1);
        assert_eq!(decoded.metadata[0].help, "Helps.");
        let named = Labels::from_pairs([("__name__", "h")]);
        let of_series = |exemplar: &SeriesExemplar| exemplar.series == named.as_packed();
        assert_eq!(decoded.exemplars.len(), 2);
        assert!(decoded.exemplars.iter().all(of_series), "{round}");
        known.learn(&decoded.learned);
    }
}
