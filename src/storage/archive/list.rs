//! What a backup consists of: a document that names every file of the store, where its bytes are and
//! what they must sum to. `FORMAT.md` has more.
//!
//! ```text
//! backups/<name>.json                       one for each backup, written last
//! data/<path in the store>.<crc32c>.<bytes>  bytes; backups share what did not change
//! ```

use std::collections::HashMap;

use object_store::path::Path as ObjectPath;
use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::manifest::store::{seal, unseal};
use crate::object::io::ObjectIo;

/// Version that this program writes and reads.
const VERSION: u32 = 1;

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupList {
    /// Version of the format.
    pub(crate) version: u32,
    /// Its name, which sorts by time.
    pub(crate) name: String,
    /// When it was made, in milliseconds.
    pub(crate) at_ms: i64,
    /// Every file of the store.
    pub(crate) files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupFile {
    /// Its path in the data directory, parts between slashes.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// CRC-32C of them.
    pub(crate) crc32c: u32,
}

impl BackupFile {
    /// The object with its bytes.
    pub(crate) fn object(&self) -> ObjectPath {
        ObjectPath::from(format!("data/{}.{:08x}.{}", self.path, self.crc32c, self.bytes))
    }
}

/// The prefix of all bytes.
pub(crate) fn data_dir() -> ObjectPath {
    ObjectPath::from("data")
}

/// The document of the backup `name`.
pub(crate) fn list_path(name: &str) -> ObjectPath {
    ObjectPath::from(format!("backups/{name}.json"))
}

impl BackupList {
    /// A backup without files.
    pub(crate) fn new(name: String, at_ms: i64) -> Self {
        Self { version: VERSION, name, at_ms, files: Vec::new() }
    }

    /// The document.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, StorageError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| StorageError::Invariant {
            invariant: "a backup is JSON",
            detail: error.to_string(),
        })?;
        Ok(seal(text))
    }

    /// Reads and checks the document of the backup `name`.
    pub(crate) fn read(io: &ObjectIo, name: &str) -> Result<Self, StorageError> {
        let path = list_path(name);
        let bytes = io.get(&path)?.ok_or_else(|| StorageError::Store {
            action: "read",
            path: path.to_string(),
            reason: "there is no such backup".to_owned(),
        })?;
        let damaged =
            |expected: &str, got: String| StorageError::corrupt(path.to_string(), 0, expected, got);
        let body = unseal(path.as_ref(), &bytes)?;
        let list: Self = serde_json::from_slice(body)
            .map_err(|error| damaged("the list of a backup", error.to_string()))?;
        if list.version != VERSION || list.name != name {
            let got = format!("version {} of {}", list.version, list.name);
            return Err(damaged(&format!("version {VERSION} of {name}"), got));
        }
        // Whatever wrote the list, a restore stays in its directory.
        let escapes = |file: &&BackupFile| {
            file.path.split('/').any(|part| part.is_empty() || part == "." || part == "..")
        };
        match list.files.iter().find(escapes) {
            Some(file) => Err(damaged("a path inside the store", file.path.clone())),
            None => Ok(list),
        }
    }

    /// The files by their paths.
    pub(crate) fn by_path(&self) -> HashMap<&str, &BackupFile> {
        self.files.iter().map(|file| (file.path.as_str(), file)).collect()
    }
}

/// The names of all backups, oldest first.
pub(crate) fn backup_names(io: &ObjectIo) -> Result<Vec<String>, StorageError> {
    let listed = io.list(&ObjectPath::from("backups"))?;
    let mut names: Vec<String> = listed
        .iter()
        .filter_map(|(path, _)| path.filename()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}
