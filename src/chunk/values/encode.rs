//! Writing a column of values as one blob.

use super::transform::{Scheme, Transform};
use super::{
    DICTIONARY_MAX, EXPONENT_NEXT, EXPONENT_SHIFT, FORM_DICTIONARY, FORM_PLAIN, FORM_STEPS,
    HAS_CORRECTIONS, HAS_DIVISOR, HAS_MISFITS,
};
use crate::header::{
    BINARY, CONSTANT_BITS, CONSTANT_DECIMAL, CONSTANT_INTEGER, CONSTANT_INTEGRAL, DECIMAL, INTEGER,
    ORDERED, put_header,
};
use crate::stream::{BLOCK, Effort, StreamPlan, StreamPlanner, bit_width, spread, varint_size};
use base::codec::{put_uvarint, put_varint, zigzag};
use base::limits::CHUNK_SAMPLES_MAX;
use model::{STALE_NAN_BITS, SampleKind};

/// Encodes columns of values one after the other; allocates nothing once warm.
#[derive(Debug)]
pub struct ValuesEncoder {
    effort: Effort,
    transform: Transform,
    planner: StreamPlanner,
    form: Form,
    other: Form,
    entries: Vec<i64>,
    corrections: StreamPlan,
}

/// One way to write the integers: a head, then a stream.
#[derive(Debug, Default)]
struct Form {
    number: u8,
    head: Vec<u8>,
    numbers: Vec<i64>,
    plan: StreamPlan,
}

impl Form {
    fn size(&self) -> usize {
        self.head.len() + self.plan.size()
    }
}

/// Appends one blob; for many columns keep a [`ValuesEncoder`].
pub fn encode_values(kind: SampleKind, bits: &[u64], out: &mut Vec<u8>) {
    ValuesEncoder::new(Effort::Best).encode(kind, bits, out);
}

impl ValuesEncoder {
    /// An encoder that looks for small forms this hard.
    pub fn new(effort: Effort) -> Self {
        Self {
            effort,
            transform: Transform::default(),
            planner: StreamPlanner::default(),
            form: Form::default(),
            other: Form::default(),
            entries: Vec::new(),
            corrections: StreamPlan::default(),
        }
    }

    /// Appends one blob with the values `bits`: of floats, or of `i64`s.
    ///
    /// # Panics
    /// Unless there are 1 to [`CHUNK_SAMPLES_MAX`] of them.
    pub fn encode(&mut self, kind: SampleKind, bits: &[u64], out: &mut Vec<u8>) {
        assert!((1..=CHUNK_SAMPLES_MAX).contains(&bits.len()), "a chunk of {} samples", bits.len());
        if bits.iter().all(|&other| other == bits[0]) {
            return self.encode_constant(kind, bits[0], bits.len(), out);
        }
        match kind {
            SampleKind::Float => self.transform.take_floats(bits),
            // Histograms have an encoder of their own; whoever comes here stores plain numbers.
            SampleKind::Integer | SampleKind::Histogram => self.transform.take_integers(bits),
        }
        self.choose_form();
        self.write_page(bits.len(), out);
    }

    fn encode_constant(&mut self, kind: SampleKind, bits: u64, count: usize, out: &mut Vec<u8>) {
        if kind != SampleKind::Float {
            put_header(CONSTANT_INTEGER, count, out);
            return put_varint(out, bits as i64);
        }
        let transform = &mut self.transform;
        transform.take_floats(&[bits]);
        let integer = transform.integers.first().copied().unwrap_or(0);
        match transform.scheme {
            Scheme::Decimal { exponent, corrected: false }
                if transform.misfits.is_empty() && varint_size(zigzag(integer)) < 7 =>
            {
                if exponent == 0 {
                    put_header(CONSTANT_INTEGRAL, count, out);
                } else {
                    put_header(CONSTANT_DECIMAL, count, out);
                    out.push(exponent as u8);
                }
                put_varint(out, integer);
            }
            _ => {
                put_header(CONSTANT_BITS, count, out);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
    }

    fn choose_form(&mut self) {
        let integers = &self.transform.integers;
        let numbers = &mut self.other.numbers;
        numbers.clear();
        numbers.extend(integers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
        let (plain_bits, steps_bits) = (spread(integers), spread(numbers));
        let smaller = plain_bits.min(steps_bits);
        let slack = match self.effort {
            Effort::Fast => 0,
            Effort::Best => smaller / 24 + integers.len() as u64 / 8,
        };
        let mut chosen = false;
        if steps_bits <= smaller + slack {
            self.plan_steps();
            chosen = true;
        }
        if plain_bits <= smaller + slack && (!chosen || slack > 0) {
            self.plan_plain();
            self.keep_smaller(chosen);
            chosen = true;
        }
        debug_assert!(chosen, "one estimate is the smaller");
        if self.effort == Effort::Best && self.plan_dictionary() {
            self.keep_smaller(true);
        }
    }

    /// Makes the other form the chosen one if it is smaller, or the first.
    fn keep_smaller(&mut self, chosen: bool) {
        if !chosen || self.other.size() < self.form.size() {
            std::mem::swap(&mut self.form, &mut self.other);
        }
    }

    /// The steps are in the other form's numbers.
    fn plan_steps(&mut self) {
        std::mem::swap(&mut self.form, &mut self.other);
        self.form.number = FORM_STEPS;
        self.form.head.clear();
        put_varint(&mut self.form.head, self.transform.integers[0]);
        self.planner.plan(&self.form.numbers, self.effort, &mut self.form.plan);
    }

    fn plan_plain(&mut self) {
        self.other.number = FORM_PLAIN;
        self.other.head.clear();
        self.other.numbers.clone_from(&self.transform.integers);
        self.planner.plan(&self.other.numbers, self.effort, &mut self.other.plan);
    }

    /// Plans a dictionary as the other form; false when it cannot pay.
    fn plan_dictionary(&mut self) -> bool {
        let integers = &self.transform.integers;
        let count = integers.len();
        if count < BLOCK || self.form.size() * 8 <= count || !looks_repetitive(integers) {
            return false;
        }
        self.entries.clone_from(integers);
        self.entries.sort_unstable();
        self.entries.dedup();
        let entries = self.entries.len();
        if !(2..=DICTIONARY_MAX.min(count / 3)).contains(&entries) {
            return false;
        }
        let head = &mut self.other.head;
        head.clear();
        head.push((entries - 1) as u8);
        put_varint(head, self.entries[0]);
        for pair in self.entries.windows(2) {
            put_uvarint(head, (pair[1] as u64).wrapping_sub(pair[0] as u64));
        }
        let index_bits = bit_width(entries as u64 - 1) as usize;
        if head.len() + count * index_bits / 10 >= self.form.size() {
            return false;
        }
        self.other.number = FORM_DICTIONARY;
        self.other.numbers.clear();
        let place = |integer| self.entries.partition_point(|entry| entry < integer) as i64;
        self.other.numbers.extend(integers.iter().map(place));
        self.planner.plan(&self.other.numbers, self.effort, &mut self.other.plan);
        true
    }

    fn write_page(&mut self, count: usize, out: &mut Vec<u8>) {
        let transform = &self.transform;
        let mut flags = self.form.number;
        flags |= if transform.divisor > 1 { HAS_DIVISOR } else { 0 };
        flags |= if transform.corrections.is_empty() { 0 } else { HAS_CORRECTIONS };
        flags |= if transform.misfits.is_empty() { 0 } else { HAS_MISFITS };
        match transform.scheme {
            Scheme::Integer => {
                put_header(INTEGER, count, out);
                out.push(flags);
            }
            Scheme::Ordered => {
                put_header(ORDERED, count, out);
                out.push(flags);
            }
            Scheme::Binary { exponent } => {
                put_header(BINARY, count, out);
                out.push(flags);
                put_varint(out, exponent);
            }
            Scheme::Decimal { exponent, .. } => {
                put_header(DECIMAL, count, out);
                let inline = u8::try_from(exponent).unwrap_or(EXPONENT_NEXT).min(EXPONENT_NEXT);
                out.push(flags | inline << EXPONENT_SHIFT);
                if inline == EXPONENT_NEXT {
                    out.push(exponent as u8);
                }
            }
        }
        if transform.divisor > 1 {
            put_uvarint(out, transform.divisor);
            put_uvarint(out, transform.remainder);
        }
        if !transform.corrections.is_empty() {
            self.planner.plan(&transform.corrections, self.effort, &mut self.corrections);
            self.corrections.write(&transform.corrections, out);
        }
        out.extend_from_slice(&self.form.head);
        self.form.plan.write(&self.form.numbers, out);
        if !transform.misfits.is_empty() {
            write_misfits(transform, out);
        }
    }
}

fn write_misfits(transform: &Transform, out: &mut Vec<u8>) {
    put_uvarint(out, transform.misfits.len() as u64);
    let mut next = 0;
    for misfit in &transform.misfits {
        let is_stale = misfit.bits == STALE_NAN_BITS;
        put_uvarint(out, u64::from(misfit.position - next) << 1 | u64::from(is_stale));
        if !is_stale {
            out.extend_from_slice(&misfit.bits.to_le_bytes());
        }
        next = misfit.position + 1;
    }
}

/// True when a third of some of the integers are repetitions.
fn looks_repetitive(integers: &[i64]) -> bool {
    const PROBES: usize = 96;
    let mut probes = [0; PROBES];
    let taken = integers.len().min(PROBES);
    for (index, probe) in probes[..taken].iter_mut().enumerate() {
        *probe = integers[index * integers.len() / taken];
    }
    let probes = &mut probes[..taken];
    probes.sort_unstable();
    let distinct = 1 + probes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    distinct * 3 <= taken * 2
}
