//! How long samples are kept (policy): by age, by rule for some series, and by the size of the store.
//!
//! A series belongs to the first rule that matches it, or to the default behind the last rule; that
//! is its *class*. A block goes when it is too old for every class that has series in it, and is
//! written anew without those classes for which it is too old.

use index::Clauses;
use model::{LabelsRef, Matcher};

use crate::block::reader::Block;
use crate::error::StorageError;
use crate::options::EngineOptions;

/// How long the samples of some series are kept.
#[derive(Clone, Debug)]
pub struct RetentionRule {
    /// Series that pass all of them.
    pub matchers: Vec<Matcher>,
    /// How long; `None` is for ever.
    pub keep_ms: Option<i64>,
}

/// What of a block is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Nothing.
    Nothing,
    /// Some of its series.
    Some,
    /// All of them.
    All,
}

/// The retention at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention<'a> {
    options: &'a EngineOptions,
    now_ms: i64,
}

/// The classes that have series in a block: those of the rules in their order, then the default.
pub(crate) type Classes = Vec<bool>;

impl<'a> Retention<'a> {
    /// What `options` say at `now_ms`.
    pub(crate) fn at(options: &'a EngineOptions, now_ms: i64) -> Self {
        Self { options, now_ms }
    }

    fn earliest(&self, keep_ms: Option<i64>) -> i64 {
        keep_ms.map_or(i64::MIN, |ms| self.now_ms.saturating_sub(ms))
    }

    fn keeps(&self) -> impl Iterator<Item = Option<i64>> {
        let rules = self.options.retention_rules.iter().map(|rule| rule.keep_ms);
        rules.chain([self.options.retention_ms])
    }

    /// The earliest instant of which anything is kept.
    pub(crate) fn earliest_of_all(&self) -> i64 {
        self.keeps().map(|keep_ms| self.earliest(keep_ms)).min().unwrap_or(i64::MIN)
    }

    /// The earliest instant of which everything is kept.
    pub(crate) fn latest_of_all(&self) -> i64 {
        self.keeps().map(|keep_ms| self.earliest(keep_ms)).max().unwrap_or(i64::MIN)
    }

    /// The earliest instant that is kept of the series with these labels.
    pub(crate) fn earliest_of(&self, labels: LabelsRef<'_>) -> i64 {
        let value = |name: &str| labels.get(name).unwrap_or_default();
        let passes = |rule: &&RetentionRule| {
            rule.matchers.iter().all(|matcher| matcher.matches(value(&matcher.name)))
        };
        let rule = self.options.retention_rules.iter().find(passes);
        self.earliest(rule.map_or(self.options.retention_ms, |rule| rule.keep_ms))
    }

    /// The classes with series in `block`.
    pub(crate) fn classes(&self, block: &Block) -> Result<Classes, StorageError> {
        let mut classes = Classes::new();
        let mut known = roaring::RoaringBitmap::new();
        for rule in &self.options.retention_rules {
            let found = block.select(&mut Clauses::new(&rule.matchers))?;
            classes.push(!found.is_subset(&known));
            known |= &*found;
        }
        classes.push(known.len() < block.meta.series);
        Ok(classes)
    }

    /// What is too old of a block with these classes whose latest sample is at `max_time_ms`.
    pub(crate) fn expired(&self, classes: &Classes, max_time_ms: i64) -> Expired {
        let too_old = |keep_ms| max_time_ms < self.earliest(keep_ms);
        let present = self.keeps().zip(classes).filter(|(_, is_present)| **is_present);
        let (mut some, mut all) = (false, true);
        for (keep_ms, _) in present {
            let is_old = too_old(keep_ms);
            some |= is_old;
            all &= is_old;
        }
        match (some, all) {
            (false, _) => Expired::Nothing,
            (true, false) => Expired::Some,
            (true, true) => Expired::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let rule = |name: &str, keep_ms| RetentionRule {
            matchers: vec![Matcher::equal("__name__", name)],
            keep_ms,
        };
        let options = EngineOptions {
            retention_ms: Some(100),
            retention_rules: vec![rule("a", Some(10)), rule("b", None), rule("a", Some(1000))],
            ..EngineOptions::new("")
        };
        let retention = Retention::at(&options, 1_000_000);
        let of = |name: &str| {
            let labels = model::Labels::from_pairs([("__name__", name)]);
            retention.earliest_of(labels.view())
        };
        assert_eq!([of("a"), of("b"), of("c")], [999_990, i64::MIN, 999_900]);
        assert_eq!(retention.earliest_of_all(), i64::MIN);
        let check = |classes: [bool; 4], age: i64, want| {
            assert_eq!(
                retention.expired(&classes.to_vec(), 1_000_000 - age),
                want,
                "{classes:?} {age}"
            );
        };
        check([true, false, false, false], 10, Expired::Nothing);
        check([true, false, false, false], 11, Expired::All);
        check([true, false, false, true], 11, Expired::Some);
        check([true, false, false, true], 101, Expired::All);
        check([false, true, false, true], 1_000_000, Expired::Some);
        check([false, true, false, false], 1_000_000, Expired::Nothing);
    }
}
