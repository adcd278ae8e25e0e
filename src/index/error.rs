//! The one error enum of the crate.
//!
//! Damage is always named by section, expectation and finding; the caller knows which file the
//! bytes came from and adds it.

use base::error::{Classify, ErrorKind};
use model::label::LabelError;
use model::matcher::PatternError;

/// Why the index cannot answer or cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A section's bytes are not the ones that were written.
    #[error("checksum of section {section} is 0x{got:08x}, expected 0x{expected:08x}")]
    Checksum {
        /// The section's name.
        section: &'static str,
        /// What the footer says.
        expected: u32,
        /// What the bytes have.
        got: u32,
    },
    /// Bytes do not have the shape of the format.
    #[error("section {section} is malformed at byte {offset}: {reason}")]
    Malformed {
        /// The section's name.
        section: &'static str,
        /// Bytes from the start of the section, or from the end for the footer.
        offset: usize,
        /// What was expected.
        reason: &'static str,
    },
    /// A newer program wrote the segment.
    #[error("segment has version {got}, this program reads up to {max}")]
    Version {
        /// The version found.
        got: u32,
        /// The newest version known.
        max: u32,
    },
    /// A series was pushed out of label order, or twice.
    #[error("series {series} is not behind the series before it in label order")]
    Order {
        /// The number the series would have got.
        series: u32,
    },
    /// A label set cannot name a series.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// A pattern cannot be run over the index.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A section would not fit its 32-bit offsets.
    #[error("section {section} has {got} bytes, at most {max} are allowed")]
    TooLarge {
        /// The section's name.
        section: &'static str,
        /// Bytes or entries needed.
        got: usize,
        /// Bytes or entries allowed.
        max: usize,
    },
}

impl IndexError {
    pub(crate) fn malformed(section: &'static str, offset: usize, reason: &'static str) -> Self {
        Self::Malformed { section, offset, reason }
    }
}

impl Classify for IndexError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Checksum { .. } | Self::Malformed { .. } | Self::Version { .. } => {
                ErrorKind::Corrupt
            }
            Self::Order { .. } => ErrorKind::Internal,
            Self::Labels(_) | Self::Pattern(_) => ErrorKind::Invalid,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
        }
    }
}
