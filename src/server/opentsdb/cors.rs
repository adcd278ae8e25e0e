//! Which pages of other origins may use the API.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::reply::Refusal;
use super::settings::OpenTsdbSettings;

/// What becomes of a request.
pub(super) enum Verdict {
    /// No page of another origin asks, or nobody has set which may.
    NoConcern,
    /// It may; the answer says so.
    Allowed(HeaderMap),
    /// It may not.
    Refused(Refusal),
}

/// Looks at a request's origin, which is compared as a whole and without regard to case.
pub(super) fn check(settings: &OpenTsdbSettings, request: &Request) -> Verdict {
    let origin = request.headers().get(header::ORIGIN).filter(|origin| !origin.is_empty());
    let Some(origin) = origin.filter(|_| !settings.cors_domains.is_empty()) else {
        return Verdict::NoConcern;
    };
    let text = String::from_utf8_lossy(origin.as_bytes());
    let mut listed = settings.cors_domains.split(',').map(str::trim);
    if !listed.any(|domain| domain == "*" || domain.eq_ignore_ascii_case(&text)) {
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "CORS domain not allowed");
        let details = format!("The domain [{text}] is not permitted access");
        return Verdict::Refused(refusal.with(details));
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let methods = HeaderValue::from_static("GET, POST, PUT, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Ok(allowed) = HeaderValue::from_str(&settings.cors_headers) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    Verdict::Allowed(headers)
}
