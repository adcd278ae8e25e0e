//! The objects of a block, opened when they are first needed.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use index::SegmentReader;
use object_store::path::Path as ObjectPath;

use crate::block::chunks::{Chunks, once};
use crate::block::head_ids::HeadIds;
use crate::block::meta::BlockMeta;
use crate::error::{StorageError, index_error};
use crate::layout::BlockPart;
use crate::object::bytes::{ObjectBytes, WholeObject};
use crate::object::io::ObjectIo;

/// The index of a block.
pub(crate) type BlockIndex = SegmentReader<WholeObject>;

/// So much of the ends of objects is read when a block is opened: footers, and the names that an index
/// begins with.
const END_BYTES: u64 = 16 << 10;

/// The parts of a block, opened when they are first needed.
#[derive(Debug)]
pub(super) struct LazyParts {
    /// Where they are.
    pub(super) place: Place,
    /// The parts, or their damage. A store that does not answer is asked again the next time.
    opened: OnceLock<Result<Parts, StorageError>>,
    /// The numbers that its series have in the index of the head.
    pub(super) head_ids: HeadIds,
    /// Series were selected from it: what a select needs of it was in memory once.
    pub(super) is_known: AtomicBool,
}

/// Where the parts of a block are.
#[derive(Debug)]
pub(super) enum Place {
    /// Objects of a store.
    Store { io: Arc<ObjectIo>, index: ObjectPath, chunks: ObjectPath },
    /// Files in a directory.
    Dir(PathBuf),
}

impl Place {
    /// True where the objects are files.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Store { io, .. } => io.is_local(),
            Self::Dir(_) => true,
        }
    }

    /// Opens the index's bytes.
    pub(super) fn index(&self) -> Result<ObjectBytes, StorageError> {
        match self {
            Self::Store { io, index, .. } => ObjectBytes::open(io, index.clone()),
            Self::Dir(dir) => ObjectBytes::open_file(&dir.join(BlockPart::Index.name())),
        }
    }

    /// Opens the chunks' bytes.
    pub(super) fn chunks(&self) -> Result<ObjectBytes, StorageError> {
        match self {
            Self::Store { io, chunks, .. } => ObjectBytes::open(io, chunks.clone()),
            Self::Dir(dir) => ObjectBytes::open_file(&dir.join(BlockPart::Chunks.name())),
        }
    }
}

impl LazyParts {
    /// The parts at `place`, none of them opened.
    pub(super) fn new(place: Place) -> Arc<Self> {
        let (opened, head_ids) = (OnceLock::new(), HeadIds::default());
        Arc::new(Self { place, opened, head_ids, is_known: AtomicBool::new(false) })
    }

    /// The parts of the block that `meta` describes.
    pub(super) fn get(&self, meta: &BlockMeta) -> Result<&Parts, StorageError> {
        once(&self.opened, || Parts::open(self.place.index()?, self.place.chunks()?, meta))
    }
}

/// The opened objects.
#[derive(Debug)]
pub(super) struct Parts {
    /// Labels and postings.
    pub(super) index: BlockIndex,
    /// How errors name it.
    pub(super) index_name: String,
    /// Samples.
    pub(super) chunks: Chunks,
    /// Somebody has begun to read what every select needs.
    pub(super) is_approached: AtomicBool,
}

impl Parts {
    fn open(
        index: ObjectBytes,
        chunks: ObjectBytes,
        meta: &BlockMeta,
    ) -> Result<Self, StorageError> {
        let name = index.name().to_owned();
        // All that is looked at now, and no more: there may be many blocks.
        index.approach(0, END_BYTES);
        index.approach_end(END_BYTES);
        chunks.approach_end(END_BYTES);
        check_length(&name, meta.index_bytes, index.length())?;
        let index =
            SegmentReader::open(index.into_whole()?).map_err(|error| index_error(&name, error))?;
        check_length(chunks.name(), meta.chunks_bytes, chunks.length())?;
        let chunks = Chunks::open(chunks)?;
        if index.len() as u64 != meta.series || u64::from(chunks.series()) != meta.series {
            let got = format!("{} and {}", index.len(), chunks.series());
            let expected = format!("{} series in index and chunks", meta.series);
            return Err(StorageError::corrupt(name, 0, expected, got));
        }
        let is_approached = AtomicBool::new(false);
        Ok(Self { index, index_name: name, chunks, is_approached })
    }
}

fn check_length(file: &str, expected: u64, got: u64) -> Result<(), StorageError> {
    if expected == got {
        return Ok(());
    }
    let place = expected.min(got);
    Err(StorageError::corrupt(file, place, format!("{expected} bytes"), format!("{got} bytes")))
}
