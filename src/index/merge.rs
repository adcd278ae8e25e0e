//! k segments → one, series by series in label order.
//!
//! [`SeriesMerge`] yields each distinct label set once, with where it came from; storage uses it to
//! bring the chunks of one series together. [`merge_segments`] does the index part alone.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use model::label::LabelsRef;

use crate::error::IndexError;
use crate::segment::{SegmentReader, SegmentWriter, SeriesCursor};

/// Merges cursors over segments.
pub struct SeriesMerge<'a> {
    heap: BinaryHeap<Head<'a>>,
    /// Inputs whose series was yielded last and that must move on.
    spent: Vec<Head<'a>>,
    sources: Vec<(usize, u32)>,
}

/// An input at a series; the smallest labels, then the smallest input, come first.
struct Head<'a> {
    cursor: SeriesCursor<'a>,
    input: usize,
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let labels = other.cursor.labels().cmp(&self.cursor.labels());
        labels.then_with(|| other.input.cmp(&self.input))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

impl<'a> SeriesMerge<'a> {
    /// Merges `inputs`; an input is known by its place in the list.
    pub fn new(inputs: impl IntoIterator<Item = SeriesCursor<'a>>) -> Result<Self, IndexError> {
        let inputs = inputs.into_iter().enumerate();
        let spent = inputs.map(|(input, cursor)| Head { cursor, input }).collect();
        Ok(Self { heap: BinaryHeap::new(), spent, sources: Vec::new() })
    }

    /// The next label set and the (input, series number) pairs that have it, inputs ascending; `None`
    /// at the end.
    #[expect(clippy::should_implement_trait, reason = "it lends, which an Iterator cannot")]
    #[expect(clippy::type_complexity, reason = "one lending pair; a name would not say more")]
    pub fn next(&mut self) -> Result<Option<(LabelsRef<'_>, &[(usize, u32)])>, IndexError> {
        for mut head in self.spent.drain(..) {
            if head.cursor.advance()? {
                self.heap.push(head);
            }
        }
        self.sources.clear();
        while let Some(next) = self.heap.peek() {
            let same = match self.spent.first() {
                Some(first) => first.cursor.labels() == next.cursor.labels(),
                None => true,
            };
            if !same {
                break;
            }
            self.sources.push((next.input, next.cursor.id()));
            self.spent.extend(self.heap.pop());
        }
        Ok(self.spent.first().map(|first| (first.cursor.labels(), self.sources.as_slice())))
    }
}

/// One segment with the series of all `inputs`.
pub fn merge_segments<B: AsRef<[u8]> + Send + Sync>(
    inputs: &[SegmentReader<B>],
) -> Result<Vec<u8>, IndexError> {
    let cursors: Vec<_> = inputs.iter().map(SegmentReader::series).collect::<Result<_, _>>()?;
    let mut merge = SeriesMerge::new(cursors)?;
    let mut writer = SegmentWriter::new();
    while let Some((labels, _)) = merge.next()? {
        writer.push(labels)?;
    }
    writer.finish()
}
