//! A manifest from the blocks that are on disk, for when the newest one cannot be read.
//!
//! What is known: an older manifest, or none, and what every block says of itself. A block that
//! another one was merged from is replaced by it. What cannot be known is noted: deletes asked for
//! since the older manifest, and blocks that it still names and that are gone.

use std::collections::HashSet;

use crate::block::meta::BlockMeta;
use crate::layout::BlockId;
use crate::manifest::edit::{BlockEntry, Manifest};

/// The manifest `number` from the older one `base` and the blocks on disk; and what is uncertain.
pub(crate) fn rebuild(
    base: Manifest,
    number: u64,
    on_disk: &[BlockMeta],
) -> (Manifest, Vec<String>) {
    let mut notes = Vec::new();
    let known = base.number;
    notes.push(format!(
        "deletes asked for after manifest {known} are forgotten: ask for them again"
    ));
    let present: HashSet<BlockId> = on_disk.iter().map(|meta| meta.id).collect();
    let merged: HashSet<BlockId> = on_disk.iter().flat_map(|meta| meta.sources.clone()).collect();
    let order_in_base = |id: &BlockId| {
        base.blocks.iter().find(|entry| entry.meta.id == *id).map(|entry| entry.order)
    };
    let replaced: Vec<Option<u64>> =
        on_disk.iter().map(|meta| meta.sources.iter().filter_map(order_in_base).max()).collect();
    let mut next = Manifest { number, ..base };
    next.blocks.retain(|entry| {
        let id = entry.meta.id;
        if !present.contains(&id) && !merged.contains(&id) {
            notes.push(format!("block {id} of manifest {known} is not there any more"));
        }
        present.contains(&id) && !merged.contains(&id)
    });
    let listed: HashSet<BlockId> = next.blocks.iter().map(|entry| entry.meta.id).collect();
    let shard = next.shard;
    let mut found: Vec<(&BlockMeta, Option<u64>)> = on_disk
        .iter()
        .zip(replaced)
        .filter(|(meta, _)| !listed.contains(&meta.id) && !merged.contains(&meta.id))
        .filter(|(meta, _)| meta.shard == shard)
        .collect();
    // Ids begin with the time: the order in which they were written.
    found.sort_by_key(|(meta, _)| meta.id);
    for (meta, replaced) in found {
        notes.push(format!("block {} is in no manifest that can be read; it is taken in", meta.id));
        let order = replaced.unwrap_or(next.next_order);
        next.next_order = next.next_order.max(order + 1);
        let mut entry = BlockEntry::new(order, meta.clone());
        // What was written or deleted since it was made is not known.
        meta.rollup.into_iter().for_each(|rollup| entry.soil(rollup.range()));
        if replaced.is_none() {
            next.soil(meta.tenant, meta.time_range());
        }
        next.blocks.push(entry);
    }
    next.blocks.sort_by_key(|entry| entry.order);
    let blocks = &next.blocks;
    next.deletes.retain(|delete| blocks.iter().any(|block| block.deletes.contains(&delete.id)));
    (next, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(id: u128, sources: &[u128]) -> BlockMeta {
        let sources = sources.iter().map(|id| BlockId(*id)).collect();
        BlockMeta { sources, ..BlockMeta::example(id) }
    }

    #[test]
    fn merged_blocks_take_the_place_of_theirs() {
        let mut base = Manifest::empty(0, 0);
        base.number = 4;
        for id in [1, 2, 3] {
            let meta = meta(id, &[]);
            base.blocks.push(BlockEntry::new(base.next_order, meta));
            base.next_order += 1;
        }
        // 1 and 2 became 9, of which the sweep has taken 1 only; 3 is lost; 7 was flushed.
        let on_disk = [meta(2, &[]), meta(7, &[]), meta(9, &[1, 2])];
        let (manifest, notes) = rebuild(base, 6, &on_disk);
        let blocks: Vec<_> = manifest.blocks.iter().map(|b| (b.order, b.meta.id.0)).collect();
        assert_eq!((manifest.number, blocks), (6, vec![(2, 9), (4, 7)]));
        assert!(notes.iter().any(|note| note.contains("is not there")), "{notes:?}");
        assert!(crate::manifest::invariants::check(&manifest).is_ok());
    }
}
