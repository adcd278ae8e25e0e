//! The labels of a damaged segment's series, as far as whole sections tell them.
//!
//! A segment says everything twice: terms stand in the FST and in the front-coded table, and which series
//! has which term stands in the postings and in the sets. So the loss of any one section loses no label:
//! terms come from whichever of the two is whole, and series from sets or else from postings. Where the
//! footer is damaged the sections are looked for where their neighbours end and begin.
//!
//! Invariant: nothing is taken from bytes whose checksum was not found right, and labels that do not
//! ascend with the numbers of their series are refused.

use base::codec::ByteReader;
use base::frame::checksum;
use model::label::Labels;

use super::footer::{Extent, Footer, Section};
use super::layout::{Names, POSTINGS_PER_BLOCK, SERIES_PER_BLOCK, SETS_PER_BLOCK, next_postings};
use super::reader::metric_of;
use super::series::SeriesCursor;
use crate::blocked::BlockedReader;
use crate::dictionary::{Dictionary, DictionaryWriter, SEPARATOR, terms_of_fst, terms_of_table};
use crate::error::IndexError;

/// The labels of all series of a damaged segment of `series` series, by number. Fails where what is left
/// of it does not tell them; the error names what would have been needed.
pub fn salvage_labels(bytes: &[u8], series: u32) -> Result<Vec<Labels>, IndexError> {
    let left = Left(match Footer::read(bytes) {
        Ok(footer) => footer.extents.iter().map(|extent| whole(extent, bytes)).collect(),
        Err(_) => by_neighbours(bytes),
    });
    let labels = left.labels(series)?;
    let ascend = labels.is_sorted_by(|one, next| one < next);
    if ascend && labels.len() == series as usize {
        return Ok(labels);
    }
    let reason = "what is left of the segment contradicts itself";
    Err(IndexError::malformed(Section::Series.name(), labels.len(), reason))
}

/// The sections whose checksums are right.
struct Left<'b>(Vec<Option<&'b [u8]>>);

impl<'b> Left<'b> {
    fn get(&self, section: Section) -> Result<&'b [u8], IndexError> {
        let found = self.0.get(section as usize).copied().flatten();
        found.ok_or(IndexError::malformed(
            section.name(),
            0,
            "is damaged, and what could replace it",
        ))
    }

    fn terms(&self) -> Result<Vec<Vec<u8>>, IndexError> {
        match self.get(Section::Terms) {
            Ok(table) => terms_of_table(table),
            Err(_) => terms_of_fst(self.get(Section::Fst)?),
        }
    }

    fn labels(&self, series: u32) -> Result<Vec<Labels>, IndexError> {
        let terms = self.terms()?;
        match self.by_sets(&terms) {
            Ok(labels) => Ok(labels),
            Err(_) => self.by_postings(&terms, series),
        }
    }

    /// Goes over the series as ever, with a dictionary made anew.
    fn by_sets(&self, terms: &[Vec<u8>]) -> Result<Vec<Labels>, IndexError> {
        let names = Names::decode(self.get(Section::Names)?)?;
        let (sets, series) = (self.get(Section::Sets)?, self.get(Section::Series)?);
        let mut writer = DictionaryWriter::new();
        terms.iter().try_for_each(|term| writer.push(term).map(drop))?;
        let (fst, table) = writer.finish()?;
        let mut cursor = SeriesCursor::new(
            BlockedReader::new(Section::Series.name(), SERIES_PER_BLOCK, series)?,
            BlockedReader::new(Section::Sets.name(), SETS_PER_BLOCK, sets)?,
            Dictionary::new(&fst, &table)?,
            &names,
            metric_of(&names),
        )?;
        let mut labels = Vec::new();
        while cursor.advance()? {
            labels.push(cursor.labels().to_labels());
        }
        Ok(labels)
    }

    /// Gives each term to the series in its postings.
    fn by_postings(&self, terms: &[Vec<u8>], series: u32) -> Result<Vec<Labels>, IndexError> {
        let section = Section::Postings;
        let table = BlockedReader::new(section.name(), POSTINGS_PER_BLOCK, self.get(section)?)?;
        let mut of_series: Vec<Vec<u32>> = vec![Vec::new(); series as usize];
        let mut reader = ByteReader::new(&[]);
        for ordinal in 0..table.len().min(terms.len() as u32) {
            if ordinal.is_multiple_of(POSTINGS_PER_BLOCK) {
                reader = ByteReader::new(table.block(ordinal / POSTINGS_PER_BLOCK)?);
            }
            let entry = next_postings(&mut reader, ordinal).ok_or(table.broken(ordinal))?;
            for id in entry.bitmap()? {
                let own = of_series.get_mut(id as usize).ok_or(table.broken(ordinal))?;
                own.push(ordinal);
            }
        }
        let pair = |ordinal: &u32| pair_of(terms.get(*ordinal as usize)?);
        let labels = |own: Vec<u32>| Labels::from_pairs(own.iter().filter_map(pair));
        Ok(of_series.into_iter().map(labels).collect())
    }
}

/// Name and value of a term; `None` of one that stands for a name alone.
fn pair_of(term: &[u8]) -> Option<(&str, &str)> {
    let place = term.iter().position(|byte| *byte == SEPARATOR)?;
    let (name, value) = (term.get(..place)?, term.get(place + 1..)?);
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some((text(name)?, text(value)?)).filter(|(_, value)| !value.is_empty())
}

/// The bytes of a section, if their checksum is right.
fn whole<'b>(extent: &Extent, bytes: &'b [u8]) -> Option<&'b [u8]> {
    extent.read("", bytes).ok()
}

/// The sections that a damaged footer still leads to: each has its own offset and length, and begins where
/// the one before it ends and ends where the next one begins.
fn by_neighbours(bytes: &[u8]) -> Vec<Option<&[u8]>> {
    let table = Footer::untrusted(bytes);
    let end_of_all = table.end;
    let mut sections = Vec::with_capacity(table.extents.len());
    let mut end_before = Some(0);
    for (index, own) in table.extents.iter().enumerate() {
        let next = table.extents.get(index + 1).map_or(end_of_all, |next| next.offset);
        let own_end = own.offset.checked_add(own.length);
        let starts = [Some(own.offset), end_before];
        let ends = [own_end, Some(next), end_before.and_then(|at| at.checked_add(own.length))];
        let pairs = starts.iter().flat_map(|start| ends.iter().map(move |end| (*start, *end)));
        let found =
            pairs.filter_map(|(start, end)| Some((start?, end?))).find_map(|(start, end)| {
                let piece = bytes.get(start..end)?;
                (checksum(piece) == own.checksum).then_some((piece, end))
            });
        sections.push(found.map(|(piece, _)| piece));
        end_before = found.map(|(_, end)| end).or(own_end);
    }
    sections
}
