//! How the slots of a series are cut and filled when every series stands on its own step.
//!
//! Samples are kept as they came. A rule says by a series' title how wide its slots are, and where
//! they are wide because the question reaches far back, through which narrower slots their values
//! were merged on the way: each width is merged from the one before, so an average of averages stays
//! what it was where the narrow slots are gone.

use std::sync::Arc;

use model::Pattern;

use crate::node::Number;
use crate::semantics::{Arithmetic, Reducer};

/// Widths and merges by title.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotRules {
    /// The first rule whose pattern matches decides.
    pub rules: Arc<[SlotRule]>,
    /// Width in milliseconds where no rule matches; at least 1.
    pub default_step_ms: i64,
    /// Where no rule matches, the usual distance of the samples counts, and the default only for
    /// series with too few of them.
    pub learned: bool,
    /// How values are merged; the first whose pattern matches decides.
    pub merges: Arc<[MergeRule]>,
}

/// The slots of the series with matching titles.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotRule {
    /// Of whole titles.
    pub pattern: Pattern,
    /// Widths in milliseconds from that of the samples to that of the answer, ascending, each a
    /// multiple of the one before; at least one.
    pub steps_ms: Arc<[i64]>,
    /// Nothing at or before this is shown.
    pub after_ms: i64,
}

/// How values of matching titles are merged.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeRule {
    /// Of whole titles.
    pub pattern: Pattern,
    /// What becomes of the values.
    pub merge: Merge,
}

/// How the values of narrow slots become that of a wide one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// What becomes of the values.
    pub reducer: Reducer,
    /// Share of the narrow slots that must have a value, in [0, 1].
    pub present_min: Number,
}

impl Merge {
    /// What holds where nothing is said.
    pub const DEFAULT: Merge =
        Merge { reducer: Reducer::Average(Arithmetic::Plain), present_min: Number(0.5) };
}

impl SlotRules {
    /// The same width for all series.
    pub fn uniform(step_ms: i64) -> Self {
        Self {
            rules: Arc::from([]),
            default_step_ms: step_ms.max(1),
            learned: false,
            merges: Arc::from([]),
        }
    }

    /// The rule of a title.
    pub fn rule(&self, title: &str) -> Option<&SlotRule> {
        self.rules.iter().find(|rule| rule.pattern.is_match(title))
    }

    /// The merge of a title.
    pub fn merge(&self, title: &str) -> Merge {
        let rule = self.merges.iter().find(|rule| rule.pattern.is_match(title));
        rule.map_or(Merge::DEFAULT, |rule| rule.merge.clone())
    }
}
