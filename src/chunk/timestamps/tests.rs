//! Goal: every ascending column comes back, hand-made blobs mean what FORMAT.md says, and no bytes
//! make the decoder panic or give timestamps that do not ascend. Method: as for values.

use super::*;
use crate::rounds;
use base::rng::Rng;

fn round_trip(timestamps: &[i64]) -> usize {
    let mut smallest = usize::MAX;
    for effort in [Effort::Fast, Effort::Best] {
        let mut blob = Vec::new();
        TimestampsEncoder::new(effort).encode(timestamps, &mut blob);
        for kernel in [Kernel::Scalar, Kernel::detect()] {
            let mut out = vec![42];
            decode_with(&blob, kernel, &mut out).expect("a written blob");
            assert_eq!(out[1..], *timestamps);
        }
        smallest = smallest.min(blob.len());
    }
    smallest
}

/// An ascending column of one of several characters.
fn column(rng: &mut Rng, count: usize) -> Vec<i64> {
    let step = [1, 10, 1000, 15_000, 15_001, 86_400_000][rng.below(6) as usize];
    let jitter = [0, 0, 1, 2, 5, 400, 20_000][rng.below(7) as usize];
    let gap_one_in = [0, 0, 500, 50, 4][rng.below(5) as usize];
    let mut slot = (rng.next_u64() >> rng.below(64)) as i64 / 2;
    let mut last = i64::MIN;
    let mut out = Vec::new();
    for _ in 0..count {
        slot += step
            * if gap_one_in > 0 && rng.one_in(gap_one_in) { 1 + rng.below(100) as i64 } else { 1 };
        let timestamp = slot + rng.below(2 * jitter + 1) as i64 - jitter as i64;
        last = timestamp.max(last.wrapping_add(1)).max(last.saturating_add(1));
        out.push(last);
    }
    out
}

#[test]
fn columns_round_trip() {
    for seed in 0..rounds(200) {
        let mut rng = Rng::new(seed);
        let count = [1, 2, 3, 4, 20, 120, 480, 1024, 4096][rng.below(9) as usize];
        round_trip(&column(&mut rng, count));
    }
}

#[test]
fn extremes_round_trip() {
    round_trip(&[i64::MIN, i64::MAX]);
    round_trip(&[i64::MIN, 0, i64::MAX]);
    round_trip(&[i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]);
    round_trip(&[i64::MAX]);
    round_trip(&[-5, 0, 3]);
    let mut random: Vec<i64> = (0..500).map(|seed| Rng::new(seed).next_u64() as i64).collect();
    random.sort_unstable();
    random.dedup();
    round_trip(&random);
}

#[test]
fn a_grid_is_a_handful_of_bytes() {
    let grid: Vec<i64> = (0..4096).map(|slot| 1_700_000_000_000 + slot * 15_000).collect();
    assert_eq!(round_trip(&grid), 2 + 6 + 2);
    let gap: Vec<i64> = grid.iter().copied().filter(|time| time % 7_000_000 != 5_000).collect();
    assert!(round_trip(&gap) <= 30, "{}", round_trip(&gap));
}

#[test]
fn golden_blobs() {
    let check = |timestamps: &[i64], blob: &[u8], written: bool| {
        let mut out = Vec::new();
        assert_eq!(decode_timestamps(blob, &mut out), Ok(()));
        assert_eq!(out, timestamps);
        if written {
            let mut encoded = Vec::new();
            encode_timestamps(timestamps, &mut encoded);
            assert_eq!(encoded, blob);
        }
    };
    // Codec 9, count 1: zigzag -1 = 1.
    check(&[-1], &[0x90, 0, 1], true);
    // Codec 9, count 3: zigzag 10 = 20, step 300 (ac 02).
    check(&[10, 310, 610], &[0x90, 2, 20, 0xac, 2], true);
    // Codec 10, count 5: start 0, step 10, one gap: 2 more than one timestamp before it, 1 more than
    // one slot left out.
    check(&[0, 10, 20, 50, 60], &[0xa0, 4, 0, 10, 1, 2, 1], true);
    // Codec 11, count 4: start 100, step 10, no gaps; offsets 0 1 0 1 in width 1, base 0.
    check(&[100, 111, 120, 131], &[0xb0, 3, 0xc8, 1, 10, 0, 1, 0, 0b1010], false);
    // Codec 12, count 3: start 5 (10); differences 3 4: width 1, base 3 (6).
    check(&[5, 8, 12], &[0xc0, 2, 10, 1, 6, 0b10], false);
    // Codec 13, count 4: start 0, first difference 1 (2); differences of differences 1 1: width 0,
    // base 1 (2).
    check(&[0, 1, 3, 6], &[0xd0, 3, 0, 2, 0, 2], false);
}

#[test]
fn damage_is_named() {
    let check = |blob: &[u8], expected: ChunkError| {
        let mut out = vec![3];
        assert_eq!(decode_timestamps(blob, &mut out), Err(expected), "{blob:x?}");
        assert_eq!(out, [3]);
    };
    let malformed = |what| ChunkError::Malformed { what };
    check(&[], ChunkError::Truncated);
    check(&[0x90, 1, 0], ChunkError::Truncated);
    check(&[0x90, 0, 0, 1], ChunkError::TooLong { extra: 1 });
    check(&[0x10, 0, 0], ChunkError::UnknownCodec { codec: 1 });
    check(&[0xe0, 0, 0], ChunkError::UnknownCodec { codec: 14 });
    check(&[0x90, 1, 0, 0], malformed("timestamps do not ascend"));
    check(&[0xa0, 1, 0, 5, 3, 0, 0], malformed("more gaps than timestamps"));
    check(&[0xa0, 1, 0, 5, 1, 1, 0], malformed("gap beyond the end"));
    check(&[0xd0, 0, 0, 0, 0, 0], malformed("no difference in a single timestamp"));
}

#[test]
fn damaged_blobs_do_no_harm() {
    let mut out = Vec::new();
    let mut survive = |blob: &[u8]| {
        out.clear();
        match decode_timestamps(blob, &mut out) {
            Ok(()) => assert!(ascends(&out)),
            Err(_) => assert!(out.is_empty()),
        }
        // A vector may double when it grows.
        assert!(out.capacity() <= 2 * 4096);
    };
    for seed in 0..rounds(120) {
        let mut rng = Rng::new(seed);
        let count = 1 + rng.below(200) as usize;
        let mut blob = Vec::new();
        encode_timestamps(&column(&mut rng, count), &mut blob);
        for length in 0..blob.len() {
            survive(&blob[..length]);
        }
        for _ in 0..60 {
            let mut damaged = blob.clone();
            let place = rng.below(damaged.len().min(40) as u64) as usize;
            damaged[place] ^= 1 << rng.below(8);
            survive(&damaged);
        }
        let mut random: Vec<u8> = (0..rng.below(60)).map(|_| rng.next_u64() as u8).collect();
        if let Some(first) = random.first_mut() {
            *first = (9 + rng.below(5) as u8) << 4;
        }
        survive(&random);
    }
}
