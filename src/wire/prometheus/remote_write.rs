//! Remote write 1.0: a snappy block of protobuf to a [`WriteBatch`].
//!
//! The decoder walks the message on borrowed bytes. A sender spells a series alike every time, so the
//! bytes of its labels as a whole are looked up in a [`KnownKeys`] first: a known series costs one hash
//! and one copy, whatever the number of its labels. Otherwise each label is copied once, into the
//! batch's key buffer; nothing else is allocated. Text is not validated here: a known series is found by the hash
//! of its bytes, and an unknown one is checked when it is created. Unknown fields are skipped, as the
//! protocol demands.
//!
//! A time series that Prometheus would drop (no metric name, an empty or repeated label name) is
//! dropped here too, and reported, while the rest of the request is kept.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use base::limits::{REMOTE_WRITE_BYTES_MAX, SAMPLES_PER_REQUEST_MAX};
use model::{LabelsRef, SeriesHasher, TenantId, WriteBatch};

/// A request that cannot be taken as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteWriteError {
    /// The body is not a snappy block.
    #[error("cannot decompress the body: {0}")]
    Snappy(String),
    /// The block declares more bytes than a request may have.
    #[error("decompressed body of {got} bytes is too large, at most {max} are allowed")]
    TooLarge {
        /// Declared bytes.
        got: usize,
        /// [`REMOTE_WRITE_BYTES_MAX`].
        max: usize,
    },
    /// The message is cut off or not protobuf.
    #[error("cannot decode the message: {what} at byte {offset}")]
    Protobuf {
        /// What was being read.
        what: &'static str,
        /// Where, in the decompressed body.
        offset: usize,
    },
    /// More samples than [`SAMPLES_PER_REQUEST_MAX`].
    #[error("request has more than {SAMPLES_PER_REQUEST_MAX} samples")]
    TooManySamples,
}

/// What a request held beside the rows that are now in the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Samples put into the batch.
    pub samples: usize,
    /// Series left out, with the first reason met.
    pub dropped_series: usize,
    /// Why the first of them was left out.
    pub first_drop: Option<String>,
    /// Native histograms, which this version does not store.
    pub histograms: usize,
    /// For [`KnownKeys::learn`].
    pub learned: Vec<(u128, u128)>,
}

/// Label sets that were seen before: the hash of their spelling in a message to the hash of the set.
/// Only valid sets are in it.
#[derive(Debug, Default)]
pub struct KnownKeys {
    hashes: HashMap<u128, u128, BuildHasherDefault<AlreadyHashed>>,
}

impl KnownKeys {
    /// Spellings that are remembered; beyond that all are forgotten and learned again. 48 bytes each.
    pub const KEYS_MAX: usize = 4_000_000;

    /// Remembers what a decoding learned.
    pub fn learn(&mut self, learned: &[(u128, u128)]) {
        if self.hashes.len() + learned.len() > Self::KEYS_MAX {
            self.hashes = HashMap::default();
        }
        self.hashes.extend(learned.iter().copied());
    }
}

/// Keys are hashes under a secret seed already: their low half is as good as any hash of them.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

/// Packs a run of label fields that decoded before.
fn unpack_labels(raw: &[u8], packed: &mut Vec<u8>) {
    let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(0));
    batch.begin_row();
    let (mut named, mut problem) = (false, None);
    let mut reader = Reader { bytes: raw, position: 0 };
    while let Ok(Some((1, LENGTH_DELIMITED))) = reader.tag("a label") {
        let Ok(field) = reader.nested("a label") else {
            break;
        };
        if label(field, &mut batch, &mut named, &mut problem).is_err() {
            break;
        }
    }
    if batch.end_labels().is_ok() {
        let labels: Option<LabelsRef<'_>> = batch.rows().first().map(|row| batch.labels(row));
        packed.extend_from_slice(labels.map_or(&[], |labels| labels.as_packed()));
    }
}

/// Decompresses a snappy block into `out`, refusing before inflating what is too large.
pub fn decompress(body: &[u8], out: &mut Vec<u8>) -> Result<(), RemoteWriteError> {
    let snappy = |error: snap::Error| RemoteWriteError::Snappy(error.to_string());
    let length = snap::raw::decompress_len(body).map_err(snappy)?;
    if length > REMOTE_WRITE_BYTES_MAX {
        return Err(RemoteWriteError::TooLarge { got: length, max: REMOTE_WRITE_BYTES_MAX });
    }
    // A snappy element of 3 bytes yields at most 64, so a short body cannot make a long block.
    if length / 64 > body.len() {
        return Err(RemoteWriteError::Snappy("block is shorter than its length says".to_owned()));
    }
    out.resize(length, 0);
    let written = snap::raw::Decoder::new().decompress(body, out).map_err(snappy)?;
    out.truncate(written);
    Ok(())
}

/// Appends the series of a decompressed `WriteRequest` to `batch`. On `Err` the batch holds a part
/// of the request and must not be stored.
pub fn decode(
    message: &[u8],
    known: &KnownKeys,
    batch: &mut WriteBatch,
) -> Result<Decoded, RemoteWriteError> {
    let mut decoded = Decoded::default();
    let mut reader = Reader { bytes: message, position: 0 };
    while let Some((field, wire)) = reader.tag("a field of the request")? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => {
                let series = reader.nested("a time series")?;
                time_series(series, known, batch, &mut decoded)?;
            }
            _ => reader.skip(wire, "a field of the request")?,
        }
        if batch.sample_count() > SAMPLES_PER_REQUEST_MAX {
            return Err(RemoteWriteError::TooManySamples);
        }
    }
    decoded.samples = batch.sample_count();
    Ok(decoded)
}

fn time_series(
    reader: Reader<'_>,
    known: &KnownKeys,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    let raw = leading_labels(&reader);
    let raw_hash = batch.hasher().hash(raw);
    if !raw.is_empty()
        && let Some(hash) = known.hashes.get(&raw_hash)
    {
        batch.begin_known_row(raw, *hash, unpack_labels);
        let samples = Reader { bytes: reader.bytes, position: raw.len() };
        if known_series(samples, batch, decoded)? {
            return Ok(());
        }
        batch.abandon_row();
    }
    let rows = batch.rows().len();
    new_series(reader, batch, decoded)?;
    if let Some(row) = batch.rows().get(rows) {
        decoded.learned.push((raw_hash, row.hash));
    }
    Ok(())
}

/// The label fields at the front of a time series, as one run of bytes.
#[inline]
fn leading_labels<'a>(reader: &Reader<'a>) -> &'a [u8] {
    const LABEL_TAG: u8 = 1 << 3 | LENGTH_DELIMITED;
    let mut reader = reader.clone();
    let mut end = 0;
    while reader.bytes.get(reader.position) == Some(&LABEL_TAG) {
        reader.position += 1;
        if reader.nested("a label").is_err() {
            break;
        }
        end = reader.position;
    }
    &reader.bytes[..end]
}

/// The samples of a series whose labels are known; false when there are more labels behind them.
#[inline]
fn known_series(
    mut reader: Reader<'_>,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<bool, RemoteWriteError> {
    let mut has_samples = false;
    while let Some((field, wire)) = reader.tag("a field of a time series")? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => return Ok(false),
            (2, LENGTH_DELIMITED) => {
                let (timestamp_ms, value) = sample(reader.nested("a sample")?)?;
                batch.push_float(timestamp_ms, value);
                has_samples = true;
            }
            (4, LENGTH_DELIMITED) => {
                reader.nested("a histogram")?;
                decoded.histograms += 1;
            }
            _ => reader.skip(wire, "a field of a time series")?,
        }
    }
    finish_series(batch, has_samples, None, decoded);
    Ok(true)
}

fn new_series(
    mut reader: Reader<'_>,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    batch.begin_row();
    // Senders put labels first; a series that does not is read twice.
    let mut labels_done = false;
    let mut drop_reason = None;
    let mut named = false;
    let restart = reader.clone();
    while let Some((field, wire)) = reader.tag("a field of a time series")? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) if !labels_done => {
                label(reader.nested("a label")?, batch, &mut named, &mut drop_reason)?;
            }
            (1, LENGTH_DELIMITED) => {
                batch.abandon_row();
                return interleaved_series(restart, batch, decoded);
            }
            (2, LENGTH_DELIMITED) => {
                if !labels_done {
                    close_labels(batch, named, &mut drop_reason);
                    labels_done = true;
                }
                let (timestamp_ms, value) = sample(reader.nested("a sample")?)?;
                batch.push_float(timestamp_ms, value);
            }
            (4, LENGTH_DELIMITED) => {
                reader.nested("a histogram")?;
                decoded.histograms += 1;
            }
            _ => reader.skip(wire, "a field of a time series")?,
        }
    }
    finish_series(batch, labels_done, drop_reason, decoded);
    Ok(())
}

/// A series whose labels do not all stand before its samples: labels first, then samples.
fn interleaved_series(
    mut reader: Reader<'_>,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    batch.begin_row();
    let (mut named, mut drop_reason) = (false, None);
    let samples = reader.clone();
    while let Some((field, wire)) = reader.tag("a field of a time series")? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => {
                label(reader.nested("a label")?, batch, &mut named, &mut drop_reason)?;
            }
            _ => reader.skip(wire, "a field of a time series")?,
        }
    }
    close_labels(batch, named, &mut drop_reason);
    let mut reader = samples;
    while let Some((field, wire)) = reader.tag("a field of a time series")? {
        match (field, wire) {
            (2, LENGTH_DELIMITED) => {
                let (timestamp_ms, value) = sample(reader.nested("a sample")?)?;
                batch.push_float(timestamp_ms, value);
            }
            (4, _) => {
                decoded.histograms += 1;
                reader.skip(wire, "a histogram")?;
            }
            _ => reader.skip(wire, "a field of a time series")?,
        }
    }
    finish_series(batch, true, drop_reason, decoded);
    Ok(())
}

fn close_labels(batch: &mut WriteBatch, named: bool, drop_reason: &mut Option<String>) {
    if let Err(error) = batch.end_labels() {
        drop_reason.get_or_insert(error.to_string());
    } else if !named {
        drop_reason.get_or_insert_with(|| "series has no metric name".to_owned());
    }
}

fn finish_series(
    batch: &mut WriteBatch,
    has_samples: bool,
    drop_reason: Option<String>,
    decoded: &mut Decoded,
) {
    if let Some(reason) = drop_reason {
        decoded.dropped_series += 1;
        decoded.first_drop.get_or_insert(reason);
        batch.abandon_row();
    } else if !has_samples {
        batch.abandon_row();
    }
}

fn label(
    mut reader: Reader<'_>,
    batch: &mut WriteBatch,
    named: &mut bool,
    drop_reason: &mut Option<String>,
) -> Result<(), RemoteWriteError> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some((field, wire)) = reader.tag("a field of a label")? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => name = reader.nested("a label name")?.bytes,
            (2, LENGTH_DELIMITED) => value = reader.nested("a label value")?.bytes,
            _ => reader.skip(wire, "a field of a label")?,
        }
    }
    if name.is_empty() {
        drop_reason.get_or_insert_with(|| "series has an empty label name".to_owned());
    }
    *named |= name == model::METRIC_NAME.as_bytes() && !value.is_empty();
    batch.push_label(name, value);
    Ok(())
}

#[inline]
fn sample(mut reader: Reader<'_>) -> Result<(i64, f64), RemoteWriteError> {
    let (mut timestamp_ms, mut value) = (0, 0.0);
    while let Some((field, wire)) = reader.tag("a field of a sample")? {
        match (field, wire) {
            (1, FIXED_64) => value = f64::from_bits(reader.fixed_64("a sample value")?),
            (2, VARINT) => timestamp_ms = reader.varint("a sample timestamp")? as i64,
            _ => reader.skip(wire, "a field of a sample")?,
        }
    }
    Ok((timestamp_ms, value))
}

const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED_32: u8 = 5;

/// A walk over one protobuf message. Offsets in errors are those inside the innermost message.
#[derive(Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, what: &'static str) -> RemoteWriteError {
        RemoteWriteError::Protobuf { what, offset: self.position }
    }

    /// Field number and wire type of the next field; `None` at the end of the message.
    #[inline]
    fn tag(&mut self, what: &'static str) -> Result<Option<(u64, u8)>, RemoteWriteError> {
        if self.position == self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint(what)?;
        if key >> 3 == 0 {
            return Err(self.error(what));
        }
        Ok(Some((key >> 3, (key & 7) as u8)))
    }

    #[inline]
    fn varint(&mut self, what: &'static str) -> Result<u64, RemoteWriteError> {
        if let Some(&byte) = self.bytes.get(self.position)
            && byte < 0x80
        {
            self.position += 1;
            return Ok(u64::from(byte));
        }
        self.long_varint(what)
    }

    fn long_varint(&mut self, what: &'static str) -> Result<u64, RemoteWriteError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.position) else {
                return Err(self.error(what));
            };
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(what))
    }

    #[inline]
    fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], RemoteWriteError> {
        let count = usize::try_from(count).map_err(|_| self.error(what))?;
        let taken = self.bytes[self.position..].get(..count).ok_or_else(|| self.error(what))?;
        self.position += count;
        Ok(taken)
    }

    #[inline]
    fn nested(&mut self, what: &'static str) -> Result<Reader<'a>, RemoteWriteError> {
        let length = self.varint(what)?;
        Ok(Reader { bytes: self.take(length, what)?, position: 0 })
    }

    #[inline]
    fn fixed_64(&mut self, what: &'static str) -> Result<u64, RemoteWriteError> {
        let bytes = self.take(8, what)?;
        Ok(bytes.try_into().map(u64::from_le_bytes).unwrap_or_default())
    }

    fn skip(&mut self, wire: u8, what: &'static str) -> Result<(), RemoteWriteError> {
        match wire {
            VARINT => self.varint(what).map(drop),
            FIXED_64 => self.take(8, what).map(drop),
            LENGTH_DELIMITED => self.nested(what).map(drop),
            FIXED_32 => self.take(4, what).map(drop),
            _ => Err(self.error(what)),
        }
    }
}

#[cfg(test)]
mod tests;
