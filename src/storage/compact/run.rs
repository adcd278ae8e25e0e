//! Merges blocks: series by series in label order, of one instant the later write.

use std::sync::Arc;

use index::SeriesMerge;
use model::{Samples, TimeRange};

use crate::block::chunks::Bookmark;
use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::block::writer::{BlockWriter, NewBlock};
use crate::collect::{Collector, Wanted};
use crate::error::{StorageError, index_error};
use crate::layout::Layout;
use crate::object::io::ObjectIo;
use crate::retention::Retention;

/// Merges `blocks`, those with older writes first; samples that are older than
/// `retention` keeps those of their series are dropped. `None` when nothing is left. `step` hears how many
/// series of the inputs were merged, again and again.
pub(crate) fn merge_blocks(
    io: &Arc<ObjectIo>,
    layout: &Layout,
    new: NewBlock,
    blocks: &[Arc<Block>],
    retention: &Retention<'_>,
    step: &mut dyn FnMut(usize),
) -> Result<Option<BlockMeta>, StorageError> {
    let failed = |error| index_error("the blocks to merge", error);
    let mut cursors = Vec::with_capacity(blocks.len());
    for block in blocks {
        cursors.push(block.cursor()?);
    }
    let mut merge = SeriesMerge::new(cursors).map_err(failed)?;
    let mut writer = BlockWriter::new(io, layout, new)?;
    let mut samples = Samples::default();
    let mut bookmarks: Vec<Bookmark<'_>> = blocks.iter().map(|_| Bookmark::default()).collect();
    while let Some((labels, sources)) = merge.next().map_err(failed)? {
        let range = TimeRange::new(retention.earliest_of(labels), i64::MAX);
        let mut out = Collector::new(&mut samples, range, Wanted::ALL);
        for (input, series) in sources {
            blocks[*input].collect(*series, range, &mut bookmarks[*input], &mut out)?;
        }
        out.finish();
        writer.add(labels, &samples)?;
        step(sources.len());
    }
    writer.finish()
}
