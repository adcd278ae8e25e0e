//! The cheapest window: which base and width pack a set of integers in the fewest bits when what
//! falls outside is written apart at a given price.

use super::{bit_width, stored_width};

/// `width` bits above `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) base: i64,
    pub(crate) width: u32,
}

/// A window and what it costs in bits, exceptions included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Priced {
    pub(crate) bits: u64,
    pub(crate) window: Window,
}

/// Above this many integers the search tries bases at a few ranks instead of all of them.
const EXACT_MAX: usize = 128;

#[inline]
fn distance(high: i64, low: i64) -> u64 {
    (high as u64).wrapping_sub(low as u64)
}

/// The cheapest window over `sorted` (ascending, not empty) when an integer outside it costs
/// `exception_bits` more.
pub(crate) fn cheapest_window(sorted: &[i64], exception_bits: u64) -> Priced {
    let count = sorted.len();
    let (first, last) = (sorted[0], sorted[count - 1]);
    let full_width = stored_width(bit_width(distance(last, first)));
    let full = Window { base: first, width: full_width };
    let best = Priced { bits: count as u64 * u64::from(full_width), window: full };
    if full_width == 0 {
        return best;
    }
    if count <= EXACT_MAX {
        search_all(sorted, exception_bits, best)
    } else {
        search_ranks(sorted, exception_bits, best)
    }
}

/// Widths that could be cheaper than the full one: not so narrow that they leave out most of the
/// middle (one bit or none excepted, for streams that are mostly one number).
fn widths(sorted: &[i64], full: u32) -> impl Iterator<Item = u32> {
    let count = sorted.len();
    let middle = bit_width(distance(sorted[count * 5 / 8], sorted[count * 3 / 8]));
    (0..full.min(57)).filter(move |&width| width <= 1 || width >= middle)
}

fn search_all(sorted: &[i64], exception_bits: u64, mut best: Priced) -> Priced {
    let count = sorted.len() as u64;
    for width in widths(sorted, best.window.width) {
        if count * u64::from(width) >= best.bits {
            break;
        }
        let (mut low, mut inside, mut base) = (0, 0, sorted[0]);
        for (high, &number) in sorted.iter().enumerate() {
            while distance(number, sorted[low]) >> width != 0 {
                low += 1;
            }
            if high + 1 - low > inside {
                inside = high + 1 - low;
                base = sorted[low];
            }
        }
        let bits = count * u64::from(width) + (count - inside as u64) * exception_bits;
        if bits < best.bits {
            best = Priced { bits, window: Window { base, width } };
        }
    }
    best
}

fn search_ranks(sorted: &[i64], exception_bits: u64, mut best: Priced) -> Priced {
    let count = sorted.len();
    let run = longest_run(sorted);
    let anchors = [0, count / 128, count / 64, count / 32, count / 16, count / 8, count / 4, run];
    for width in widths(sorted, best.window.width) {
        let packed = count as u64 * u64::from(width);
        if packed >= best.bits {
            break;
        }
        let span = (1u64 << width) - 1;
        let half = (span / 2) as i64;
        let mut try_at = |low: i64| {
            let high = low.saturating_add(span as i64);
            let from = sorted.partition_point(|&number| number < low);
            let inside = sorted[from..].partition_point(|&number| number <= high);
            let bits = packed + (count - inside) as u64 * exception_bits;
            if inside > 0 && bits < best.bits {
                best = Priced { bits, window: Window { base: sorted[from], width } };
            }
        };
        for anchor in anchors {
            try_at(sorted[anchor]);
        }
        try_at(sorted[count / 2].saturating_sub(half));
        try_at(sorted[run].saturating_sub(half));
    }
    best
}

/// The rank at which the most frequent integer begins.
fn longest_run(sorted: &[i64]) -> usize {
    let (mut best, mut length, mut start) = (0, 0, 0);
    for index in 1..=sorted.len() {
        if index == sorted.len() || sorted[index] != sorted[start] {
            if index - start > length {
                (best, length) = (start, index - start);
            }
            start = index;
        }
    }
    best
}
