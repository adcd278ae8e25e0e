//! Deletes objects of blocks that no manifest names.
//!
//! Invariants: it runs while no block is being written (the maintenance lock is held), and never
//! deletes a block that a reader of this process still holds.

use std::collections::HashSet;

use crate::error::StorageError;
use crate::layout::{BlockId, Layout};
use crate::object::io::ObjectIo;

/// Deletes what belongs to no block in `live` or `held`; returns how many objects.
pub(crate) fn sweep(
    io: &ObjectIo,
    layout: &Layout,
    live: &HashSet<BlockId>,
    held: &HashSet<BlockId>,
) -> Result<usize, StorageError> {
    let mut deleted = 0;
    for (path, _) in io.list(&layout.blocks_dir())? {
        match layout.parse_block(&path) {
            Some((_, id)) if !live.contains(&id) && !held.contains(&id) => {
                io.delete(&path)?;
                deleted += 1;
            }
            _ => {}
        }
    }
    Ok(deleted)
}
