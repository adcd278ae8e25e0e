//! Reading a segment by matchers.

use std::sync::Arc;

use hashbrown::HashSet;
use model::ValueNode;
use model::label::METRIC_NAME;
use model::matcher::Matcher;
use roaring::RoaringBitmap;

use super::layout::{Name, PostingsEntry, SetDecoder, each_postings, postings_at};
use super::reader::{SegmentReader, ordinal_of};
use crate::cardinality::{Cardinality, LabelCardinality, largest};
use crate::dictionary::key;
use crate::error::IndexError;
use crate::postings::Union;
use crate::runs::Runs;
use crate::select::{self, Clauses, Side, Terms, range_of};
use crate::select_cache::IndexNumber;
use crate::values::{Clause, Values};

impl<B: AsRef<[u8]> + Send + Sync> SegmentReader<B> {
    /// The series that pass all matchers.
    pub fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, IndexError> {
        self.select_by(&mut Clauses::new(matchers)).map(Arc::unwrap_or_clone)
    }

    /// [`SegmentReader::select`] by matchers that other indexes are asked as well.
    pub fn select_by(&self, clauses: &mut Clauses<'_>) -> Result<Arc<RoaringBitmap>, IndexError> {
        let mut found = select::select(self, clauses)?;
        if found.max().is_some_and(|last| last >= self.len()) {
            Arc::make_mut(&mut found).remove_range(self.len()..);
        }
        Ok(found)
    }

    /// About how many series pass all matchers at most; `None` where that takes a search.
    pub fn series_max(&self, clauses: &mut Clauses<'_>) -> Result<Option<u64>, IndexError> {
        select::series_max(self, clauses)
    }

    /// Names of the labels of series that pass; sorted.
    pub fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, IndexError> {
        if matchers.is_empty() {
            return Ok(self.sorted_names().map(|name| name.text.clone()).collect());
        }
        let selected = self.select(matchers)?;
        let mut names = Vec::new();
        for name in self.sorted_names() {
            if self.postings(name.first)?.meets(&selected)? {
                names.push(name.text.clone());
            }
        }
        Ok(names)
    }

    /// Values of the label `name` on series that pass and that start with `prefix`; sorted, at most
    /// `limit` (0 = all).
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<String>, IndexError> {
        let Some((index, found)) = self.name(name) else { return Ok(Vec::new()) };
        let limit = if limit == 0 { usize::MAX } else { limit };
        if matchers.is_empty() {
            return self.values_of_terms(found, prefix, None, limit);
        }
        let selected = self.select(matchers)?;
        if selected.len() >= u64::from(found.values) / 2 {
            return self.values_of_terms(found, prefix, Some(&selected), limit);
        }
        let mut places = HashSet::new();
        let mut set = SetDecoder::default();
        for id in &selected {
            places.extend(self.place_of(id, index, &mut set)?);
        }
        let mut values = Vec::with_capacity(places.len());
        for place in places {
            let value = self.value_text(found, place)?;
            if value.starts_with(prefix) {
                values.push(value);
            }
        }
        values.sort_unstable();
        values.truncate(limit);
        Ok(values)
    }

    /// One level of the tree that the values of `name` form, as in [`model::Source::value_nodes`].
    pub fn value_nodes(
        &self,
        name: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<ValueNode>, IndexError> {
        let mut nodes = Vec::new();
        let visit = &mut |text: &[u8], leaf: Option<u32>, branch| {
            if let Ok(text) = std::str::from_utf8(text) {
                nodes.push(ValueNode { text: text.to_owned(), leaf: leaf.is_some(), branch });
            }
            limit == 0 || nodes.len() < limit
        };
        self.dictionary()?.nodes(name.as_bytes(), prefix.as_bytes(), visit);
        Ok(nodes)
    }

    fn values_of_terms(
        &self,
        name: &Name,
        prefix: &str,
        selected: Option<&RoaringBitmap>,
        limit: usize,
    ) -> Result<Vec<String>, IndexError> {
        let dictionary = self.dictionary()?;
        let text = name.text.as_bytes();
        let mut terms =
            dictionary.terms(dictionary.values_from(text, prefix.as_bytes(), false)?)?;
        let mut values = Vec::new();
        while values.len() < limit
            && let Some((ordinal, _)) = terms.next()?
        {
            let present = match selected {
                Some(selected) => self.postings(ordinal)?.meets(selected)?,
                None => true,
            };
            let value = terms.term().get(text.len() + 1..).unwrap_or_default();
            if present && let Ok(value) = std::str::from_utf8(value) {
                values.push(value.to_owned());
            }
        }
        Ok(values)
    }

    /// Series, label names and values, counted.
    pub fn cardinality(&self) -> Result<Cardinality, IndexError> {
        let mut labels = Vec::new();
        for name in self.sorted_names() {
            labels.push(LabelCardinality {
                name: name.text.clone(),
                values: u64::from(name.values),
                series: self.postings(name.first)?.bitmap()?.len(),
            });
        }
        Ok(Cardinality::new(u64::from(self.len()), labels))
    }

    /// The values of `name` with most series, at most `limit`, with their series.
    pub fn largest_values(
        &self,
        name: &str,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, IndexError> {
        let Some((_, name)) = self.name(name) else { return Ok(Vec::new()) };
        let mut counts = Vec::new();
        for (place, ordinal) in (0..).zip(name.value_ordinals()) {
            counts.push((self.value_text(name, place)?, self.postings(ordinal)?.estimate()?));
        }
        Ok(largest(counts, limit))
    }

    pub(super) fn postings(&self, ordinal: u32) -> Result<PostingsEntry<'_>, IndexError> {
        let table = self.postings_table()?;
        if ordinal >= table.len() {
            return Err(table.broken(ordinal));
        }
        postings_at(&table, ordinal)
    }

    fn value_text(&self, name: &Name, place: u32) -> Result<String, IndexError> {
        let mut term = Vec::new();
        self.dictionary()?.term(ordinal_of(name, place)?, &mut term)?;
        let value = term.get(name.text.len() + 1..).unwrap_or_default();
        Ok(String::from_utf8_lossy(value).into_owned())
    }

    /// The place of a series' value among the values of the name at `index`.
    fn place_of(
        &self,
        id: u32,
        index: u32,
        set: &mut SetDecoder,
    ) -> Result<Option<u32>, IndexError> {
        let parts = self.parts(id)?;
        if self.metric == Some(index) {
            return Ok(parts.metric.checked_sub(1));
        }
        set.seek(&self.sets()?, &self.names.schemas, parts.set)?;
        let schema = self.names.schemas.get(set.schema as usize);
        let column = schema.and_then(|schema| schema.iter().position(|name| *name == index));
        Ok(column.and_then(|column| set.values.get(column)).copied())
    }
}

impl<B: AsRef<[u8]> + Send + Sync> SegmentReader<B> {
    /// The series of the terms with these ordinals; those that are not in `among` may be left out.
    fn union(
        &self,
        ordinals: &Runs,
        among: Option<&RoaringBitmap>,
    ) -> Result<RoaringBitmap, IndexError> {
        let mut union = Union::new(range_of(among, self.len()));
        let table = self.postings_table()?;
        for run in ordinals.iter() {
            if ordinals.len() == 1 {
                return self.postings(run.start)?.bitmap();
            }
            each_postings(&table, run, |entry| entry.add_to(&mut union))?;
        }
        Ok(union.finish())
    }
}

impl<B: AsRef<[u8]> + Send + Sync> Terms for SegmentReader<B> {
    fn number(&self) -> IndexNumber {
        self.number
    }

    fn end(&self) -> u32 {
        self.len()
    }

    fn all(&self) -> Result<RoaringBitmap, IndexError> {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.len());
        Ok(all)
    }

    fn having(&self, name: &str) -> Result<RoaringBitmap, IndexError> {
        match self.name(name) {
            Some((_, name)) => self.postings(name.first)?.bitmap(),
            None => Ok(RoaringBitmap::new()),
        }
    }

    fn matching(
        &self,
        name: &str,
        values: &mut Values,
        negated: bool,
        among: Option<&RoaringBitmap>,
    ) -> Result<Option<RoaringBitmap>, IndexError> {
        let Some((_, name)) = self.name(name) else { return Ok(Some(RoaringBitmap::new())) };
        let all = name.value_ordinals();
        let matching = self.dictionary()?.matching(&name.text, values)?;
        let side = Side::of(matching.len(), all.len(), negated);
        if side.exceeds(among, u64::from(self.len()), all.len()) {
            return Ok(None);
        }
        let found = self.union(&if side.others { matching.gaps(all) } else { matching }, among)?;
        let having = || self.postings(name.first)?.bitmap();
        Ok(Some(if side.excluded { having()? - found } else { found }))
    }

    fn series_of(&self, name: &str, value: &str) -> Result<u64, IndexError> {
        let ordinal = self.dictionary()?.ordinal(&key(name.as_bytes(), value.as_bytes()));
        ordinal.map_or(Ok(0), |ordinal| self.postings(ordinal)?.estimate())
    }

    fn values_of(&self, name: &str) -> Result<u64, IndexError> {
        Ok(self.name(name).map_or(0, |(_, name)| u64::from(name.values)))
    }

    fn filter(
        &self,
        ids: &RoaringBitmap,
        clause: &mut Clause,
    ) -> Result<RoaringBitmap, IndexError> {
        let mut kept = RoaringBitmap::new();
        let Some((index, name)) = self.name(&clause.name) else {
            return Ok(if clause.missing { ids.clone() } else { kept });
        };
        let dictionary = self.dictionary()?;
        let mut set = SetDecoder::default();
        let mut term = Vec::new();
        for id in ids {
            let passes = match self.place_of(id, index, &mut set)? {
                None => clause.missing,
                Some(place) => {
                    dictionary.term(ordinal_of(name, place)?, &mut term)?;
                    clause.passes(term.get(name.text.len() + 1..).unwrap_or_default())
                }
            };
            if passes {
                kept.insert(id);
            }
        }
        Ok(kept)
    }
}

impl<B: AsRef<[u8]> + Send + Sync> SegmentReader<B> {
    /// The metric names with most series, at most `limit`, with their series.
    pub fn largest_metrics(&self, limit: usize) -> Result<Vec<(String, u64)>, IndexError> {
        self.largest_values(METRIC_NAME, limit)
    }
}
