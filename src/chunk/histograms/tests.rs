//! Round trips of random chunks to the bit, and blobs that were made up.

use std::sync::Arc;

use base::rng::Rng;
use model::histogram::testing::{random, same_bits};
use model::{BucketSpan, Histogram, HistogramBuckets, ResetHint};

use super::*;
use crate::{Effort, OpenedValues, ValuesBlob, open_values, put_starts, rounds};

/// A counter of random observations whose layout grows with them.
fn counter(rng: &mut Rng, count: usize) -> Vec<Arc<Histogram>> {
    let mut buckets = [0.0f64; 40];
    let mut histogram = Histogram {
        schema: 3,
        is_integer: true,
        zero_threshold: 1e-128,
        reset_hint: ResetHint::NotReset,
        ..Histogram::default()
    };
    let step = |_| {
        for _ in 0..rng.below(200) {
            let bucket = (rng.below(7) + rng.below(7) + rng.below(7)) as usize + 10;
            buckets[bucket] += 1.0;
            histogram.sum += bucket as f64 * 0.3;
            histogram.count += 1.0;
        }
        let mut positive = HistogramBuckets::default();
        let mut next = 0;
        for (index, value) in buckets.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            let index = index as i32;
            match positive.spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => positive.spans.push(BucketSpan { offset: index - next, length: 1 }),
            }
            next = index + 1;
            positive.counts.push(*value);
        }
        Arc::new(Histogram { positive, ..histogram.clone() })
    };
    (0..count).map(step).collect()
}

fn check(histograms: &[Arc<Histogram>]) -> usize {
    let mut blob = Vec::new();
    HistogramsEncoder::new(Effort::Best).encode(histograms, &mut blob);
    let mut got = Vec::new();
    decode_histograms(&blob, 0..usize::MAX, &mut got).unwrap();
    assert_eq!(got.len(), histograms.len());
    for (got, want) in got.iter().zip(histograms) {
        assert!(same_bits(got.as_ref().unwrap(), want), "{got:?} {want:?}");
    }
    blob.len()
}

#[test]
fn counters_are_small_and_exact() {
    let mut rng = Rng::new(1);
    let mut bytes = 0;
    for _ in 0..rounds(20) {
        bytes += check(&counter(&mut rng, 120));
    }
    // About 18 buckets: Prometheus's chunk of such a counter takes 20 bytes a sample and more.
    assert!(bytes as u64 / rounds(20) / 120 < 20, "{bytes}");
}

/// Packed sides reach beyond one column of numbers, and long chunks have columns of their own.
#[test]
fn every_length_round_trips() {
    let mut rng = Rng::new(6);
    for count in [1, 2, 3, 200, 511, 512, 700] {
        check(&counter(&mut rng, count));
    }
}

#[test]
fn random_histograms_round_trip() {
    let mut rng = Rng::new(2);
    for _ in 0..rounds(100) {
        let all: Vec<Arc<Histogram>> =
            (0..1 + rng.below(60)).map(|_| Arc::new(random(&mut rng))).collect();
        let mut rest = &all[..];
        while !rest.is_empty() {
            let count = HistogramsEncoder::fitting(rest.iter().map(|h| &**h), 16);
            check(&rest[..count]);
            rest = &rest[count..];
        }
    }
}

#[test]
fn a_part_is_the_part_of_the_whole() {
    let all = counter(&mut Rng::new(3), 50);
    let mut blob = Vec::new();
    HistogramsEncoder::new(Effort::Fast).encode(&all, &mut blob);
    let mut got = Vec::new();
    decode_histograms(&blob, 10..13, &mut got).unwrap();
    let want: Vec<_> = all[10..13].iter().cloned().map(Some).collect();
    assert_eq!(got, want);
}

#[test]
fn starts_stand_in_front() {
    let all = counter(&mut Rng::new(4), 3);
    let mut blob = vec![9; 5];
    HistogramsEncoder::new(Effort::Fast).encode(&all, &mut blob);
    let inner = blob[5..].to_vec();
    put_starts(3, b"starts", 5, &mut blob);
    let opened = open_values(&blob[5..]).unwrap();
    let values = ValuesBlob::Histograms(&inner);
    assert_eq!(opened, OpenedValues { starts: Some(b"starts"), values });
    for cut in 5..9 {
        assert!(open_values(&blob[5..cut + 1]).is_err(), "{cut}");
    }
}

#[test]
fn hostile_blobs_are_errors() {
    let mut rng = Rng::new(5);
    let mut blobs = Vec::new();
    for _ in 0..20 {
        let mut blob = Vec::new();
        HistogramsEncoder::new(Effort::Fast).encode(&counter(&mut rng, 9), &mut blob);
        blobs.push(blob);
    }
    let mut out = Vec::new();
    for round in 0..rounds(20_000) {
        let mut blob = blobs[round as usize % blobs.len()].clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(blob.len() as u64) as usize;
            blob[at] = rng.next_u64() as u8;
        }
        if rng.one_in(3) {
            blob.truncate(rng.below(blob.len() as u64) as usize);
        }
        let _ = open_values(&blob);
        let _ = decode_histograms(&blob, 0..usize::MAX, &mut out);
        out.clear();
    }
}
