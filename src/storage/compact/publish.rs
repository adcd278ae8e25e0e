//! Puts the result of a merge in the place of its inputs: first in the manifest, then for readers.

use std::sync::Arc;

use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::error::StorageError;
use crate::layout::Layout;
use crate::manifest::edit::{ManifestEdit, NewOrder};
use crate::manifest::store::ManifestStore;
use crate::object::io::ObjectIo;
use crate::view::ViewCell;

/// Replaces `inputs` by the block `merged`, or by nothing.
pub(crate) fn replace_blocks(
    io: &Arc<ObjectIo>,
    layout: &Layout,
    manifest: &ManifestStore,
    view: &ViewCell,
    inputs: &[Arc<Block>],
    merged: Option<BlockMeta>,
    oldest_wal_file: u64,
) -> Result<(), StorageError> {
    let Some(last) = inputs.iter().map(|block| block.order).max() else {
        return Ok(());
    };
    let mut edit = ManifestEdit::new(oldest_wal_file);
    edit.order = NewOrder::Replace(last);
    edit.remove = inputs.iter().map(|block| block.meta.id).collect();
    edit.add.extend(merged.clone());
    manifest.publish(&edit)?;
    let opened = merged.map(|meta| Arc::new(Block::open(io, layout, meta, last)));
    view.update(|view| {
        view.remove(&edit.remove);
        opened.into_iter().for_each(|block| view.add(block));
    });
    Ok(())
}
