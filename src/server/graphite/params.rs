//! Parameters as the original reads them: those of the URL, then those of a form body; of repeated
//! single ones the last counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use axum::response::Response;
use jiff::tz::TimeZone;
use lang::graphite::time::{parse_time, zone};

use super::reply::invalid;
use crate::state::State;

/// Names and values in order, and what the headers say about the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    /// The client takes UTF-8, not only escapes.
    pub(super) takes_utf8: bool,
}

impl FromRequest<Arc<State>> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Response> {
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let takes_utf8 = accept.is_some_and(|accept| accept != "application/json");
        let mut pairs = parse(request.uri().query().unwrap_or_default().as_bytes());
        if request.method() == Method::POST {
            let max = state.settings.body_bytes_max;
            let body = axum::body::to_bytes(request.into_body(), max)
                .await
                .map_err(|error| invalid(&format!("cannot read the form: {error}")))?;
            pairs.extend(parse(&body));
        }
        Ok(Self { pairs, takes_utf8 })
    }
}

fn parse(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

impl Params {
    /// Parameters that are at hand already.
    pub(super) fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self { pairs, takes_utf8: true }
    }

    /// The last value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name`, or of `name[]` where there is none.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let of = |wanted: &str| -> Vec<&str> {
            let found = self.pairs.iter().filter(|(key, _)| key == wanted);
            found.map(|(_, value)| value.as_str()).collect()
        };
        let plain = of(name);
        if plain.is_empty() { of(&format!("{name}[]")) } else { plain }
    }

    /// A whole number, if given.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Response> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.trim().parse();
        number
            .map(Some)
            .map_err(|_| invalid(&format!("Invalid int value {text:?} for param {name}")))
    }

    /// A flag written as a number.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Response> {
        Ok(self.integer(name)?.unwrap_or(0) != 0)
    }

    /// Values of templates: `template[name]=value`.
    pub(super) fn templates(&self) -> BTreeMap<String, String> {
        let inside = |key: &str| {
            key.strip_prefix("template[").and_then(|rest| rest.strip_suffix(']')).map(str::to_owned)
        };
        let named =
            self.pairs.iter().filter_map(|(key, value)| Some((inside(key)?, value.clone())));
        named.collect()
    }

    /// The request's zone; an unknown one counts as the server's.
    pub(super) fn zone(&self) -> TimeZone {
        zone(self.get("tz"), &TimeZone::UTC)
    }

    /// The request's time in seconds: `now`, or the clock.
    pub(super) fn now_s(&self, clock_ms: i64) -> Result<i64, Response> {
        let now_s = clock_ms.div_euclid(1000);
        match self.get("now") {
            Some(text) => self.time_of(text, now_s),
            None => Ok(now_s),
        }
    }

    /// A time in seconds, if given.
    pub(super) fn time(&self, name: &str, now_s: i64) -> Result<Option<i64>, Response> {
        self.get(name).map(|text| self.time_of(text, now_s)).transpose()
    }

    fn time_of(&self, text: &str, now_s: i64) -> Result<i64, Response> {
        parse_time(text, now_s, &self.zone()).map_err(|error| invalid(&error.to_string()))
    }
}
