//! Records by hand, back and forth, and from noise.

use base::frame::{Frame, read_frame};
use base::rng::Rng;
use model::histogram;

use super::*;

fn payload(frame: &[u8]) -> &[u8] {
    match read_frame(frame, 1 << 20) {
        Frame::Whole { payload, bytes } if bytes == frame.len() => payload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn samples_round_trip() {
    let mut rng = Rng::new(7);
    let mut out = Vec::new();
    let mut encoder = RecordEncoder::samples(&mut out, TenantId(3), 5, false);
    let mut want = SamplesRecord { tenant: TenantId(3), shard: 5, ..Default::default() };
    let bits = [0, 1, u64::MAX, 1.5f64.to_bits(), (-0.0f64).to_bits(), 0x7ff0_0000_0000_0002];
    for index in 0..500u64 {
        let id = if rng.one_in(3) { LogId(rng.next_u64()) } else { LogId(index) };
        let ts = if rng.one_in(5) { rng.next_u64() as i64 } else { 1000 };
        let kind = if rng.one_in(2) { SampleKind::Float } else { SampleKind::Integer };
        let bits = bits[rng.below(6) as usize];
        encoder.push_sample(&mut out, id, ts, kind, bits);
        want.ids.push(id);
        want.timestamps.push(ts);
        want.kinds.push(kind);
        want.bits.push(bits);
    }
    encoder.finish(&mut out);
    assert_eq!(decode(payload(&out)), Ok(Record::Samples(want)));
}

#[test]
fn histograms_and_starts_round_trip() {
    let mut rng = Rng::new(8);
    let mut out = Vec::new();
    let mut encoder = RecordEncoder::samples(&mut out, TenantId(3), 5, true);
    let mut want = SamplesRecord { tenant: TenantId(3), shard: 5, ..Default::default() };
    for index in 0..300u64 {
        let (id, ts) = (LogId(index / 2), 1000 + index as i64 / 7);
        let start = if rng.one_in(3) { 0 } else { 500 + rng.below(2) as i64 };
        encoder.set_start(&mut out, start);
        if start != 0 {
            want.starts.resize(index as usize, 0);
            want.starts.push(start);
        }
        let (kind, bits) = if rng.one_in(2) {
            let mut bytes = Vec::new();
            histogram::encode(&histogram::testing::random(&mut rng), &mut bytes);
            encoder.push_histogram(&mut out, id, ts, &bytes);
            let bits = (want.blobs.len() as u64) << 32 | bytes.len() as u64;
            want.blobs.extend(bytes);
            (SampleKind::Histogram, bits)
        } else {
            encoder.push_sample(&mut out, id, ts, SampleKind::Float, index);
            (SampleKind::Float, index)
        };
        want.ids.push(id);
        want.timestamps.push(ts);
        want.kinds.push(kind);
        want.bits.push(bits);
    }
    encoder.finish(&mut out);
    assert_eq!(decode(payload(&out)), Ok(Record::Samples(want)));
    let good = payload(&out).to_vec();
    for _ in 0..2000 {
        let mut bytes = good.clone();
        for _ in 0..3 {
            let at = 5 + rng.below(bytes.len() as u64 - 5) as usize;
            bytes[at] = rng.next_u64() as u8;
        }
        let _ = decode(&bytes);
    }
}

#[test]
fn bytes_by_hand() {
    let mut out = Vec::new();
    let mut encoder = RecordEncoder::samples(&mut out, TenantId(1), 2, false);
    encoder.push_sample(&mut out, LogId(9), 64, SampleKind::Float, 2.0f64.to_bits());
    encoder.push_sample(&mut out, LogId(10), 64, SampleKind::Integer, 3);
    encoder.finish(&mut out);
    let mut want = b"TWR1".to_vec();
    want.extend([2, 1, 0, 0, 0, 2, 0, 2, 0, 0, 0]);
    // Tag: one value byte, id step 9 and time step 64 follow; 2.0 is 0x40 and zeros.
    want.extend([0x01, 18, 0x80, 0x01, 0x40]);
    // Tag: next series, same time, integer of one byte; zigzag(3) = 6.
    want.extend([0xb1, 6]);
    assert_eq!(payload(&out), want);
}

#[test]
fn hostile_payloads_are_errors() {
    let mut rng = Rng::new(11);
    let mut out = Vec::new();
    let mut encoder = RecordEncoder::series(&mut out, TenantId(1), 0);
    encoder.push_series(&mut out, LogId(1), b"\x01a\x01b");
    encoder.push_series(&mut out, LogId(9), b"\x01a\x01c");
    encoder.finish(&mut out);
    let good = out[8..].to_vec();
    assert!(decode(&good).is_ok());
    for cut in 0..good.len() {
        assert!(decode(&good[..cut]).is_err(), "{cut}");
    }
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        bytes[4] = 1 + rng.below(3) as u8;
        for _ in 0..3 {
            let at = 5 + rng.below(bytes.len() as u64 - 5) as usize;
            bytes[at] = rng.next_u64() as u8;
        }
        let _ = decode(&bytes);
    }
}
