//! Remote write 2.0: protobuf whose texts are places in a table of symbols.
//!
//! A place says nothing by itself, since every request has a table of its own. So each symbol is
//! hashed once a request, and the hash of a series' spelling is mixed from its symbols' hashes in order:
//! equal for equal texts in any request, without touching them. A known series costs two
//! multiplications a text; its places are kept in the row and the table beside the batch, in case the
//! store asks for the labels.
//!
//! A series that breaks a rule is left out and told of; the others are kept.

use base::codec::{ByteReader, put_uvarint};
use base::limits::SAMPLES_PER_REQUEST_MAX;
use model::{SeriesHasher, TenantId, WriteBatch};

use super::histogram::{TimedHistogram, histogram};
use super::{Cursor, Decoded, KnownKeys, Metadata, RemoteWriteError, SeriesExemplar};
use crate::known_keys::Spelling;
use crate::prometheus::protobuf::{FIXED_64, LENGTH_DELIMITED, Reader, VARINT};

const REQUEST: &str = "a field of the request";
const SERIES: &str = "a field of a time series";
const REFS: &str = "references of labels";

/// Types of metadata whose series have a suffix that their family has not.
const HISTOGRAM: u8 = 3;
const GAUGE_HISTOGRAM: u8 = 4;
const SUMMARY: u8 = 5;

/// The table of one request.
struct Symbols<'a> {
    texts: Vec<&'a [u8]>,
    hashes: Vec<u128>,
    /// Place of the metric name's label; `u64::MAX` when it does not occur.
    metric_name: u64,
    /// By the place of a metric's name: its metadata was taken.
    described: Vec<bool>,
}

/// Memory for one series.
#[derive(Default)]
struct Scratch {
    refs: Vec<u64>,
    cursor: Cursor,
}

/// Appends the series of a decompressed `Request` to `batch`. On `Err` the batch holds a part of the
/// request and must not be stored.
pub fn decode(
    message: &[u8],
    known: &KnownKeys,
    batch: &mut WriteBatch,
) -> Result<Decoded, RemoteWriteError> {
    let mut decoded = Decoded::default();
    let mut symbols = symbols(message, batch)?;
    let mut scratch = Scratch::default();
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag(REQUEST)? {
        match (field, wire) {
            (5, LENGTH_DELIMITED) => {
                let series = reader.nested("a time series")?;
                time_series(series, known, &mut symbols, &mut scratch, batch, &mut decoded)?;
            }
            _ => reader.skip(wire, REQUEST)?,
        }
        if batch.sample_count() > SAMPLES_PER_REQUEST_MAX {
            return Err(RemoteWriteError::TooManySamples);
        }
    }
    decoded.count(batch);
    Ok(decoded)
}

/// Reads the table, wherever it stands, and leaves it with the batch.
fn symbols<'a>(message: &'a [u8], batch: &mut WriteBatch) -> Result<Symbols<'a>, RemoteWriteError> {
    let hasher = batch.hasher();
    let mut symbols = Symbols {
        texts: Vec::new(),
        hashes: Vec::new(),
        metric_name: u64::MAX,
        described: Vec::new(),
    };
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag(REQUEST)? {
        match (field, wire) {
            (4, LENGTH_DELIMITED) => {
                let text = reader.nested("a symbol")?.bytes;
                if text == model::METRIC_NAME.as_bytes() && symbols.metric_name == u64::MAX {
                    symbols.metric_name = symbols.texts.len() as u64;
                }
                symbols.hashes.push(hasher.hash(text));
                symbols.texts.push(text);
            }
            _ => reader.skip(wire, REQUEST)?,
        }
    }
    if symbols.texts.first().is_none_or(|first| !first.is_empty()) {
        return Err(RemoteWriteError::Symbols);
    }
    symbols.described.resize(symbols.texts.len(), false);
    // The end of each text, then the texts: for `unpack_refs`.
    let shared = batch.shared_mut();
    shared.extend_from_slice(&(symbols.texts.len() as u32).to_le_bytes());
    let mut end = 0u32;
    for text in &symbols.texts {
        end += text.len() as u32;
        shared.extend_from_slice(&end.to_le_bytes());
    }
    for text in &symbols.texts {
        shared.extend_from_slice(text);
    }
    Ok(symbols)
}

/// The text at `place` of the table that [`symbols`] left.
fn shared_text(shared: &[u8], place: u64) -> &[u8] {
    let number = |index: usize| {
        let bytes = shared.get(index * 4..index * 4 + 4).unwrap_or_default();
        bytes.try_into().map(u32::from_le_bytes).unwrap_or_default() as usize
    };
    let (count, place) = (number(0), place as usize);
    if place >= count {
        return &[];
    }
    let texts = 4 + count * 4;
    let start = if place == 0 { 0 } else { number(place) };
    shared.get(texts + start..texts + number(place + 1)).unwrap_or_default()
}

/// Packs the labels of references that decoded before.
fn unpack_refs(raw: &[u8], shared: &[u8], packed: &mut Vec<u8>) {
    let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(0));
    batch.begin_row();
    let mut reader = ByteReader::new(raw);
    while reader.remaining() > 0 {
        let (name, value) = (reader.uvarint(), reader.uvarint());
        batch.push_label(shared_text(shared, name), shared_text(shared, value));
    }
    if batch.end_labels().is_ok()
        && let Some(row) = batch.rows().first()
    {
        packed.extend_from_slice(batch.labels(row).as_packed());
    }
}

fn time_series(
    reader: Reader<'_>,
    known: &KnownKeys,
    symbols: &mut Symbols<'_>,
    scratch: &mut Scratch,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    let raw = references(&reader, scratch)?;
    let mut spelling = Spelling::new();
    for place in &scratch.refs {
        spelling.push(symbols.hashes.get(*place as usize).copied().unwrap_or_default());
    }
    let spelling = spelling.finish();
    let is_known = known.get(spelling, &mut scratch.cursor);
    match is_known {
        Some(hash) if !raw.is_empty() => batch.begin_known_row(&[raw], hash, unpack_refs),
        _ => {
            batch.begin_row();
            if let Err(text) = push_labels(&scratch.refs, symbols, batch) {
                batch.abandon_row();
                decoded.fault(|| text);
                decoded.dropped_series += 1;
                return Ok(());
            }
        }
    }
    let series = batch.rows().len() - 1;
    let exemplars = decoded.exemplars.len();
    let has_samples = samples(reader, symbols, scratch, batch, decoded)?;
    if is_known.is_none()
        && let Some(row) = batch.rows().get(series)
        && !raw.is_empty()
    {
        decoded.learned.push((spelling, row.hash));
    }
    name_exemplars(series, exemplars, batch, decoded);
    if !has_samples {
        decoded.exemplars.truncate(exemplars);
        batch.abandon_row();
    }
    Ok(())
}

/// The places of a series' labels; returns their bytes when they stand in one packed field.
fn references<'a>(
    reader: &Reader<'a>,
    scratch: &mut Scratch,
) -> Result<&'a [u8], RemoteWriteError> {
    scratch.refs.clear();
    let mut reader = reader.clone();
    let (mut raw, mut fields): (&[u8], usize) = (&[], 0);
    while let Some((field, wire)) = reader.tag(SERIES)? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => {
                let mut list = reader.nested(REFS)?;
                (raw, fields) = (list.bytes, fields + 1);
                while !list.is_at_end() {
                    scratch.refs.push(list.varint(REFS)?);
                }
            }
            (1, VARINT) => {
                fields += 2;
                scratch.refs.push(reader.varint(REFS)?);
            }
            _ => reader.skip(wire, SERIES)?,
        }
    }
    Ok(if fields == 1 { raw } else { &[] })
}

/// Gives the open row its labels, or says why they are none.
fn push_labels(refs: &[u64], symbols: &Symbols<'_>, batch: &mut WriteBatch) -> Result<(), String> {
    if !refs.len().is_multiple_of(2) {
        return Err(format!("parsing labels: odd number of references {refs:?}"));
    }
    let mut is_named = false;
    for pair in refs.chunks_exact(2) {
        let text = |place: u64| symbols.texts.get(place as usize).copied();
        let (Some(name), Some(value)) = (text(pair[0]), text(pair[1])) else {
            let count = symbols.texts.len();
            return Err(format!("parsing labels: reference beyond {count} symbols in {refs:?}"));
        };
        if name.is_empty() {
            return Err("invalid labels for series: a label name is empty".to_owned());
        }
        is_named |= pair[0] == symbols.metric_name && !value.is_empty();
        is_named |= name == model::METRIC_NAME.as_bytes() && !value.is_empty();
        batch.push_label(name, value);
    }
    batch.end_labels().map_err(|error| format!("invalid labels for series: {error}"))?;
    if is_named { Ok(()) } else { Err("invalid metric name or labels: no metric name".to_owned()) }
}

/// Takes everything but the labels; false when the series has nothing to store.
fn samples(
    mut reader: Reader<'_>,
    symbols: &mut Symbols<'_>,
    scratch: &Scratch,
    batch: &mut WriteBatch,
    decoded: &mut Decoded,
) -> Result<bool, RemoteWriteError> {
    let (mut has_samples, mut had_samples) = (false, false);
    while let Some((field, wire)) = reader.tag(SERIES)? {
        match (field, wire) {
            (2, LENGTH_DELIMITED) => {
                sample(reader.nested("a sample")?, batch)?;
                has_samples = true;
            }
            (3, LENGTH_DELIMITED) => {
                had_samples = true;
                let TimedHistogram { timestamp_ms, start_ms, histogram } =
                    histogram(reader.nested("a histogram")?)?;
                match batch.push_histogram(timestamp_ms, &histogram) {
                    Ok(()) => {
                        batch.set_start(start_ms);
                        has_samples = true;
                    }
                    Err(error) => decoded.fault(|| error.to_string()),
                }
            }
            (4, LENGTH_DELIMITED) => exemplar(reader.nested("an exemplar")?, symbols, decoded)?,
            (5, LENGTH_DELIMITED) => {
                metadata(reader.nested("metadata")?, symbols, scratch, decoded)?;
            }
            _ => reader.skip(wire, SERIES)?,
        }
    }
    if !has_samples && !had_samples {
        decoded.fault(|| "TimeSeries must contain at least one sample or histogram".to_owned());
    }
    Ok(has_samples)
}

#[inline]
fn sample(mut reader: Reader<'_>, batch: &mut WriteBatch) -> Result<(), RemoteWriteError> {
    const WHAT: &str = "a field of a sample";
    let (mut timestamp_ms, mut value, mut start_ms) = (0, 0.0, 0);
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, FIXED_64) => value = reader.double(WHAT)?,
            (2, VARINT) => timestamp_ms = reader.varint(WHAT)? as i64,
            (3, VARINT) => start_ms = reader.varint(WHAT)? as i64,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    batch.push_float(timestamp_ms, value);
    batch.set_start(start_ms);
    Ok(())
}

/// Keeps an exemplar, whose series is named later; one with labels that are none is a fault.
fn exemplar(
    mut reader: Reader<'_>,
    symbols: &Symbols<'_>,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    const WHAT: &str = "a field of an exemplar";
    let (mut refs, mut value, mut timestamp_ms) = (Vec::new(), 0.0, 0);
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, _) => reader.repeated(wire, REFS, |reader| {
                put_uvarint(&mut refs, reader.varint(REFS)?);
                Ok(())
            })?,
            (2, FIXED_64) => value = reader.double(WHAT)?,
            (3, VARINT) => timestamp_ms = reader.varint(WHAT)? as i64,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(0));
    batch.begin_row();
    let mut places = ByteReader::new(&refs);
    let text = |place: u64| symbols.texts.get(place as usize).copied();
    while places.remaining() > 0 {
        match (text(places.uvarint()), text(places.uvarint())) {
            (Some(name), Some(value)) if !name.is_empty() && !places.failed() => {
                batch.push_label(name, value);
            }
            _ => {
                decoded.fault(|| "parsing labels of an exemplar: bad reference".to_owned());
                return Ok(());
            }
        }
    }
    if batch.end_labels().is_err() {
        decoded.fault(|| "parsing labels of an exemplar: a name occurs twice".to_owned());
        return Ok(());
    }
    let labels = batch.rows().first().map(|row| batch.labels(row).as_packed().to_vec());
    let (series, labels) = (Vec::new(), labels.unwrap_or_default());
    decoded.exemplars.push(SeriesExemplar { series, labels, value, timestamp_ms });
    Ok(())
}

/// Gives the exemplars from `first` on the labels of row `series`.
fn name_exemplars(series: usize, first: usize, batch: &mut WriteBatch, decoded: &mut Decoded) {
    if decoded.exemplars.len() == first {
        return;
    }
    batch.unpack(series);
    let Some(row) = batch.rows().get(series).copied() else {
        return;
    };
    for exemplar in &mut decoded.exemplars[first..] {
        exemplar.series.extend_from_slice(batch.labels(&row).as_packed());
    }
}

/// Takes the metadata of a series, once for each metric and request.
fn metadata(
    mut reader: Reader<'_>,
    symbols: &mut Symbols<'_>,
    scratch: &Scratch,
    decoded: &mut Decoded,
) -> Result<(), RemoteWriteError> {
    const WHAT: &str = "a field of metadata";
    let metric = scratch.refs.chunks_exact(2).find(|pair| pair[0] == symbols.metric_name);
    let Some(place) = metric.map(|pair| pair[1] as usize) else {
        return Ok(());
    };
    if symbols.described.get(place).copied().unwrap_or(true) {
        return Ok(());
    }
    symbols.described[place] = true;
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, VARINT) => kind = reader.varint(WHAT)?,
            (3, VARINT) => help = reader.varint(WHAT)?,
            (4, VARINT) => unit = reader.varint(WHAT)?,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    let text = |place: u64| {
        let text = symbols.texts.get(place as usize).copied().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    };
    let (kind, help, unit) = (u8::try_from(kind).unwrap_or(0), text(help), text(unit));
    if kind != 0 || !help.is_empty() || !unit.is_empty() {
        let family = family(&text(place as u64), kind).to_owned();
        decoded.metadata.push(Metadata { family, kind, help, unit });
    }
    Ok(())
}

/// The family of a series of the metric `name`.
fn family(name: &str, kind: u8) -> &str {
    if !matches!(kind, HISTOGRAM | GAUGE_HISTOGRAM | SUMMARY) {
        return name;
    }
    let suffixes = ["_bucket", "_count", "_sum"];
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

#[cfg(test)]
mod tests;
