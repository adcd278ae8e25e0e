//! Writes frozen partitions of one window to a block.

use std::sync::Arc;

use index::HeadIndex;
use model::{LabelsRef, Samples, TimeRange};
use roaring::RoaringBitmap;

use crate::block::meta::BlockMeta;
use crate::block::writer::{BlockWriter, NewBlock};
use crate::collect::{Collector, Wanted};
use crate::error::StorageError;
use crate::head::partition::Partition;
use crate::layout::Layout;
use crate::object::io::ObjectIo;

/// Most samples of a chunk in a block that comes from the head: beyond this the codec gains
/// little, and a reader of the last minutes decodes less.
pub(crate) const FLUSH_CHUNK_SAMPLES: usize = 2048;

/// Series between two lines of the log that tell how far a flush is.
const SERIES_A_LINE: usize = 1 << 20;

/// Writes all samples of `partitions`, those with older writes first, as one block; `None` when
/// there are none.
pub(crate) fn write_block(
    io: &Arc<ObjectIo>,
    layout: &Layout,
    new: NewBlock,
    index: &HeadIndex,
    partitions: &[Arc<Partition>],
) -> Result<Option<BlockMeta>, StorageError> {
    let mut ids = RoaringBitmap::new();
    for partition in partitions {
        ids |= partition.read().ids();
    }
    let mut writer = BlockWriter::new(io, layout, new)?;
    let mut samples = Samples::default();
    let mut labels = Vec::new();
    for (done, id) in index.sorted(&ids).into_iter().enumerate() {
        if done > 0 && done % SERIES_A_LINE == 0 {
            tracing::info!(done, of = ids.len(), "writing series of the head to a block");
        }
        labels.clear();
        index.labels_into(id, &mut labels);
        let mut out = Collector::new(&mut samples, TimeRange::ALL, Wanted::ALL);
        for partition in partitions {
            partition.read().collect(id, TimeRange::ALL, &mut out)?;
        }
        out.finish();
        writer.add(LabelsRef::from_packed(&labels), &samples)?;
    }
    writer.finish()
}
