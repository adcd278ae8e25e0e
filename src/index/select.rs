//! Matchers → series, the same way over the head and over segments.
//!
//! A missing label is the empty value. Each matcher is brought into normal form ([`Clause`]); the
//! cheapest positive one gives the first set and the others narrow it. Once the set is much smaller
//! than a label has values, the series left are asked one by one instead of the dictionary.

use model::matcher::{Matcher, ValueTest};
use roaring::RoaringBitmap;

use crate::error::IndexError;
use crate::values::{Clause, Values};

/// How many terms a dictionary tests in the time one series' label is fetched; measured between 10
/// and 30 on the bench's label sets.
const TERMS_PER_SERIES: u64 = 16;

/// How many series of postings are united in that time.
const POSTINGS_PER_SERIES: u64 = 32;

/// What a select needs to know of an index. All sets are of one snapshot.
pub(crate) trait Terms {
    /// All series.
    fn all(&self) -> Result<RoaringBitmap, IndexError>;
    /// The series that have the label.
    fn having(&self, name: &str) -> Result<RoaringBitmap, IndexError>;
    /// The series that have the label `name` with a value in `values`, or with `negated` with another one.
    fn matching(
        &self,
        name: &str,
        values: &mut Values,
        negated: bool,
    ) -> Result<RoaringBitmap, IndexError>;
    /// About how many series have this pair.
    fn series_of(&self, name: &str, value: &str) -> Result<u64, IndexError>;
    /// How many values the label has.
    fn values_of(&self, name: &str) -> Result<u64, IndexError>;
    /// The series of `ids` that pass.
    fn filter(&self, ids: &RoaringBitmap, clause: &mut Clause)
    -> Result<RoaringBitmap, IndexError>;
}

/// Which postings say with least work what series have one of some values. A series has one value of a
/// label at most, so those with any other value are the rest of those that have the label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// Those of the values that do not match are united.
    pub(crate) others: bool,
    /// What they unite to is taken off the series that have the label.
    pub(crate) excluded: bool,
}

impl Side {
    /// Of `all` values so many match, and their series are asked for, or with `negated` those of the others.
    pub(crate) fn of(matching: usize, all: usize, negated: bool) -> Self {
        let wanted = if negated { all.saturating_sub(matching) } else { matching };
        let excluded = wanted > all / 2;
        Self { others: negated != excluded, excluded }
    }
}

/// Matchers in normal form: read once, and patterns compiled once, for all the indexes that one question asks.
#[derive(Debug)]
pub struct Clauses(Vec<Clause>);

impl Clauses {
    /// What all of `matchers` ask.
    pub fn new(matchers: &[Matcher]) -> Self {
        let clauses = matchers.iter().map(Clause::new);
        Self(clauses.filter(|clause| !clause.is_trivial()).collect())
    }
}

/// The series that pass all matchers.
pub(crate) fn select(
    terms: &impl Terms,
    clauses: &mut Clauses,
) -> Result<RoaringBitmap, IndexError> {
    let mut order = Vec::with_capacity(clauses.0.len());
    for clause in &mut clauses.0 {
        order.push((cost(terms, clause)?, clause));
    }
    order.sort_by_key(|(cost, _)| *cost);
    let mut selected = None;
    for ((_, size), clause) in order {
        let narrowed = narrow(terms, selected, clause, size)?;
        if narrowed.is_empty() {
            return Ok(narrowed);
        }
        selected = Some(narrowed);
    }
    selected.map_or_else(|| terms.all(), Ok)
}

/// Texts of one matcher that are looked up to count series.
const COUNTED_TEXTS_MAX: usize = 64;
/// Of so many series with the rarest texts it is told how many the other texts leave: fewer are few enough.
const COUNTED_SERIES: std::ops::RangeInclusive<u64> = 17..=4096;

/// About how many series pass all matchers at most: those with the texts, or one of few texts, that they ask
/// for. `None` where no matcher does.
pub(crate) fn series_max(
    terms: &impl Terms,
    matchers: &[Matcher],
) -> Result<Option<u64>, IndexError> {
    let mut sets = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        if let Some(texts) = texts_of(matcher) {
            let mut series = 0;
            for text in texts {
                series += terms.series_of(&matcher.name, text)?;
            }
            sets.push((series, matcher));
        }
    }
    sets.sort_by_key(|(series, _)| *series);
    let Some(&(least, rarest)) = sets.first() else { return Ok(None) };
    if sets.len() == 1 || !COUNTED_SERIES.contains(&least) {
        return Ok(Some(least));
    }
    let mut found = narrow(terms, None, &mut Clause::new(rarest), least)?;
    for (series, matcher) in &sets[1..] {
        found = narrow(terms, Some(found), &mut Clause::new(matcher), *series)?;
    }
    Ok(Some(found.len()))
}

/// The texts of which a label must have one.
fn texts_of(matcher: &Matcher) -> Option<&[String]> {
    let texts = match &matcher.test {
        ValueTest::Equal(text) => std::slice::from_ref(text),
        ValueTest::OneOf(texts) => texts.as_slice(),
        _ => return None,
    };
    let is_counted = texts.len() <= COUNTED_TEXTS_MAX && !texts.iter().any(String::is_empty);
    is_counted.then_some(texts)
}

/// Class and size of the work a clause makes; smaller first.
fn cost(terms: &impl Terms, clause: &Clause) -> Result<(u8, u64), IndexError> {
    if clause.missing || clause.negated {
        return Ok((3, terms.values_of(&clause.name)?));
    }
    Ok(match &clause.values {
        Values::Nothing => (0, 0),
        Values::Literals(texts) => {
            let mut series = 0;
            for text in texts {
                series += terms.series_of(&clause.name, text)?;
            }
            (0, series)
        }
        Values::Prefix { .. } => (1, terms.values_of(&clause.name)?),
        Values::Matching(_) | Values::AnyOf(_) => (2, terms.values_of(&clause.name)?),
        // No dictionary is read, but the set is large.
        Values::Everything => (2, 0),
    })
}

/// The part of `selected` (of all series, at first) that passes the clause; `size` is that of [`cost`].
fn narrow(
    terms: &impl Terms,
    selected: Option<RoaringBitmap>,
    clause: &mut Clause,
    size: u64,
) -> Result<RoaringBitmap, IndexError> {
    if let Some(selected) = &selected {
        let is_filtered = match clause.values {
            Values::Matching(_) | Values::AnyOf(_) | Values::Prefix { .. } => {
                selected.len() * TERMS_PER_SERIES < terms.values_of(&clause.name)?
            }
            Values::Literals(_) if !clause.negated && !clause.missing => {
                selected.len() * POSTINGS_PER_SERIES < size
            }
            _ => false,
        };
        if is_filtered {
            return terms.filter(selected, clause);
        }
    }
    let Clause { name, values, negated, missing } = clause;
    if *missing {
        let others = having_one(terms, name, values, !*negated)?;
        return Ok(selected.map_or_else(|| terms.all(), Ok)? - others);
    }
    let matching = having_one(terms, name, values, *negated)?;
    Ok(match selected {
        Some(selected) => selected & matching,
        None => matching,
    })
}

/// [`Terms::matching`], where that takes a search.
fn having_one(
    terms: &impl Terms,
    name: &str,
    values: &mut Values,
    negated: bool,
) -> Result<RoaringBitmap, IndexError> {
    match values {
        Values::Everything if negated => Ok(RoaringBitmap::new()),
        Values::Everything => terms.having(name),
        _ => terms.matching(name, values, negated),
    }
}
