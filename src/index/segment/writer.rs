//! Series in label order → the bytes of a segment.
//!
//! Labels are interned as they come; ordinals exist only once all terms are known, so the sections are
//! written at the end. The labels of a series without its metric's name are a *set*, stored once
//! however many metrics have it: a thousand metrics of one host cost a byte or two each.

use base::frame::checksum;
use hashbrown::{HashMap, HashTable};
use model::label::{LabelsRef, METRIC_NAME};
use xxhash_rust::xxh3::xxh3_64;

use super::footer::{Extent, Footer, Section};
use super::layout::{
    Name, Names, POSTINGS_PER_BLOCK, SERIES_PER_BLOCK, SETS_PER_BLOCK, SeriesParts, put_postings,
    put_series, put_set,
};
use crate::blocked::BlockedWriter;
use crate::dictionary::{DictionaryWriter, key};
use crate::error::IndexError;
use crate::pairs::{PairLists, PairTable};
use crate::postings::{Having, Postings};

/// No metric's name.
const NO_METRIC: u32 = u32::MAX;

/// Collects series and writes a segment.
#[derive(Debug)]
pub struct SegmentWriter {
    pairs: PairTable,
    /// By pair number.
    postings: Vec<Postings>,
    /// By name number.
    having: Vec<Having>,
    sets: SetTable,
    /// Pair number of the metric's name (or [`NO_METRIC`]) and set number, by series.
    series: Vec<(u32, u32)>,
    previous: Vec<u8>,
    lists: PairLists,
    /// The pairs of the series being pushed but its metric's name.
    set: Vec<u32>,
}

/// What is known and written once all terms are in order.
struct WrittenTerms {
    /// Without schemas.
    names: Names,
    /// By pair number.
    ordinals: Vec<u32>,
    fst: Vec<u8>,
    terms: Vec<u8>,
    postings: Vec<u8>,
}

/// Distinct lists of pair numbers.
#[derive(Debug, Default)]
struct SetTable {
    /// Hash and set number; the hash is kept so that growing reads no set.
    table: HashTable<(u64, u32)>,
    pairs: Vec<u32>,
    ends: Vec<u32>,
}

impl SetTable {
    fn get(&self, set: u32) -> &[u32] {
        list(&self.pairs, &self.ends, set)
    }

    fn intern(&mut self, pairs: &[u32]) -> Option<u32> {
        let Self { table, pairs: all, ends } = self;
        let hash = hash_of(pairs);
        let same = |(of, set): &(u64, u32)| *of == hash && list(all, ends, *set) == pairs;
        if let Some((_, set)) = table.find(hash, same) {
            return Some(*set);
        }
        let set = u32::try_from(ends.len()).ok()?;
        all.extend_from_slice(pairs);
        ends.push(u32::try_from(all.len()).ok()?);
        table.insert_unique(hash, (hash, set), |(hash, _)| *hash);
        Some(set)
    }
}

fn list<'p>(pairs: &'p [u32], ends: &[u32], set: u32) -> &'p [u32] {
    let end = ends.get(set as usize).copied().unwrap_or(0);
    let start = set.checked_sub(1).and_then(|before| ends.get(before as usize)).copied();
    pairs.get(start.unwrap_or(0) as usize..end as usize).unwrap_or_default()
}

fn hash_of(pairs: &[u32]) -> u64 {
    let mut hash = xxh3_64(&(pairs.len() as u64).to_le_bytes());
    for pair in pairs {
        hash = (hash ^ u64::from(*pair)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    hash
}

impl Default for SegmentWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentWriter {
    /// A writer without series.
    pub fn new() -> Self {
        Self {
            pairs: PairTable::new(),
            postings: Vec::new(),
            having: Vec::new(),
            sets: SetTable::default(),
            series: Vec::new(),
            previous: Vec::new(),
            lists: PairLists::default(),
            set: Vec::new(),
        }
    }

    /// Number of series pushed; also the number the next one gets.
    pub fn len(&self) -> u32 {
        self.series.len() as u32
    }

    /// True before the first push.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Adds the next series and returns its number. Its labels must be well-formed
    /// ([`LabelsRef::check`]) and larger than those of the series before it.
    pub fn push(&mut self, labels: LabelsRef<'_>) -> Result<u32, IndexError> {
        let id = u32::try_from(self.series.len()).ok().filter(|id| *id < u32::MAX);
        let id = id.ok_or(too_large(Section::Series, self.series.len()))?;
        if id > 0 && labels <= LabelsRef::from_packed(&self.previous) {
            return Err(IndexError::Order { series: id });
        }
        self.previous.clear();
        self.previous.extend_from_slice(labels.as_packed());
        let metric = self.intern_all(labels, id)?;
        let set =
            self.sets.intern(&self.set).ok_or(too_large(Section::Sets, self.sets.ends.len()))?;
        self.series.push((metric, set));
        Ok(id)
    }

    /// Puts the pairs but the metric's name into `set` and returns that; enters `id` everywhere.
    fn intern_all(&mut self, labels: LabelsRef<'_>, id: u32) -> Result<u32, IndexError> {
        self.pairs.intern_all(labels, &mut self.lists)?;
        let mut metric = NO_METRIC;
        let metric_name = self.pairs.name_number(METRIC_NAME);
        self.set.clear();
        for pair in &self.lists.pairs {
            let name = self.pairs.name_of(*pair);
            grow(&mut self.postings, *pair as usize);
            grow(&mut self.having, name as usize);
            if let Some(postings) = self.postings.get_mut(*pair as usize) {
                postings.push(id);
            }
            if let Some(having) = self.having.get_mut(name as usize) {
                having.push(id);
            }
            if Some(name) == metric_name { metric = *pair } else { self.set.push(*pair) }
        }
        Ok(metric)
    }

    /// The segment.
    pub fn finish(mut self) -> Result<Vec<u8>, IndexError> {
        let WrittenTerms { mut names, ordinals, fst, terms, postings } = self.write_terms()?;
        let sets = self.write_sets(&mut names, &ordinals)?;
        let series = self.write_series(&names, &ordinals)?;
        let sections = [names.encode(), fst, terms, postings, sets, series];
        let mut out = Vec::with_capacity(sections.iter().map(Vec::len).sum::<usize>() + 256);
        let mut extents = Vec::with_capacity(sections.len());
        for section in sections {
            let (offset, length) = (out.len(), section.len());
            extents.push(Extent { offset, length, checksum: checksum(&section) });
            out.extend_from_slice(&section);
        }
        Footer { series: self.series.len() as u32, extents }.put(&mut out);
        Ok(out)
    }

    fn write_terms(&mut self) -> Result<WrittenTerms, IndexError> {
        // A push that failed half-way leaves pairs that no series has.
        let mut sorted: Vec<u32> = (0..)
            .zip(&self.postings)
            .filter(|(_, p)| !p.is_empty())
            .map(|(pair, _)| pair)
            .collect();
        let (pairs, texts) = (&self.pairs, self.pairs.names());
        let name_key = |name: u32| texts.get(name as usize).map(|text| key(text.as_bytes(), b""));
        let mut by_name: Vec<(Option<Vec<u8>>, u32)> = (0..)
            .zip(&self.having)
            .filter(|(_, having)| !having.is_empty())
            .map(|(name, _)| (name_key(name), name))
            .collect();
        by_name.sort_unstable();
        let mut places = vec![0u32; texts.len()];
        for (place, (_, name)) in (0..).zip(&by_name) {
            if let Some(slot) = places.get_mut(*name as usize) {
                *slot = place;
            }
        }
        let place_of = |pair: u32| places.get(pairs.name_of(pair) as usize).copied();
        sorted.sort_unstable_by_key(|pair| (place_of(*pair), pairs.value(*pair)));

        let mut ordinals = vec![0; pairs.end()];
        let mut names = Vec::with_capacity(texts.len());
        let mut dictionary = DictionaryWriter::new();
        let mut table = BlockedWriter::new(Section::Postings.name(), POSTINGS_PER_BLOCK);
        let mut rest = sorted.into_iter().peekable();
        for (place, (header, name)) in (0..).zip(by_name) {
            let mut term = header.unwrap_or_default();
            let header_len = term.len();
            let first = dictionary.push(&term)?;
            let having = self.having.get(name as usize).map(Having::to_bitmap).unwrap_or_default();
            put_postings(Postings::Bitmap(Box::new(having)), table.entry()?.1);

            let mut values = 0;
            while let Some(pair) = rest.next_if(|pair| place_of(*pair) == Some(place)) {
                term.truncate(header_len);
                term.extend_from_slice(pairs.value(pair));
                let ordinal = dictionary.push(&term)?;
                if let Some(slot) = ordinals.get_mut(pair as usize) {
                    *slot = ordinal;
                }
                put_postings(take_at(&mut self.postings, pair as usize), table.entry()?.1);
                values += 1;
            }
            let text = texts.get(name as usize).map(|text| text.to_string()).unwrap_or_default();
            names.push(Name { text, first, values });
        }
        let (fst, terms) = dictionary.finish()?;
        let names = Names { names, schemas: Vec::new() };
        Ok(WrittenTerms { names, ordinals, fst, terms, postings: table.finish() })
    }

    fn write_sets(&self, names: &mut Names, ordinals: &[u32]) -> Result<Vec<u8>, IndexError> {
        let mut table = BlockedWriter::new(Section::Sets.name(), SETS_PER_BLOCK);
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut previous = (u32::MAX, Vec::new());
        let (mut schema, mut values) = (Vec::new(), Vec::new());
        let places = self.places(names);
        for set in 0..self.sets.ends.len() as u32 {
            schema.clear();
            values.clear();
            for pair in self.sets.get(set) {
                let place = places.get(self.pairs.name_of(*pair) as usize).copied().unwrap_or(0);
                schema.push(place);
                values.push(relative(names, place, *pair, ordinals));
            }
            let number = match known.get(&schema) {
                Some(number) => *number,
                None => {
                    let number = names.schemas.len() as u32;
                    names.schemas.push(schema.clone());
                    known.insert(schema.clone(), number);
                    number
                }
            };
            put_set(&mut table, &mut previous, number, &values)?;
        }
        Ok(table.finish())
    }

    fn write_series(&self, names: &Names, ordinals: &[u32]) -> Result<Vec<u8>, IndexError> {
        let mut table = BlockedWriter::new(Section::Series.name(), SERIES_PER_BLOCK);
        let mut previous = SeriesParts::default();
        let metric = names.names.iter().position(|name| name.text == METRIC_NAME).unwrap_or(0);
        for (pair, set) in &self.series {
            let metric = match *pair {
                NO_METRIC => 0,
                pair => relative(names, metric as u32, pair, ordinals) + 1,
            };
            put_series(&mut table, &mut previous, SeriesParts { metric, set: *set })?;
        }
        Ok(table.finish())
    }

    /// By name number, the index of the name in the names section.
    fn places(&self, names: &Names) -> Vec<u32> {
        let mut places = vec![0; self.pairs.names().len()];
        for (place, name) in (0..).zip(&names.names) {
            if let Some(number) = self.pairs.name_number(&name.text)
                && let Some(slot) = places.get_mut(number as usize)
            {
                *slot = place;
            }
        }
        places
    }
}

/// The place of a pair among the values of its name.
fn relative(names: &Names, place: u32, pair: u32, ordinals: &[u32]) -> u32 {
    let first = names.names.get(place as usize).map_or(0, |name| name.first);
    ordinals.get(pair as usize).map_or(0, |ordinal| ordinal.saturating_sub(first + 1))
}

/// Makes room for `index`.
fn grow<T: Default>(slots: &mut Vec<T>, index: usize) {
    if slots.len() <= index {
        slots.resize_with(index + 1, T::default);
    }
}

fn take_at(postings: &mut [Postings], index: usize) -> Postings {
    postings.get_mut(index).map(std::mem::take).unwrap_or_default()
}

fn too_large(section: Section, got: usize) -> IndexError {
    IndexError::TooLarge { section: section.name(), got, max: u32::MAX as usize - 1 }
}
