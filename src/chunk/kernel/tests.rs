//! Goal: the vector loops give the same bits as the plain ones on everything an encoder writes, and
//! the corrected multiplication is the division. Method: seeded random inputs.

use super::*;
use crate::rounds;
use base::rng::Rng;

#[test]
fn unpacking_is_the_same_in_all_kernels() {
    let kernel = Kernel::detect();
    let mut rng = Rng::new(3);
    for width in (0..=56).chain([64]) {
        for count in (0..40).chain([64, 479, 1024]) {
            // As many bytes as needed, and more.
            for spare in [0, 1, 8, 100] {
                let length = (count * width as usize).div_ceil(8) + spare;
                let packed: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
                let base = rng.next_u64();
                let (mut plain, mut vector) = (vec![0; count], vec![1; count]);
                Kernel::Scalar.unpack(&packed, width, base, &mut plain);
                kernel.unpack(&packed, width, base, &mut vector);
                assert_eq!(plain, vector, "width {width}, count {count}, spare {spare}");
            }
        }
    }
}

#[test]
fn restoring_is_the_same_in_all_kernels() {
    let kernel = Kernel::detect();
    let mut rng = Rng::new(4);
    for round in 0..rounds(1500) {
        let count = rng.below(70) as usize;
        let bits = rng.below(38) as u32 + 1;
        let numbers: Vec<u64> = (0..count)
            .map(|_| ((rng.next_u64() >> (64 - bits)) as i64 - (1i64 << (bits - 1))) as u64)
            .collect();
        let sum = if rng.one_in(2) { Sum::Plain } else { Sum::From(rng.below(1 << 40)) };
        let divisor = if rng.one_in(2) { 1.0 } else { (1 + rng.below(1000)) as f64 };
        let remainder = if divisor == 1.0 { 0.0 } else { rng.below(divisor as u64) as f64 };
        let exponent = rng.below(19) as usize;
        let scale = match rng.below(4) {
            0 => Scale::Integer { divisor: rng.next_u64(), remainder: 5 },
            1 => Scale::Ordered,
            2 => Scale::Binary { factor: 2f64.powi(rng.below(200) as i32 - 100) },
            _ => Scale::Decimal { divisor, remainder, exponent },
        };
        let (mut plain, mut vector) = (numbers.clone(), numbers);
        Kernel::Scalar.restore(sum, scale, &mut plain);
        kernel.restore(sum, scale, &mut vector);
        assert_eq!(plain, vector, "round {round}: {sum:?} {scale:?}");
    }
}

#[test]
fn division_is_correctly_rounded() {
    let mut rng = Rng::new(5);
    for _ in 0..rounds(500) {
        let mut numbers: Vec<u64> =
            (0..100).map(|_| rng.next_u64() >> 11 >> rng.below(50)).collect();
        numbers.extend([0, 1, (1 << 53) - 1, 1 << 52, 10, 5, 1_000_000]);
        let exponent = 1 + rng.below(18) as usize;
        let scale = Scale::Decimal { divisor: 1.0, remainder: 0.0, exponent };
        let expected: Vec<u64> = numbers
            .iter()
            .map(|&number| (number as f64 / POWERS_OF_TEN[exponent]).to_bits())
            .collect();
        Kernel::detect().restore(Sum::Plain, scale, &mut numbers);
        assert_eq!(numbers, expected);
    }
}

#[test]
fn order_keeps_the_order_of_floats() {
    let floats = [f64::NEG_INFINITY, -1e300, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, f64::INFINITY];
    let orders: Vec<i64> = floats.iter().map(|float| order_of_bits(float.to_bits())).collect();
    assert!(orders.is_sorted());
    for (float, order) in floats.iter().zip(orders) {
        assert_eq!(bits_of_order(order), float.to_bits());
    }
}
