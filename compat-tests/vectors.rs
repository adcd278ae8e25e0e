//! Test data of the reference programs, which is not part of this repository.

use std::path::PathBuf;

/// The folder of the data: `TRIBUTARY_VECTORS`, or beside the repository.
pub(crate) fn root() -> PathBuf {
    match std::env::var_os("TRIBUTARY_VECTORS") {
        Some(path) => path.into(),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").into(),
    }
}

/// The files named `*.extension` in `folder`, by name. Says how many are absent when there is none.
pub(crate) fn files(folder: &str, extension: &str, expected: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder));
    let mut found: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    if found.len() < expected {
        println!("{folder}: {} files absent", expected - found.len());
    }
    found
}
