//! What must hold of every manifest, checked before it is published and after it is read.

use std::collections::HashSet;

use crate::error::StorageError;
use crate::manifest::edit::{BlockEntry, Manifest, ManifestEdit};

fn broken(invariant: &'static str, detail: String) -> StorageError {
    StorageError::Invariant { invariant, detail }
}

/// Rules of a manifest by itself.
pub(crate) fn check(manifest: &Manifest) -> Result<(), StorageError> {
    let (mut ids, mut orders) = (HashSet::new(), HashSet::new());
    for entry in &manifest.blocks {
        if !ids.insert(entry.meta.id) {
            return Err(broken("block ids are unique", entry.meta.id.to_string()));
        }
        if !orders.insert(entry.order) {
            let detail = format!("{} of {}", entry.order, entry.meta.id);
            return Err(broken("block orders are unique", detail));
        }
        check_block(manifest, entry)?;
    }
    Ok(())
}

fn check_block(manifest: &Manifest, entry: &BlockEntry) -> Result<(), StorageError> {
    let meta = &entry.meta;
    let of_block = |invariant| Err(broken(invariant, meta.id.to_string()));
    if entry.order >= manifest.next_order {
        let detail = format!("{} of {}", entry.order, meta.id);
        return Err(broken("the next order is greater than all", detail));
    }
    if meta.min_time_ms > meta.max_time_ms {
        return of_block("a block holds samples");
    }
    if entry.deletes.iter().any(|id| !manifest.deletes.iter().any(|known| known.id == *id)) {
        return of_block("deletes of a block are listed");
    }
    let is_inside = |(start_ms, end_ms): &(i64, i64)| {
        meta.rollup.is_some_and(|rollup| {
            start_ms <= end_ms && rollup.start_ms <= *start_ms && *end_ms <= rollup.end_ms
        })
    };
    if !entry.dirty.iter().all(is_inside) {
        return of_block("dirty ranges lie inside what is covered");
    }
    if meta.shard != manifest.shard {
        return of_block("blocks are of the manifest's shard");
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
            && !after
                .flushed
                .iter()
                .any(|mark| mark.is_of_same_window(known) && mark.position() >= position);
        if lost {
            let detail = format!("window {} of tenant {}", known.window_ms, known.tenant);
            return Err(broken("flush marks never move back", detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::meta::{BlockMeta, RollupMeta};
    use crate::delete::DeleteEntry;
    use crate::layout::BlockId;
    use crate::manifest::edit::FlushMark;

    /// Two blocks, of which the first has a delete and the second summaries; a mark.
    fn sound() -> Manifest {
        let mut manifest = Manifest { number: 7, next_order: 3, ..Manifest::empty(0, 0) };
        let rollup = RollupMeta { width_ms: 10, start_ms: 0, end_ms: 99, rules: 0 };
        let summaries = BlockMeta { rollup: Some(rollup), ..BlockMeta::example(2) };
        manifest.blocks = vec![
            BlockEntry { deletes: vec![5], ..BlockEntry::new(1, BlockMeta::example(1)) },
            BlockEntry { dirty: vec![(0, 9), (20, 29)], ..BlockEntry::new(2, summaries) },
        ];
        manifest.deletes =
            vec![DeleteEntry { id: 5, at_ms: 0, start_ms: 0, end_ms: 0, matchers: Vec::new() }];
        let mark = FlushMark { tenant: 0, window_ms: 0, length_ms: 10, file: 4, offset: 100 };
        manifest.flushed = vec![mark];
        manifest
    }

    /// What does not hold.
    fn name_of(result: Result<(), StorageError>) -> &'static str {
        match result {
            Ok(()) => "nothing",
            Err(StorageError::Invariant { invariant, .. }) => invariant,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_rule_of_a_manifest_is_checked() {
        let after = |change: fn(&mut Manifest)| {
            let mut manifest = sound();
            change(&mut manifest);
            name_of(check(&manifest))
        };
        assert_eq!(after(|_| {}), "nothing");
        assert_eq!(after(|m| m.blocks[1].meta.id = BlockId(1)), "block ids are unique");
        assert_eq!(after(|m| m.blocks[1].order = 1), "block orders are unique");
        assert_eq!(after(|m| m.next_order = 2), "the next order is greater than all");
        assert_eq!(after(|m| m.blocks[0].meta.min_time_ms = 2), "a block holds samples");
        assert_eq!(after(|m| m.deletes.clear()), "deletes of a block are listed");
        let inside = "dirty ranges lie inside what is covered";
        assert_eq!(after(|m| m.blocks[1].dirty[1] = (20, 100)), inside);
        assert_eq!(after(|m| m.blocks[1].dirty[1] = (29, 20)), inside);
        assert_eq!(after(|m| m.blocks[0].dirty.push((0, 1))), inside, "samples are never dirty");
        assert_eq!(after(|m| m.shard = 1), "blocks are of the manifest's shard");
    }

    #[test]
    fn each_rule_of_a_step_is_checked() {
        let after = |edit: &ManifestEdit, change: fn(&mut Manifest)| {
            let before = sound();
            let mut next = before.next(edit, 0);
            change(&mut next);
            name_of(check_step(&before, edit, &next))
        };
        let edit = ManifestEdit::new(4);
        assert_eq!(after(&edit, |_| {}), "nothing");
        assert_eq!(after(&edit, |m| m.number += 1), "numbers have no gaps");
        assert_eq!(after(&edit, |m| m.blocks[1].order = 1), "block orders are unique");
        let gone = ManifestEdit { remove: vec![BlockId(3)], ..ManifestEdit::new(4) };
        assert_eq!(after(&gone, |_| {}), "only live blocks are removed");
        let back = "flush marks never move back";
        assert_eq!(after(&edit, |m| m.flushed.clear()), back);
        assert_eq!(after(&edit, |m| m.flushed[0].offset -= 1), back);
        assert_eq!(after(&edit, |m| m.flushed[0].length_ms += 1), back, "another window");
        assert_eq!(after(&edit, |m| m.flushed[0].file += 1), "nothing");
        assert_eq!(after(&ManifestEdit::new(5), |m| m.flushed.clear()), "nothing");
    }
}
