//! The bytes of one stored object: mapped where the store is a local directory, fetched in ranges
//! where it is not.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use ::bytes::Bytes;
use object_store::path::Path as ObjectPath;

use crate::error::StorageError;
use crate::object::io::ObjectIo;
use crate::wal::file::{FileBytes, map_file};

/// One object, readable at any place.
#[derive(Debug)]
pub(crate) struct ObjectBytes {
    path: ObjectPath,
    /// The file, where the object is one; else the object's name.
    name: String,
    length: u64,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Mapped(FileBytes),
    Remote(Arc<ObjectIo>),
}

/// A range of an object's bytes.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// Mapped: nothing was copied.
    Borrowed(&'a [u8]),
    /// Fetched.
    Owned(Bytes),
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl ObjectBytes {
    /// Opens an object.
    pub(crate) fn open(io: &Arc<ObjectIo>, path: ObjectPath) -> Result<Self, StorageError> {
        if let Some(file) = io.local_file(&path) {
            return Self::map(path, &file);
        }
        let length = io.length(&path)?.ok_or_else(|| StorageError::Store {
            action: "open",
            path: path.to_string(),
            reason: "there is no such object".to_owned(),
        })?;
        let name = path.to_string();
        Ok(Self { path, name, length, data: Data::Remote(io.clone()) })
    }

    /// Opens a file that is in no store.
    pub(crate) fn open_file(file: &Path) -> Result<Self, StorageError> {
        Self::map(ObjectPath::default(), file)
    }

    fn map(path: ObjectPath, file: &Path) -> Result<Self, StorageError> {
        let map = map_file(file).map_err(|error| StorageError::io("open", file, &error))?;
        let (length, data) = (map.len() as u64, Data::Mapped(map));
        Ok(Self { path, name: file.display().to_string(), length, data })
    }

    /// The object's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the object.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes `start..start + length`; damage when the object ends before.
    pub(crate) fn read(&self, start: u64, length: u64) -> Result<Piece<'_>, StorageError> {
        let end = start.checked_add(length).filter(|end| *end <= self.length).ok_or_else(|| {
            let expected = format!("{length} bytes at {start}");
            StorageError::corrupt(
                self.name(),
                start.min(self.length),
                expected,
                format!("an object of {} bytes", self.length),
            )
        })?;
        match &self.data {
            Data::Mapped(map) => Ok(Piece::Borrowed(&map[start as usize..end as usize])),
            Data::Remote(_) if length == 0 => Ok(Piece::Borrowed(&[])),
            Data::Remote(io) => io.get_range(&self.path, start, end).map(Piece::Owned),
        }
    }

    /// True where its bytes are mapped.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.data, Data::Mapped(_))
    }

    /// Begins to read `start..end`, where the object is mapped, and does not wait.
    pub(crate) fn approach(&self, start: u64, end: u64) {
        if let Data::Mapped(map) = &self.data {
            map.approach(start as usize, end.min(self.length) as usize);
        }
    }

    /// The same with its last `length` bytes.
    pub(crate) fn approach_end(&self, length: u64) {
        self.approach(self.length.saturating_sub(length), self.length);
    }

    /// All of it, for readers that want one slice.
    pub(crate) fn into_whole(self) -> Result<WholeObject, StorageError> {
        match self.data {
            Data::Mapped(map) => Ok(WholeObject::Mapped(map)),
            Data::Remote(io) => io.get_range(&self.path, 0, self.length).map(WholeObject::Fetched),
        }
    }
}

/// A whole object as one slice.
#[derive(Debug)]
pub(crate) enum WholeObject {
    /// Mapped.
    Mapped(FileBytes),
    /// Fetched.
    Fetched(Bytes),
}

impl WholeObject {
    /// Begins to read all of it, where it is mapped, and does not wait.
    pub(crate) fn approach(&self) {
        if let Self::Mapped(map) = self {
            map.approach(0, map.len());
        }
    }
}

impl AsRef<[u8]> for WholeObject {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Fetched(bytes) => bytes,
        }
    }
}
