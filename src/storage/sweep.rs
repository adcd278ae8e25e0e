//! Deletes what belongs to blocks that no manifest names, and manifests that never came to be.
//!
//! Invariants: it runs while no block is being written (the maintenance lock is held), and never
//! deletes a block that a reader of this process still holds.

use std::collections::HashSet;
use std::fs::FileType;
use std::io::{self, ErrorKind};

use object_store::path::Path as ObjectPath;

use crate::error::StorageError;
use crate::layout::{BlockId, Layout};
use crate::object::io::ObjectIo;

/// Directories between that of all blocks and that of one: tenant, shard, block.
const BLOCK_DEPTH: usize = 3;

/// Deletes what belongs to no block in `live` or `held`; returns how many objects and directories.
pub(crate) fn sweep(
    io: &ObjectIo,
    layout: &Layout,
    live: &HashSet<BlockId>,
    held: &HashSet<BlockId>,
) -> Result<usize, StorageError> {
    let is_needless = |path: &ObjectPath| {
        let block = layout.parse_block(path);
        block.is_some_and(|(_, id)| !live.contains(&id) && !held.contains(&id))
    };
    let mut deleted = 0;
    for (path, _) in io.list(&layout.blocks_dir())? {
        if is_needless(&path) {
            io.delete(&path)?;
            deleted += 1;
        }
    }
    // Where objects are files, one that was being written when the process died has a name that is listed
    // nowhere, and its directory stays.
    for path in block_dirs(io, layout)?.iter().filter(|path| is_needless(path)) {
        if let Some(dir) = io.local_file(path) {
            let removed = std::fs::remove_dir_all(&dir);
            removed.map_err(|error| StorageError::io("delete", &dir, &error))?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Deletes the manifests that a process did not complete before it died, where objects are files: they have a
/// name that is listed nowhere. Only while nobody publishes one; returns how many.
pub(crate) fn sweep_staged(io: &ObjectIo, layout: &Layout) -> Result<usize, StorageError> {
    let Some(dir) = io.local_file(&layout.manifest_dir()) else { return Ok(0) };
    let names = names_in(&dir, FileType::is_file);
    let names = names.map_err(|error| StorageError::io("list", &dir, &error))?;
    let mut deleted = 0;
    for name in names.iter().filter(|name| Layout::is_staged_manifest(name)) {
        let file = dir.join(name);
        let removed = std::fs::remove_file(&file);
        removed.map_err(|error| StorageError::io("delete", &file, &error))?;
        deleted += 1;
    }
    Ok(deleted)
}

/// The directories of all blocks, where there are directories.
fn block_dirs(io: &ObjectIo, layout: &Layout) -> Result<Vec<ObjectPath>, StorageError> {
    let mut dirs = vec![layout.blocks_dir()];
    for _ in 0..BLOCK_DEPTH {
        let mut inside = Vec::new();
        for path in &dirs {
            let Some(dir) = io.local_file(path) else { return Ok(Vec::new()) };
            let names = names_in(&dir, FileType::is_dir);
            let names = names.map_err(|error| StorageError::io("list", &dir, &error))?;
            inside.extend(names.into_iter().map(|name| path.clone().join(name)));
        }
        dirs = inside;
    }
    Ok(dirs)
}

/// Names of what is in `dir` and of a kind; none where there is no `dir`.
fn names_in(dir: &std::path::Path, is_kind: fn(&FileType) -> bool) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_kind(&entry.file_type()?) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}
