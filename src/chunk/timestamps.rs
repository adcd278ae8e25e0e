//! Columns of timestamps: milliseconds, strictly ascending.
//!
//! What a scraper writes lies on a grid, exactly, with slots left out, or nearly; what is pushed may
//! lie anywhere and becomes differences, or differences of differences.

use crate::ChunkError;
use crate::header::{
    DELTA_DELTAS, DELTAS, GRID, GRID_GAPS, GRID_NEAR, finish, put_header, read_header,
};
use crate::kernel::{Kernel, Scale, Sum, integer_bits_mut};
use crate::stream::{Effort, StreamPlan, StreamPlanner, read_stream, spread};
use base::codec::{ByteReader, put_uvarint, put_varint};
use base::limits::CHUNK_SAMPLES_MAX;

const ADD_UP: Scale = Scale::Integer { divisor: 1, remainder: 0 };

/// Encodes columns of timestamps one after the other; allocates nothing once warm.
#[derive(Debug)]
pub struct TimestampsEncoder {
    effort: Effort,
    planner: StreamPlanner,
    sorted: Vec<i64>,
    grid: Grid,
    candidate: Grid,
    deltas: Vec<i64>,
    deltas_plan: StreamPlan,
    delta_deltas: Vec<i64>,
    delta_deltas_plan: StreamPlan,
}

/// Timestamps as slots of a grid: where slots are left out, and how far each is from its slot.
#[derive(Debug, Default)]
struct Grid {
    step: i64,
    /// The index behind the gap, and the slots left out.
    gaps: Vec<(u16, u64)>,
    offsets: Vec<i64>,
    plan: StreamPlan,
}

/// Appends one blob; for many columns keep a [`TimestampsEncoder`].
pub fn encode_timestamps(timestamps: &[i64], out: &mut Vec<u8>) {
    TimestampsEncoder::new(Effort::Best).encode(timestamps, out);
}

impl TimestampsEncoder {
    /// An encoder that looks for small forms this hard.
    pub fn new(effort: Effort) -> Self {
        Self {
            effort,
            planner: StreamPlanner::default(),
            sorted: Vec::new(),
            grid: Grid::default(),
            candidate: Grid::default(),
            deltas: Vec::new(),
            deltas_plan: StreamPlan::default(),
            delta_deltas: Vec::new(),
            delta_deltas_plan: StreamPlan::default(),
        }
    }

    /// Appends one blob with `timestamps`, in milliseconds.
    ///
    /// # Panics
    /// Unless there are 1 to [`CHUNK_SAMPLES_MAX`] of them, each later than the one before.
    pub fn encode(&mut self, timestamps: &[i64], out: &mut Vec<u8>) {
        let count = timestamps.len();
        assert!((1..=CHUNK_SAMPLES_MAX).contains(&count), "a chunk of {count} samples");
        assert!(ascends(timestamps), "timestamps must ascend");
        let start = timestamps[0];
        differences(timestamps, &mut self.deltas);
        match self.deltas.first() {
            None => {
                put_header(GRID, count, out);
                return put_varint(out, start);
            }
            Some(&first) if first > 0 && self.deltas.iter().all(|&delta| delta == first) => {
                put_header(GRID, count, out);
                put_varint(out, start);
                return put_uvarint(out, first as u64);
            }
            Some(_) => {}
        }
        differences(&self.deltas, &mut self.delta_deltas);
        let on_grid = self.find_grid(timestamps);
        self.write_smallest(start, count, on_grid, out);
    }

    /// Tries the middle difference and rounder steps near it; true when one makes a grid.
    fn find_grid(&mut self, timestamps: &[i64]) -> bool {
        self.sorted.clone_from(&self.deltas);
        let middle = self.sorted.len() / 2;
        let (_, &mut median, _) = self.sorted.select_nth_unstable(middle);
        let mut best = u64::MAX;
        let mut tried = 0;
        for unit in [1, 10, 100, 1000] {
            let step = median.saturating_add(unit / 2) / unit * unit;
            if step <= 0 || step == tried {
                continue;
            }
            tried = step;
            if self.candidate.lay(timestamps, step) {
                let cost = self.candidate.cost();
                if cost < best {
                    best = cost;
                    std::mem::swap(&mut self.grid, &mut self.candidate);
                }
            }
        }
        best != u64::MAX
    }

    fn write_smallest(&mut self, start: i64, count: usize, on_grid: bool, out: &mut Vec<u8>) {
        let Self { planner, effort, grid, deltas, delta_deltas, .. } = self;
        if on_grid && grid.is_exact() {
            put_header(GRID_GAPS, count, out);
            return grid.write_head(start, out);
        }
        let costs =
            [if on_grid { grid.cost() } else { u64::MAX }, spread(deltas), spread(delta_deltas)];
        let smallest = costs.into_iter().min().unwrap_or(0);
        let limit = match effort {
            Effort::Fast => smallest,
            Effort::Best => smallest.saturating_add(smallest / 4 + count as u64),
        };
        let mut sizes = [usize::MAX; 3];
        if costs[0] <= limit && on_grid {
            planner.plan(&grid.offsets, *effort, &mut grid.plan);
            sizes[0] = grid.plan.size() + grid.head_size();
        }
        if costs[1] <= limit {
            planner.plan(deltas, *effort, &mut self.deltas_plan);
            sizes[1] = self.deltas_plan.size();
        }
        if costs[2] <= limit {
            planner.plan(delta_deltas, *effort, &mut self.delta_deltas_plan);
            sizes[2] = self.delta_deltas_plan.size() + 2;
        }
        let winner = sizes.iter().copied().min().unwrap_or(usize::MAX);
        if sizes[0] == winner {
            put_header(GRID_NEAR, count, out);
            grid.write_head(start, out);
            grid.plan.write(&grid.offsets, out);
        } else if sizes[1] == winner {
            put_header(DELTAS, count, out);
            put_varint(out, start);
            self.deltas_plan.write(deltas, out);
        } else {
            put_header(DELTA_DELTAS, count, out);
            put_varint(out, start);
            put_varint(out, deltas.first().copied().unwrap_or(0));
            self.delta_deltas_plan.write(delta_deltas, out);
        }
    }
}

impl Grid {
    /// Gives each timestamp a slot; false when gaps are too many for a grid.
    fn lay(&mut self, timestamps: &[i64], step: i64) -> bool {
        self.step = step;
        self.gaps.clear();
        self.offsets.clear();
        let mut slot = timestamps[0];
        for (index, &timestamp) in timestamps.iter().enumerate() {
            if index > 0 {
                slot = slot.wrapping_add(step);
            }
            let late = timestamp.wrapping_sub(slot);
            if late > step / 4 * 3 {
                let left_out = late / step + i64::from(late % step > step / 2);
                if left_out > 0 {
                    self.gaps.push((index as u16, left_out as u64));
                    slot = slot.wrapping_add(left_out.wrapping_mul(step));
                }
            }
            if self.gaps.len() > timestamps.len() / 4 {
                return false;
            }
            self.offsets.push(timestamp.wrapping_sub(slot));
        }
        true
    }

    fn is_exact(&self) -> bool {
        self.offsets.iter().all(|&offset| offset == 0)
    }

    fn cost(&self) -> u64 {
        spread(&self.offsets) + 16 * self.gaps.len() as u64
    }

    /// About the bytes that the head takes beyond the start.
    fn head_size(&self) -> usize {
        3 + 2 * self.gaps.len()
    }

    fn write_head(&self, start: i64, out: &mut Vec<u8>) {
        put_varint(out, start);
        put_uvarint(out, self.step as u64);
        put_uvarint(out, self.gaps.len() as u64);
        let mut next = 1;
        for &(index, left_out) in &self.gaps {
            put_uvarint(out, u64::from(index - next));
            put_uvarint(out, left_out - 1);
            next = index + 1;
        }
    }
}

fn differences(numbers: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend(numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

fn ascends(timestamps: &[i64]) -> bool {
    timestamps.windows(2).fold(true, |ascends, pair| ascends & (pair[0] < pair[1]))
}

/// Appends the timestamps of a blob; on an error `out` is as before.
pub fn decode_timestamps(blob: &[u8], out: &mut Vec<i64>) -> Result<(), ChunkError> {
    let start = out.len();
    let result = decode_with(blob, Kernel::detect(), out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// [`decode_timestamps`] with a given kernel; leaves a damaged column behind an error.
fn decode_with(blob: &[u8], kernel: Kernel, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    let mut reader = ByteReader::new(blob);
    let (codec, count) = read_header(&mut reader)?;
    if !(GRID..=DELTA_DELTAS).contains(&codec) {
        return Err(ChunkError::UnknownCodec { codec });
    }
    let start = reader.varint();
    if codec == GRID {
        let step = if count == 1 { 1 } else { reader.uvarint() };
        finish(&reader)?;
        return push_grid(start, step, count, out);
    }
    let from = out.len();
    out.resize(from + count, 0);
    let column = &mut out[from..];
    match codec {
        GRID_GAPS => fill_gaps(start, &mut reader, column)?,
        GRID_NEAR => {
            let mut head = reader.clone();
            skip_gaps(&mut reader);
            read_stream(blob, &mut reader, kernel, integer_bits_mut(column))?;
            fill_gaps(start, &mut head, column)?;
        }
        DELTAS => read_deltas(blob, &mut reader, kernel, start, column)?,
        _ => read_delta_deltas(blob, &mut reader, kernel, start, column)?,
    }
    finish(&reader)?;
    match ascends(column) {
        true => Ok(()),
        false => Err(ChunkError::Malformed { what: "timestamps do not ascend" }),
    }
}

/// Appends an exact grid, which most columns are: written in one pass, and whether it ascends is told by its step and
/// its end.
fn push_grid(start: i64, step: u64, count: usize, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    let end = i128::from(start) + i128::from(step) * (count as i128 - 1);
    let (Ok(step), true) = (i64::try_from(step), end <= i128::from(i64::MAX) && step > 0) else {
        return Err(ChunkError::Malformed { what: "timestamps do not ascend" });
    };
    // A product for each, so that none waits for the one before.
    out.extend((0..count as i64).map(|slot| start.wrapping_add(step.wrapping_mul(slot))));
    Ok(())
}

/// Adds the slots from `start` on to what is in the column.
fn fill_grid(start: i64, step: u64, column: &mut [i64]) -> i64 {
    let mut slot = start;
    for timestamp in column {
        *timestamp = timestamp.wrapping_add(slot);
        slot = slot.wrapping_add(step as i64);
    }
    slot
}

/// Adds the slots of a grid whose step and gaps are at the reader.
fn fill_gaps(
    start: i64,
    reader: &mut ByteReader<'_>,
    mut column: &mut [i64],
) -> Result<(), ChunkError> {
    let (step, gaps) = (reader.uvarint(), reader.uvarint());
    if gaps > column.len() as u64 {
        return Err(ChunkError::Malformed { what: "more gaps than timestamps" });
    }
    let mut slot = start;
    for _ in 0..gaps {
        // At least one timestamp stands before each gap.
        let length = reader.uvarint().saturating_add(1);
        let left_out = reader.uvarint().wrapping_add(1);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length >= column.len() {
            return Err(ChunkError::Malformed { what: "gap beyond the end" });
        }
        let (run, rest) = column.split_at_mut(length);
        slot = fill_grid(slot, step, run);
        slot = slot.wrapping_add(left_out.wrapping_mul(step) as i64);
        column = rest;
    }
    fill_grid(slot, step, column);
    Ok(())
}

fn skip_gaps(reader: &mut ByteReader<'_>) {
    reader.uvarint();
    for _ in 0..reader.uvarint() {
        reader.uvarint();
        reader.uvarint();
        if reader.failed() {
            break;
        }
    }
}

fn read_deltas<'a>(
    blob: &'a [u8],
    reader: &mut ByteReader<'a>,
    kernel: Kernel,
    start: i64,
    column: &mut [i64],
) -> Result<(), ChunkError> {
    let bits = integer_bits_mut(column);
    if let Some((_, deltas)) = bits.split_first_mut() {
        read_stream(blob, reader, kernel, deltas)?;
    }
    kernel.restore(Sum::From(start as u64), ADD_UP, bits);
    Ok(())
}

fn read_delta_deltas<'a>(
    blob: &'a [u8],
    reader: &mut ByteReader<'a>,
    kernel: Kernel,
    start: i64,
    column: &mut [i64],
) -> Result<(), ChunkError> {
    let bits = integer_bits_mut(column);
    let [_, deltas @ ..] = &mut *bits else { return Ok(()) };
    let [_, delta_deltas @ ..] = &mut *deltas else {
        return Err(ChunkError::Malformed { what: "no difference in a single timestamp" });
    };
    let first = reader.varint() as u64;
    read_stream(blob, reader, kernel, delta_deltas)?;
    kernel.restore(Sum::From(first), ADD_UP, deltas);
    kernel.restore(Sum::From(start as u64), ADD_UP, bits);
    Ok(())
}

#[cfg(test)]
mod tests;
