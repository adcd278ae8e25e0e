//! Goal: every column comes back bit for bit, from every encoder and kernel; hand-made blobs mean
//! what FORMAT.md says; no bytes make the decoder panic or grow beyond the header's count.
//! Method: seeded columns of many characters with hostile floats strewn in; blobs derived by hand.

use super::decode::{decode_as_floats, decode_bits};
use super::*;
use crate::kernel::Kernel;
use crate::rounds;
use crate::{ChunkError, Effort};
use base::rng::Rng;
use model::{STALE_NAN_BITS, SampleKind};

const HOSTILE: [u64; 20] = [
    STALE_NAN_BITS,
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0123,
    0x7ff0_0000_0000_0001,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x8000_0000_0000_0000,
    0,
    1,
    0x8000_0000_0000_0001,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
    0xffef_ffff_ffff_ffff,
    0x4340_0000_0000_0000, // 2^53
    0x4340_0000_0000_0001,
    0xc340_0000_0000_0000,
    0x4320_0000_0000_0000, // 2^51
    0x3fb9_9999_9999_999a, // 0.1
    0xffff_ffff_ffff_ffff,
];

/// A column of `count` floats of one of many characters.
fn column(rng: &mut Rng, count: usize) -> Vec<u64> {
    let character = rng.below(20);
    let amplitude = 1 << rng.below(40);
    let scale = 10f64.powi(rng.below(8) as i32);
    let hostile_one_in = [0, 0, 0, 200, 20, 3][rng.below(6) as usize];
    let mut walk = rng.below(1000) as f64;
    let mut bits = Vec::new();
    for _ in 0..count {
        let step = rng.below(amplitude) as f64;
        let value = match character {
            0 => walk,
            1 | 2 => step / scale,
            3 | 4 => (walk + step) / scale,
            5 => f64::from_bits(rng.next_u64()),
            6 => walk + 4096.0 * step,
            7 => walk + 15.0,
            8 => walk + step * 1e-3,
            9 if rng.one_in(400) => 0.0,
            10 => step * 1e9,
            11 if rng.one_in(2) => walk,
            12 => -step * (1.0 / scale),
            13 => walk + rng.unit_f64(),
            14 => (walk + step) / 1000.0 / 1000.0,
            15 => step * 0.001,
            16 => [0.5, 17.25, 3e9, -2.0][rng.below(4) as usize],
            17 if !rng.one_in(50) => walk,
            18 => step * 2f64.powi(-30),
            _ => walk + step - amplitude as f64 / 2.0,
        };
        if matches!(character, 3 | 4 | 14) {
            walk += step;
        } else {
            walk = value;
        }
        let is_hostile = hostile_one_in > 0 && rng.one_in(hostile_one_in);
        bits.push(match is_hostile {
            true => HOSTILE[rng.below(HOSTILE.len() as u64) as usize],
            false => value.to_bits(),
        });
    }
    bits
}

fn lengths(rng: &mut Rng) -> usize {
    match rng.below(6) {
        0 => 1 + rng.below(4) as usize,
        1 => 120,
        2 => 480,
        3 => 1024,
        4 => 4096,
        _ => 1 + rng.below(700) as usize,
    }
}

fn round_trip(encoder: &mut ValuesEncoder, kind: SampleKind, bits: &[u64], what: &str) -> Vec<u8> {
    let mut blob = Vec::new();
    encoder.encode(kind, bits, &mut blob);
    assert_eq!(sample_count(&blob), Ok(bits.len()));
    for kernel in [Kernel::Scalar, Kernel::detect()] {
        let mut out = vec![1, 2];
        assert_eq!(decode_bits(&blob, kernel, &mut out), Ok(kind), "{what}");
        assert!(out[2..] == *bits, "{what}: bits with {kernel:?}");
        let mut floats = vec![0.5];
        decode_as_floats(&blob, kernel, &mut floats).expect(what);
        let expected = bits.iter().map(|&bits| kind.to_f64(bits).to_bits());
        assert!(floats[1..].iter().map(|float| float.to_bits()).eq(expected), "{what}: floats");
    }
    blob
}

#[test]
fn floats_round_trip() {
    let mut encoders = [ValuesEncoder::new(Effort::Fast), ValuesEncoder::new(Effort::Best)];
    for seed in 0..rounds(200) {
        let mut rng = Rng::new(seed);
        let count = lengths(&mut rng);
        let bits = column(&mut rng, count);
        for encoder in &mut encoders {
            round_trip(encoder, SampleKind::Float, &bits, &format!("seed {seed}"));
        }
    }
}

#[test]
fn integers_round_trip_over_their_full_range() {
    let mut encoders = [ValuesEncoder::new(Effort::Fast), ValuesEncoder::new(Effort::Best)];
    for seed in 0..rounds(120) {
        let mut rng = Rng::new(seed);
        let count = lengths(&mut rng);
        let (shift, factor) = (rng.below(64), 1 + rng.below(3) * rng.below(1 << 20));
        let (mut walk, walks) = (rng.next_u64(), rng.one_in(2));
        let mut bits = Vec::new();
        for _ in 0..count {
            let step = (rng.next_u64() >> shift).wrapping_mul(factor);
            walk = if walks { walk.wrapping_add(step) } else { step };
            bits.push(match rng.below(400) {
                0 => i64::MIN as u64,
                1 => i64::MAX as u64,
                _ => walk,
            });
        }
        for encoder in &mut encoders {
            round_trip(encoder, SampleKind::Integer, &bits, &format!("seed {seed}"));
        }
    }
}

#[test]
fn integers_round_trip_at_the_ends_of_their_range() {
    let mut encoder = ValuesEncoder::new(Effort::Best);
    let (low, high) = (i64::MIN as u64, i64::MAX as u64);
    for bits in [
        vec![low],
        vec![high],
        vec![low, high],
        vec![high, low, high, low],
        vec![low, low + 1_000_000, low + 3_000_000],
        vec![low, 0],
        vec![0, low],
    ] {
        round_trip(&mut encoder, SampleKind::Integer, &bits, "ends");
    }
}

#[test]
fn constants_are_a_few_bytes() {
    let mut encoder = ValuesEncoder::new(Effort::Best);
    let mut size = |value: f64, count| {
        round_trip(&mut encoder, SampleKind::Float, &vec![value.to_bits(); count], "constant").len()
    };
    assert_eq!(size(0.0, 480), 3);
    assert_eq!(size(0.25, 4096), 4);
    assert_eq!(size(-0.0, 1), 10);
    assert_eq!(size(f64::from_bits(STALE_NAN_BITS), 7), 10);
    assert_eq!(size(std::f64::consts::PI, 7), 10);
}

fn floats(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Both ways: the encoder writes these bytes, and they decode to these values.
fn check_golden(kind: SampleKind, bits: &[u64], blob: &[u8]) {
    assert_eq!(round_trip(&mut ValuesEncoder::new(Effort::Best), kind, bits, "golden"), blob);
}

/// Only decoded: the encoder chooses something smaller.
fn check_decodes(kind: SampleKind, bits: &[u64], blob: &[u8]) {
    for kernel in [Kernel::Scalar, Kernel::detect()] {
        let mut out = Vec::new();
        assert_eq!(decode_bits(blob, kernel, &mut out), Ok(kind));
        assert_eq!(out, bits);
    }
}

#[test]
fn golden_constants() {
    // Codec 1, count 480 = 0x1df + 1; zigzag 3 = 6.
    check_golden(SampleKind::Float, &floats(&[3.0; 480]), &[0x11, 0xdf, 6]);
    // Codec 2, count 2; exponent 1, zigzag -15 = 29.
    check_golden(SampleKind::Float, &floats(&[-1.5; 2]), &[0x20, 1, 1, 29]);
    // Codec 3, count 1: the stale marker.
    check_golden(SampleKind::Float, &[STALE_NAN_BITS], &[0x30, 0, 2, 0, 0, 0, 0, 0, 0xf0, 0x7f]);
    // Codec 4, count 4096; zigzag i64::MIN = u64::MAX.
    check_golden(
        SampleKind::Integer,
        &[i64::MIN as u64; 4096],
        &[0x4f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    );
}

#[test]
fn golden_pages() {
    // Codec 5, count 4; steps, exponent 1, divisor 5 remainder 0: 0.5 1 1.5 2 = 1 2 3 4 times 5.
    // First integer 1 (zigzag 2), then three steps of 1: no exceptions, width 0, base 1.
    check_golden(
        SampleKind::Float,
        &floats(&[0.5, 1.0, 1.5, 2.0]),
        &[0x50, 3, 0b0010_0101, 5, 0, 2, 0, 2],
    );
    // Codec 8, count 8; plain; one window of 1 bit at base 10: 10 11 10 10 11 11 10 11, lowest
    // bit first 0b1011_0010.
    check_golden(
        SampleKind::Integer,
        &[10, 11, 10, 10, 11, 11, 10, 11],
        &[0x80, 7, 0, 1, 20, 0b1011_0010],
    );
    // Codec 7, count 2: the places of -0.0 and 0.0 are -1 and 0. Plain, width 1, base -1, bits 10.
    check_decodes(SampleKind::Float, &floats(&[-0.0, 0.0]), &[0x70, 1, 0, 1, 1, 0b10]);
    // Codec 6, count 3, plain, exponent -2 (zigzag 3), misfits: 0.25 infinity 0.75; the misfit's
    // integer is free, here 1. Width 2 base 1: 0 0 2 = 0b10_0000. One misfit at place 1, shifted
    // by one, with its bits.
    check_decodes(
        SampleKind::Float,
        &floats(&[0.25, f64::INFINITY, 0.75]),
        &[0x60, 2, 16, 3, 2, 2, 0b10_0000, 1, 2, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f],
    );
    // Codec 5, count 3, plain with corrections, exponent 1: 1 2 3 tenths with corrections 0 0 1:
    // corrections in width 1 base 0 = 0b100; integers in width 2 base 1 = 0b10_0100.
    check_decodes(
        SampleKind::Float,
        &floats(&[0.1, 0.2, 0.1 + 0.2]),
        &[0x50, 2, 0b0010_1000, 1, 0, 0b100, 2, 2, 0b10_0100],
    );
    // Codec 8, count 4, dictionary of two entries, -1 and -1 + 1000 (varint e8 07); places 0 1 1 0
    // in width 1.
    check_decodes(
        SampleKind::Integer,
        &[u64::MAX, 999, 999, u64::MAX],
        &[0x80, 3, 2, 1, 1, 0xe8, 7, 1, 0, 0b0110],
    );
    // Codec 8, count 4, plain, one window of width 0 base 7 with listed exceptions (mode 1): one of
    // them, gap 2, packed at width 0 base 93 (zigzag ba 01).
    check_decodes(SampleKind::Integer, &[7, 7, 100, 7], &[0x80, 3, 0, 0x40, 1, 2, 0, 0xba, 1, 14]);
    // The same with a bitmap (mode 2) and a varint (code 63).
    check_decodes(
        SampleKind::Integer,
        &[7, 7, 100, 7],
        &[0x80, 3, 0, 0x80, 0b0100, 63, 0xba, 1, 14],
    );
    // The same as a single block (mode 3, listed): width 0, base 7.
    check_decodes(
        SampleKind::Integer,
        &[7, 7, 100, 7],
        &[0x80, 3, 0, 0xc1, 1, 2, 0, 0xba, 1, 0, 14],
    );
}

#[test]
fn damage_is_named() {
    let check = |blob: &[u8], expected: ChunkError| {
        let mut values = Values { bits: vec![1] };
        assert_eq!(decode_values(blob, &mut values), Err(expected.clone()), "{blob:x?}");
        assert_eq!(values.bits, [1]);
        let mut floats = vec![1.0];
        assert_eq!(decode_floats(blob, &mut floats), Err(expected), "{blob:x?}");
        assert_eq!(floats, [1.0]);
    };
    let malformed = |what| ChunkError::Malformed { what };
    check(&[], ChunkError::Truncated);
    check(&[0x11], ChunkError::Truncated);
    check(&[0x10, 0], ChunkError::Truncated);
    check(&[0x10, 0, 2, 2], ChunkError::TooLong { extra: 1 });
    check(&[0, 0, 0, 0], ChunkError::UnknownCodec { codec: 0 });
    check(&[0x90, 0, 0], ChunkError::UnknownCodec { codec: 9 });
    check(&[0xf0, 0, 0], ChunkError::UnknownCodec { codec: 15 });
    check(&[0x20, 0, 19, 0], malformed("exponent beyond 18"));
    check(&[0x80, 7, 0, 1, 20], ChunkError::Truncated);
    check(&[0x80, 7, 0, 0xc0], ChunkError::Truncated);
    check(&[0x80, 7, 0, 0xc0, 0], ChunkError::Truncated);
    check(&[0x80, 7, 0, 0xc0, 0, 0x80], ChunkError::Truncated);
    check(&[0x80, 7, 0, 0x40, 1, 255], ChunkError::Truncated);
    check(&[0x80, 7, 0, 0x40, 1, 0, 63], ChunkError::Truncated);
    check(&[0x80, 7, 0, 58, 20, 0], malformed("unknown width"));
    check(&[0x80, 7, 3, 1, 20, 0], malformed("unknown form"));
    check(&[0x80, 7, 0, 0xc3, 20, 0], malformed("unknown stream mode"));
    check(&[0x80, 7, 0x20, 1, 20, 0], malformed("flag that the codec does not have"));
    check(&[0x70, 7, 4, 5, 0, 0], malformed("flag that the codec does not have"));
    check(&[0x80, 7, 4, 5, 5, 0], malformed("divisor out of range"));
    check(&[0x80, 3, 0, 0x40, 5, 0], malformed("more exceptions than integers"));
    check(&[0x80, 3, 0, 0x40, 1, 4, 0, 2, 14], malformed("exception beyond the end"));
    check(&[0x80, 3, 0, 0x80, 0x10, 0, 2, 14], malformed("exception beyond the end"));
    check(&[0x80, 3, 2, 1, 1, 3, 2, 0, 0xff], malformed("place beyond the dictionary"));
    check(&[0x50, 0, 0x08, 0, 0x80, 1, 0, 0], malformed("correction beyond 63"));
    check(&[0x50, 0, 0x10, 0, 0, 2, 1, 1], malformed("more misfits than samples"));
    check(&[0x50, 0, 0x10, 0, 0, 1, 3], malformed("misfit beyond the end"));
}

/// Must neither panic nor grow beyond the header's count; any answer will do.
fn survive(blob: &[u8], values: &mut Values, floats: &mut Vec<f64>) {
    values.bits.clear();
    floats.clear();
    let count = sample_count(blob).unwrap_or(0);
    match decode_values(blob, values) {
        Ok(_) => assert_eq!(values.bits.len(), count),
        Err(_) => assert!(values.bits.is_empty()),
    }
    assert_eq!(decode_floats(blob, floats).is_ok(), !values.bits.is_empty());
    let _ = decode_bits(blob, Kernel::Scalar, &mut values.bits);
    // A vector may double when it grows.
    assert!(values.bits.capacity() <= 2 * 4096);
}

#[test]
fn random_bytes_do_no_harm() {
    let (mut values, mut floats) = (Values::default(), Vec::new());
    for seed in 0..rounds(6_000) {
        let mut rng = Rng::new(seed);
        let length = rng.below(80) as usize;
        let mut blob: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        if let Some(first) = blob.first_mut() {
            // Small columns more often than not, or nearly all would just be truncated.
            *first = (1 + rng.below(8) as u8) << 4 | if rng.one_in(4) { 1 } else { 0 };
        }
        survive(&blob, &mut values, &mut floats);
    }
}

#[test]
fn damaged_blobs_do_no_harm() {
    let (mut values, mut floats) = (Values::default(), Vec::new());
    let mut encoder = ValuesEncoder::new(Effort::Best);
    for seed in 0..rounds(120) {
        let mut rng = Rng::new(seed);
        let count = 1 + rng.below(300) as usize;
        let bits = column(&mut rng, count);
        let kind = if rng.one_in(3) { SampleKind::Integer } else { SampleKind::Float };
        let mut blob = Vec::new();
        encoder.encode(kind, &bits, &mut blob);
        for length in 0..blob.len().min(60) {
            values.bits.clear();
            let cut = decode_values(&blob[..length], &mut values);
            assert!(cut.is_err(), "seed {seed}: {length} of {} bytes", blob.len());
        }
        for _ in 0..60 {
            let mut damaged = blob.clone();
            let place = rng.below(damaged.len().min(40) as u64) as usize;
            damaged[place] ^= 1 << rng.below(8);
            survive(&damaged, &mut values, &mut floats);
        }
    }
}
