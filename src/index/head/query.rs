//! Reading the head: select, names, values.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashSet;
use model::label::METRIC_NAME;
use model::matcher::Matcher;
use roaring::RoaringBitmap;

use super::{HeadIndex, NameState, STEP, State};
use crate::cardinality::largest;
use crate::error::IndexError;
use crate::postings::{Union, push};
use crate::runs::Runs;
use crate::select::{self, Clauses, Side, Terms, range_of};
use crate::select_cache::IndexNumber;
use crate::terms::FrozenTerms;
use crate::values::{Clause, Values};

/// Pairs whose postings are united between two releases of the lock.
const PAIRS_STEP: usize = 32 * 1024;

impl HeadIndex {
    /// The series that pass all matchers, as of the start of the call.
    pub fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, IndexError> {
        self.select_by(&mut Clauses::new(matchers)).map(Arc::unwrap_or_clone)
    }

    /// [`HeadIndex::select`] by matchers that other indexes are asked as well.
    pub fn select_by(&self, clauses: &mut Clauses<'_>) -> Result<Arc<RoaringBitmap>, IndexError> {
        let view = View { head: self, end: self.series_end() };
        let mut found = select::select(&view, clauses)?;
        let state = self.state.read();
        if state.dropped && !found.is_subset(state.series.live()) {
            *Arc::make_mut(&mut found) &= state.series.live();
            clauses.keep(&view, found.clone());
        }
        Ok(found)
    }

    /// About how many series pass all matchers at most; `None` where that takes a search.
    pub fn series_max(&self, clauses: &mut Clauses<'_>) -> Result<Option<u64>, IndexError> {
        select::series_max(&View { head: self, end: self.series_end() }, clauses)
    }

    /// Names of the labels of series that pass; sorted.
    pub fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, IndexError> {
        let selected = self.select_unless_all(matchers)?;
        let state = self.state.read();
        let mut names = Vec::new();
        for (name, counts) in state.pairs.names().iter().zip(&state.names) {
            let present = match &selected {
                None => !counts.postings.is_empty(),
                Some(selected) => !counts.postings.is_disjoint(selected),
            };
            if present {
                names.push(name.to_string());
            }
        }
        names.sort_unstable();
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
        let selected = self.select_unless_all(matchers)?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        let mut values = match &selected {
            Some(selected) if selected.len() < self.values_of(name) / 2 => {
                self.values_of_series(name, selected)
            }
            _ => self.values_of_pairs(name, prefix, selected.as_ref(), limit)?,
        };
        values.retain(|value| value.starts_with(prefix));
        // Stable, since that sort sees the runs that most of them come in.
        values.sort();
        values.truncate(limit);
        Ok(values)
    }

    fn select_unless_all(&self, matchers: &[Matcher]) -> Result<Option<RoaringBitmap>, IndexError> {
        if matchers.is_empty() { Ok(None) } else { self.select(matchers).map(Some) }
    }

    fn values_of(&self, name: &str) -> u64 {
        self.state.read().name(name).map_or(0, |counts| counts.values)
    }

    fn series_having(&self, name: &str) -> u64 {
        self.state.read().name(name).map_or(0, |counts| counts.postings.len())
    }

    /// The values that some series of `selected` has.
    fn values_of_series(&self, name: &str, selected: &RoaringBitmap) -> Vec<String> {
        let mut values = HashSet::new();
        let all: Vec<u32> = selected.iter().collect();
        for step in all.chunks(STEP) {
            let state = self.state.read();
            let Some(number) = state.pairs.name_number(name) else { break };
            for id in step {
                if let Some(pair) = state.pair_of(*id, number)
                    && !values.contains(state.pairs.value(pair))
                {
                    values.insert(state.pairs.value(pair).to_vec());
                }
            }
        }
        values.into_iter().filter_map(|value| String::from_utf8(value).ok()).collect()
    }

    /// The values with `prefix` that are not free of series, or of series of `selected`: at least the
    /// first `limit` of them, in runs that ascend. No dictionary is walked further than it must be.
    fn values_of_pairs(
        &self,
        name: &str,
        prefix: &str,
        selected: Option<&RoaringBitmap>,
        limit: usize,
    ) -> Result<Vec<String>, IndexError> {
        let mut wanted = Values::Prefix { text: prefix.to_owned(), longer: false };
        loop {
            let (tail, frozen, purges) = {
                let state = self.state.read();
                let tail = state.tail_matching(name, &mut wanted).matching;
                (tail, state.frozen.clone(), state.purges)
            };
            let mut values = Vec::new();
            // The tail is in no order, so the first of it may be anywhere.
            let mut valid = self.take_values(&tail, usize::MAX, selected, purges, &mut values);
            for frozen in &frozen {
                let pairs = frozen.with_prefix(name, prefix)?;
                valid &= self.take_values(pairs, limit, selected, purges, &mut values);
            }
            if valid {
                return Ok(values);
            }
        }
    }

    /// Appends the values of the first `limit` of `pairs` that are not free of series, or of series of
    /// `selected`; false when numbers of pairs were freed since there had been `purges`.
    fn take_values(
        &self,
        pairs: &[u32],
        limit: usize,
        selected: Option<&RoaringBitmap>,
        purges: u64,
        values: &mut Vec<String>,
    ) -> bool {
        let most = values.len().saturating_add(limit);
        // Short steps at first: often the first few are all that is wanted.
        let (first, rest) = pairs.split_at(pairs.len().min(limit));
        for step in first.chunks(PAIRS_STEP).chain(rest.chunks(PAIRS_STEP)) {
            if values.len() >= most {
                break;
            }
            let state = self.state.read();
            if state.purges != purges {
                return false;
            }
            let present = step.iter().filter(|pair| {
                let postings = state.posting(**pair);
                match selected {
                    None => !postings.is_empty(),
                    Some(selected) => !postings.is_disjoint(selected),
                }
            });
            let texts =
                present.filter_map(|pair| std::str::from_utf8(state.pairs.value(*pair)).ok());
            let left = most - values.len();
            values.extend(texts.take(left).map(str::to_owned));
        }
        true
    }

    /// The pairs of `name` told apart by whether their value is in `values`. Frozen dictionaries are
    /// searched without the lock.
    fn part_pairs(&self, name: &str, values: &mut Values) -> Result<Parted, IndexError> {
        let (tail, frozen, purges) = {
            let state = self.state.read();
            (state.tail_matching(name, values), state.frozen.clone(), state.purges)
        };
        let mut parted = Parted { purges, all: usize::MAX, frozen: Vec::new(), tail };
        // Literals were looked up in the table of all pairs; nobody knows the others.
        if matches!(values, Values::Literals(_)) {
            return Ok(parted);
        }
        parted.all = parted.tail.matching.len() + parted.tail.others.len();
        for frozen in frozen {
            let (matching, all) = (frozen.matching(name, values)?, frozen.values(name)?);
            parted.all += all.len();
            parted.frozen.push((frozen, matching, all));
        }
        Ok(parted)
    }

    /// The union of the postings of pairs `within` these numbers; `None` when numbers of pairs were freed since.
    fn union(&self, pairs_of: &Parted, others: bool, within: Range<u32>) -> Option<RoaringBitmap> {
        let mut union = Union::new(within);
        let mut is_valid = true;
        pairs_of.each(others, &mut |pairs| {
            for step in pairs.chunks(PAIRS_STEP) {
                let state = self.state.read();
                is_valid &= state.purges == pairs_of.purges;
                step.iter().for_each(|pair| union.add_postings(state.posting(*pair)));
            }
        });
        is_valid.then(|| union.finish())
    }
}

/// The pairs of a name in the tail.
#[derive(Debug, Default)]
struct Tail {
    matching: Vec<u32>,
    others: Vec<u32>,
}

/// The pairs of a name, told apart by their values.
struct Parted {
    /// How often numbers of pairs had been freed by then.
    purges: u64,
    /// Number of pairs; a large one where the others are not known.
    all: usize,
    tail: Tail,
    /// With the ordinals that match and those of all values.
    frozen: Vec<(Arc<FrozenTerms>, Runs, Range<u32>)>,
}

impl Parted {
    fn matching(&self) -> usize {
        self.tail.matching.len()
            + self.frozen.iter().map(|(_, found, _)| found.len()).sum::<usize>()
    }

    /// Shows the numbers of the pairs that match, or of the others.
    fn each(&self, others: bool, show: &mut dyn FnMut(&[u32])) {
        show(if others { &self.tail.others } else { &self.tail.matching });
        for (frozen, matching, all) in &self.frozen {
            match others {
                true => matching.gaps(all.clone()).iter().for_each(|run| show(frozen.pairs(run))),
                false => matching.iter().for_each(|run| show(frozen.pairs(run))),
            }
        }
    }
}

impl State {
    fn name(&self, name: &str) -> Option<&NameState> {
        self.names.get(self.pairs.name_number(name)? as usize)
    }

    /// Literals are looked up in the table of all pairs; other sets are tested against the tail.
    fn tail_matching(&self, name: &str, values: &mut Values) -> Tail {
        let mut found = Tail::default();
        if let Values::Literals(texts) = values {
            found.matching.extend(texts.iter().filter_map(|text| self.pairs.number(name, text)));
            return found;
        }
        for pair in self.name(name).iter().flat_map(|name| &name.tail) {
            let matches = values.contains(self.pairs.value(*pair));
            if matches { &mut found.matching } else { &mut found.others }.push(*pair);
        }
        found
    }

    /// The pair of a series whose name has this number.
    pub(super) fn pair_of(&self, id: u32, name: u32) -> Option<u32> {
        self.series.pairs(id).find(|pair| self.pairs.name_of(*pair) == name)
    }
}

/// The head as of one moment: series from `end` on do not exist.
struct View<'a> {
    head: &'a HeadIndex,
    end: u32,
}

impl Terms for View<'_> {
    fn number(&self) -> IndexNumber {
        self.head.number
    }

    fn end(&self) -> u32 {
        self.end
    }

    fn all(&self) -> Result<RoaringBitmap, IndexError> {
        let mut all = self.head.state.read().series.live().clone();
        all.remove_range(self.end..);
        Ok(all)
    }

    fn having(&self, name: &str) -> Result<RoaringBitmap, IndexError> {
        let state = self.head.state.read();
        let mut having = state.name(name).map(|name| name.postings.to_bitmap()).unwrap_or_default();
        having.remove_range(self.end..);
        Ok(having)
    }

    fn matching(
        &self,
        name: &str,
        values: &mut Values,
        negated: bool,
        among: Option<&RoaringBitmap>,
    ) -> Result<Option<RoaringBitmap>, IndexError> {
        loop {
            let pairs = self.head.part_pairs(name, values)?;
            let side = Side::of(pairs.matching(), pairs.all, negated);
            if side.exceeds(among, self.head.series_having(name), pairs.all) {
                return Ok(None);
            }
            let Some(found) = self.head.union(&pairs, side.others, range_of(among, self.end))
            else {
                continue;
            };
            return Ok(Some(if side.excluded { self.having(name)? - found } else { found }));
        }
    }

    fn series_of(&self, name: &str, value: &str) -> Result<u64, IndexError> {
        let state = self.head.state.read();
        let pair = state.pairs.number(name, value);
        Ok(pair.map_or(0, |pair| state.posting(pair).len()))
    }

    fn values_of(&self, name: &str) -> Result<u64, IndexError> {
        Ok(self.head.values_of(name))
    }

    fn filter(
        &self,
        ids: &RoaringBitmap,
        clause: &mut Clause,
    ) -> Result<RoaringBitmap, IndexError> {
        let mut kept = RoaringBitmap::new();
        let all: Vec<u32> = ids.iter().collect();
        for step in all.chunks(STEP) {
            let state = self.head.state.read();
            let name = state.pairs.name_number(&clause.name);
            for id in step {
                let pair = name.and_then(|name| state.pair_of(*id, name));
                if clause.passes(pair.map_or(&[], |pair| state.pairs.value(pair))) {
                    push(&mut kept, *id);
                }
            }
        }
        Ok(kept)
    }
}

impl HeadIndex {
    /// The metric names with most series, at most `limit`, with their series.
    pub fn largest_metrics(&self, limit: usize) -> Vec<(String, u64)> {
        self.largest_values(METRIC_NAME, limit)
    }

    /// The values of `name` with most series, at most `limit`, with their series. Looks at every
    /// pair, a few thousand at a time.
    pub fn largest_values(&self, name: &str, limit: usize) -> Vec<(String, u64)> {
        let mut counts = Vec::new();
        let end = self.state.read().pairs.end();
        for start in (0..end).step_by(PAIRS_STEP) {
            let state = self.state.read();
            let Some(number) = state.pairs.name_number(name) else { break };
            for pair in start as u32..(start + PAIRS_STEP).min(end) as u32 {
                let series = state.posting(pair).len();
                if series > 0 && state.pairs.name_of(pair) == number {
                    let value = String::from_utf8_lossy(state.pairs.value(pair)).into_owned();
                    counts.push((value, series));
                }
            }
        }
        largest(counts, limit)
    }

    /// The dictionaries, oldest first, in terms; for tests and status pages.
    pub fn dictionary_sizes(&self) -> Vec<usize> {
        self.state.read().frozen.iter().map(|frozen: &Arc<_>| frozen.len()).collect()
    }
}
