//! Parameters of the query API: from the URL and from a form body, read as Prometheus reads them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use axum::response::Response;
use model::TimeRange;

use super::reply::bad_data;
use crate::state::State;

/// Milliseconds of Go's smallest and largest `time.Time`, which client libraries send for "all".
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", i64::MIN / 1_000_000);
const MAX_TIME: (&str, i64) = ("292277025-08-18T07:12:54.999999999Z", i64::MAX / 1_000_000);

/// Names and values in the order of Go's `FormValue`: those of the body first, then those of the URL.
#[derive(Clone, Debug, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
    /// What Go's parser finds wrong with the form, the first mistake alone.
    problem: Option<String>,
}

impl FromRequest<Arc<State>> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Response> {
        let from_url = parse_form(request.uri().query().unwrap_or_default().as_bytes());
        let is_form = request.method() == Method::POST
            && request
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|text| text.starts_with("application/x-www-form-urlencoded"));
        let mut all = Self::default();
        let url_problem = form_problem(request.uri().query().unwrap_or_default().as_bytes());
        if is_form {
            let max = state.settings.body_bytes_max;
            let body = axum::body::to_bytes(request.into_body(), max)
                .await
                .map_err(|error| bad_data(&format!("cannot read the form: {error}")))?;
            all = Self { pairs: parse_form(&body), problem: form_problem(&body) };
        }
        all.pairs.extend(from_url);
        all.problem = all.problem.or(url_problem);
        Ok(all)
    }
}

/// Splits `a=b&c=d`, with `+` and percent escapes decoded.
pub fn parse_form(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// The first thing that Go's `url.ParseQuery` finds wrong.
fn form_problem(text: &[u8]) -> Option<String> {
    let wrong = |pair: &[u8]| {
        if pair.contains(&b';') {
            return Some("invalid semicolon separator in query".to_owned());
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        halves.find_map(bad_escape)
    };
    text.split(|byte| *byte == b'&').find_map(wrong)
}

fn bad_escape(text: &[u8]) -> Option<String> {
    let is_escape = |rest: &[u8]| rest.len() > 2 && rest[1..3].iter().all(u8::is_ascii_hexdigit);
    let places = memchr::memchr_iter(b'%', text);
    let rest = places.map(|at| &text[at..]).find(|rest| !is_escape(rest))?;
    let shown = String::from_utf8_lossy(&rest[..rest.len().min(3)]);
    Some(format!("invalid URL escape {}", lang::promql::quoted(&shown)))
}

impl Params {
    /// All names and values.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The first value of `name`; empty counts as missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// An instant in milliseconds that must be there.
    pub fn time(&self, name: &str) -> Result<i64, Response> {
        let text = self.get(name).unwrap_or_default();
        parse_time(text).map_err(|cause| invalid(name, &cause))
    }

    /// An instant in milliseconds.
    pub fn time_or(&self, name: &str, default_ms: i64) -> Result<i64, Response> {
        let time = self.optional_time(name).map_err(|text| invalid(name, &text))?;
        Ok(time.unwrap_or(default_ms))
    }

    /// An instant in milliseconds, where it is given; fails with a sentence.
    pub fn optional_time(&self, name: &str) -> Result<Option<i64>, String> {
        let time = self.get(name).map(parse_time).transpose();
        time.map_err(|cause| format!("invalid time value for '{name}': {cause}"))
    }

    /// 400 where the form cannot be read. Most endpoints of Prometheus take what can be read of it.
    pub fn well_formed(&self) -> Result<(), Response> {
        match &self.problem {
            None => Ok(()),
            Some(problem) => Err(bad_data(&format!("error parsing form values: {problem}"))),
        }
    }

    /// The range `start` to `end`, all of time where they are missing.
    pub fn range(&self) -> Result<TimeRange, Response> {
        let start_ms = self.time_or("start", i64::MIN / 1_000_000)?;
        let end_ms = self.time_or("end", i64::MAX / 1_000_000)?;
        Ok(TimeRange::new(start_ms, end_ms))
    }

    /// A duration in milliseconds.
    pub fn duration_ms(&self, name: &str) -> Result<Option<i64>, Response> {
        self.get(name)
            .map(|text| parse_duration(text).map_err(|cause| invalid(name, &cause)))
            .transpose()
    }

    /// The `timeout` parameter.
    pub fn timeout(&self) -> Result<Option<Duration>, Response> {
        let timeout = self.duration_ms("timeout")?;
        Ok(timeout.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs())))
    }

    /// The `limit` parameter; 0 = none.
    pub fn limit(&self) -> Result<usize, Response> {
        let Some(text) = self.get("limit") else {
            return Ok(0);
        };
        let number: i64 = text.parse().map_err(|_| {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let what = if is_number { "value out of range" } else { "invalid syntax" };
            invalid("limit", &format!("strconv.Atoi: parsing {text:?}: {what}"))
        })?;
        usize::try_from(number).map_err(|_| invalid("limit", "limit must be non-negative"))
    }
}

/// A bad parameter, in Prometheus's words.
pub fn invalid(name: &str, cause: &str) -> Response {
    bad_data(&format!("invalid parameter {name:?}: {cause}"))
}

/// Unix seconds with a fraction, or RFC 3339, in milliseconds.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        // Prometheus splits off the fraction and rounds it to milliseconds.
        let ms = seconds.trunc() * 1000.0 + (seconds.fract() * 1000.0).round();
        if ms.is_finite() {
            return Ok(ms as i64);
        }
    }
    if let Some((_, ms)) = [MIN_TIME, MAX_TIME].iter().find(|(special, _)| *special == text) {
        return Ok(*ms);
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Ok(instant.as_millisecond()),
        Err(_) => Err(format!("cannot parse {text:?} to a valid timestamp")),
    }
}

/// Float seconds or a Prometheus duration, in milliseconds.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        let nanos = seconds * 1e9;
        if !(i64::MIN as f64..=i64::MAX as f64).contains(&nanos) {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        return Ok((nanos / 1e6) as i64);
    }
    lang::promql::parse_duration(text)
        .map_err(|_| format!("cannot parse {text:?} to a valid duration"))
}

fn parse_float(text: &str) -> Option<f64> {
    // Rust reads the same decimal forms as Go; `infinity` and the like count as numbers in both.
    text.parse().ok()
}

/// Undoes the `U__` escaping of label names in paths; what is not such a name stays as it is.
pub fn unescape_label_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else {
        return name.to_owned();
    };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let rune = rest.split_once('_').filter(|(hex, _)| !hex.is_empty() && hex.len() <= 6);
        let decoded = rune.and_then(|(hex, after)| {
            let code = u32::from_str_radix(hex, 16).ok()?;
            Some((char::from_u32(code)?, after))
        });
        let Some((character, after)) = decoded else {
            return name.to_owned();
        };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Reads a whole body, or says which limit it passes.
pub async fn read_body(request: Request, max: usize) -> Result<Bytes, axum::Error> {
    axum::body::to_bytes(request.into_body(), max).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_read_as_prometheus_reads_them() {
        assert_eq!(parse_time("1645030246.277"), Ok(1_645_030_246_277));
        assert_eq!(parse_time("2015-07-01T20:10:51.781Z"), Ok(1_435_781_451_781));
        assert!(parse_time("x").unwrap_err().contains("valid timestamp"));
        assert!(parse_time(MIN_TIME.0).is_ok());
        assert_eq!(parse_duration("1m30s"), Ok(90_000));
        assert_eq!(parse_duration("0.5"), Ok(500));
        assert!(parse_duration("30s1m").is_err());
        assert!(parse_duration("1e30").unwrap_err().contains("overflows"));
        assert!(parse_duration("").is_err());
        assert!(parse_duration("300y").is_err());
    }

    #[test]
    fn the_first_mistake_of_a_form_is_told() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(form_problem(text.as_bytes()).as_deref(), expected, "{text}");
        };
        check("a=%20&b[]=c", None);
        check("a=1&b=%zz&c=%", Some("invalid URL escape \"%zz\""));
        check("a=%4", Some("invalid URL escape \"%4\""));
        check("a=1;b=%zz", Some("invalid semicolon separator in query"));
    }

    #[test]
    fn escaped_names_come_back() {
        assert_eq!(unescape_label_name("U__http_2e_status:code"), "http.status:code");
        assert_eq!(unescape_label_name("U__a__b"), "a_b");
        assert_eq!(unescape_label_name("U__bad_zz_"), "U__bad_zz_");
        assert_eq!(unescape_label_name("plain"), "plain");
    }
}
