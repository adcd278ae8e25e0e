//! The one table from [`ErrorKind`] × API to status code. Nobody else chooses a status.

use axum::http::StatusCode;
use base::error::ErrorKind;

/// The APIs whose errors look different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Prometheus's query API: JSON envelope with an `errorType`.
    PrometheusQuery,
    /// Remote write: plain text.
    PrometheusWrite,
    /// OpenTSDB: `{"error":{…}}`.
    OpenTsdb,
    /// Graphite: plain text.
    Graphite,
}

/// Status of an error of this kind in this API.
pub fn status(api: Api, kind: ErrorKind) -> StatusCode {
    use ErrorKind as Kind;
    match (api, kind) {
        // The engine ran and failed on the data: Prometheus calls that 422.
        (Api::PrometheusQuery, Kind::TooLarge | Kind::Conflict) => StatusCode::UNPROCESSABLE_ENTITY,
        (Api::PrometheusQuery, Kind::Canceled) => client_closed_request(),
        (Api::OpenTsdb, Kind::TooLarge | Kind::Timeout) => StatusCode::PAYLOAD_TOO_LARGE,
        (Api::PrometheusWrite, Kind::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        (_, Kind::Invalid | Kind::Conflict | Kind::TooLarge) => StatusCode::BAD_REQUEST,
        (_, Kind::NotFound) => StatusCode::NOT_FOUND,
        (_, Kind::Unavailable | Kind::Timeout) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Kind::Throttled) => StatusCode::TOO_MANY_REQUESTS,
        (_, Kind::Canceled) => client_closed_request(),
        (_, Kind::Corrupt | Kind::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Prometheus's `errorType` of an error of this kind that the engine met.
pub fn prometheus_error_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "bad_data",
        ErrorKind::TooLarge | ErrorKind::Conflict => "execution",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Canceled => "canceled",
        ErrorKind::Unavailable | ErrorKind::Throttled => "unavailable",
        ErrorKind::Corrupt | ErrorKind::Internal => "internal",
    }
}

/// nginx's 499, which Prometheus answers to a client that has gone.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
