//! What must hold of every manifest, checked before it is published and after it is read.

use std::collections::HashSet;

use crate::error::StorageError;
use crate::manifest::edit::{Manifest, ManifestEdit};

fn broken(invariant: &'static str, detail: String) -> StorageError {
    StorageError::Invariant { invariant, detail }
}

/// Rules of a manifest by itself.
pub(crate) fn check(manifest: &Manifest) -> Result<(), StorageError> {
    let mut ids = HashSet::new();
    let mut orders = HashSet::new();
    for entry in &manifest.blocks {
        let meta = &entry.meta;
        if !ids.insert(meta.id) {
            return Err(broken("block ids are unique", meta.id.to_string()));
        }
        if !orders.insert(entry.order) {
            return Err(broken(
                "block orders are unique",
                format!("{} of {}", entry.order, meta.id),
            ));
        }
        if entry.order >= manifest.next_order {
            let detail = format!("{} of {}", entry.order, meta.id);
            return Err(broken("the next order is greater than all", detail));
        }
        if meta.min_time_ms > meta.max_time_ms {
            return Err(broken("a block holds samples", meta.id.to_string()));
        }
        if entry.deletes.iter().any(|id| !manifest.deletes.iter().any(|known| known.id == *id)) {
            return Err(broken("deletes of a block are listed", meta.id.to_string()));
        }
        let is_inside = |(start_ms, end_ms): &(i64, i64)| {
            meta.rollup.is_some_and(|rollup| {
                start_ms <= end_ms && rollup.start_ms <= *start_ms && *end_ms <= rollup.end_ms
            })
        };
        if !entry.dirty.iter().all(is_inside) {
            return Err(broken("dirty ranges lie inside what is covered", meta.id.to_string()));
        }
        if meta.shard != manifest.shard {
            return Err(broken("blocks are of the manifest's shard", meta.id.to_string()));
        }
    }
    Ok(())
}

/// Rules of the step from one manifest to the next.
pub(crate) fn check_step(
    before: &Manifest,
    edit: &ManifestEdit,
    after: &Manifest,
) -> Result<(), StorageError> {
    check(after)?;
    if after.number != before.number + 1 {
        return Err(broken("numbers have no gaps", format!("{} follows", after.number)));
    }
    for id in &edit.remove {
        if !before.blocks.iter().any(|entry| entry.meta.id == *id) {
            return Err(broken("only live blocks are removed", id.to_string()));
        }
    }
    for known in &before.flushed {
        let position = known.position();
        let lost = known.file >= edit.oldest_wal_file
            && !after.flushed.iter().any(|mark| {
                (mark.tenant, mark.window_ms) == (known.tenant, known.window_ms)
                    && mark.position() >= position
            });
        if lost {
            let detail = format!("window {} of tenant {}", known.window_ms, known.tenant);
            return Err(broken("flush marks never move back", detail));
        }
    }
    Ok(())
}
