//! Requests against prost's encoder, float chunks against a reader written from their description.

use std::sync::Arc;

use base::rng::Rng;
use model::{BucketSpan, HistogramBuckets, Labels, ResetHint, SampleKind};

use super::chunks::{Encoding, SAMPLES_MAX};
use super::*;

/// Reads a chunk of floats.
fn read_floats(data: &[u8]) -> Vec<(i64, u64)> {
    let mut at = 0;
    let mut bits = |count: usize| {
        let mut value = 0u64;
        for _ in 0..count {
            value = value << 1 | u64::from(data[at / 8] >> (7 - at % 8) & 1);
            at += 1;
        }
        value
    };
    let count = bits(16);
    let varint = |bits: &mut dyn FnMut(usize) -> u64| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = bits(8);
            value |= (byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return value;
            }
        }
    };
    let (mut at_ms, mut step, mut value) = (0i64, 0i64, 0u64);
    let (mut leading, mut trailing) = (0u32, 0u32);
    let mut out = Vec::new();
    for index in 0..count {
        match index {
            0 => at_ms = base::codec::unzigzag(varint(&mut bits)),
            1 => {
                step = varint(&mut bits) as i64;
                at_ms += step;
            }
            _ => {
                let ones = (0..4).take_while(|_| bits(1) == 1).count();
                let width = [0, 14, 17, 20, 64][ones];
                let raw = bits(width) as i64;
                let turn = width > 0 && width < 64 && raw > 1 << (width - 1);
                step += if turn { raw - (1 << width) } else { raw };
                at_ms += step;
            }
        }
        if index == 0 {
            value = bits(64);
        } else if bits(1) == 1 {
            if bits(1) == 1 {
                leading = bits(5) as u32;
                let count = bits(6) as u32;
                trailing = 64 - leading - if count == 0 { 64 } else { count };
            }
            value ^= bits((64 - leading - trailing) as usize) << trailing;
        }
        out.push((at_ms, value));
    }
    out
}

#[test]
fn floats_come_back() {
    let mut rng = Rng::new(21);
    for _ in 0..200 {
        let mut samples = Samples::default();
        let mut at_ms = rng.below(1 << 41) as i64 - (1 << 40);
        for _ in 0..1 + rng.below(150) {
            let width = rng.below(40);
            at_ms += 1 + if rng.one_in(3) { rng.below(1 << width) as i64 } else { 15_000 };
            let value = match rng.below(3) {
                0 => rng.next_u64(),
                1 => model::STALE_NAN_BITS,
                _ => (rng.below(100) as f64).to_bits(),
            };
            samples.push(at_ms, SampleKind::Float, value);
        }
        let (mut got, mut start) = (Vec::new(), 0);
        while let Some((chunk, end)) = encode_chunk(&samples, start) {
            assert_eq!((chunk.encoding, end - start <= SAMPLES_MAX), (Encoding::Xor, true));
            got.extend(read_floats(&chunk.data));
            start = end;
        }
        let values = samples.values.iter().map(|value| value.to_bits());
        let want: Vec<_> = samples.timestamps.iter().copied().zip(values).collect();
        assert_eq!(got, want);
    }
}

#[test]
fn histograms_part_at_layouts_and_resets() {
    let of = |counts: &[f64], reset_hint| {
        Arc::new(Histogram {
            reset_hint,
            is_integer: true,
            count: counts.iter().sum(),
            positive: HistogramBuckets {
                spans: vec![BucketSpan { offset: 0, length: counts.len() as u32 }],
                counts: counts.to_vec(),
            },
            ..Histogram::default()
        })
    };
    let mut samples = Samples::default();
    samples.push_histogram(1, of(&[1.0], ResetHint::Unknown));
    samples.push_histogram(2, of(&[2.0], ResetHint::NotReset));
    samples.push_histogram(3, of(&[2.0, 1.0], ResetHint::NotReset));
    samples.push_histogram(4, of(&[0.0, 1.0], ResetHint::Reset));
    samples.push(5, SampleKind::Float, 0);
    let (mut got, mut start) = (Vec::new(), 0);
    while let Some((chunk, end)) = encode_chunk(&samples, start) {
        got.push((chunk.min_ms, chunk.max_ms, chunk.encoding, chunk.data[2]));
        start = end;
    }
    assert_eq!(
        got[..3],
        [
            (1, 2, Encoding::Histogram, 0),
            (3, 3, Encoding::Histogram, 0x40),
            (4, 4, Encoding::Histogram, 0x80),
        ]
    );
    assert_eq!(got[3].2, Encoding::Xor);
}

/// A message of fields that are messages or numbers.
fn message(fields: &[(u64, &[u8])], numbers: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(field, bytes)| put_message(&mut out, *field, bytes));
    numbers.iter().for_each(|(field, value)| put_integer(&mut out, *field, *value));
    out
}

#[test]
fn requests_are_read_and_hostile_ones_refused() {
    let matcher = message(&[(2, b"__name__"), (3, b"up|down")], &[(1, 2)]);
    let hints = message(&[(2, b"series")], &[]);
    let query = message(&[(3, &matcher), (4, &hints)], &[(1, 5), (2, 9)]);
    let request = message(&[(1, &query)], &[(2, 1)]);
    let decoded = decode(&request).unwrap();
    assert_eq!(decoded.response, Response::Chunks);
    let query = &decoded.queries[0];
    assert_eq!((query.range, query.labels_only), (TimeRange::new(5, 9), true));
    assert!(query.matchers[0].matches("down") && !query.matchers[0].matches("downs"));
    assert!(matches!(decode(&message(&[], &[(2, 7)])), Err(BadRequest::ResponseType)));
    assert_eq!(decode(&[]).unwrap().response, Response::Samples);
    let mut rng = Rng::new(22);
    for _ in 0..20_000 {
        let mut damaged = request.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(damaged.len() as u64) as usize;
            damaged[at] = rng.next_u64() as u8;
        }
        let _ = decode(&damaged);
    }
}

#[test]
fn frames_carry_length_and_checksum() {
    let mut samples = Samples::default();
    (0..300).for_each(|at_ms| samples.push(at_ms, SampleKind::Float, 0));
    let labels = Labels::from_pairs([("__name__", "up")]);
    let mut sent = Vec::new();
    assert!(frames(3, labels.view(), &samples, |frame| {
        sent.push(frame);
        true
    }));
    assert_eq!(sent.len(), 1);
    let mut reader = Reader::new(&sent[0]);
    let length = reader.varint("length").unwrap() as usize;
    let rest = &sent[0][reader.position..];
    assert_eq!(rest.len(), length + 4);
    assert_eq!(rest[..4], base::frame::checksum(&rest[4..]).to_be_bytes());
}

/// A counter of `count` histograms with `buckets` buckets and about `rate` observations between two.
fn counters(buckets: usize, rate: u64, count: usize, is_integer: bool) -> Samples {
    let mut rng = Rng::new(buckets as u64 * 31 + rate);
    let mut samples = Samples::default();
    let mut histogram = Histogram {
        schema: 3,
        is_integer,
        zero_threshold: 2f64.powi(-128),
        positive: HistogramBuckets {
            spans: vec![BucketSpan { offset: -20, length: buckets as u32 }],
            counts: vec![1.0; buckets],
        },
        count: buckets as f64,
        ..Histogram::default()
    };
    for index in 0..count as i64 {
        let hint = if index == 0 { ResetHint::Unknown } else { ResetHint::NotReset };
        for _ in 0..rng.below(rate * 2 + 1) {
            // Most observations lie in the middle, as latencies do.
            let place = (0..4).map(|_| rng.below(buckets as u64)).sum::<u64>() as usize / 4;
            let weight = if is_integer { 1.0 } else { 0.1 };
            histogram.positive.counts[place] += weight;
            histogram.count += weight;
            histogram.sum += (place as f64 * 0.0866).exp() * (1.0 + rng.below(1000) as f64 / 1e4);
        }
        let histogram = Histogram { reset_hint: hint, ..histogram.clone() };
        let jitter = if rng.one_in(4) { rng.below(3) as i64 } else { 0 };
        samples.push_histogram(1_700_000_000_000 + index * 15_000 + jitter, Arc::new(histogram));
    }
    samples
}

/// Bytes a sample in chunks of Prometheus and in ours, instants included.
fn bytes_a_sample(samples: &Samples, chunk_samples: usize) -> (f64, f64) {
    let (mut theirs, mut ours, mut start) = (0, 0, 0);
    while let Some((chunk, end)) = encode_chunk(samples, start) {
        theirs += chunk.data.len();
        start = end;
    }
    let all: Vec<Arc<Histogram>> = samples.histograms.iter().flatten().cloned().collect();
    let mut encoder = ::chunk::HistogramsEncoder::new(::chunk::Effort::Best);
    for (times, histograms) in
        samples.timestamps.chunks(chunk_samples).zip(all.chunks(chunk_samples))
    {
        let mut out = Vec::new();
        ::chunk::encode_timestamps(times, &mut out);
        encoder.encode(histograms, &mut out);
        ours += out.len();
    }
    (theirs as f64 / samples.len() as f64, ours as f64 / samples.len() as f64)
}

#[test]
fn stored_histograms_are_hardly_larger_than_prometheus_s() {
    for (buckets, rate, is_integer) in [
        (8, 1, true),
        (20, 10, true),
        (20, 1000, true),
        (60, 50, true),
        (160, 5000, true),
        (20, 10, false),
    ] {
        let samples = counters(buckets, rate, 480, is_integer);
        let (theirs, ours) = bytes_a_sample(&samples, 480);
        let (_, short) = bytes_a_sample(&samples, 120);
        println!(
            "{buckets} buckets, {rate} observations, integer {is_integer}: theirs {theirs:.1} ours {ours:.1} (120 samples: {short:.1})"
        );
        assert!(ours <= theirs * 1.2, "{buckets} {rate}: {ours} over {theirs}");
    }
}
