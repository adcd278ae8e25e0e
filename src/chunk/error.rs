//! What can be wrong with a blob.

use base::error::{Classify, ErrorKind};

/// Why a blob cannot be decoded. The caller adds the file and the offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The blob ends before what its header promises.
    #[error("chunk is truncated")]
    Truncated,
    /// A field contradicts the format or another field.
    #[error("chunk is malformed: {what}")]
    Malformed {
        /// The field and the rule it breaks.
        what: &'static str,
    },
    /// Bytes follow the end of the column.
    #[error("chunk is too long: {extra} bytes follow its end")]
    TooLong {
        /// How many.
        extra: usize,
    },
    /// The codec number belongs to a later version, or to the other sort of blob.
    #[error("cannot decode chunk with codec {codec}")]
    UnknownCodec {
        /// The number found.
        codec: u8,
    },
    /// The number behind the header of an extended blob belongs to a later version.
    #[error("cannot decode chunk with extended codec {codec}")]
    UnknownExtension {
        /// The number found.
        codec: u8,
    },
}

impl Classify for ChunkError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}
