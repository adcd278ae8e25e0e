//! Goal: streams read back what was planned, at every width and with every kind of exception, in
//! both efforts and with both kernels. Method: seeded random streams.

use super::*;
use crate::kernel::Kernel;
use base::codec::ByteReader;
use base::rng::Rng;

fn check(numbers: &[i64]) -> usize {
    let mut smallest = usize::MAX;
    for effort in [Effort::Fast, Effort::Best] {
        let (mut planner, mut plan) = (StreamPlanner::default(), StreamPlan::default());
        planner.plan(numbers, effort, &mut plan);
        let mut blob = vec![0xaa; 3];
        plan.write(numbers, &mut blob);
        assert_eq!(blob.len() - 3, plan.size());
        for kernel in [Kernel::Scalar, Kernel::detect()] {
            let mut reader = ByteReader::new(&blob);
            reader.take(3);
            let mut out = vec![7; numbers.len()];
            read_stream(&blob, &mut reader, kernel, &mut out).expect("a written stream");
            assert_eq!(reader.remaining(), 0);
            let out: Vec<i64> = out.into_iter().map(|number| number as i64).collect();
            assert_eq!(out, numbers);
        }
        smallest = smallest.min(plan.size());
    }
    smallest
}

#[test]
fn every_width_and_length_round_trips() {
    let mut rng = Rng::new(1);
    for width in 0..=64u32 {
        for count in [0, 1, 2, 7, 8, 9, 63, 64, 65, 200, 480] {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let base = rng.next_u64();
            let numbers: Vec<i64> =
                (0..count).map(|_| base.wrapping_add(rng.next_u64() & mask) as i64).collect();
            check(&numbers);
        }
    }
}

#[test]
fn exceptions_round_trip_as_lists_and_bitmaps() {
    let mut rng = Rng::new(2);
    for one_in in [2, 3, 5, 8, 20, 100, 300, 1000] {
        for count in [65, 300, 2000] {
            for outlier in [3, 30, 62] {
                let numbers: Vec<i64> = (0..count)
                    .map(|_| match rng.one_in(one_in) {
                        true => (rng.next_u64() >> (64 - outlier)) as i64 - 1,
                        false => (rng.next_u64() & 3) as i64,
                    })
                    .collect();
                check(&numbers);
            }
        }
    }
}

#[test]
fn extremes_round_trip() {
    check(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MIN]);
    let mut numbers = vec![5; 2000];
    numbers[1999] = i64::MIN;
    numbers[0] = i64::MAX;
    assert!(check(&numbers) < 40);
    assert_eq!(check(&[9; 4096]), 2);
}
