//! Requests as JSON: protobuf's names in camel case or as they stand in the `.proto` files, 64-bit
//! integers as texts or numbers, traces in hexadecimal digits.
//!
//! Nesting is bounded by the parser (128 levels), size by the body.

use std::borrow::Cow;

use serde::Deserialize;

use self::fields::{
    double, double_list, hex_bytes, integer, list, small, some_double, temporality, text, unsigned,
    unsigned_list,
};
use super::OtlpError;
use super::message::{
    Buckets, Data, Exemplar, ExponentialPoint, HistogramPoint, Metric, Number, NumberPoint,
    Quantile, Request, Stamp, SummaryPoint, Temporality,
};
use super::value::KeyValue;

pub mod fields;

/// Reads a request.
pub fn decode(body: &[u8]) -> Result<Request<'_>, OtlpError> {
    serde_json::from_slice(body).map_err(|error| OtlpError::Json(error.to_string()))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JsonMetric<'a> {
    #[serde(borrow, deserialize_with = "text")]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    description: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    unit: Cow<'a, str>,
    #[serde(borrow)]
    gauge: Option<JsonData<NumberPoint<'a>>>,
    #[serde(borrow)]
    sum: Option<JsonData<NumberPoint<'a>>>,
    #[serde(borrow)]
    histogram: Option<JsonData<HistogramPoint<'a>>>,
    #[serde(borrow, alias = "exponential_histogram")]
    exponential_histogram: Option<JsonData<ExponentialPoint<'a>>>,
    #[serde(borrow)]
    summary: Option<JsonData<SummaryPoint<'a>>>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct JsonData<T> {
    #[serde(alias = "data_points", deserialize_with = "list")]
    data_points: Vec<T>,
    #[serde(alias = "aggregation_temporality", deserialize_with = "temporality")]
    aggregation_temporality: Temporality,
    #[serde(alias = "is_monotonic")]
    is_monotonic: bool,
}

impl<T> Default for JsonData<T> {
    fn default() -> Self {
        let (data_points, aggregation_temporality) = (Vec::new(), Temporality::default());
        Self { data_points, aggregation_temporality, is_monotonic: false }
    }
}

impl<'a> From<JsonMetric<'a>> for Metric<'a> {
    fn from(json: JsonMetric<'a>) -> Self {
        let data = if let Some(gauge) = json.gauge {
            Data::Gauge(gauge.data_points)
        } else if let Some(sum) = json.sum {
            let (temporality, is_monotonic) = (sum.aggregation_temporality, sum.is_monotonic);
            Data::Sum { points: sum.data_points, temporality, is_monotonic }
        } else if let Some(histogram) = json.histogram {
            let temporality = histogram.aggregation_temporality;
            Data::Histogram { points: histogram.data_points, temporality }
        } else if let Some(exponential) = json.exponential_histogram {
            let temporality = exponential.aggregation_temporality;
            Data::Exponential { points: exponential.data_points, temporality }
        } else if let Some(summary) = json.summary {
            Data::Summary(summary.data_points)
        } else {
            Data::Empty
        };
        Self { name: json.name, description: json.description, unit: json.unit, data }
    }
}

/// Fields of all points.
macro_rules! json_point {
    ($json:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* }) => {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $json<'a> {
            #[serde(borrow, deserialize_with = "list")]
            attributes: Vec<KeyValue<'a>>,
            #[serde(alias = "start_time_unix_nano", deserialize_with = "unsigned")]
            start_time_unix_nano: u64,
            #[serde(alias = "time_unix_nano", deserialize_with = "unsigned")]
            time_unix_nano: u64,
            #[serde(deserialize_with = "small")]
            flags: u32,
            $($(#[$attribute])* $field: $kind,)*
        }

        impl $json<'_> {
            fn stamp(&self) -> Stamp {
                Stamp {
                    start_ns: self.start_time_unix_nano,
                    time_ns: self.time_unix_nano,
                    flags: self.flags,
                }
            }
        }
    };
}

json_point!(JsonNumberPoint {
    #[serde(alias = "as_double", deserialize_with = "some_double")]
    as_double: Option<f64>,
    #[serde(alias = "as_int", deserialize_with = "integer")]
    as_int: Option<i64>,
    #[serde(borrow, deserialize_with = "list")]
    exemplars: Vec<Exemplar<'a>>,
});

json_point!(JsonHistogramPoint {
    #[serde(deserialize_with = "unsigned")]
    count: u64,
    #[serde(deserialize_with = "some_double")]
    sum: Option<f64>,
    #[serde(alias = "bucket_counts", deserialize_with = "unsigned_list")]
    bucket_counts: Vec<u64>,
    #[serde(alias = "explicit_bounds", deserialize_with = "double_list")]
    explicit_bounds: Vec<f64>,
    #[serde(borrow, deserialize_with = "list")]
    exemplars: Vec<Exemplar<'a>>,
});

json_point!(JsonExponentialPoint {
    #[serde(deserialize_with = "unsigned")]
    count: u64,
    #[serde(deserialize_with = "some_double")]
    sum: Option<f64>,
    #[serde(deserialize_with = "small")]
    scale: i32,
    #[serde(alias = "zero_count", deserialize_with = "unsigned")]
    zero_count: u64,
    #[serde(alias = "zero_threshold", deserialize_with = "double")]
    zero_threshold: f64,
    positive: Option<Buckets>,
    negative: Option<Buckets>,
    #[serde(borrow, deserialize_with = "list")]
    exemplars: Vec<Exemplar<'a>>,
});

json_point!(JsonSummaryPoint {
    #[serde(deserialize_with = "unsigned")]
    count: u64,
    #[serde(deserialize_with = "double")]
    sum: f64,
    #[serde(alias = "quantile_values", deserialize_with = "list")]
    quantile_values: Vec<Quantile>,
});

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JsonExemplar<'a> {
    #[serde(borrow, alias = "filtered_attributes", deserialize_with = "list")]
    filtered_attributes: Vec<KeyValue<'a>>,
    #[serde(alias = "time_unix_nano", deserialize_with = "unsigned")]
    time_unix_nano: u64,
    #[serde(alias = "as_double", deserialize_with = "some_double")]
    as_double: Option<f64>,
    #[serde(alias = "as_int", deserialize_with = "integer")]
    as_int: Option<i64>,
    #[serde(alias = "trace_id", deserialize_with = "hex_bytes::<_, 16>")]
    trace_id: Vec<u8>,
    #[serde(alias = "span_id", deserialize_with = "hex_bytes::<_, 8>")]
    span_id: Vec<u8>,
}

fn number(double: Option<f64>, integer: Option<i64>) -> Number {
    match (double, integer) {
        (Some(value), _) => Number::Double(value),
        (None, Some(value)) => Number::Integer(value),
        (None, None) => Number::None,
    }
}

impl<'a> From<JsonNumberPoint<'a>> for NumberPoint<'a> {
    fn from(json: JsonNumberPoint<'a>) -> Self {
        Self {
            stamp: json.stamp(),
            value: number(json.as_double, json.as_int),
            attributes: json.attributes,
            exemplars: json.exemplars,
        }
    }
}

impl<'a> From<JsonHistogramPoint<'a>> for HistogramPoint<'a> {
    fn from(json: JsonHistogramPoint<'a>) -> Self {
        Self {
            stamp: json.stamp(),
            attributes: json.attributes,
            count: json.count,
            sum: json.sum,
            bucket_counts: json.bucket_counts,
            bounds: json.explicit_bounds,
            exemplars: json.exemplars,
        }
    }
}

impl<'a> From<JsonExponentialPoint<'a>> for ExponentialPoint<'a> {
    fn from(json: JsonExponentialPoint<'a>) -> Self {
        Self {
            stamp: json.stamp(),
            attributes: json.attributes,
            count: json.count,
            sum: json.sum,
            scale: json.scale,
            zero_count: json.zero_count,
            zero_threshold: json.zero_threshold,
            positive: json.positive.unwrap_or_default(),
            negative: json.negative.unwrap_or_default(),
            exemplars: json.exemplars,
        }
    }
}

impl<'a> From<JsonSummaryPoint<'a>> for SummaryPoint<'a> {
    fn from(json: JsonSummaryPoint<'a>) -> Self {
        Self {
            stamp: json.stamp(),
            attributes: json.attributes,
            count: json.count,
            sum: json.sum,
            quantiles: json.quantile_values,
        }
    }
}

impl<'a> From<JsonExemplar<'a>> for Exemplar<'a> {
    fn from(json: JsonExemplar<'a>) -> Self {
        Self {
            attributes: json.filtered_attributes,
            time_ns: json.time_unix_nano,
            value: number(json.as_double, json.as_int),
            trace_id: json.trace_id,
            span_id: json.span_id,
        }
    }
}
