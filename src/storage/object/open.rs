//! Where the objects are → a store.
//!
//! A local directory is the only place built in today; S3, GCS and Azure are features of
//! `object_store` that join here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use crate::error::StorageError;

/// A store, and the directory in which its objects are plain files, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct OpenedStore {
    /// The store.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Objects can be mapped from here.
    pub(crate) local_root: Option<PathBuf>,
}

/// Opens the directory `root` as a store; every write to it is synced before it returns.
pub(crate) fn open_local(root: &Path) -> Result<OpenedStore, StorageError> {
    std::fs::create_dir_all(root).map_err(|error| StorageError::io("create", root, &error))?;
    let store = LocalFileSystem::new_with_prefix(root).map_err(|error| StorageError::Store {
        action: "open",
        path: root.display().to_string(),
        reason: error.to_string(),
    })?;
    let store = Arc::new(store.with_fsync(true).with_automatic_cleanup(true));
    Ok(OpenedStore { store, local_root: Some(root.to_owned()) })
}
