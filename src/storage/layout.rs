//! Every file and object name of the store; nothing else formats or parses one.
//!
//! ```text
//! <data_dir>/lock                                         held by the one process that writes here
//! <data_dir>/wal/s00000/<file:020>.wal                    the write-ahead log
//! <data_dir>/wal/s00000/<file:020>.series                 series known before that log file
//! <data_dir>/documents/<number:020>.documents             small records beside the samples
//! <data_dir>/damaged/<number>/                            originals of what a repair has changed
//! <data_dir>/snapshots/<time>-<random>/                   copies: each a data directory by itself
//! <data_dir>/objects/                                     root of the object store:
//!   manifest/s00000/<number:020>.json
//!   blocks/t0000000000/s00000/<block id>/{meta.json,index,chunks}
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use model::TenantId;
use object_store::path::Path as ObjectPath;

/// Names below one data directory, for one shard.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    shard: u16,
}

/// The id of a block: 48 bits of milliseconds, 80 random ones, shown as 26 characters (a ULID).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlockId(pub u128);

/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl BlockId {
    /// An id that sorts by `now_ms` and differs from all others by `random`.
    pub(crate) fn new(now_ms: i64, random: u128) -> Self {
        let time = (now_ms.max(0) as u128) & ((1 << 48) - 1);
        Self((time << 80) | (random & ((1 << 80) - 1)))
    }

    /// When the block was begun, in milliseconds.
    pub(crate) fn time_ms(self) -> i64 {
        (self.0 >> 80) as i64
    }

    /// Reads what `Display` writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != 26 {
            return None;
        }
        text.bytes()
            .try_fold(0u128, |id, byte| {
                let digit = ALPHABET.iter().position(|known| *known == byte)? as u128;
                id.checked_mul(32)?.checked_add(digit)
            })
            .map(Self)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for digit in (0..26).rev() {
            let index = (self.0 >> (5 * digit)) as usize & 31;
            write!(f, "{}", char::from(ALPHABET[index]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The objects of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockPart {
    /// What the block is.
    Meta,
    /// Labels and postings.
    Index,
    /// Samples.
    Chunks,
}

impl BlockPart {
    /// The object's name inside the block.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta.json",
            Self::Index => "index",
            Self::Chunks => "chunks",
        }
    }
}

/// What a name in the log directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalName {
    /// A log file.
    Log(u64),
    /// The series known before the log file of that number.
    Series(u64),
}

impl Layout {
    /// Names below `root` for `shard`.
    pub(crate) fn new(root: &Path, shard: u16) -> Self {
        Self { root: root.to_owned(), shard }
    }

    /// The shard that these names are for.
    pub(crate) fn shard(&self) -> u16 {
        self.shard
    }

    /// The lock of the data directory.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The directory of the shard's log.
    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.root.join("wal").join(format!("s{:05}", self.shard))
    }

    /// A log file.
    pub(crate) fn wal_file(&self, file: u64) -> PathBuf {
        self.wal_dir().join(format!("{file:020}.wal"))
    }

    /// The series that were known before log file `file`.
    pub(crate) fn wal_series(&self, file: u64) -> PathBuf {
        self.wal_dir().join(format!("{file:020}.series"))
    }

    /// The directory of the documents.
    pub(crate) fn documents_dir(&self) -> PathBuf {
        self.root.join("documents")
    }

    /// A file of documents.
    pub(crate) fn documents_file(&self, number: u64) -> PathBuf {
        self.documents_dir().join(format!("{number:020}.documents"))
    }

    /// The number of a file of documents.
    pub(crate) fn parse_documents(name: &str) -> Option<u64> {
        name.strip_suffix(".documents")?.parse().ok()
    }

    /// The directory of what repairs have taken out.
    pub(crate) fn damaged_dir(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// The directory of the copies that were taken on request.
    pub(crate) fn snapshots_dir(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// The directory under which a local object store keeps its objects.
    pub(crate) fn object_root(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The file of an object, where objects are files.
    pub(crate) fn object_file(&self, path: &ObjectPath) -> PathBuf {
        path.as_ref().split('/').fold(self.object_root(), |file, part| file.join(part))
    }

    /// The prefix of the shard's manifests.
    pub(crate) fn manifest_dir(&self) -> ObjectPath {
        ObjectPath::from(format!("manifest/s{:05}", self.shard))
    }

    /// A manifest.
    pub(crate) fn manifest(&self, number: u64) -> ObjectPath {
        ObjectPath::from(format!("manifest/s{:05}/{number:020}.json", self.shard))
    }

    /// The prefix of all blocks of all tenants.
    pub(crate) fn blocks_dir(&self) -> ObjectPath {
        ObjectPath::from("blocks")
    }

    /// One object of a block.
    pub(crate) fn block_part(&self, tenant: TenantId, id: BlockId, part: BlockPart) -> ObjectPath {
        let dir = format!("blocks/t{:010}/s{:05}/{id}", tenant.0, self.shard);
        ObjectPath::from(format!("{dir}/{}", part.name()))
    }

    /// The block that `path` is a part of, when it is one of this shard.
    pub(crate) fn parse_block(&self, path: &ObjectPath) -> Option<(TenantId, BlockId)> {
        let mut parts = path.as_ref().split('/');
        let ("blocks", tenant, shard, id) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        let shard: u16 = shard.strip_prefix('s')?.parse().ok()?;
        let tenant: u32 = tenant.strip_prefix('t')?.parse().ok()?;
        (shard == self.shard).then_some((TenantId(tenant), BlockId::parse(id)?))
    }

    /// The number of the manifest with this name in [`Layout::manifest_dir`].
    pub(crate) fn parse_manifest(name: &str) -> Option<u64> {
        name.strip_suffix(".json")?.parse().ok()
    }

    /// True for the name under which a local object store keeps a manifest until it is complete: its own with
    /// `#` and a number behind.
    pub(crate) fn is_staged_manifest(name: &str) -> bool {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        name.split_once(".json#").is_some_and(|(manifest, attempt)| {
            manifest.len() == 20 && is_number(manifest) && is_number(attempt)
        })
    }

    /// What `name` in the log directory stands for.
    pub(crate) fn parse_wal(name: &str) -> Option<WalName> {
        let (number, kind) = name.split_once('.')?;
        let number = number.parse().ok()?;
        match kind {
            "wal" => Some(WalName::Log(number)),
            "series" => Some(WalName::Series(number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let layout = Layout::new(Path::new("/d"), 3);
        let id = BlockId::new(1_700_000_000_000, u128::MAX);
        assert_eq!(BlockId::parse(&id.to_string()), Some(id));
        assert_eq!(BlockId::parse("short"), None);
        let part = layout.block_part(TenantId(7), id, BlockPart::Index);
        assert_eq!(layout.parse_block(&part), Some((TenantId(7), id)));
        assert_eq!(Layout::new(Path::new("/d"), 4).parse_block(&part), None);
        let manifest = layout.manifest(9).filename().unwrap().to_owned();
        assert_eq!(Layout::parse_manifest(&manifest), Some(9));
        assert!(Layout::is_staged_manifest(&format!("{manifest}#1")));
        for name in [&manifest, "9.json#1", &format!("{manifest}#"), &format!("{manifest}#1#2")] {
            assert!(!Layout::is_staged_manifest(name), "{name}");
        }
        let name = layout.wal_file(5);
        let name = name.file_name().unwrap().to_str().unwrap();
        assert_eq!(Layout::parse_wal(name), Some(WalName::Log(5)));
        assert_eq!(Layout::parse_wal("5.series.tmp"), None);
    }
}
