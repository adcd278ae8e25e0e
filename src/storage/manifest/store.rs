//! Reads the newest manifest and publishes the next one: create-if-absent on a numbered name, the
//! one atomic step by which blocks appear and disappear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::frame::checksum;
use base::rng::Rng;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::StorageError;
use crate::layout::Layout;
use crate::manifest::edit::{MANIFEST_VERSION, MANIFEST_VERSION_OLDEST, Manifest, ManifestEdit};
use crate::manifest::invariants;
use crate::object::io::ObjectIo;

/// Manifests behind the newest that stay: somebody may be reading one.
const MANIFESTS_KEPT: u64 = 8;

/// In front of the checksum, on the document's last line.
const CHECKSUM_LINE: &str = "\ncrc32c ";

/// The chain of manifests of one shard.
#[derive(Debug)]
pub(crate) struct ManifestStore {
    io: Arc<ObjectIo>,
    layout: Layout,
    writer: u64,
    current: Mutex<Manifest>,
    /// True after a publication of which nobody knows whether it took place.
    is_uncertain: AtomicBool,
}

/// The document of `manifest`.
pub(crate) fn encode(manifest: &Manifest) -> Result<Vec<u8>, StorageError> {
    let text = serde_json::to_string_pretty(manifest).map_err(|error| StorageError::Invariant {
        invariant: "a manifest is JSON",
        detail: error.to_string(),
    })?;
    Ok(seal(text))
}

/// `text` with a last line that vouches for it.
pub(crate) fn seal(mut text: String) -> Vec<u8> {
    let crc = checksum(text.as_bytes());
    text.push_str(&format!("{CHECKSUM_LINE}{crc:08x}\n"));
    text.into_bytes()
}

/// What [`seal`] was given; damage when the last line does not vouch for it.
pub(crate) fn unseal<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b [u8], StorageError> {
    let (body, line) = bytes.split_at(bytes.len().saturating_sub(CHECKSUM_LINE.len() + 9));
    // Compared as text: another spelling of the same number is a changed byte as well.
    let expected = format!("{CHECKSUM_LINE}{:08x}\n", checksum(body));
    if line == expected.as_bytes() {
        return Ok(body);
    }
    let got = String::from_utf8_lossy(line).trim().to_owned();
    let expected = format!("checksum line {:?}", expected.trim());
    Err(StorageError::corrupt(file, 0, expected, got))
}

/// Reads and checks the document of the manifest `file`.
pub(crate) fn decode(file: &str, bytes: &[u8]) -> Result<Manifest, StorageError> {
    let damaged = |offset: usize, expected: &str, got: String| {
        Err(StorageError::corrupt(file, offset as u64, expected, got))
    };
    let body = unseal(file, bytes)?;
    let manifest: Manifest = match serde_json::from_slice(body) {
        Ok(manifest) => manifest,
        Err(error) => return damaged(0, "a manifest", error.to_string()),
    };
    if !(MANIFEST_VERSION_OLDEST..=MANIFEST_VERSION).contains(&manifest.version) {
        let expected = format!("manifest version {MANIFEST_VERSION_OLDEST} to {MANIFEST_VERSION}");
        return damaged(0, &expected, manifest.version.to_string());
    }
    invariants::check(&manifest)?;
    Ok(manifest)
}

impl ManifestStore {
    /// Reads the newest manifest of the shard, if there is any.
    pub(crate) fn open(io: Arc<ObjectIo>, layout: Layout) -> Result<Self, StorageError> {
        let writer = Rng::from_entropy().next_u64();
        let listed = io.list(&layout.manifest_dir())?;
        let newest =
            listed.iter().filter_map(|(path, _)| Layout::parse_manifest(path.filename()?)).max();
        let mut current = Manifest::empty(layout.shard(), writer);
        if let Some(number) = newest {
            let path = layout.manifest(number);
            let bytes = io.get(&path)?.unwrap_or_default();
            current = decode(path.as_ref(), &bytes)?;
            if current.number != number || current.shard != layout.shard() {
                let expected = format!("manifest {number} of shard {}", layout.shard());
                let got = format!("{} of {}", current.number, current.shard);
                return Err(StorageError::corrupt(path.to_string(), 0, expected, got));
            }
        }
        let is_uncertain = AtomicBool::new(false);
        Ok(Self { io, layout, writer, current: Mutex::new(current), is_uncertain })
    }

    /// The newest manifest.
    pub(crate) fn current(&self) -> Manifest {
        self.current.lock().clone()
    }

    /// False while a manifest newer than [`ManifestStore::current`] may exist: then what the
    /// current one does not name must not be deleted.
    pub(crate) fn is_certain(&self) -> bool {
        !self.is_uncertain.load(Ordering::Relaxed)
    }

    /// Publishes the manifest that follows by `edit`; on `Err` nothing has changed, except after
    /// [`StorageError::Fenced`], after which this process must not write any more.
    pub(crate) fn publish(&self, edit: &ManifestEdit) -> Result<Manifest, StorageError> {
        let mut current = self.current.lock();
        let next = current.next(edit, self.writer);
        invariants::check_step(&current, edit, &next)?;
        let document = Bytes::from(encode(&next)?);
        let path = self.layout.manifest(next.number);
        match self.io.create(&path, document.clone()) {
            Ok(true) => {}
            // Either another writer, or ours whose answer was lost: then it is what we wrote.
            Ok(false) if self.io.get(&path)?.as_ref() == Some(&document) => {}
            Ok(false) => return Err(StorageError::Fenced { number: next.number }),
            Err(error) => match self.io.get(&path) {
                // Ours, and only the answer was lost. In a directory it can be a name that is not on
                // the disk yet and that a power failure takes back: nothing may be built on that.
                Ok(Some(found)) if found == document && !self.io.is_local() => {}
                Ok(None) => return Err(error),
                _ => {
                    self.is_uncertain.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            },
        }
        self.is_uncertain.store(false, Ordering::Relaxed);
        *current = next.clone();
        drop(current);
        self.drop_old(next.number);
        Ok(next)
    }

    fn drop_old(&self, number: u64) {
        if let Some(old) = number.checked_sub(MANIFESTS_KEPT + 1).filter(|old| *old > 0) {
            let path = self.layout.manifest(old);
            if let Err(error) = self.io.delete(&path) {
                tracing::warn!(%error, "cannot delete an old manifest; it does no harm");
            }
        }
    }
}
