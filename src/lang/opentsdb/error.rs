//! Why a request is refused, in the words that clients of the original compare.

use base::error::{Classify, ErrorKind};

/// A request that gets no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OpenTsdbError {
    /// What is wrong.
    pub message: String,
    /// More about it, where the original says more.
    pub details: Option<String>,
    /// How the original takes it.
    pub fault: Fault,
}

/// How the original takes a bad request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// As the client's mistake.
    Request,
    /// As a mistake of its own: nobody mapped the exception, and clients see a 500.
    Unmapped,
    /// As asking for too much.
    TooLarge,
}

impl OpenTsdbError {
    /// The client's mistake.
    pub fn bad(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: None, fault: Fault::Request }
    }

    /// The client's mistake, found while the request as a whole was checked.
    pub fn invalid(message: impl Into<String>) -> Self {
        let message = message.into();
        // The original dumps the query here; the message is of more use.
        Self { details: Some(message.clone()), message, fault: Fault::Request }
    }

    /// A body that is no request.
    pub fn json(details: impl Into<String>) -> Self {
        let message = "Unable to parse the given JSON".to_owned();
        Self { message, details: Some(details.into()), fault: Fault::Request }
    }

    /// A mistake that the original answers with 500.
    pub fn unmapped(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: None, fault: Fault::Unmapped }
    }

    /// A request whose answer would pass a limit.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: None, fault: Fault::TooLarge }
    }
}

impl Classify for OpenTsdbError {
    fn kind(&self) -> ErrorKind {
        match self.fault {
            Fault::Request => ErrorKind::Invalid,
            Fault::Unmapped => ErrorKind::Internal,
            Fault::TooLarge => ErrorKind::TooLarge,
        }
    }
}
