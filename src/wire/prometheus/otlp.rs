//! OpenTelemetry's metrics, as Prometheus 3.14's OTLP receiver takes them.
//!
//! `message`: what a request holds, borrowed from its bytes. `protobuf`, `json`: the two encodings.
//! `delta`: differences become totals. `translate`: a request becomes rows of a batch, with `names`,
//! `labels`, `value` and `buckets` for the parts.
//!
//! The rules are those of `storage/remote/otlptranslator` of Prometheus 3.14 and of the libraries
//! that it uses (otlptranslator 1.0, pdata 1.63, deltatocumulativeprocessor 0.157).

pub mod buckets;
pub mod delta;
pub mod json;
pub mod labels;
pub mod message;
pub mod names;
pub mod protobuf;
pub mod translate;
pub mod value;

pub use delta::Totals;
pub use message::Request;
pub use translate::{OtlpSettings, Translated, translate};

/// A body that is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// Not protobuf, or cut off.
    #[error(transparent)]
    Protobuf(#[from] super::protobuf::BadMessage),
    /// A text that is not UTF-8.
    #[error("cannot decode the message: {what} is not valid UTF-8")]
    Utf8 {
        /// Which text.
        what: &'static str,
    },
    /// A trace or span with an identifier of the wrong length.
    #[error("cannot decode the message: {what} of {got} bytes, expected {expected}")]
    Id {
        /// Trace or span.
        what: &'static str,
        /// Its bytes.
        got: usize,
        /// The bytes that it has.
        expected: usize,
    },
    /// A value inside values inside values.
    #[error("cannot decode the message: attribute values are nested deeper than {max}")]
    Depth {
        /// How deep they may be.
        max: usize,
    },
    /// Not the JSON of a request.
    #[error("cannot decode the message: {0}")]
    Json(String),
}
