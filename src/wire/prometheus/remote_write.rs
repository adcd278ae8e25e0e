//! Remote write 1.0: a snappy block of protobuf to a [`WriteBatch`]. `v2` is the other version.
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

use std::io::Read as _;

use base::limits::{REMOTE_WRITE_BYTES_MAX, SAMPLES_PER_REQUEST_MAX};
use model::{LabelsRef, SampleKind, SeriesHasher, TenantId, WriteBatch};

pub mod histogram;
pub mod v2;

use self::histogram::TimedHistogram;
use super::protobuf::{BadMessage, FIXED_64, LENGTH_DELIMITED, Reader, VARINT};

pub use crate::known_keys::{Cursor, KnownKeys};

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
    /// The body is not a zstd frame.
    #[error("cannot decompress the body: {0}")]
    Zstd(String),
    /// The message is cut off or not protobuf.
    #[error(transparent)]
    Protobuf(#[from] BadMessage),
    /// The first symbol must be the empty text, and there must be one.
    #[error("symbols must start with the empty one")]
    Symbols,
    /// More samples than [`SAMPLES_PER_REQUEST_MAX`].
    #[error("request has more than {SAMPLES_PER_REQUEST_MAX} samples")]
    TooManySamples,
}

/// What a request held beside the rows that are now in the batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Samples put into the batch.
    pub samples: usize,
    /// Series left out, with the first reason met.
    pub dropped_series: usize,
    /// Why the first of them was left out.
    pub first_drop: Option<String>,
    /// Native histograms among the samples.
    pub histograms: usize,
    /// What the sender has to hear of: histograms that break a rule and, in version 2, series that
    /// do. Of many the first [`FAULTS_MAX`].
    pub faults: Vec<String>,
    /// How many there are in all.
    pub fault_count: usize,
    /// Exemplars with the packed labels of their series.
    pub exemplars: Vec<SeriesExemplar>,
    /// What was said of metric families.
    pub metadata: Vec<Metadata>,
    /// For [`KnownKeys::learn`].
    pub learned: Vec<(u128, u128)>,
}

/// Faults that are told one by one.
pub const FAULTS_MAX: usize = 10;

impl Decoded {
    fn count(&mut self, batch: &WriteBatch) {
        self.samples = batch.sample_count();
        let histograms = batch.rows().iter().filter(|row| row.kind == SampleKind::Histogram);
        self.histograms = histograms.map(|row| row.sample_count as usize).sum();
    }

    /// Notes a fault.
    pub fn fault(&mut self, text: impl FnOnce() -> String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text());
        }
    }
}

/// An exemplar and the series it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplar {
    /// Packed labels of the series, which nobody has validated yet.
    pub series: Vec<u8>,
    /// Packed labels of the exemplar, likewise.
    pub labels: Vec<u8>,
    /// Its value.
    pub value: f64,
    /// When it was taken, in milliseconds.
    pub timestamp_ms: i64,
}

/// What a sender says of a metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the family.
    pub family: String,
    /// The number of its type in the protocol, 0 to 7.
    pub kind: u8,
    /// What it means.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// Packs a run of label fields that decoded before.
fn unpack_labels(raw: &[u8], _shared: &[u8], packed: &mut Vec<u8>) {
    let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(0));
    batch.begin_row();
    let (mut named, mut problem) = (false, None);
    let mut reader = Reader::new(raw);
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

/// Decompresses a snappy block in place of what `out` holds, refusing before inflating what is too large.
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

/// Decompresses a zstd frame in place of what `out` holds, refusing what is too large while it inflates.
pub fn decompress_zstd(body: &[u8], out: &mut Vec<u8>) -> Result<(), RemoteWriteError> {
    let zstd = |error: std::io::Error| RemoteWriteError::Zstd(error.to_string());
    out.clear();
    let mut decoder = zstd::stream::read::Decoder::new(body).map_err(zstd)?;
    // A frame may ask for more memory to look back into than its content can have.
    decoder.window_log_max(REMOTE_WRITE_BYTES_MAX.ilog2()).map_err(zstd)?;
    let read = decoder.take(REMOTE_WRITE_BYTES_MAX as u64 + 1).read_to_end(out).map_err(zstd)?;
    if read > REMOTE_WRITE_BYTES_MAX {
        return Err(RemoteWriteError::TooLarge { got: read, max: REMOTE_WRITE_BYTES_MAX });
    }
    Ok(())
}

/// Appends the series of a decompressed `WriteRequest` to `batch`. On `Err` the batch holds a part
/// of the request and must not be stored.
pub fn decode(
    message: &[u8],
    known: &KnownKeys,
    batch: &mut WriteBatch,
) -> Result<Decoded, RemoteWriteError> {
    let (mut decoded, mut cursor) = (Decoded::default(), Cursor::default());
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag("a field of the request")? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => {
                let series = reader.nested("a time series")?;
                time_series(series, (known, &mut cursor), batch, &mut decoded)?;
            }
            (3, LENGTH_DELIMITED) => {
                let metadata = metadata(reader.nested("metadata")?)?;
                decoded.metadata.extend(metadata);
            }
            _ => reader.skip(wire, "a field of the request")?,
        }
        if batch.sample_count() > SAMPLES_PER_REQUEST_MAX {
            return Err(RemoteWriteError::TooManySamples);
        }
    }
    decoded.count(batch);
    Ok(decoded)
}

fn time_series(
    reader: Reader<'_>,
    (known, cursor): (&KnownKeys, &mut Cursor),
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    let raw = leading_labels(&reader);
    let raw_hash = batch.hasher().hash(raw);
    if !raw.is_empty()
        && let Some(hash) = known.get(raw_hash, cursor)
    {
        batch.begin_known_row(&[raw], hash, unpack_labels);
        let samples = Reader { bytes: reader.bytes, position: raw.len() };
        let (exemplars, faults) = (decoded.exemplars.len(), decoded.fault_count);
        if known_series(samples, raw, batch, decoded)? {
            return Ok(());
        }
        batch.abandon_row();
        decoded.exemplars.truncate(exemplars);
        decoded.faults.truncate(faults);
        decoded.fault_count = faults;
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
    raw: &[u8],
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
            (3, LENGTH_DELIMITED) => {
                let exemplar = reader.nested("an exemplar")?;
                push_exemplar(raw, exemplar, decoded)?;
            }
            (4, LENGTH_DELIMITED) => {
                has_samples |= push_histogram(reader.nested("a histogram")?, batch, decoded)?;
            }
            _ => reader.skip(wire, "a field of a time series")?,
        }
    }
    finish_series(batch, has_samples, None, decoded);
    Ok(true)
}

/// A series that has to be read whole: its labels first, wherever they stand, then its samples.
fn new_series(
    mut reader: Reader<'_>,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    batch.begin_row();
    let (mut named, mut drop_reason) = (false, None);
    let mut fields = reader.clone();
    while let Some((field, wire)) = fields.tag("a field of a time series")? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => {
                label(fields.nested("a label")?, batch, &mut named, &mut drop_reason)?;
            }
            _ => fields.skip(wire, "a field of a time series")?,
        }
    }
    close_labels(batch, named, &mut drop_reason);
    let mut has_samples = false;
    while let Some((field, wire)) = reader.tag("a field of a time series")? {
        match (field, wire) {
            (2, LENGTH_DELIMITED) => {
                let (timestamp_ms, value) = sample(reader.nested("a sample")?)?;
                batch.push_float(timestamp_ms, value);
                has_samples = true;
            }
            (3, LENGTH_DELIMITED) if drop_reason.is_none() => {
                let exemplar = reader.nested("an exemplar")?;
                let start = decoded.exemplars.len();
                push_exemplar(&[], exemplar, decoded)?;
                let row = batch.rows().last().copied();
                if let (Some(row), Some(exemplar)) = (row, decoded.exemplars.get_mut(start)) {
                    exemplar.series.extend_from_slice(batch.labels(&row).as_packed());
                }
            }
            (4, LENGTH_DELIMITED) => {
                let histogram = reader.nested("a histogram")?;
                has_samples |= drop_reason.is_none() && push_histogram(histogram, batch, decoded)?;
            }
            _ => reader.skip(wire, "a field of a time series")?,
        }
    }
    finish_series(batch, has_samples, drop_reason, decoded);
    Ok(())
}

/// Puts a histogram into the open row; false, and a fault is noted, when it breaks a rule.
fn push_histogram(
    reader: Reader<'_>,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<bool, RemoteWriteError> {
    let TimedHistogram { timestamp_ms, start_ms, histogram } = histogram::histogram(reader)?;
    match batch.push_histogram(timestamp_ms, &histogram) {
        Ok(()) => {
            batch.set_start(start_ms);
            Ok(true)
        }
        Err(error) => {
            decoded.fault(|| error.to_string());
            Ok(false)
        }
    }
}

/// Keeps an exemplar of the series whose labels are spelled `raw`.
fn push_exemplar(
    raw: &[u8],
    mut reader: Reader<'_>,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    const WHAT: &str = "a field of an exemplar";
    let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(0));
    batch.begin_row();
    let (mut value, mut timestamp_ms) = (0.0, 0);
    let (mut named, mut drop_reason) = (false, None);
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => {
                label(reader.nested(WHAT)?, &mut batch, &mut named, &mut drop_reason)?;
            }
            (2, FIXED_64) => value = reader.double(WHAT)?,
            (3, VARINT) => timestamp_ms = reader.varint(WHAT)? as i64,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    if batch.end_labels().is_err() || drop_reason.is_some() {
        return Ok(());
    }
    let (mut series, mut labels) = (Vec::new(), Vec::new());
    unpack_labels(raw, &[], &mut series);
    if let Some(row) = batch.rows().first() {
        labels.extend_from_slice(batch.labels(row).as_packed());
    }
    decoded.exemplars.push(SeriesExemplar { series, labels, value, timestamp_ms });
    Ok(())
}

/// What a request says of a metric family; `None` without its name.
fn metadata(mut reader: Reader<'_>) -> Result<Option<Metadata>, RemoteWriteError> {
    const WHAT: &str = "a field of metadata";
    let text = |reader: Reader<'_>| String::from_utf8_lossy(reader.bytes).into_owned();
    let (mut family, mut help, mut unit) = Default::default();
    let mut kind = 0;
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, VARINT) => kind = reader.varint(WHAT)?,
            (2, LENGTH_DELIMITED) => family = text(reader.nested(WHAT)?),
            (4, LENGTH_DELIMITED) => help = text(reader.nested(WHAT)?),
            (5, LENGTH_DELIMITED) => unit = text(reader.nested(WHAT)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    let kind = u8::try_from(kind).unwrap_or(0);
    let is_named = |metadata: &Metadata| !metadata.family.is_empty();
    Ok(Some(Metadata { family, kind, help, unit }).filter(is_named))
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
            (1, FIXED_64) => value = reader.double("a sample value")?,
            (2, VARINT) => timestamp_ms = reader.varint("a sample timestamp")? as i64,
            _ => reader.skip(wire, "a field of a sample")?,
        }
    }
    Ok((timestamp_ms, value))
}

#[cfg(test)]
mod tests;
