//! Recorded functions of the original against ours.

use base::cancel::CancelToken;
use base::decimal::parse_i64;
use exec::testing::MemorySource;
use exec::{Context, Value as Answer, execute};
use lang::opentsdb::aggregator::aggregator;
use lang::opentsdb::calendar::Calendar;
use lang::opentsdb::downsample::{FillPolicy, parse_downsample};
use lang::opentsdb::exp::Fill;
use lang::opentsdb::filter::Filter;
use lang::opentsdb::metric::{parse_metric, parse_rate, parse_series, parse_tags};
use lang::opentsdb::time::{parse_duration, parse_time, parse_zone};
use model::{Labels, Points, SampleKind, TenantId, TimeRange};
use plan::semantics::{Alignment, Between, GroupLabels, Grouping};
use plan::{Aggregate, Node, Op, Plan, QueryLimits, Scan};
use serde_json::{Value, json};
use wire::opentsdb::{name, number};

use super::compare::same;
use super::{Outcome, array, series, text};

/// Runs one vector.
pub(super) fn run(operation: &str, vector: &Value) -> Outcome {
    let op = &vector["op"];
    let given = op["s"].as_str();
    let got = match operation {
        "parse_time" => time(op),
        "parse_duration" => parse_duration(given.unwrap_or_default())
            .map(|duration| json!(duration.nominal_ms))
            .map_err(|error| error.to_string()),
        "parse_long" => parse_i64(given.unwrap_or_default().as_bytes())
            .map(|number| json!(number))
            .map_err(|error| error.to_string()),
        // A name that is no text cannot be asked about here: decoders refuse it.
        "validate" if given.is_none() => Err(format!("Invalid {}: null", text(op, "what"))),
        "validate" => match name::complaint(text(op, "what"), given.unwrap_or_default()) {
            None => Ok(json!(true)),
            Some(complaint) => Err(complaint),
        },
        "parse_tag" => {
            let pairs: Vec<&str> = array(op, "tags").iter().filter_map(Value::as_str).collect();
            parse_tags(&pairs).map(|tags| json!(tags)).map_err(|(_, why)| why)
        }
        "parse_metric" => parse_series(given.unwrap_or_default())
            .map(|(metric, tags)| json!([metric, tags]))
            .map_err(|error| error.message),
        "fill_policy" => {
            let value = op["value"].as_f64().unwrap_or(f64::NAN);
            Fill::new(op["policy"].as_str(), value)
                .map(|fill| json!([fill.policy, number_or_nan(fill.value)]))
                .map_err(|error| error.details.unwrap_or(error.message))
        }
        "interpolation" => interpolation(text(op, "name")),
        "series" => series::run(op),
        "parse_metric_filters" => metric_filters(given.unwrap_or_default()),
        "ds_spec" => downsample(given.unwrap_or_default()),
        "rate_opts" => parse_rate(given.unwrap_or_default()).map_err(|e| e.message).map(|rate| {
            json!({
                "counter": rate.counter, "counterMax": rate.counter_max,
                "resetValue": rate.reset_value, "dropResets": rate.drop_resets,
            })
        }),
        "agg" => aggregate(op),
        "aggiter" => series::merge(op),
        "filter" => filter(op),
        "get_filter" => Filter::from_value(text(op, "tagk"), text(op, "filter"), false)
            .map_err(|error| error.to_string())
            // What the original keeps as a plain literal or group-by has no filter of its own there.
            .map(|filter| match vector["expect"].is_null() {
                true if matches!(text(op, "filter"), "*" | "a|b") => Value::Null,
                _ => json!({"type": filter.kind.name(), "filter": filter.text}),
            }),
        "prev_interval" => previous(op),
        "looks_integer" => Ok(json!(number::looks_integer(given.unwrap_or_default().as_bytes()))),
        _ => return Outcome::Skipped,
    };
    match (got, vector.get("expect"), vector.get("expect_error")) {
        (Ok(got), Some(want), _) => {
            // The name of the class that implements it.
            let mut want = want.clone();
            if let Some(object) = want.as_object_mut() {
                object.remove("class");
                object.remove("string_interval");
            }
            match same(&want, &got, "$", "") {
                Ok(()) => Outcome::Passed,
                Err(why) => Outcome::Failed(format!("{op}: {why}")),
            }
        }
        (Err(got), _, Some(want)) if got == text(want, "message") => Outcome::Passed,
        (got, want, error) => {
            Outcome::Failed(format!("{op}: want {want:?} {error:?}, got {got:?}"))
        }
    }
}

fn time(op: &Value) -> Result<Value, String> {
    let parsed = parse_time(text(op, "s"), op["tz"].as_str(), 0);
    parsed.map(|time| json!(time.unwrap_or(-1))).map_err(|error| error.to_string())
}

fn metric_filters(given: &str) -> Result<Value, String> {
    let (metric, filters) = parse_metric(given).map_err(|error| error.message)?;
    let filters: Vec<Value> = filters
        .iter()
        .map(|filter| {
            json!({
                "tagk": filter.tagk, "type": filter.kind.name(), "filter": filter.text,
                "groupBy": filter.group_by,
            })
        })
        .collect();
    Ok(json!([metric, filters]))
}

fn downsample(given: &str) -> Result<Value, String> {
    let parsed = parse_downsample(given).map_err(|error| error.to_string())?;
    let fill = match parsed.fill {
        FillPolicy::None => "none",
        FillPolicy::Nan => "nan",
        FillPolicy::Null => "null",
        FillPolicy::Zero => "zero",
        FillPolicy::Scalar => "scalar",
    };
    Ok(json!({
        "interval_ms": parsed.interval.map_or(0, |interval| interval.nominal_ms),
        "function": parsed.function, "fill": fill, "calendar": parsed.calendar,
    }))
}

fn filter(op: &Value) -> Result<Value, String> {
    let filter = Filter::new(text(op, "tagk"), text(op, "type"), text(op, "filter"), false);
    let filter = filter.map_err(|error| error.to_string())?;
    let value = op["tags"][text(op, "tagk")].as_str().unwrap_or_default();
    Ok(json!(filter.matchers().iter().all(|matcher| matcher.matches(value))))
}

fn previous(op: &Value) -> Result<Value, String> {
    let count = op["interval"].as_i64().unwrap_or_default();
    let unit = parse_duration(&format!("1{}", text(op, "unit"))).map_err(|e| e.to_string())?.unit;
    let zone = parse_zone(op["tz"].as_str().unwrap_or("UTC")).map_err(|e| e.to_string())?;
    let start = Calendar { count, unit, zone }.start_of(op["ts"].as_i64().unwrap_or_default());
    Ok(json!(start))
}

/// A recorded value: an integer, a float, or the text of one that JSON has no number for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    Integer(i64),
    Float(f64),
}

pub(super) fn sample(value: &Value, float: bool) -> Sample {
    let text = match value {
        Value::String(text) => text.replace("Infinity", "inf"),
        other => other.to_string(),
    };
    match text.parse() {
        Ok(integer) if !float => Sample::Integer(integer),
        _ => Sample::Float(text.parse().unwrap()),
    }
}

/// Several values at one instant.
fn aggregate(op: &Value) -> Result<Value, String> {
    let float = text(op, "type") != "long";
    let series = array(op, "values").iter().map(|value| vec![(1000, sample(value, float))]);
    let points = merged(text(op, "name"), series.collect())?;
    Ok(points.first().map_or(Value::Null, |point| point[1].clone()))
}

fn number_or_nan(value: f64) -> Value {
    if value.is_nan() { json!("NaN") } else { json!(value) }
}

fn interpolation(name: &str) -> Result<Value, String> {
    let found = aggregator(name).ok_or_else(|| format!("no aggregator {name}"))?;
    Ok(json!(match found.between {
        Between::Linear => "LERP",
        Between::Zero => "ZIM",
        Between::Largest => "MAX",
        Between::Smallest => "MIN",
        Between::Previous => "PREV",
    }))
}

fn merged(name: &str, series: Vec<Vec<(i64, Sample)>>) -> Result<Vec<Value>, String> {
    let aggregator = aggregator(name).ok_or_else(|| format!("no aggregator {name}"))?;
    let mut source = MemorySource::new();
    for (index, samples) in series.into_iter().enumerate() {
        let labels = Labels::from_pairs([("i", format!("{index:06}").as_str())]);
        let raw = samples.into_iter().map(|(at_ms, sample)| match sample {
            Sample::Integer(value) => (at_ms, SampleKind::Integer, value as u64),
            Sample::Float(value) => (at_ms, SampleKind::Float, value.to_bits()),
        });
        source.add_raw(labels, raw);
    }
    let scan = Node::new(Op::Scan(Scan {
        matchers: vec![],
        range: TimeRange::ALL,
        tenant: TenantId::DEFAULT,
        sorted: true,
        integers: true,
        histograms: false,
        starts: false,
        title: None,
        cut_ms: None,
    }));
    let root = Node::new(Op::Aggregate(Aggregate {
        input: Box::new(scan),
        reducer: aggregator.reducer,
        argument: None,
        grouping: Grouping::By(vec![]),
        alignment: Alignment::Union { between: aggregator.between },
        labels: GroupLabels::Agreeing,
    }));
    let plan = Plan { root, limits: QueryLimits::default() };
    let output = execute(&plan, &source, &Context::new(CancelToken::new()));
    match output.map_err(|error| error.to_string())?.value {
        Answer::Vector(rows) => Ok(rows.first().map(|row| shown(&row.points)).unwrap_or_default()),
        other => Err(format!("no rows: {other:?}")),
    }
}

pub(super) fn shown(points: &Points) -> Vec<Value> {
    let pairs = points.timestamps.iter().zip(&points.values).enumerate();
    let shown =
        pairs.map(|(index, (at_ms, value))| match points.integers.get(index).copied().flatten() {
            Some(integer) => json!([at_ms, integer]),
            None if value.is_nan() => json!([at_ms, "NaN"]),
            None => json!([at_ms, value]),
        });
    shown.collect()
}
