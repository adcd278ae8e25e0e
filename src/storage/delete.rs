//! Deletes: which samples of which blocks are gone before a merge takes them off the disk.
//!
//! A delete is a line of the manifest: matchers, a range and an instant. The blocks that it names
//! hold exactly what was stored when it was asked for (the head is flushed first where it has
//! matching samples), so what is written later lives on, and a block does not need a list of series:
//! its index, which never changes, gives the same answer to the same matchers whenever it is asked.
//!
//! Invariant: a delete goes with the last block that it names; a merge writes only what is left.

use std::sync::{Arc, OnceLock};

use model::{LabelsRef, Matcher, Pattern, PatternError, TimeRange, ValueTest};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

/// Deletes that a manifest holds at most; beyond them the blocks are rewritten first.
pub(crate) const DELETES_MAX: usize = 512;

/// A delete as a manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeleteEntry {
    /// Unique among the deletes of a shard.
    pub(crate) id: u64,
    /// When it was asked for, in milliseconds.
    pub(crate) at_ms: i64,
    /// First instant that is gone.
    pub(crate) start_ms: i64,
    /// Last one.
    pub(crate) end_ms: i64,
    /// Series must pass all of them.
    pub(crate) matchers: Vec<MatcherEntry>,
}

/// A matcher as a manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MatcherEntry {
    /// The label.
    name: String,
    /// `equal`, `not_equal`, `regex`, `not_regex` or `one_of`.
    test: Test,
    /// The text or pattern; all texts of `one_of`.
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Test {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
    OneOf,
}

impl From<&Matcher> for MatcherEntry {
    fn from(matcher: &Matcher) -> Self {
        let (test, values) = match &matcher.test {
            ValueTest::Equal(text) => (Test::Equal, vec![text.clone()]),
            ValueTest::NotEqual(text) => (Test::NotEqual, vec![text.clone()]),
            ValueTest::Regex(pattern) => (Test::Regex, vec![pattern.as_str().to_owned()]),
            ValueTest::NotRegex(pattern) => (Test::NotRegex, vec![pattern.as_str().to_owned()]),
            ValueTest::OneOf(texts) => (Test::OneOf, texts.clone()),
        };
        Self { name: matcher.name.clone(), test, values }
    }
}

impl MatcherEntry {
    fn to_matcher(&self) -> Result<Matcher, PatternError> {
        let text = || self.values.first().cloned().unwrap_or_default();
        let test = match self.test {
            Test::Equal => ValueTest::Equal(text()),
            Test::NotEqual => ValueTest::NotEqual(text()),
            Test::Regex => ValueTest::Regex(Pattern::new(&text())?),
            Test::NotRegex => ValueTest::NotRegex(Pattern::new(&text())?),
            Test::OneOf => ValueTest::OneOf(self.values.clone()),
        };
        Ok(Matcher::new(self.name.clone(), test))
    }
}

impl DeleteEntry {
    /// The delete, ready to be asked.
    pub(crate) fn compile(&self) -> Result<Delete, PatternError> {
        let matchers = self.matchers.iter().map(MatcherEntry::to_matcher);
        Ok(Delete {
            range: TimeRange::new(self.start_ms, self.end_ms),
            matchers: matchers.collect::<Result<_, _>>()?,
        })
    }
}

/// A delete with its patterns compiled.
#[derive(Debug)]
pub(crate) struct Delete {
    /// The instants.
    pub(crate) range: TimeRange,
    /// The series.
    pub(crate) matchers: Vec<Matcher>,
}

/// A delete on one block, with the series of the block that it hits.
#[derive(Clone, Debug)]
pub(crate) struct BlockDelete {
    delete: Arc<Delete>,
    series: Arc<OnceLock<Arc<RoaringBitmap>>>,
}

impl BlockDelete {
    /// The delete on a block whose series were not looked for yet.
    pub(crate) fn new(delete: Arc<Delete>) -> Self {
        Self { delete, series: Arc::default() }
    }

    /// The instants.
    pub(crate) fn range(&self) -> TimeRange {
        self.delete.range
    }

    /// True of a series with these labels.
    pub(crate) fn hits(&self, labels: LabelsRef<'_>) -> bool {
        let passes = |matcher: &Matcher| match labels.get(&matcher.name) {
            Some(value) => matcher.matches(value),
            None => matcher.matches_missing(),
        };
        self.delete.matchers.iter().all(passes)
    }

    /// The series; `select` finds them when they are first asked for.
    pub(crate) fn series<E>(
        &self,
        select: impl FnOnce(&[Matcher]) -> Result<Arc<RoaringBitmap>, E>,
    ) -> Result<&RoaringBitmap, E> {
        if let Some(series) = self.series.get() {
            return Ok(series);
        }
        let found = select(&self.delete.matchers)?;
        Ok(self.series.get_or_init(|| found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_survive_the_manifest() {
        let pattern = |text: &str| Pattern::new(text).unwrap();
        let tests = [
            ValueTest::Equal("x".into()),
            ValueTest::NotEqual(String::new()),
            ValueTest::Regex(pattern("a.*")),
            ValueTest::NotRegex(pattern("b|c")),
            ValueTest::OneOf(vec!["p".into(), "q".into()]),
        ];
        for test in tests {
            let matcher = Matcher::new("label", test);
            let text = serde_json::to_string(&MatcherEntry::from(&matcher)).unwrap();
            let back: MatcherEntry = serde_json::from_str(&text).unwrap();
            assert_eq!(back.to_matcher().unwrap(), matcher, "{text}");
        }
    }
}
