//! The read contract: synchronous, called on query threads only.

use base::error::{Classify, ErrorKind};

use crate::label::Labels;
use crate::matcher::Matcher;
use crate::sample::Samples;
use crate::time::{TenantId, TimeRange};

/// What the reader will do with the samples; a source may use it to read less.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Whose data to read.
    pub tenant: TenantId,
    /// Give the series in label order; without it the order is the source's own, but stable.
    pub sorted: bool,
    /// Fill [`Samples::integers`].
    pub integers: bool,
    /// Give native histograms ([`Samples::histograms`]); without it they are left out.
    pub histograms: bool,
    /// Fill [`Samples::starts`].
    pub starts: bool,
    /// The reader looks at runs of samples that begin and end at multiples of so many milliseconds (or
    /// one before, for runs without their end), by what a [`crate::Summary`] has: a source may give
    /// summaries instead of samples, where they say the same and where the samples are gone. `None`:
    /// samples only.
    pub cut_ms: Option<i64>,
    /// Only labels are wanted: the samples will not be read.
    pub labels_only: bool,
    /// Samples of a series that its reader has room for, a histogram counted by its weight
    /// ([`crate::Histogram::weight`]); 0 is any number. What is longer may give
    /// [`SourceError::TooLarge`] instead of being read to its end.
    pub samples_max: u64,
}

/// How much a selection is, about and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Series, each counted in every place that it is read from.
    pub series: u64,
    /// Milliseconds that they span in these places, all together.
    pub length_ms: u64,
}

impl Size {
    /// Adds a place with so many series and the range of it that is read.
    pub fn add(&mut self, series: u64, range: TimeRange) {
        let length_ms = range.end_ms.saturating_sub(range.start_ms).max(0) as u64;
        self.series = self.series.saturating_add(series);
        self.length_ms = self.length_ms.saturating_add(series.saturating_mul(length_ms));
    }
}

/// Answers questions about stored series: what the execution of plans needs of a store. Cheap to share;
/// every call sees all acknowledged writes.
pub trait Source: Send + Sync {
    /// The series that pass all `matchers` and may have a sample in `range`. Each series occurs once
    /// however many blocks it is spread over. The selection is a snapshot: it stays readable while
    /// flushes, compactions and retention go on.
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &Hints,
    ) -> Result<Box<dyn Selection>, SourceError>;

    /// About how much the same [`Source::select`] finds at most, told from what was found lately, from lists that
    /// are at hand and, of some hundreds of series, by testing a few. `None` where that would take a search or a wait.
    fn size_max(&self, _matchers: &[Matcher], _range: TimeRange, _hints: &Hints) -> Option<Size> {
        None
    }
}

/// A [`Source`] that also says what labels there are, without reading samples.
pub trait Catalog: Source {
    /// Names of the labels on series that pass `matchers` and may have a sample in `range`; sorted.
    fn label_names(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError>;

    /// Values of the label `name` on such series; sorted, unique, without the empty one. With
    /// `prefix` only those that start with it; at most `limit` (0 = all).
    fn label_values(
        &self,
        tenant: TenantId,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<String>, SourceError>;

    /// One level of the tree that values of the label `name` form when they are read as paths with
    /// dots: how the values that start with `prefix` go on, up to their next dot. Sorted, unique, at
    /// most `limit` (0 = all).
    ///
    /// The default walks all values under the prefix; a source whose dictionary is sorted can jump
    /// from node to node.
    fn value_nodes(
        &self,
        tenant: TenantId,
        name: &str,
        range: TimeRange,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<ValueNode>, SourceError> {
        let values = self.label_values(tenant, name, &[], range, prefix, 0)?;
        Ok(nodes_of_values(&values, prefix, limit))
    }
}

/// The nodes of [`Catalog::value_nodes`] of ascending values that start with `prefix`.
pub fn nodes_of_values(values: &[String], prefix: &str, limit: usize) -> Vec<ValueNode> {
    let mut nodes: std::collections::BTreeMap<&str, (bool, bool)> = Default::default();
    for value in values {
        let rest = value.strip_prefix(prefix).unwrap_or_default();
        let (text, branch) = match rest.split_once('.') {
            Some((text, _)) => (text, true),
            None => (rest, false),
        };
        let node = nodes.entry(text).or_default();
        node.0 |= !branch;
        node.1 |= branch;
    }
    let node = |(text, (leaf, branch)): (&str, (bool, bool))| ValueNode {
        text: text.to_owned(),
        leaf,
        branch,
    };
    // Whether a node branches may show behind values that sort after other nodes.
    let limit = if limit == 0 { usize::MAX } else { limit };
    nodes.into_iter().map(node).take(limit).collect()
}

/// A node of the tree behind [`Catalog::value_nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueNode {
    /// What follows the prefix, up to the next dot or the value's end.
    pub text: String,
    /// A value ends here.
    pub leaf: bool,
    /// Values go on behind a dot.
    pub branch: bool,
}

/// True when `name` is among the ascending `names`.
pub fn has_name(names: &[String], name: &str) -> bool {
    names.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
}

/// The series of one select. `Sync`, so that several query threads may read different series.
pub trait Selection: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;

    /// True without series.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when the series are known to come in label order, asked for ([`Hints::sorted`]) or not.
    fn is_sorted(&self) -> bool {
        false
    }

    /// The labels of the series at `index`.
    fn labels(&self, index: usize) -> Labels;

    /// Appends the packed labels of the series at `index` whose names are among the ascending `names`.
    fn put_labels(&self, index: usize, names: &[String], out: &mut Vec<u8>) {
        self.labels(index).view().put_some(out, |name| has_name(names, name));
    }

    /// Replaces `out` by the samples of the series at `index` inside the selected range, ascending
    /// and unique; stale markers included. The series may turn out to have none.
    fn read(&self, index: usize, out: &mut Samples) -> Result<(), SourceError>;

    /// Reads many of the series: what it has found on the way to one helps it to the next.
    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(OneByOne(self))
    }

    /// The widths of the summaries that reads may give instead of samples, ascending.
    fn summary_widths(&self) -> Vec<i64> {
        Vec::new()
    }
}

/// Series that are worth naming at once to [`SeriesReader::approach`]: what is brought near for them stays there until
/// they are read. A reader may leave out what comes behind so many.
pub const APPROACHED_SERIES: usize = 16;

/// Reads series of one selection, fastest in ascending order. One thread's.
pub trait SeriesReader {
    /// Says which series will be read next: a source may bring near what they have.
    fn approach(&mut self, _next: &[usize]) {}

    /// As [`Selection::read`].
    fn read(&mut self, index: usize, out: &mut Samples) -> Result<(), SourceError>;

    /// The same where all of `count` series are read in their order.
    fn read_in_order(
        &mut self,
        index: usize,
        count: usize,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        if index.is_multiple_of(APPROACHED_SERIES) {
            let next: [usize; APPROACHED_SERIES] = std::array::from_fn(|turn| index + turn);
            self.approach(&next[..count.saturating_sub(index).min(APPROACHED_SERIES)]);
        }
        self.read(index, out)
    }
}

/// The reader of selections that have no better one.
struct OneByOne<'s, S: ?Sized>(&'s S);

impl<S: Selection + ?Sized> SeriesReader for OneByOne<'_, S> {
    fn read(&mut self, index: usize, out: &mut Samples) -> Result<(), SourceError> {
        self.0.read(index, out)
    }
}

/// Why a read failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// A file is damaged. The message names it, the offset, and what was expected and found.
    #[error("{message}")]
    Corrupt {
        /// File, offset, expected, got.
        message: String,
    },
    /// The object store does not answer.
    #[error("cannot read: {message}")]
    Unavailable {
        /// What was read, and what the store said.
        message: String,
    },
    /// A pattern cannot be run over the index.
    #[error(transparent)]
    Pattern(#[from] crate::matcher::PatternError),
    /// A limit was passed.
    #[error("{message}")]
    TooLarge {
        /// Which limit, and by how much.
        message: String,
    },
}

impl Classify for SourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Pattern(_) => ErrorKind::Invalid,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
        }
    }
}
