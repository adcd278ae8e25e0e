//! Where the objects are → a store.
//!
//! A local directory is always built in; S3, GCS and Azure with the feature `cloud`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;

use crate::error::StorageError;

/// A store, and the directory in which its objects are plain files, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct OpenedStore {
    /// The store.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Objects can be mapped from here.
    pub(crate) local_root: Option<PathBuf>,
    /// Its futures never wait, so that they can be run where they are asked for: stores in memory.
    pub(crate) is_immediate: bool,
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
    Ok(OpenedStore { store, local_root: Some(root.to_owned()), is_immediate: false })
}

/// Opens a place by its URL (`s3://bucket/prefix`), or by the path of a directory. What a cloud wants to
/// know besides comes from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT` …).
pub(crate) fn open_url(text: &str) -> Result<OpenedStore, StorageError> {
    if !text.contains("://") {
        return open_local(Path::new(text));
    }
    let failed =
        |reason: String| StorageError::Store { action: "open", path: text.to_owned(), reason };
    let url = url::Url::parse(text).map_err(|error| failed(error.to_string()))?;
    if url.scheme() == "file" {
        let path = url.to_file_path();
        return open_local(&path.map_err(|()| failed("it is no path of this machine".to_owned()))?);
    }
    let settings = std::env::vars().map(|(name, value)| (name.to_lowercase(), value));
    let (store, prefix) = object_store::parse_url_opts(&url, settings)
        .map_err(|error| failed(format!("{error}; clouds are in builds with the feature cloud")))?;
    let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(store, prefix));
    Ok(OpenedStore { store, local_root: None, is_immediate: false })
}
