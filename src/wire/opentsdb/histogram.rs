//! Histograms as OpenTSDB writes them: counts between pairs of bounds, and below and above all.
//!
//! In the store they are native histograms with listed bounds. A gap between two buckets becomes a
//! bucket without observations; the sum, which is not sent, is taken from the middles of the buckets.

use model::Histogram;
use model::histogram::{BUCKETS_MAX, BucketSpan, CUSTOM_SCHEMA, HistogramBuckets};

/// Why a text or a value is no histogram.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistogramTextError {
    /// Not `name=count`.
    #[error("Improperly formatted bucket: {0}")]
    Bucket(String),
    /// Not `low,high`.
    #[error("Improperly formatted bounds: {0}")]
    Bounds(String),
    /// A bound or a count is no number.
    #[error("For input string: \"{0}\"")]
    Number(String),
    /// The encoded form ends early, or is no base64.
    #[error("Invalid encoded histogram")]
    Encoding,
    /// Buckets overlap or are empty ranges.
    #[error("Histogram buckets overlap or are out of order at {0}")]
    Overlap(String),
    /// Too many buckets.
    #[error("Histogram has more than {BUCKETS_MAX} buckets")]
    TooMany,
}

/// A histogram as it is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimpleHistogram {
    /// Lower bound, upper bound, observations.
    pub buckets: Vec<(f32, f32, u64)>,
    /// Observations below all buckets.
    pub underflow: u64,
    /// Observations above all buckets.
    pub overflow: u64,
}

impl SimpleHistogram {
    /// Reads `u=1:o=2:0,1.75=12:…`.
    pub fn from_text(text: &str) -> Result<Self, HistogramTextError> {
        let mut histogram = Self::default();
        for part in text.split(':') {
            let (name, count) = part
                .split_once('=')
                .filter(|(_, count)| !count.contains('='))
                .ok_or_else(|| HistogramTextError::Bucket(part.to_owned()))?;
            let count = count.parse().map_err(|_| HistogramTextError::Number(count.to_owned()))?;
            match name {
                "u" | "U" => histogram.underflow = count,
                "o" | "O" => histogram.overflow = count,
                bounds => histogram.push(bounds, count)?,
            }
        }
        Ok(histogram)
    }

    /// Adds a bucket whose bounds are `low,high`.
    pub fn push(&mut self, bounds: &str, count: u64) -> Result<(), HistogramTextError> {
        let number = |text: &str| -> Result<f32, HistogramTextError> {
            let parsed = text.trim().parse().ok().filter(|number: &f32| number.is_finite());
            parsed.ok_or_else(|| HistogramTextError::Number(text.to_owned()))
        };
        let (low, high) = bounds
            .split_once(',')
            .filter(|(_, high)| !high.contains(','))
            .ok_or_else(|| HistogramTextError::Bounds(bounds.to_owned()))?;
        if self.buckets.len() >= BUCKETS_MAX {
            return Err(HistogramTextError::TooMany);
        }
        self.buckets.push((number(low)?, number(high)?, count));
        Ok(())
    }

    /// Reads the base64 of the original's own encoding: the number of buckets (16 bits), for each
    /// its bounds (32 bits each) and its count, then the counts below and above. Counts are LEB128,
    /// everything else is big-endian.
    pub fn from_base64(text: &str) -> Result<Self, HistogramTextError> {
        let bytes = base64(text).ok_or(HistogramTextError::Encoding)?;
        let mut rest = bytes.as_slice();
        let count = u16::from_be_bytes(take(&mut rest)?);
        if usize::from(count) > BUCKETS_MAX {
            return Err(HistogramTextError::TooMany);
        }
        let mut histogram = Self::default();
        for _ in 0..count {
            let low = f32::from_be_bytes(take(&mut rest)?);
            let high = f32::from_be_bytes(take(&mut rest)?);
            histogram.buckets.push((low, high, varint(&mut rest)?));
        }
        histogram.underflow = varint(&mut rest)?;
        histogram.overflow = varint(&mut rest)?;
        Ok(histogram)
    }

    /// The same as a native histogram.
    pub fn to_native(&self) -> Result<Histogram, HistogramTextError> {
        let mut buckets = self.buckets.clone();
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (mut bounds, mut counts) = (Vec::new(), vec![self.underflow as f64]);
        let mut sum = 0.0;
        for (low, high, count) in buckets {
            let (low, high) = (f64::from(low), f64::from(high));
            let last = bounds.last().copied();
            if !(low < high && low.is_finite() && high.is_finite())
                || last.is_some_and(|last| low < last)
            {
                return Err(HistogramTextError::Overlap(format!("{low},{high}")));
            }
            if last != Some(low) {
                bounds.push(low);
                if last.is_some() {
                    counts.push(0.0);
                }
            }
            bounds.push(high);
            counts.push(count as f64);
            sum += count as f64 * (low + high) / 2.0;
        }
        counts.push(self.overflow as f64);
        if bounds.len() >= BUCKETS_MAX {
            return Err(HistogramTextError::TooMany);
        }
        if bounds.is_empty() {
            // Nothing says where below and above would be.
            return Err(HistogramTextError::Bucket(String::new()));
        }
        let spans = vec![BucketSpan { offset: 0, length: counts.len() as u32 }];
        Ok(Histogram {
            schema: CUSTOM_SCHEMA,
            is_integer: true,
            count: counts.iter().sum(),
            sum,
            positive: HistogramBuckets { spans, counts },
            bounds: bounds.into(),
            ..Histogram::default()
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], HistogramTextError> {
    let (front, behind) = rest.split_first_chunk::<N>().ok_or(HistogramTextError::Encoding)?;
    *rest = behind;
    Ok(*front)
}

fn varint(rest: &mut &[u8]) -> Result<u64, HistogramTextError> {
    let mut reader = base::codec::ByteReader::new(rest);
    let number = reader.uvarint();
    if reader.failed() {
        return Err(HistogramTextError::Encoding);
    }
    *rest = &rest[reader.position()..];
    Ok(number)
}

/// Bytes of standard base64, with or without its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;

    #[test]
    fn texts_become_native_histograms() {
        let sent = SimpleHistogram::from_text("u=3:o=1:1.75,3.5=16:0,1.75=12:5,6=2").unwrap();
        let native = sent.to_native().unwrap();
        assert_eq!(*native.bounds, [0.0, 1.75, 3.5, 5.0, 6.0]);
        assert_eq!(native.positive.counts, [3.0, 12.0, 16.0, 0.0, 2.0, 1.0]);
        assert_eq!(native.count, 34.0);
        assert!(native.validate().is_ok());
    }

    #[test]
    fn the_encoded_form_says_the_same() {
        let mut bytes = 2u16.to_be_bytes().to_vec();
        for (low, high, count) in [(0.0f32, 1.75f32, 12u8), (1.75, 3.5, 16)] {
            bytes.extend_from_slice(&low.to_be_bytes());
            bytes.extend_from_slice(&high.to_be_bytes());
            bytes.push(count);
        }
        bytes.extend_from_slice(&[0x80, 0x01, 1]);
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let text: String = bytes
            .chunks(3)
            .flat_map(|part| {
                let word = part.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
                let word = word << (8 * (3 - part.len()));
                (0..=part.len()).map(move |at| DIGITS[(word >> (18 - 6 * at)) as usize & 63])
            })
            .map(char::from)
            .collect();
        let want = SimpleHistogram::from_text("u=128:o=1:0,1.75=12:1.75,3.5=16").unwrap();
        assert_eq!(SimpleHistogram::from_base64(&text), Ok(want));
        let mut rng = Rng::new(9);
        for _ in 0..5_000 {
            let mut damaged = text.clone().into_bytes();
            let at = rng.below(damaged.len() as u64) as usize;
            damaged[at] = b' ' + rng.below(90) as u8;
            damaged.truncate(1 + rng.below(damaged.len() as u64) as usize);
            let damaged = String::from_utf8(damaged).unwrap();
            if let Ok(histogram) = SimpleHistogram::from_base64(&damaged)
                && let Ok(native) = histogram.to_native()
            {
                assert!(native.validate().is_ok());
            }
        }
    }

    #[test]
    fn what_is_no_histogram_is_named() {
        for (text, want) in [
            ("abc", "Improperly formatted bucket: abc"),
            ("1=2", "Improperly formatted bounds: 1"),
            ("u=x", "For input string: \"x\""),
            ("a,2=1", "For input string: \"a\""),
        ] {
            assert_eq!(SimpleHistogram::from_text(text).unwrap_err().to_string(), want);
        }
        for text in ["0,2=1:1,3=1", "2,2=1", "3,1=1", "u=1"] {
            assert!(SimpleHistogram::from_text(text).unwrap().to_native().is_err(), "{text}");
        }
    }
}
