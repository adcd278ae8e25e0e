//! Opens a segment from bytes and answers for single series and terms.
//!
//! Opening reads the footer and the names. Every other section is checked against its CRC-32C the
//! first time it is needed and trusted from then on: the bytes must not change under the reader.

use std::sync::atomic::{AtomicBool, Ordering};

use base::codec::{ByteReader, put_bytes};
use model::label::{Labels, LabelsRef, METRIC_NAME};

use super::footer::{Extent, Footer, Section};
use super::layout::{
    Name, Names, POSTINGS_PER_BLOCK, SERIES_PER_BLOCK, SETS_PER_BLOCK, SeriesParts, SetDecoder,
    next_series,
};
use super::series::SeriesCursor;
use crate::blocked::BlockedReader;
use crate::dictionary::Dictionary;
use crate::error::IndexError;
use crate::select_cache::IndexNumber;

/// An open segment over bytes in memory or in a memory map.
#[derive(Debug)]
pub struct SegmentReader<B> {
    pub(super) number: IndexNumber,
    bytes: B,
    footer: Footer,
    pub(super) names: Names,
    /// Indexes of `names` in text order.
    by_text: Vec<u32>,
    /// Index of `__name__`, if any series has it.
    pub(super) metric: Option<u32>,
    /// By section: its checksum was found right.
    checked: [AtomicBool; Section::ALL.len()],
}

impl<B: AsRef<[u8]> + Send + Sync> SegmentReader<B> {
    /// Opens a segment. Damage to the footer or the names is found here, all other damage on use or
    /// by [`SegmentReader::verify`].
    pub fn open(bytes: B) -> Result<Self, IndexError> {
        let footer = Footer::read(bytes.as_ref())?;
        let mut reader = Self {
            number: IndexNumber::next(),
            bytes,
            footer,
            names: Names::default(),
            by_text: Vec::new(),
            metric: None,
            checked: Default::default(),
        };
        reader.names = Names::decode(reader.section(Section::Names)?)?;
        let names = &reader.names.names;
        let text = |index: &u32| names.get(*index as usize).map(|name| name.text.as_str());
        let mut by_text: Vec<u32> = (0..names.len() as u32).collect();
        by_text.sort_by_key(text);
        reader.metric = metric_of(&reader.names);
        reader.by_text = by_text;
        Ok(reader)
    }

    /// Checks the checksum of every section, decodes every series, and looks every term up.
    pub fn verify(&self) -> Result<(), IndexError> {
        for section in Section::ALL {
            if let Some(extent) = self.footer.extents.get(section as usize) {
                extent.read(section.name(), self.bytes.as_ref())?;
            }
        }
        let mut cursor = self.series()?;
        let mut previous = Vec::new();
        while cursor.advance()? {
            let labels = cursor.labels();
            if cursor.id() > 0 && labels <= LabelsRef::from_packed(&previous) {
                return Err(IndexError::Order { series: cursor.id() });
            }
            previous.clear();
            previous.extend_from_slice(labels.as_packed());
        }
        let dictionary = self.dictionary()?;
        let mut terms = dictionary.terms(0..dictionary.len())?;
        while let Some((ordinal, _)) = terms.next()? {
            if dictionary.ordinal(terms.term()) != Some(ordinal) {
                let section = Section::Terms.name();
                return Err(IndexError::malformed(section, ordinal as usize, "fst differs"));
            }
            self.postings(ordinal)?.bitmap()?;
        }
        Ok(())
    }

    /// What it was opened over.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// Number of series; they are numbered from 0 in label order.
    pub fn len(&self) -> u32 {
        self.footer.series
    }

    /// True without series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of each section by name, for `inspect` and measurements.
    pub fn section_bytes(&self) -> Vec<(&'static str, usize)> {
        let sections = Section::ALL.iter().zip(&self.footer.extents);
        sections.map(|(section, extent)| (section.name(), extent.length)).collect()
    }

    /// The labels of a series.
    pub fn labels(&self, id: u32) -> Result<Labels, IndexError> {
        let mut packed = Vec::new();
        self.labels_at(id, &mut packed)?;
        Ok(LabelsRef::from_packed(&packed).to_labels())
    }

    /// Appends the packed labels of a series. For many series in order [`SegmentReader::series`] is
    /// several times faster.
    pub fn labels_at(&self, id: u32, out: &mut Vec<u8>) -> Result<(), IndexError> {
        let parts = self.parts(id)?;
        let mut set = SetDecoder::default();
        set.seek(&self.sets()?, &self.names.schemas, parts.set)?;
        let dictionary = self.dictionary()?;
        let mut term = Vec::new();
        each_label(&self.names, self.metric, parts, &set, |name, place| {
            dictionary.term(ordinal_of(name, place)?, &mut term)?;
            put_bytes(out, name.text.as_bytes());
            put_bytes(out, term.get(name.text.len() + 1..).unwrap_or_default());
            Ok(())
        })
    }

    /// Goes over all series in label order.
    pub fn series(&self) -> Result<SeriesCursor<'_>, IndexError> {
        SeriesCursor::new(
            self.series_table()?,
            self.sets()?,
            self.dictionary()?,
            &self.names,
            self.metric,
        )
    }

    /// A checked section.
    pub(super) fn section(&self, section: Section) -> Result<&[u8], IndexError> {
        let index = section as usize;
        let empty = Extent { offset: 0, length: 0, checksum: 0 };
        let extent = self.footer.extents.get(index).unwrap_or(&empty);
        let checked = self.checked.get(index);
        let bytes = self.bytes.as_ref();
        if checked.is_some_and(|checked| checked.load(Ordering::Acquire)) {
            return extent.unchecked(section.name(), bytes);
        }
        let found = extent.read(section.name(), bytes)?;
        if let Some(checked) = checked {
            checked.store(true, Ordering::Release);
        }
        Ok(found)
    }

    pub(super) fn dictionary(&self) -> Result<Dictionary<'_>, IndexError> {
        Dictionary::new(self.section(Section::Fst)?, self.section(Section::Terms)?)
    }

    pub(super) fn postings_table(&self) -> Result<BlockedReader<'_>, IndexError> {
        let section = Section::Postings;
        BlockedReader::new(section.name(), POSTINGS_PER_BLOCK, self.section(section)?)
    }

    pub(super) fn sets(&self) -> Result<BlockedReader<'_>, IndexError> {
        BlockedReader::new(Section::Sets.name(), SETS_PER_BLOCK, self.section(Section::Sets)?)
    }

    pub(super) fn series_table(&self) -> Result<BlockedReader<'_>, IndexError> {
        let section = Section::Series;
        let table = BlockedReader::new(section.name(), SERIES_PER_BLOCK, self.section(section)?)?;
        if table.len() != self.len() {
            let reason = "has another number of series than the footer";
            return Err(IndexError::malformed(section.name(), 0, reason));
        }
        Ok(table)
    }

    /// The name with this text.
    pub(super) fn name(&self, text: &str) -> Option<(u32, &Name)> {
        let names = &self.names.names;
        let of = |index: &u32| names.get(*index as usize).map_or("", |name| name.text.as_str());
        let place = self.by_text.binary_search_by(|index| of(index).cmp(text)).ok()?;
        let index = *self.by_text.get(place)?;
        Some((index, names.get(index as usize)?))
    }

    /// All names, sorted.
    pub(super) fn sorted_names(&self) -> impl Iterator<Item = &Name> {
        self.by_text.iter().filter_map(|index| self.names.names.get(*index as usize))
    }

    /// What a series is made of.
    pub(super) fn parts(&self, id: u32) -> Result<SeriesParts, IndexError> {
        let table = self.series_table()?;
        if id >= table.len() {
            return Err(table.broken(id));
        }
        let mut reader = ByteReader::new(table.block(id / SERIES_PER_BLOCK)?);
        let mut parts = SeriesParts::default();
        for _ in 0..=id % SERIES_PER_BLOCK {
            parts = next_series(&mut reader, parts).ok_or_else(|| table.broken(id))?;
        }
        Ok(parts)
    }
}

/// Index of `__name__`, if any series has it.
pub(super) fn metric_of(names: &Names) -> Option<u32> {
    let place = names.names.iter().position(|name| name.text == METRIC_NAME)?;
    u32::try_from(place).ok()
}

/// The ordinal of the value at a place among a name's values.
pub(super) fn ordinal_of(name: &Name, place: u32) -> Result<u32, IndexError> {
    if place < name.values {
        return Ok(name.first + 1 + place);
    }
    let section = Section::Sets.name();
    Err(IndexError::malformed(section, place as usize, "value is beyond those of its name"))
}

/// Calls `label` for the labels of a set and the metric's name, in label order.
pub(super) fn each_label(
    names: &Names,
    metric: Option<u32>,
    parts: SeriesParts,
    set: &SetDecoder,
    mut label: impl FnMut(&Name, u32) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let broken = || {
        let section = Section::Series.name();
        IndexError::malformed(section, parts.set as usize, "series names what is not there")
    };
    let mut metric_left = parts.metric.checked_sub(1);
    let metric_name = metric.and_then(|index| names.names.get(index as usize));
    let schema = names.schemas.get(set.schema as usize).ok_or_else(broken)?;
    for (index, place) in schema.iter().zip(&set.values) {
        let name = names.names.get(*index as usize).ok_or_else(broken)?;
        if name.text.as_str() > METRIC_NAME
            && let Some(metric) = metric_left.take()
        {
            label(metric_name.ok_or_else(broken)?, metric)?;
        }
        label(name, *place)?;
    }
    match metric_left {
        Some(metric) => label(metric_name.ok_or_else(broken)?, metric),
        None => Ok(()),
    }
}
