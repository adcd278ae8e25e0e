//! A request as it is spelled: in the parameters of a URL, or as JSON.

use base::limits::QUERY_BYTES_MAX;
use serde_json::{Map, Value};

use super::error::OpenTsdbError;
use super::filter::Filter;
use super::metric::parse_m;

/// A request before it is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Start, as text.
    pub start: Option<String>,
    /// End, as text; now where there is none.
    pub end: Option<String>,
    /// Name of the zone of absolute dates and of the calendar.
    pub timezone: Option<String>,
    /// All intervals follow the calendar.
    pub use_calendar: bool,
    /// What the answer looks like.
    pub flags: Flags,
    /// The sub-queries, in order.
    pub queries: Vec<SubQuery>,
    /// The request wants its data deleted.
    pub delete: bool,
}

/// What the answer looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Times in milliseconds.
    pub milliseconds: bool,
    /// Points as arrays.
    pub arrays: bool,
    /// Numeric names of the series behind each result.
    pub show_tsuids: bool,
    /// The sub-query beside each result.
    pub show_query: bool,
    /// Figures beside each result.
    pub show_stats: bool,
    /// Figures of the whole request.
    pub show_summary: bool,
    /// No annotations.
    pub no_annotations: bool,
    /// Global annotations as well.
    pub global_annotations: bool,
}

/// A sub-query before it is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubQuery {
    /// Name of the aggregator.
    pub aggregator: Option<String>,
    /// The metric.
    pub metric: Option<String>,
    /// Numeric names of series, in place of a metric.
    pub tsuids: Vec<String>,
    /// Filters of tag values.
    pub filters: Vec<Filter>,
    /// `interval-function[-fill]`.
    pub downsample: Option<String>,
    /// Rates instead of values.
    pub rate: bool,
    /// How rates are computed.
    pub rate_options: Option<RateOptions>,
    /// Only series with the filters' keys and no other.
    pub explicit_tags: bool,
    /// Pre-aggregated data are wanted.
    pub pre_aggregate: bool,
    /// How rollups are to be used.
    pub rollup_usage: Option<String>,
    /// Percentiles of histograms that are wanted.
    pub percentiles: Option<Vec<f64>>,
    /// The buckets of histograms are wanted.
    pub show_buckets: bool,
}

impl SubQuery {
    /// Histograms are asked for, and not numbers.
    pub fn is_histogram(&self) -> bool {
        self.show_buckets || self.percentiles.is_some()
    }
}

/// How rates are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateOptions {
    /// A fall is the counter's turn-over.
    pub counter: bool,
    /// The counter's largest value.
    pub counter_max: i64,
    /// Rates above this, at a turn-over, are resets; 0 = none are.
    pub reset_value: i64,
    /// A fall gives no rate.
    pub drop_resets: bool,
}

impl Default for RateOptions {
    fn default() -> Self {
        Self { counter: false, counter_max: i64::MAX, reset_value: 0, drop_resets: false }
    }
}

impl Request {
    /// Reads the parameters of a URL, names and values in order.
    pub fn from_params(params: &[(String, String)]) -> Result<Self, OpenTsdbError> {
        let all = |name: &'static str| {
            params.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        if start_of(params).is_none() {
            return Err(missing("start"));
        }
        let mut queries: Vec<SubQuery> = Vec::new();
        for query in all("tsuid").map(parse_tsuid).chain(all("m").map(parse_m)) {
            let query = query?;
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
        if queries.is_empty() {
            return Err(OpenTsdbError::bad("Missing sub queries"));
        }
        Self::around(params, queries)
    }

    /// The request of a URL around sub-queries that stand elsewhere in it.
    pub fn around(
        params: &[(String, String)],
        queries: Vec<SubQuery>,
    ) -> Result<Self, OpenTsdbError> {
        let first = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let given = |name: &str| first(name).is_some();
        let start = Some(start_of(params).ok_or_else(|| missing("start"))?.to_owned());
        let flags = Flags {
            milliseconds: given("ms"),
            arrays: given("arrays"),
            show_tsuids: given("show_tsuids"),
            show_query: given("show_query"),
            show_stats: given("show_stats"),
            show_summary: given("show_summary"),
            no_annotations: given("no_annotations"),
            global_annotations: given("global_annotations"),
        };
        let delete =
            first("method_override").is_some_and(|text| text.eq_ignore_ascii_case("delete"));
        let end = first("end").cloned();
        Ok(Self { start, end, flags, queries, delete, ..Self::default() })
    }

    /// Reads a body. `arrays` stands in the URL even then.
    pub fn from_json(body: &[u8], arrays: bool) -> Result<Self, OpenTsdbError> {
        if body.is_empty() {
            return Err(missing_content());
        }
        if body.len() > QUERY_BYTES_MAX {
            let message = format!("query of {} bytes is too large", body.len());
            return Err(OpenTsdbError::too_large(message));
        }
        let object = first_object(body)?;
        let object = Fields(&object);
        let Some(Value::Array(items)) = object.get("queries") else {
            return Err(match object.get("queries") {
                // A null dereference of the original's, in its words.
                None => OpenTsdbError::unmapped("An internal null pointer exception was thrown"),
                Some(_) => OpenTsdbError::json("queries: expected an array"),
            });
        };
        let mut queries = Vec::new();
        for item in items {
            let query = match item {
                Value::Object(fields) => sub_query(Fields(fields))?,
                _ => return Err(OpenTsdbError::json("queries: expected objects")),
            };
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
        Ok(Self {
            start: object.text("start")?,
            end: object.text("end")?,
            timezone: object.text("timezone")?,
            use_calendar: object.flag("useCalendar")?,
            flags: Flags {
                milliseconds: object.flag("msResolution")?,
                arrays,
                show_tsuids: object.flag("showTSUIDs")?,
                show_query: object.flag("showQuery")?,
                show_stats: object.flag("showStats")?,
                show_summary: object.flag("showSummary")?,
                no_annotations: object.flag("noAnnotations")?,
                global_annotations: object.flag("globalAnnotations")?,
            },
            queries,
            delete: object.flag("delete")?,
        })
    }
}

fn start_of(params: &[(String, String)]) -> Option<&str> {
    let start = params.iter().find(|(key, _)| key == "start");
    start.map(|(_, value)| value.as_str()).filter(|text| !text.is_empty())
}

/// A required parameter is not there. The tags are part of the text.
pub fn missing(name: &str) -> OpenTsdbError {
    OpenTsdbError::bad(format!("Missing parameter <code>{name}</code>"))
}

/// A required body is not there.
pub fn missing_content() -> OpenTsdbError {
    let details = "Supply valid JSON formatted data in the body of your request";
    OpenTsdbError {
        details: Some(details.to_owned()),
        ..OpenTsdbError::bad("Missing message content")
    }
}

/// The object at the front of `body`; what follows it is ignored, as the original does.
pub fn first_object(body: &[u8]) -> Result<Map<String, Value>, OpenTsdbError> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    match values.next() {
        Some(Ok(Value::Object(object))) => Ok(object),
        Some(Ok(_)) => Err(OpenTsdbError::json("expected an object")),
        Some(Err(error)) => Err(OpenTsdbError::json(error.to_string())),
        None => Err(OpenTsdbError::json("no content")),
    }
}

fn parse_tsuid(text: &str) -> Result<SubQuery, OpenTsdbError> {
    let mut query = parse_m(text).map_err(|error| OpenTsdbError {
        message: error.message.replace("m=", "tsuid="),
        ..error
    })?;
    let ids = query.metric.take().unwrap_or_default();
    query.tsuids = ids.split(',').map(str::to_uppercase).collect();
    Ok(query)
}

/// The members of an object, read as leniently as the original reads them.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Result<Option<String>, OpenTsdbError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
            Some(_) => Err(wrong(name, "a text")),
        }
    }

    pub(super) fn flag(self, name: &str) -> Result<bool, OpenTsdbError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::Number(number)) => Ok(number.as_f64() != Some(0.0)),
            Some(Value::String(text)) if matches!(text.as_str(), "true" | "false" | "") => {
                Ok(text == "true")
            }
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    pub(super) fn integer(self, name: &str, default: i64) -> Result<i64, OpenTsdbError> {
        let number = match self.get(name) {
            None => return Ok(default),
            Some(Value::Number(number)) => {
                number.as_i64().or_else(|| number.as_f64().map(|number| number as i64))
            }
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        number.ok_or_else(|| wrong(name, "an integer"))
    }
}

pub(super) fn wrong(name: &str, expected: &str) -> OpenTsdbError {
    OpenTsdbError::json(format!("{name}: expected {expected}"))
}

fn sub_query(fields: Fields<'_>) -> Result<SubQuery, OpenTsdbError> {
    let tsuids = match fields.get("tsuids") {
        None => Vec::new(),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_uppercase).collect()
        }
        Some(_) => return Err(wrong("tsuids", "an array")),
    };
    Ok(SubQuery {
        aggregator: fields.text("aggregator")?,
        metric: fields.text("metric")?,
        tsuids,
        filters: filters(fields)?,
        downsample: fields.text("downsample")?.filter(|text| !text.is_empty()),
        rate: fields.flag("rate")?,
        rate_options: rate_options(fields)?,
        explicit_tags: fields.flag("explicitTags")?,
        pre_aggregate: fields.flag("preAggregate")?,
        rollup_usage: fields.text("rollupUsage")?,
        percentiles: percentiles(fields)?,
        show_buckets: fields.flag("showHistogramBuckets")?,
    })
}

fn percentiles(fields: Fields<'_>) -> Result<Option<Vec<f64>>, OpenTsdbError> {
    let items = match fields.get("percentiles") {
        None => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong("percentiles", "an array")),
    };
    let number = |item: &Value| item.as_f64().ok_or_else(|| wrong("percentiles", "numbers"));
    let numbers = items.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    Ok((!numbers.is_empty()).then_some(numbers))
}

fn rate_options(fields: Fields<'_>) -> Result<Option<RateOptions>, OpenTsdbError> {
    let object = match fields.get("rateOptions") {
        None => return Ok(None),
        Some(Value::Object(object)) => Fields(object),
        Some(_) => return Err(wrong("rateOptions", "an object")),
    };
    Ok(Some(RateOptions {
        counter: object.flag("counter")?,
        counter_max: object.integer("counterMax", i64::MAX)?,
        reset_value: object.integer("resetValue", 0)?,
        drop_resets: object.flag("dropResets")?,
    }))
}

/// `tags` and `filters` set the same thing in the original, so the later one in the text wins.
fn filters(fields: Fields<'_>) -> Result<Vec<Filter>, OpenTsdbError> {
    let mut found = Vec::new();
    for (name, value) in fields.0 {
        match (name.as_str(), value) {
            ("tags", Value::Object(tags)) => found = from_tags(tags)?,
            ("filters", Value::Array(items)) => {
                found = items.iter().map(from_object).collect::<Result<_, _>>()?;
            }
            ("tags" | "filters", Value::Null) => found.clear(),
            ("tags", _) => return Err(wrong("tags", "an object")),
            ("filters", _) => return Err(wrong("filters", "an array")),
            _ => {}
        }
    }
    Ok(found)
}

fn from_tags(tags: &Map<String, Value>) -> Result<Vec<Filter>, OpenTsdbError> {
    let tags = Fields(tags);
    let filter = |key: &String| {
        let value = tags.text(key)?.unwrap_or_default();
        Filter::from_value(key, &value, true).map_err(|error| wrong(key, &error.to_string()))
    };
    tags.0.keys().map(filter).collect()
}

pub(super) fn from_object(value: &Value) -> Result<Filter, OpenTsdbError> {
    let Value::Object(object) = value else {
        return Err(wrong("filters", "objects"));
    };
    let fields = Fields(object);
    let text = |name: &str| fields.text(name).map(Option::unwrap_or_default);
    let group_by = fields.flag("groupBy")? || fields.flag("group_by")?;
    let filter = Filter::new(&text("tagk")?, &text("type")?, &text("filter")?, group_by);
    filter.map_err(|error| OpenTsdbError::json(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Result<Request, OpenTsdbError> {
        let pairs: Vec<(String, String)> = text
            .split('&')
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (key.to_owned(), value.to_owned())
            })
            .collect();
        Request::from_params(&pairs)
    }

    #[test]
    fn parameters_are_flags_by_their_presence() {
        let request = params("start=1&m=sum:a&ms=false&arrays&m=sum:a&m=max:b&end=2").unwrap();
        assert_eq!(request.queries.len(), 2);
        assert!(request.flags.milliseconds && request.flags.arrays);
        assert_eq!(request.end.as_deref(), Some("2"));
        assert_eq!(params("start=1").unwrap_err().message, "Missing sub queries");
        let missing = params("m=sum:a").unwrap_err().message;
        assert_eq!(missing, "Missing parameter <code>start</code>");
    }

    #[test]
    fn bodies_are_read_leniently() {
        let body = br#"{"start":1356998400,"end":"","queries":[{"aggregator":"sum","metric":"a",
            "filters":[{"type":"wildcard","tagk":"h","filter":"*"}],"tags":{"h":5},"rate":true,
            "rateOptions":{"counter":true,"counterMax":18446744073709551615},"downsample":""}]} x"#;
        let request = Request::from_json(body, false).unwrap();
        assert_eq!(request.start.as_deref(), Some("1356998400"));
        let query = &request.queries[0];
        assert_eq!((query.filters.len(), query.filters[0].group_by), (1, true));
        assert_eq!(query.filters[0].text, "5");
        assert_eq!(query.downsample, None);
        assert_eq!(query.rate_options.unwrap().counter_max, i64::MAX);
    }

    #[test]
    fn bodies_that_are_no_requests_are_refused() {
        for (body, want) in [
            ("", "Missing message content"),
            ("{", "Unable to parse the given JSON"),
            ("[]", "Unable to parse the given JSON"),
            ("{\"start\":1}", "An internal null pointer exception was thrown"),
            (
                "{\"queries\":[{\"filters\":[{\"type\":\"x\",\"tagk\":\"h\",\"filter\":\"1\"}]}]}",
                "Unable to parse the given JSON",
            ),
            ("{\"queries\":[{\"tags\":[]}]}", "Unable to parse the given JSON"),
        ] {
            let error = Request::from_json(body.as_bytes(), false).unwrap_err();
            assert_eq!(error.message, want, "{body}");
        }
    }
}
