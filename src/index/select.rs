//! Matchers → series, the same way over the head and over segments.
//!
//! A missing label is the empty value. Each matcher is brought into normal form ([`Clause`]); the
//! cheapest positive one gives the first set and the others narrow it. Once the set is much smaller
//! than a label has values, the series left are asked one by one instead of the dictionary.

use std::ops::Range;
use std::sync::Arc;

use model::matcher::Matcher;
use roaring::RoaringBitmap;

use crate::error::IndexError;
use crate::select_cache::{IndexNumber, SelectCache, Selected, name_of};
use crate::values::{Clause, Values};

/// How many terms a dictionary tests in the time one series' label is fetched; measured between 10
/// and 30 on the bench's label sets.
const TERMS_PER_SERIES: u64 = 16;

/// How many series of postings are united in that time.
const POSTINGS_PER_SERIES: u64 = 32;
/// A series of one of several texts costs as much as so many of a single one.
const SORTED_COST: u64 = 4;

/// Series that came since a set was kept are asked one by one, if they are no more than these.
const FRESH_MAX: usize = 1024;

/// What a select needs to know of an index. All sets are of one snapshot.
pub(crate) trait Terms {
    /// Which index it is.
    fn number(&self) -> IndexNumber;
    /// Series from here on do not exist.
    fn end(&self) -> u32;
    /// All series.
    fn all(&self) -> Result<RoaringBitmap, IndexError>;
    /// The series that have the label.
    fn having(&self, name: &str) -> Result<RoaringBitmap, IndexError>;
    /// The series that have the label `name` with a value in `values`, or with `negated` with another one. Those
    /// that are not in `among` may be left out, and it is `None` where the postings of many more series than
    /// these would have to be united.
    fn matching(
        &self,
        name: &str,
        values: &mut Values,
        negated: bool,
        among: Option<&RoaringBitmap>,
    ) -> Result<Option<RoaringBitmap>, IndexError>;
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
    /// Number of values whose postings are united.
    values: usize,
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
        let values = if excluded { all.saturating_sub(wanted) } else { wanted };
        Self { values, others: negated != excluded, excluded }
    }

    /// True where that is many more series than `among`: values have as many as `all` of `series` have on average.
    pub(crate) fn exceeds(&self, among: Option<&RoaringBitmap>, series: u64, all: usize) -> bool {
        let united = (self.values as u64).saturating_mul(series / (all as u64).max(1));
        among.is_some_and(|among| united > among.len().saturating_mul(POSTINGS_PER_SERIES))
    }
}

/// From the first to the last of the series `among`, and below `end`.
pub(crate) fn range_of(among: Option<&RoaringBitmap>, end: u32) -> Range<u32> {
    match among.and_then(|among| among.min().zip(among.max())) {
        Some((first, last)) => first..end.min(last.saturating_add(1)),
        None => 0..end,
    }
}

/// What all of some matchers ask of any number of indexes: read once, when an index that does not know the
/// answer needs it.
#[derive(Debug)]
pub struct Clauses<'a> {
    matchers: &'a [Matcher],
    read: Option<Vec<Clause>>,
    /// Where answers are kept, and what the matchers are called there.
    cache: Option<(&'a SelectCache, Vec<u8>)>,
}

impl<'a> Clauses<'a> {
    /// What `matchers` ask.
    pub fn new(matchers: &'a [Matcher]) -> Self {
        Self { matchers, read: None, cache: None }
    }

    /// [`Clauses::new`] for a question that may be asked again: answers are looked for in `cache`, and kept there.
    pub fn cached(matchers: &'a [Matcher], cache: &'a SelectCache) -> Self {
        let cache = (!matchers.is_empty()).then(|| (cache, name_of(matchers)));
        Self { cache, ..Self::new(matchers) }
    }

    fn read(&mut self) -> &mut [Clause] {
        self.read.get_or_insert_with(|| {
            let clauses = self.matchers.iter().map(Clause::new);
            clauses.filter(|clause| !clause.is_trivial()).collect()
        })
    }

    /// The series that pass, where that is known but for a few that came since.
    fn recall(&mut self, terms: &impl Terms) -> Result<Option<Arc<RoaringBitmap>>, IndexError> {
        let Some((cache, name)) = &self.cache else { return Ok(None) };
        let Some(Selected { mut series, end }) = cache.get(terms.number(), name) else {
            return Ok(None);
        };
        let fresh = end..terms.end();
        if fresh.is_empty() {
            return Ok(Some(series));
        }
        if fresh.len() > FRESH_MAX {
            return Ok(None);
        }
        let mut passing = RoaringBitmap::new();
        passing.insert_range(fresh);
        for clause in self.read() {
            passing = terms.filter(&passing, clause)?;
        }
        if !passing.is_empty() {
            *Arc::make_mut(&mut series) |= passing;
        }
        self.keep(terms, series.clone());
        Ok(Some(series))
    }

    /// Keeps what was found.
    pub(crate) fn keep(&self, terms: &impl Terms, series: Arc<RoaringBitmap>) {
        if let Some((cache, name)) = &self.cache {
            cache.put(terms.number(), name, Selected { series, end: terms.end() });
        }
    }
}

/// The series that pass all matchers; some that were dropped may be among them.
pub(crate) fn select(
    terms: &impl Terms,
    clauses: &mut Clauses<'_>,
) -> Result<Arc<RoaringBitmap>, IndexError> {
    if let Some(known) = clauses.recall(terms)? {
        return Ok(known);
    }
    let found = Arc::new(find(terms, clauses.read())?);
    clauses.keep(terms, found.clone());
    Ok(found)
}

fn find(terms: &impl Terms, clauses: &mut [Clause]) -> Result<RoaringBitmap, IndexError> {
    let mut order = Vec::with_capacity(clauses.len());
    for clause in clauses {
        order.push((cost(terms, clause)?, clause));
    }
    order.sort_by_key(|((class, size), clause)| (*class, work(clause, *size)));
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
/// Of so many series left by texts a sample tells how many patterns leave. To find these takes a fraction of a
/// millisecond, as whoever asks takes for granted.
const SAMPLED_SERIES: std::ops::RangeInclusive<u64> = 17..=2048;
/// Series of a sample.
const SAMPLES: u32 = 32;

/// About how many series pass all matchers at most: those that are known to, or those with the texts, or one of
/// few texts, that they ask for, and of some hundreds of these about as many as pass the other matchers. `None`
/// where no matcher asks for texts.
pub(crate) fn series_max(
    terms: &impl Terms,
    clauses: &mut Clauses<'_>,
) -> Result<Option<u64>, IndexError> {
    if let Some(known) = clauses.recall(terms)? {
        return Ok(Some(known.len()));
    }
    let (mut sets, mut others) = (Vec::new(), Vec::new());
    for clause in clauses.read() {
        if is_counted(clause) {
            let (_, series) = cost(terms, clause)?;
            sets.push((series, clause));
        } else {
            others.push(clause);
        }
    }
    let Some(least) = sets.iter().map(|(series, _)| *series).min() else { return Ok(None) };
    let is_sampled = !others.is_empty() && SAMPLED_SERIES.contains(&least);
    if !(sets.len() > 1 && COUNTED_SERIES.contains(&least) || is_sampled) {
        return Ok(Some(least));
    }
    sets.sort_by_key(|(series, clause)| work(clause, *series));
    let mut found = None;
    for (series, clause) in sets {
        found = Some(narrow(terms, found, clause, series)?);
    }
    let found = found.unwrap_or_default();
    if others.is_empty() {
        // Whoever asks how many there are will ask for them next.
        let count = found.len();
        clauses.keep(terms, Arc::new(found));
        return Ok(Some(count));
    }
    match SAMPLED_SERIES.contains(&found.len()) {
        true => sampled(terms, &found, others).map(Some),
        false => Ok(Some(found.len())),
    }
}

/// True for a clause by whose few texts series are counted.
fn is_counted(clause: &Clause) -> bool {
    let Values::Literals(texts) = &clause.values else { return false };
    !clause.negated && !clause.missing && texts.len() <= COUNTED_TEXTS_MAX
}

/// About how many of the series `found` pass the clauses, by a sample of them.
fn sampled(
    terms: &impl Terms,
    found: &RoaringBitmap,
    clauses: Vec<&mut Clause>,
) -> Result<u64, IndexError> {
    // Places by the golden ratio are spread evenly and keep no step that names may keep, too.
    let place = |sample: u32| (u64::from(sample.wrapping_mul(0x9e37_79b9)) * found.len()) >> 32;
    let mut sample: RoaringBitmap =
        (0..SAMPLES).filter_map(|sample| found.select(place(sample) as u32)).collect();
    let looked_at = sample.len();
    for clause in clauses {
        sample = terms.filter(&sample, clause)?;
    }
    Ok((found.len() * (sample.len() + 1)).div_ceil(looked_at + 1))
}

/// What it takes to find `size` series as the first: those of several texts have to be sorted.
fn work(clause: &Clause, size: u64) -> u64 {
    match &clause.values {
        Values::Literals(texts) if texts.len() > 1 => size.saturating_mul(SORTED_COST),
        _ => size,
    }
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
    let found = having_one(terms, name, values, *negated != *missing, selected.as_ref())?;
    match (found, selected) {
        (Some(others), selected) if *missing => {
            Ok(selected.map_or_else(|| terms.all(), Ok)? - others)
        }
        (Some(matching), Some(selected)) => Ok(selected & matching),
        (Some(matching), None) => Ok(matching),
        (None, Some(selected)) => terms.filter(&selected, clause),
        (None, None) => terms.filter(&terms.all()?, clause),
    }
}

/// [`Terms::matching`], where that takes a search.
fn having_one(
    terms: &impl Terms,
    name: &str,
    values: &mut Values,
    negated: bool,
    among: Option<&RoaringBitmap>,
) -> Result<Option<RoaringBitmap>, IndexError> {
    match values {
        Values::Everything if negated => Ok(Some(RoaringBitmap::new())),
        Values::Everything => terms.having(name).map(Some),
        _ => terms.matching(name, values, negated, among),
    }
}
