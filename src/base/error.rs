//! What the caller of a failed operation should do.
//!
//! Each crate has one precise error enum; every variant of it has one [`ErrorKind`]. The edge
//! (`server/error_map.rs`) looks at the kind alone, so no other place chooses a status code.

/// The coarse classes of failure, named for what the caller can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong and will be wrong again: the caller must change it.
    Invalid,
    /// A named limit was passed: the caller must ask for less.
    TooLarge,
    /// What was asked for does not exist.
    NotFound,
    /// The request contradicts what is stored.
    Conflict,
    /// Not now; the same request may succeed later.
    Unavailable,
    /// Not now, because the caller itself has asked for so much that is not answered yet.
    Throttled,
    /// The caller's deadline passed before the answer was ready.
    Timeout,
    /// The caller went away or withdrew the request.
    Canceled,
    /// Stored bytes are damaged; the error names the file and the offset.
    Corrupt,
    /// A mistake of this program.
    Internal,
}

/// An error that knows its [`ErrorKind`].
pub trait Classify {
    /// The class that decides what the caller sees.
    fn kind(&self) -> ErrorKind;
}
