//! Counts for status pages and limits.

/// What an index holds, counted by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Number of series.
    pub series: u64,
    /// Number of distinct label pairs.
    pub pairs: u64,
    /// One entry per label name, those with most values first.
    pub labels: Vec<LabelCardinality>,
}

/// The counts of one label name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelCardinality {
    /// The label's name.
    pub name: String,
    /// Number of its values.
    pub values: u64,
    /// Number of series that have it.
    pub series: u64,
}

impl Cardinality {
    /// Brings counts into order; names without series are left out.
    pub(crate) fn new(series: u64, mut labels: Vec<LabelCardinality>) -> Self {
        labels.retain(|label| label.series > 0);
        labels.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.name.cmp(&b.name)));
        let pairs = labels.iter().map(|label| label.values).sum();
        Self { series, pairs, labels }
    }
}

/// The `limit` largest counts, largest first, ties by name.
pub(crate) fn largest(mut counts: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(limit);
    counts
}
