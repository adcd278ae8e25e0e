//! Which series are rolled up, how wide, and how long that is kept.

use base::frame::checksum;
use model::{LabelsRef, Matcher};

use crate::delete::MatcherEntry;

/// Buckets are whole parts of this: a day.
pub(crate) const WIDTHS_DIVIDE_MS: i64 = 86_400_000;
/// Widths that all rules together may name.
pub(crate) const WIDTHS_MAX: usize = 8;

/// A rule of rollups; a series belongs to the first one that matches it.
#[derive(Clone, Debug)]
pub struct RollupRule {
    /// Series that pass all of them.
    pub matchers: Vec<Matcher>,
    /// Lengths of the buckets in milliseconds; each divides a day. None: the series is not rolled up.
    pub widths_ms: Vec<i64>,
    /// How long summaries are kept at least; `None` is for ever.
    pub keep_ms: Option<i64>,
}

/// The rule of the series with these labels.
pub(crate) fn rule_of<'r>(
    rules: &'r [RollupRule],
    labels: LabelsRef<'_>,
) -> Option<&'r RollupRule> {
    let value = |name: &str| labels.get(name).unwrap_or_default();
    let passes = |rule: &&RollupRule| {
        rule.matchers.iter().all(|matcher| matcher.matches(value(&matcher.name)))
    };
    rules.iter().find(passes)
}

/// All widths, ascending.
pub(crate) fn widths(rules: &[RollupRule]) -> Vec<i64> {
    let mut widths: Vec<i64> = rules.iter().flat_map(|rule| rule.widths_ms.clone()).collect();
    widths.sort_unstable();
    widths.dedup();
    widths
}

/// A number that changes when other series are to be rolled up at `width_ms`.
pub(crate) fn fingerprint(rules: &[RollupRule], width_ms: i64) -> u64 {
    let mut text = String::new();
    for rule in rules {
        let matchers: Vec<MatcherEntry> = rule.matchers.iter().map(Into::into).collect();
        text += &serde_json::to_string(&matchers).unwrap_or_default();
        text += if rule.widths_ms.contains(&width_ms) { "+" } else { "-" };
    }
    u64::from(checksum(text.as_bytes()))
}

/// How long summaries of this width are kept: the longest of its rules; `None` where no rule has it.
pub(crate) fn keep(rules: &[RollupRule], width_ms: i64) -> Option<Option<i64>> {
    let of_width = rules.iter().filter(|rule| rule.widths_ms.contains(&width_ms));
    // An unlimited one is the longest.
    of_width.map(|rule| rule.keep_ms).max_by_key(|keep_ms| keep_ms.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let rule = |name: &str, widths_ms: &[i64], keep_ms| RollupRule {
            matchers: vec![Matcher::equal("__name__", name)],
            widths_ms: widths_ms.to_vec(),
            keep_ms,
        };
        let rules = [rule("a", &[], None), rule("b", &[60, 20], Some(5)), rule("b", &[60], None)];
        let of = |name: &str| {
            let labels = model::Labels::from_pairs([("__name__", name)]);
            rule_of(&rules, labels.view()).map(|rule| rule.widths_ms.len())
        };
        assert_eq!([of("a"), of("b"), of("c")], [Some(0), Some(2), None]);
        assert_eq!(widths(&rules), [20, 60]);
        assert_eq!([20, 60, 7].map(|width| keep(&rules, width)), [Some(Some(5)), Some(None), None]);
        assert_ne!(fingerprint(&rules, 20), fingerprint(&rules, 60));
        assert_ne!(fingerprint(&rules, 60), fingerprint(&rules[1..], 60));
    }
}
