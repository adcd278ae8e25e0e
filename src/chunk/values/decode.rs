//! Reading a column of values, in place in the caller's buffer.

use super::{
    BINARY_EXPONENTS, CORRECTION_MAX, DICTIONARY_MAX, EXPONENT_MAX, EXPONENT_NEXT, EXPONENT_SHIFT,
    FORM_DICTIONARY, FORM_PLAIN, FORM_STEPS, HAS_CORRECTIONS, HAS_DIVISOR, HAS_MISFITS,
    power_of_two,
};
use crate::ChunkError;
use crate::header::{
    BINARY, CONSTANT_BITS, CONSTANT_DECIMAL, CONSTANT_INTEGER, CONSTANT_INTEGRAL, DECIMAL, INTEGER,
    ORDERED, finish, read_header,
};
use crate::kernel::{
    Kernel, POWERS_OF_TEN, Scale, Sum, bits_of_order, float_bits_mut, order_of_bits,
};
use crate::stream::read_stream;
use base::codec::ByteReader;
use base::limits::CHUNK_SAMPLES_MAX;
use model::{STALE_NAN_BITS, SampleKind};

/// A reusable column of value bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Bits of floats or of integers, as the kind of the chunk says.
    pub bits: Vec<u64>,
}

/// Appends the values of a blob and says of what kind they are; on an error `out` is as before.
pub fn decode_values(blob: &[u8], out: &mut Values) -> Result<SampleKind, ChunkError> {
    let start = out.bits.len();
    let result = decode_bits(blob, Kernel::detect(), &mut out.bits);
    if result.is_err() {
        out.bits.truncate(start);
    }
    result
}

/// Appends the values of a blob as floats, integers as the nearest ones; on an error `out` is as
/// before.
pub fn decode_floats(blob: &[u8], out: &mut Vec<f64>) -> Result<(), ChunkError> {
    let start = out.len();
    let result = decode_as_floats(blob, Kernel::detect(), out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// The number of samples that a blob, of either sort, says it has.
pub fn sample_count(blob: &[u8]) -> Result<usize, ChunkError> {
    read_header(&mut ByteReader::new(blob)).map(|(_, count)| count)
}

/// [`decode_values`] with a given kernel; leaves a damaged column behind an error.
pub(super) fn decode_bits(
    blob: &[u8],
    kernel: Kernel,
    out: &mut Vec<u64>,
) -> Result<SampleKind, ChunkError> {
    let start = out.len();
    match open(blob)? {
        Opened::Constant { kind, bits, count } => {
            out.resize(start + count, bits);
            Ok(kind)
        }
        Opened::Page { page, count } => {
            out.resize(start + count, 0);
            page.decode(kernel, &mut out[start..])?;
            Ok(page.kind())
        }
    }
}

/// [`decode_floats`] with a given kernel; leaves a damaged column behind an error.
pub(super) fn decode_as_floats(
    blob: &[u8],
    kernel: Kernel,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let start = out.len();
    match open(blob)? {
        Opened::Constant { kind, bits, count } => out.resize(start + count, kind.to_f64(bits)),
        Opened::Page { page, count } => {
            out.resize(start + count, 0.0);
            let bits = float_bits_mut(&mut out[start..]);
            page.decode(kernel, bits)?;
            if page.kind() == SampleKind::Integer {
                for bits in bits {
                    *bits = (*bits as i64 as f64).to_bits();
                }
            }
        }
    }
    Ok(())
}

enum Opened<'a> {
    Constant { kind: SampleKind, bits: u64, count: usize },
    Page { page: Page<'a>, count: usize },
}

fn open(blob: &[u8]) -> Result<Opened<'_>, ChunkError> {
    let mut reader = ByteReader::new(blob);
    let (codec, count) = read_header(&mut reader)?;
    let bits = match codec {
        CONSTANT_INTEGRAL => (reader.varint() as f64).to_bits(),
        CONSTANT_DECIMAL => {
            let power = power_of_ten(u32::from(reader.u8()))?;
            (reader.varint() as f64 / power).to_bits()
        }
        CONSTANT_BITS => reader.u64(),
        CONSTANT_INTEGER => reader.varint() as u64,
        _ => return Page::open(blob, codec, reader).map(|page| Opened::Page { page, count }),
    };
    finish(&reader)?;
    let kind = if codec == CONSTANT_INTEGER { SampleKind::Integer } else { SampleKind::Float };
    Ok(Opened::Constant { kind, bits, count })
}

fn power_of_ten(exponent: u32) -> Result<f64, ChunkError> {
    match POWERS_OF_TEN.get(exponent as usize) {
        Some(&power) if exponent <= EXPONENT_MAX => Ok(power),
        _ => Err(ChunkError::Malformed { what: "exponent beyond 18" }),
    }
}

/// A page with its head read: the reader stands behind the divisor.
struct Page<'a> {
    blob: &'a [u8],
    reader: ByteReader<'a>,
    flags: u8,
    scale: Scale,
}

impl<'a> Page<'a> {
    fn open(blob: &'a [u8], codec: u8, mut reader: ByteReader<'a>) -> Result<Self, ChunkError> {
        let flags = match codec {
            DECIMAL | BINARY | ORDERED | INTEGER => reader.u8(),
            _ => return Err(ChunkError::UnknownCodec { codec }),
        };
        let exponent = read_exponent(codec, flags, &mut reader)?;
        let (mut divisor, mut remainder) = (1, 0);
        if flags & HAS_DIVISOR != 0 {
            (divisor, remainder) = (reader.uvarint(), reader.uvarint());
            let bound = if codec == DECIMAL { 1 << 53 } else { 1 << 63 };
            if divisor < 2 || divisor >= bound || remainder >= divisor {
                return Err(ChunkError::Malformed { what: "divisor out of range" });
            }
        }
        let allowed = match codec {
            DECIMAL => HAS_DIVISOR | HAS_CORRECTIONS | HAS_MISFITS,
            BINARY => HAS_MISFITS,
            INTEGER => HAS_DIVISOR,
            _ => 0,
        };
        if flags & (HAS_DIVISOR | HAS_CORRECTIONS | HAS_MISFITS) & !allowed != 0 {
            return Err(ChunkError::Malformed { what: "flag that the codec does not have" });
        }
        let scale = match codec {
            DECIMAL => Scale::Decimal {
                divisor: divisor as f64,
                remainder: remainder as f64,
                exponent: exponent as usize,
            },
            BINARY => Scale::Binary { factor: power_of_two(exponent) },
            ORDERED => Scale::Ordered,
            _ => Scale::Integer { divisor, remainder },
        };
        Ok(Self { blob, reader, flags, scale })
    }

    fn kind(&self) -> SampleKind {
        match self.scale {
            Scale::Integer { .. } => SampleKind::Integer,
            _ => SampleKind::Float,
        }
    }

    fn decode(&self, kernel: Kernel, out: &mut [u64]) -> Result<(), ChunkError> {
        let mut reader = self.reader.clone();
        if self.flags & HAS_CORRECTIONS != 0 {
            self.decode_corrected(&mut reader, kernel, out)?;
        } else {
            self.decode_numbers(&mut reader, kernel, out)?;
        }
        if self.flags & HAS_MISFITS != 0 {
            read_misfits(&mut reader, out)?;
        }
        finish(&reader)
    }

    /// Corrections come before the integers and are needed after them: small enough for the stack.
    fn decode_corrected(
        &self,
        reader: &mut ByteReader<'a>,
        kernel: Kernel,
        out: &mut [u64],
    ) -> Result<(), ChunkError> {
        let mut corrections = [0i8; CHUNK_SAMPLES_MAX];
        read_stream(self.blob, reader, kernel, out)?;
        let mut beyond = false;
        for (correction, number) in corrections.iter_mut().zip(&*out) {
            beyond |= number.wrapping_add(CORRECTION_MAX as u64) > 2 * CORRECTION_MAX as u64;
            *correction = *number as i8;
        }
        if beyond {
            return Err(ChunkError::Malformed { what: "correction beyond 63" });
        }
        self.decode_numbers(reader, kernel, out)?;
        for (bits, correction) in out.iter_mut().zip(&corrections) {
            *bits = bits_of_order(order_of_bits(*bits).wrapping_add(i64::from(*correction)));
        }
        Ok(())
    }

    fn decode_numbers(
        &self,
        reader: &mut ByteReader<'a>,
        kernel: Kernel,
        out: &mut [u64],
    ) -> Result<(), ChunkError> {
        match self.flags & 3 {
            FORM_PLAIN => {
                read_stream(self.blob, reader, kernel, out)?;
                kernel.restore(Sum::Plain, self.scale, out);
            }
            FORM_STEPS => {
                let first = reader.varint() as u64;
                if let Some((head, steps)) = out.split_first_mut() {
                    *head = 0;
                    read_stream(self.blob, reader, kernel, steps)?;
                }
                kernel.restore(Sum::From(first), self.scale, out);
            }
            FORM_DICTIONARY => self.decode_dictionary(reader, kernel, out)?,
            _ => return Err(ChunkError::Malformed { what: "unknown form" }),
        }
        Ok(())
    }

    fn decode_dictionary(
        &self,
        reader: &mut ByteReader<'a>,
        kernel: Kernel,
        out: &mut [u64],
    ) -> Result<(), ChunkError> {
        let mut entries = [0; DICTIONARY_MAX];
        let last = usize::from(reader.u8());
        let used = &mut entries[..=last];
        let mut entry = reader.varint() as u64;
        used[0] = entry;
        for slot in &mut used[1..] {
            entry = entry.wrapping_add(reader.uvarint());
            *slot = entry;
        }
        kernel.restore(Sum::Plain, self.scale, used);
        read_stream(self.blob, reader, kernel, out)?;
        // One check behind the loop, since places are masked inside it.
        let mut places = 0;
        for slot in out {
            places |= if *slot > last as u64 { u64::MAX } else { 0 };
            *slot = entries[(*slot % DICTIONARY_MAX as u64) as usize];
        }
        match places {
            0 => Ok(()),
            _ => Err(ChunkError::Malformed { what: "place beyond the dictionary" }),
        }
    }
}

fn read_exponent(codec: u8, flags: u8, reader: &mut ByteReader<'_>) -> Result<i64, ChunkError> {
    let inline = flags >> EXPONENT_SHIFT;
    match (codec, inline) {
        (DECIMAL, EXPONENT_NEXT) => {
            let exponent = u32::from(reader.u8());
            power_of_ten(exponent).map(|_| i64::from(exponent))
        }
        (DECIMAL, _) => Ok(i64::from(inline)),
        (_, 1..) => Err(ChunkError::Malformed { what: "flag that the codec does not have" }),
        (BINARY, _) => match reader.varint() {
            exponent if BINARY_EXPONENTS.contains(&exponent) => Ok(exponent),
            _ => Err(ChunkError::Malformed { what: "binary exponent out of range" }),
        },
        _ => Ok(0),
    }
}

fn read_misfits(reader: &mut ByteReader<'_>, out: &mut [u64]) -> Result<(), ChunkError> {
    let count = reader.uvarint();
    if count > out.len() as u64 {
        return Err(ChunkError::Malformed { what: "more misfits than samples" });
    }
    let mut slots = out.iter_mut();
    for _ in 0..count {
        let mark = reader.uvarint();
        let bits = if mark & 1 == 1 { STALE_NAN_BITS } else { reader.u64() };
        let gap = usize::try_from(mark >> 1).unwrap_or(usize::MAX);
        match slots.nth(gap) {
            Some(slot) => *slot = bits,
            None => return Err(ChunkError::Malformed { what: "misfit beyond the end" }),
        }
    }
    Ok(())
}
