//! Every named upper bound of the project, with the reason for its value.
//!
//! Bounds that a user may change are defaults here and keys in the configuration.

/// Labels of one series. Prometheus has no limit; 64 is twice what Kubernetes scrapes produce.
pub const LABELS_PER_SERIES_MAX: usize = 64;
/// Bytes of a label name.
pub const LABEL_NAME_BYTES_MAX: usize = 1024;
/// Bytes of a label value, a metric name included.
pub const LABEL_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of all labels of one series in packed form; fits the `u16` length of the hot paths twice.
pub const SERIES_KEY_BYTES_MAX: usize = 64 * 1024;

/// Compressed bytes of one HTTP request body.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Decompressed bytes of one remote-write body, Prometheus's own bound.
pub const REMOTE_WRITE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Samples of one request. Prometheus sends 2,000, agents up to 10,000; a back-fill may send more.
pub const SAMPLES_PER_REQUEST_MAX: usize = 4_000_000;
/// Buffers of a kind that are kept for the next requests: about as many as are decoded at once.
pub const SPARE_BUFFERS_MAX: usize = 8;
/// Bytes of one of them; larger ones are rare.
pub const SPARE_BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one Graphite line without its end; carbon's own bound.
pub const GRAPHITE_LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one pickle frame where the configuration says nothing else; carbon's own bound.
pub const PICKLE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one pickle frame that the configuration may allow; go-carbon's bound.
pub const PICKLE_BYTES_LARGEST: usize = 64 * 1024 * 1024;
/// Bytes of one OpenTSDB telnet line. The original allows 1024, which senders outgrew.
pub const TELNET_LINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a query's text in any language.
pub const QUERY_BYTES_MAX: usize = 256 * 1024;
/// Nesting of a query's text; keeps every recursive walk inside a small stack.
pub const QUERY_DEPTH_MAX: usize = 200;
/// Height of the tree of a PromQL expression, of which chains of operators take one level a term. Tall
/// trees are walked on a stack of their own.
pub const QUERY_HEIGHT_MAX: usize = 2_000;
/// Nesting of the braces of a Graphite glob, which is read recursively; editors write one level.
pub const GLOB_NESTING_MAX: usize = 32;
/// Steps of a range query, Prometheus's own bound.
pub const QUERY_STEPS_MAX: usize = 11_000;
/// Compiled size of one regular expression.
pub const REGEX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Payload of one log record.
pub const WAL_RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Samples of one chunk; the format's count is a `u16`.
pub const CHUNK_SAMPLES_MAX: usize = 4096;

const _: () = assert!(LABEL_VALUE_BYTES_MAX < SERIES_KEY_BYTES_MAX);
const _: () = assert!(CHUNK_SAMPLES_MAX <= u16::MAX as usize);
const _: () = assert!(REMOTE_WRITE_BYTES_MAX < WAL_RECORD_BYTES_MAX);
