//! Columns of summaries: what rollups keep of the runs of samples of one series.
//!
//! Counts, marks of ended runs and last values stand for all runs; the rest only for runs of more
//! than one sample, since a run of one is that sample. Columns that repeat an earlier one (the
//! minima of a counter are its first values) are named, not written.

use base::codec::{ByteReader, put_bytes, put_uvarint};
use base::limits::CHUNK_SAMPLES_MAX;
use model::{Compensated, SampleKind, Summary};

use crate::ChunkError;
use crate::extension::SUMMARIES;
use crate::header::{EXTENDED, finish, put_header, read_header};
use crate::stream::Effort;
use crate::values::{Values, ValuesEncoder, decode_values};

/// Columns of the runs of more than one sample.
const LONG_COLUMNS: usize = 8;

/// Encodes columns of summaries one after the other.
#[derive(Debug)]
pub struct SummariesEncoder {
    values: ValuesEncoder,
    blob: Vec<u8>,
}

impl SummariesEncoder {
    /// An encoder that looks for small forms this hard.
    pub fn new(effort: Effort) -> Self {
        Self { values: ValuesEncoder::new(effort), blob: Vec::new() }
    }

    /// Appends one blob; the times of the last samples stand elsewhere.
    ///
    /// # Panics
    /// Unless there are 1 to [`CHUNK_SAMPLES_MAX`] of them.
    pub fn encode(&mut self, summaries: &[Summary], out: &mut Vec<u8>) {
        let count = summaries.len();
        assert!((1..=CHUNK_SAMPLES_MAX).contains(&count), "a chunk of {count} summaries");
        put_header(EXTENDED, count, out);
        out.push(SUMMARIES);
        let counts: Vec<u64> = summaries.iter().map(|one| one.count).collect();
        let ended: Vec<u64> = summaries.iter().map(|one| u64::from(one.ended)).collect();
        let last: Vec<u64> = summaries.iter().map(|one| one.last.to_bits()).collect();
        self.column(SampleKind::Integer, &counts, out);
        self.column(SampleKind::Integer, &ended, out);
        self.column(SampleKind::Float, &last, out);
        let long = || summaries.iter().filter(|one| one.count > 1);
        if long().next().is_none() {
            return;
        }
        let floats = |of: fn(&Summary) -> f64| long().map(|one| of(one).to_bits()).collect();
        let integers = |of: fn(&Summary) -> u64| long().map(of).collect();
        let columns: [Vec<u64>; LONG_COLUMNS] = [
            floats(|one| one.first),
            floats(|one| one.min),
            floats(|one| one.max),
            floats(|one| one.sum.sum),
            floats(|one| one.sum.rest),
            floats(|one| one.lost),
            integers(|one| (one.last_ms - one.first_ms) as u64),
            integers(|one| one.nans),
        ];
        let long_last: Vec<u64> = floats(|one| one.last);
        for (index, column) in columns.iter().enumerate() {
            let before = columns[..index].iter().chain([&long_last]);
            match before.enumerate().find(|(_, other)| *other == column) {
                // The last values stand behind the columns before this one.
                Some((same, _)) => {
                    put_uvarint(out, 0);
                    out.push(same as u8);
                }
                None => {
                    let kind = if index < 6 { SampleKind::Float } else { SampleKind::Integer };
                    self.column(kind, column, out);
                }
            }
        }
    }

    fn column(&mut self, kind: SampleKind, bits: &[u64], out: &mut Vec<u8>) {
        self.blob.clear();
        self.values.encode(kind, bits, &mut self.blob);
        put_bytes(out, &self.blob);
    }
}

/// Appends the summaries of a blob whose runs end at `times`; on an error `out` is as before.
pub fn decode_summaries(
    blob: &[u8],
    times: &[i64],
    out: &mut Vec<Summary>,
) -> Result<(), ChunkError> {
    let start = out.len();
    let result = decode(blob, times, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode(blob: &[u8], times: &[i64], out: &mut Vec<Summary>) -> Result<(), ChunkError> {
    let mut reader = ByteReader::new(blob);
    let (codec, count) = read_header(&mut reader)?;
    if codec != EXTENDED || reader.u8() != SUMMARIES {
        return Err(ChunkError::UnknownCodec { codec });
    }
    if count != times.len() {
        return Err(ChunkError::Malformed { what: "number of summaries" });
    }
    let mut column = |expected: usize| column(&mut reader, expected);
    let (counts, ended, last) = (column(count)?, column(count)?, column(count)?);
    let is_long = |at: &usize| counts[*at] > 1;
    let long_last: Vec<u64> = (0..count).filter(is_long).map(|at| last[at]).collect();
    let long = long_columns(&mut reader, long_last)?;
    finish(&reader)?;
    let mut next_long = 0;
    for (at, last_ms) in times.iter().enumerate() {
        let mut summary = Summary::of(*last_ms, f64::from_bits(last[at]));
        (summary.count, summary.ended) = (counts[at], ended[at] != 0);
        summary.nans = summary.nans.min(summary.count);
        if summary.count > 1 {
            fill(&mut summary, &long, next_long)?;
            next_long += 1;
        }
        out.push(summary);
    }
    Ok(())
}

/// The columns of the long runs, in the order in which they are written.
fn long_columns(reader: &mut ByteReader<'_>, last: Vec<u64>) -> Result<Vec<Vec<u64>>, ChunkError> {
    let mut columns: Vec<Vec<u64>> = Vec::with_capacity(LONG_COLUMNS);
    if last.is_empty() {
        return Ok(columns);
    }
    for _ in 0..LONG_COLUMNS {
        let before = reader.clone();
        if reader.uvarint() != 0 {
            *reader = before;
            columns.push(column(reader, last.len())?);
            continue;
        }
        let same = usize::from(reader.u8());
        let repeated = if same == columns.len() { Some(&last) } else { columns.get(same) };
        let repeated = repeated.ok_or(ChunkError::Malformed { what: "a repeated column" })?;
        columns.push(repeated.clone());
    }
    Ok(columns)
}

fn fill(summary: &mut Summary, long: &[Vec<u64>], at: usize) -> Result<(), ChunkError> {
    let bits = |column: usize| long[column][at];
    let float = |column: usize| f64::from_bits(bits(column));
    (summary.first, summary.min, summary.max) = (float(0), float(1), float(2));
    summary.sum = Compensated { sum: float(3), rest: float(4) };
    summary.lost = float(5);
    summary.first_ms = summary.last_ms.wrapping_sub(bits(6) as i64);
    summary.nans = bits(7);
    if summary.first_ms > summary.last_ms || summary.nans > summary.count {
        return Err(ChunkError::Malformed { what: "length or count of a run" });
    }
    Ok(())
}

fn column(reader: &mut ByteReader<'_>, expected: usize) -> Result<Vec<u64>, ChunkError> {
    let blob = reader.bytes();
    if reader.failed() {
        return Err(ChunkError::Truncated);
    }
    let mut values = Values::default();
    decode_values(blob, &mut values)?;
    if values.bits.len() != expected {
        return Err(ChunkError::Malformed { what: "number of values of a column" });
    }
    Ok(values.bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;
    use model::{STALE_NAN_BITS, summarize};

    fn random(rng: &mut Rng) -> Vec<Summary> {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let (mut at_ms, mut value) = (rng.below(1_000_000) as i64, 0.0);
        let is_counter = rng.one_in(2);
        for _ in 0..1 + rng.below(2_000) {
            at_ms += 1 + rng.below(30_000) as i64;
            value = match rng.below(60) {
                0 => f64::from_bits(STALE_NAN_BITS),
                1 => f64::NAN,
                2 => 0.0,
                _ if is_counter && f64::is_finite(value) => value + rng.below(100) as f64,
                _ => rng.below(10_000) as f64 / 7.0,
            };
            times.push(at_ms);
            values.push(value);
        }
        let mut out = Vec::new();
        summarize(&times, &values, 300_000, &mut out);
        out.truncate(CHUNK_SAMPLES_MAX);
        out
    }

    fn same(left: &[Summary], right: &[Summary]) -> bool {
        // NaN with its bits.
        let text = |all: &[Summary]| {
            let bits = |one: &Summary| [one.first, one.last, one.min, one.max].map(f64::to_bits);
            all.iter().map(|one| format!("{one:?} {:?}", bits(one))).collect::<Vec<_>>()
        };
        text(left) == text(right)
    }

    #[test]
    fn summaries_read_back() {
        let mut rng = Rng::new(3);
        let mut encoder = SummariesEncoder::new(Effort::Best);
        for _ in 0..crate::rounds(200) {
            let summaries = random(&mut rng);
            let times: Vec<i64> = summaries.iter().map(|one| one.last_ms).collect();
            let mut blob = Vec::new();
            encoder.encode(&summaries, &mut blob);
            let mut back = Vec::new();
            decode_summaries(&blob, &times, &mut back).unwrap();
            assert!(same(&summaries, &back), "{summaries:?} {back:?}");
        }
    }

    /// Damage gives an error or other values, never a panic, and leaves `out` alone on an error.
    #[test]
    fn damage_is_survived() {
        let mut rng = Rng::new(4);
        let mut encoder = SummariesEncoder::new(Effort::Best);
        for _ in 0..crate::rounds(2_000) {
            let mut summaries = random(&mut rng);
            summaries.truncate(1 + rng.below(40) as usize);
            let times: Vec<i64> = summaries.iter().map(|one| one.last_ms).collect();
            let mut blob = Vec::new();
            encoder.encode(&summaries, &mut blob);
            let at = rng.below(blob.len() as u64) as usize;
            if rng.one_in(3) {
                blob.truncate(at);
            } else {
                blob[at] ^= 1 << rng.below(8);
            }
            let mut back = Vec::new();
            if decode_summaries(&blob, &times, &mut back).is_err() {
                assert!(back.is_empty());
            }
        }
    }
}
