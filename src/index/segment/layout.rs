//! What the sections of a segment hold, both ways: names and schemas, postings, sets, series.
//!
//! Writer and reader share this file so that an encoding and its decoding stand together.

use std::ops::Range;

use base::codec::{ByteReader, put_bytes, put_uvarint, put_varint, unzigzag, zigzag};
use roaring::RoaringBitmap;

use super::footer::Section;
use crate::blocked::{BlockedReader, BlockedWriter};
use crate::error::IndexError;
use crate::postings::{Postings, Union};

/// Postings between two offsets; an entry costs 0.25 bytes of offset.
pub(crate) const POSTINGS_PER_BLOCK: u32 = 16;
/// Label sets that share one front-coding chain.
pub(crate) const SETS_PER_BLOCK: u32 = 8;
/// Series between two places where numbering starts afresh.
pub(crate) const SERIES_PER_BLOCK: u32 = 64;
/// Numbers that are written as a list at most, so that a list is decoded in a microsecond or two.
const LIST_MAX: u64 = 1024;

/// A label name and the ordinals of its terms: first the name itself, then its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    /// The ordinal of the name's own term.
    pub(crate) first: u32,
    /// Number of values.
    pub(crate) values: u32,
}

impl Name {
    /// The ordinals of the values.
    pub(crate) fn value_ordinals(&self) -> std::ops::Range<u32> {
        self.first + 1..self.first + 1 + self.values
    }
}

/// The names of a segment and the combinations of names that occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// In the order of their terms.
    pub(crate) names: Vec<Name>,
    /// Each a list of indexes into `names`, in label order.
    pub(crate) schemas: Vec<Vec<u32>>,
}

impl Names {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_uvarint(&mut out, self.names.len() as u64);
        for name in &self.names {
            put_bytes(&mut out, name.text.as_bytes());
            put_uvarint(&mut out, u64::from(name.values));
        }
        put_uvarint(&mut out, self.schemas.len() as u64);
        for schema in &self.schemas {
            put_uvarint(&mut out, schema.len() as u64);
            schema.iter().for_each(|name| put_uvarint(&mut out, u64::from(*name)));
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut reader = ByteReader::new(bytes);
        let mut names = Vec::new();
        let mut next = 0u32;
        for _ in 0..bounded(reader.uvarint(), &reader)? {
            let text = std::str::from_utf8(reader.bytes()).map_err(|_| bad(&reader))?.to_owned();
            let values = u32::try_from(reader.uvarint()).map_err(|_| bad(&reader))?;
            names.push(Name { text, first: next, values });
            next = next.checked_add(values).and_then(|n| n.checked_add(1)).ok_or(bad(&reader))?;
        }
        let mut schemas = Vec::new();
        for _ in 0..bounded(reader.uvarint(), &reader)? {
            let mut schema = Vec::new();
            for _ in 0..bounded(reader.uvarint(), &reader)? {
                let name = reader.uvarint();
                if name >= names.len() as u64 {
                    return Err(bad(&reader));
                }
                schema.push(name as u32);
            }
            schemas.push(schema);
        }
        if reader.failed() || reader.remaining() > 0 {
            return Err(bad(&reader));
        }
        Ok(Self { names, schemas })
    }
}

fn bad(reader: &ByteReader<'_>) -> IndexError {
    IndexError::malformed(Section::Names.name(), reader.position(), "does not decode")
}

/// A count of things that take at least a byte each. A set without labels has a schema without names,
/// which takes a byte as well.
fn bounded(count: u64, reader: &ByteReader<'_>) -> Result<u64, IndexError> {
    if count <= reader.remaining() as u64 { Ok(count) } else { Err(bad(reader)) }
}

/// Appends the entry of one term: `length << 1 | kind`, then that many bytes. Kind 0 is a list of
/// varint distances, kind 1 a roaring bitmap in its portable form; the smaller one is taken.
pub(crate) fn put_postings(mut postings: Postings, out: &mut Vec<u8>) {
    postings.optimize();
    let list = short_list(&postings);
    match postings {
        Postings::Bitmap(bitmap)
            if list.as_ref().is_none_or(|list| bitmap.serialized_size() < list.len()) =>
        {
            put_uvarint(out, (bitmap.serialized_size() as u64) << 1 | 1);
            // Writing to memory does not fail.
            let _ = bitmap.serialize_into(out);
        }
        _ => {
            let list = list.unwrap_or_default();
            put_uvarint(out, (list.len() as u64) << 1);
            out.extend_from_slice(&list);
        }
    }
}

/// The list form, when there are few enough numbers.
fn short_list(postings: &Postings) -> Option<Vec<u8>> {
    if postings.len() > LIST_MAX {
        return None;
    }
    let mut list = Vec::new();
    let mut next = 0;
    let mut put = |id: u32| {
        put_uvarint(&mut list, u64::from(id - next));
        next = id + 1;
    };
    match postings {
        Postings::Bitmap(bitmap) => bitmap.iter().for_each(put),
        _ => postings.as_list().unwrap_or_default().iter().for_each(|id| put(*id)),
    }
    Some(list)
}

/// One term's entry in the postings section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostingsEntry<'a> {
    is_bitmap: bool,
    bytes: &'a [u8],
    ordinal: u32,
}

/// The entry of an ordinal.
pub(crate) fn postings_at<'a>(
    table: &BlockedReader<'a>,
    ordinal: u32,
) -> Result<PostingsEntry<'a>, IndexError> {
    let mut reader = ByteReader::new(table.block(ordinal / table.per_block)?);
    for _ in 0..ordinal % table.per_block {
        skip_entry(&mut reader);
    }
    next_postings(&mut reader, ordinal).ok_or_else(|| table.broken(ordinal))
}

/// Calls `visit` with the entries of a run of ordinals.
pub(crate) fn each_postings<'a>(
    table: &BlockedReader<'a>,
    run: Range<u32>,
    mut visit: impl FnMut(PostingsEntry<'a>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    if run.end > table.len() {
        return Err(table.broken(run.end));
    }
    let mut reader = ByteReader::new(table.block(run.start / table.per_block)?);
    for _ in 0..run.start % table.per_block {
        skip_entry(&mut reader);
    }
    for ordinal in run {
        visit(next_postings(&mut reader, ordinal).ok_or_else(|| table.broken(ordinal))?)?;
    }
    Ok(())
}

fn skip_entry(reader: &mut ByteReader<'_>) {
    let length = reader.uvarint() >> 1;
    reader.take(usize::try_from(length).unwrap_or(usize::MAX));
}

/// The entry at the reader.
pub(crate) fn next_postings<'a>(
    reader: &mut ByteReader<'a>,
    ordinal: u32,
) -> Option<PostingsEntry<'a>> {
    let header = reader.uvarint();
    let bytes = reader.take(usize::try_from(header >> 1).unwrap_or(usize::MAX));
    (!reader.failed()).then_some(PostingsEntry { is_bitmap: header & 1 == 1, bytes, ordinal })
}

impl PostingsEntry<'_> {
    fn broken(&self) -> IndexError {
        let section = Section::Postings.name();
        IndexError::malformed(section, self.ordinal as usize, "entry of this ordinal is damaged")
    }

    /// Calls `found` with each number of a list.
    fn list(&self, mut found: impl FnMut(u32)) -> Result<(), IndexError> {
        let mut reader = ByteReader::new(self.bytes);
        let mut next = 0u64;
        while reader.remaining() > 0 {
            let id = next.saturating_add(reader.uvarint());
            let small = u32::try_from(id).ok().filter(|_| !reader.failed());
            found(small.ok_or_else(|| self.broken())?);
            next = id + 1;
        }
        if reader.failed() { Err(self.broken()) } else { Ok(()) }
    }

    /// The set.
    pub(crate) fn bitmap(&self) -> Result<RoaringBitmap, IndexError> {
        if self.is_bitmap {
            return RoaringBitmap::deserialize_from(self.bytes).map_err(|_| self.broken());
        }
        // Series of a metric stand side by side: runs go in as a whole.
        let (mut out, mut run) = (RoaringBitmap::new(), 0..0);
        let mut put = |run: &Range<u32>| match run.len() {
            1 => drop(out.insert(run.start)),
            _ => drop(out.insert_range(run.clone())),
        };
        self.list(|id| {
            if id != run.end {
                put(&run);
                run.start = id;
            }
            run.end = id.saturating_add(1);
        })?;
        put(&run);
        Ok(out)
    }

    /// Adds the set to a union.
    pub(crate) fn add_to(&self, union: &mut Union) -> Result<(), IndexError> {
        if self.is_bitmap {
            union.add_bitmap(&self.bitmap()?);
            return Ok(());
        }
        self.list(|id| union.add(id))
    }

    /// True when the set has a number of `other`.
    pub(crate) fn meets(&self, other: &RoaringBitmap) -> Result<bool, IndexError> {
        if self.is_bitmap {
            return Ok(!self.bitmap()?.is_disjoint(other));
        }
        let mut meets = false;
        self.list(|id| meets |= other.contains(id))?;
        Ok(meets)
    }

    /// About how many numbers there are; exact for short lists.
    pub(crate) fn estimate(&self) -> Result<u64, IndexError> {
        if self.is_bitmap {
            return Ok(self.bitmap()?.len());
        }
        Ok(self.bytes.iter().filter(|byte| **byte < 0x80).count() as u64)
    }
}

/// Appends one label set without the metric's name: schema, how many first values equal those of the
/// set before it in the block, and the other values as their places among the values of their name.
pub(crate) fn put_set(
    table: &mut BlockedWriter,
    previous: &mut (u32, Vec<u32>),
    schema: u32,
    values: &[u32],
) -> Result<(), IndexError> {
    let (first, out) = table.entry()?;
    let common = if first || previous.0 != schema {
        0
    } else {
        previous.1.iter().zip(values).take_while(|(a, b)| a == b).count()
    };
    put_uvarint(out, u64::from(schema));
    put_uvarint(out, common as u64);
    values.iter().skip(common).for_each(|value| put_uvarint(out, u64::from(*value)));
    previous.0 = schema;
    previous.1.clear();
    previous.1.extend_from_slice(values);
    Ok(())
}

/// Reads sets one after another: [`SetDecoder::schema`] and [`SetDecoder::values`] are those of the
/// set read last.
#[derive(Debug, Default)]
pub(crate) struct SetDecoder {
    pub(crate) schema: u32,
    pub(crate) values: Vec<u32>,
}

impl SetDecoder {
    /// Reads the set at the reader; `None` when it does not decode.
    pub(crate) fn next(
        &mut self,
        reader: &mut ByteReader<'_>,
        schemas: &[Vec<u32>],
        first: bool,
    ) -> Option<()> {
        let schema = u32::try_from(reader.uvarint()).ok()?;
        let common = reader.uvarint();
        let width = schemas.get(schema as usize)?.len();
        if common > 0 && (first || schema != self.schema || common > width as u64) {
            return None;
        }
        self.schema = schema;
        self.values.truncate(common as usize);
        while self.values.len() < width {
            self.values.push(u32::try_from(reader.uvarint()).ok()?);
        }
        (!reader.failed()).then_some(())
    }

    /// Reads the set of a number; returns where its successor begins, if that is in the same block.
    pub(crate) fn seek<'a>(
        &mut self,
        table: &BlockedReader<'a>,
        schemas: &[Vec<u32>],
        set: u32,
    ) -> Result<ByteReader<'a>, IndexError> {
        if set >= table.len() {
            return Err(table.broken(set));
        }
        let block = set / table.per_block;
        let mut reader = ByteReader::new(table.block(block)?);
        for number in 0..=set % table.per_block {
            self.next(&mut reader, schemas, number == 0).ok_or_else(|| table.broken(set))?;
        }
        Ok(reader)
    }
}

/// What a series is made of: its metric's name (0 = none, else the place among the values of
/// `__name__` plus one) and the set of its other labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeriesParts {
    pub(crate) metric: u32,
    pub(crate) set: u32,
}

/// Appends one series as its difference to the one before it in the block: the set's distance shifted
/// by one, and the lowest bit tells that a metric's name follows.
pub(crate) fn put_series(
    table: &mut BlockedWriter,
    previous: &mut SeriesParts,
    series: SeriesParts,
) -> Result<(), IndexError> {
    let (first, out) = table.entry()?;
    if first {
        *previous = SeriesParts::default();
    }
    let distance = zigzag(i64::from(series.set) - i64::from(previous.set));
    let renamed = series.metric != previous.metric;
    put_uvarint(out, distance << 1 | u64::from(renamed));
    if renamed {
        put_varint(out, i64::from(series.metric) - i64::from(previous.metric));
    }
    *previous = series;
    Ok(())
}

/// Reads the series at the reader, which comes behind `previous`.
pub(crate) fn next_series(
    reader: &mut ByteReader<'_>,
    previous: SeriesParts,
) -> Option<SeriesParts> {
    let header = reader.uvarint();
    let moved = |from: u32, by: i64| u32::try_from(i64::from(from).checked_add(by)?).ok();
    let set = moved(previous.set, unzigzag(header >> 1))?;
    let metric = match header & 1 {
        0 => previous.metric,
        _ => moved(previous.metric, reader.varint())?,
    };
    (!reader.failed()).then_some(SeriesParts { metric, set })
}
