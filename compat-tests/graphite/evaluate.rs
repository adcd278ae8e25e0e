//! Functions and the thinning of points: target to plan to operators, over series in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::cancel::CancelToken;
use exec::testing::MemorySource;
use exec::{Context, Value as Answer, execute};
use lang::graphite::tagspec::tag_of;
use lang::graphite::{LowerOptions, Probe, ProbeError, StepRules, lower_probing};
use model::{LabelBuilder, Labels, METRIC_NAME, ResultSeries, TenantId};
use plan::{QueryLimits, RowStyle};
use serde_json::Value;

use super::{Outcome, close, number, text};

pub(super) mod archives;
pub(super) mod calls;

const DAY_S: i64 = 86_400;

/// Recorded where no `/render` can show it: a window without width, and times after `now`.
const NOT_ASKED: [&str; 3] = ["fn.path.17", "fn.path.14", "fn.timeShift.02"];

/// Series in memory with the steps they were recorded with.
pub(super) struct Store {
    source: MemorySource,
    steps: StepRules,
}

/// Loads a dataset.
pub(super) fn store(dataset: &Value) -> Store {
    let mut source = MemorySource::new();
    let dataset = dataset.as_array().unwrap();
    for series in dataset {
        let (labels, samples) = stored(series);
        source.add(labels, samples);
    }
    Store { source, steps: StepRules::parse(&schemas(dataset), 60_000).unwrap() }
}

/// A recorded series as it is stored. One without a value in it still exists: it gets one long before.
pub(super) fn stored(series: &Value) -> (Labels, Vec<(i64, f64)>) {
    let (start, step) = (series["start"].as_i64().unwrap(), series["step"].as_i64().unwrap());
    let values = series["values"].as_array().unwrap().iter().enumerate();
    let samples = values.filter_map(|(index, value)| {
        let value = number(value).filter(|value| !value.is_nan())?;
        // Off its own slots a sample is never seen by the recorded reader.
        (start % step == 0).then_some(((start + index as i64 * step) * 1000, value))
    });
    let mut samples: Vec<(i64, f64)> = samples.collect();
    if samples.is_empty() {
        samples.push(((start - 60 * DAY_S) / step * step * 1000, 0.0));
    }
    (labels(text(series, "name")), samples)
}

/// A `storage-schemas.conf` with the steps of the recording.
pub(super) fn schemas(dataset: &[Value]) -> String {
    let steps = dataset.iter().filter(|series| series["step"] != 60);
    let section = |series: &Value| {
        let pattern = text(series, "name").replace('.', "\\.");
        format!("[s]\npattern = ^{pattern}$\nretentions = {}s:9y\n", series["step"])
    };
    steps.map(section).collect()
}

fn labels(path: &str) -> Labels {
    let mut parts = path.split(';');
    let mut labels = LabelBuilder::default();
    labels.set(METRIC_NAME, parts.next().unwrap());
    for part in parts {
        let (tag, value) = part.split_once('=').unwrap();
        labels.set(tag, value);
    }
    labels.build()
}

/// A series as `/render` shows it: name, and points with their times.
type Shown = (String, Vec<(Option<f64>, i64)>);

fn run<'t>(
    targets: impl IntoIterator<Item = &'t str>,
    options: &LowerOptions,
    source: &MemorySource,
) -> Result<Vec<Shown>, String> {
    let rows = run_styled(targets, options, source)?;
    Ok(rows.iter().map(|(row, _)| shown(row)).collect())
}

/// Rows with what they carry beside name and values.
type Styled = Vec<(ResultSeries, Option<Arc<RowStyle>>)>;

fn run_styled<'t>(
    targets: impl IntoIterator<Item = &'t str>,
    options: &LowerOptions,
    source: &MemorySource,
) -> Result<Styled, String> {
    let plan = lower_probing(targets, options, &InMemory(source)).map_err(|e| e.to_string())?;
    let context = Context::new(CancelToken::new());
    let output = execute(&plan, source, &context).map_err(|error| error.to_string())?;
    let styles = output.styles.into_iter().chain(std::iter::repeat(None));
    match output.value {
        Answer::Vector(rows) => Ok(rows.into_iter().zip(styles).collect()),
        other => Err(format!("no series: {other:?}")),
    }
}

/// What `/render` shows beside values (the tags), and what functions around a series and renderers go
/// by, in the words of the recording.
fn carried(series: &Value) -> Value {
    let tags = series["tags"].as_object().unwrap().iter();
    let tags = tags.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), Value::String(text))
    });
    let tags: serde_json::Map<String, Value> = tags.collect();
    let mut options = series["options"].as_object().cloned().unwrap_or_default();
    if let Some(color) = series["color"].as_str() {
        options.insert("color".to_owned(), color.into());
    }
    serde_json::json!({
        "tags": tags,
        "expression": series["pathExpression"],
        "consolidate": series["consolidate"],
        "present_min": number(&series["xFilesFactor"]).unwrap_or(0.0),
        "options": options,
    })
}

/// The same of ours.
fn carries((row, style): &(ResultSeries, Option<Arc<RowStyle>>)) -> Value {
    let tags = row.labels.iter().map(|(label, value)| (tag_of(label).to_owned(), value.into()));
    let tags: serde_json::Map<String, Value> = tags.collect();
    let Some(style) = style else { return serde_json::json!({ "tags": tags }) };
    let drawing = &style.drawing;
    let mut options = serde_json::Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        options.extend(value.map(|value| (name.to_owned(), value)));
    };
    let yes = |flag: bool| flag.then_some(Value::Bool(true));
    set("color", drawing.color.as_deref().map(Into::into));
    set("alpha", drawing.alpha.map(|alpha| alpha.0.into()));
    set("lineWidth", drawing.line_width.map(|width| width.0.into()));
    set("dashed", drawing.dashed.map(|length| length.0.into()));
    set("drawAsInfinite", yes(drawing.infinite));
    set("secondYAxis", yes(drawing.second_axis));
    set("stacked", yes(drawing.stacked));
    set("invisible", yes(drawing.invisible));
    serde_json::json!({
        "tags": tags,
        "expression": &*style.expression,
        "consolidate": format!("{:?}", style.consolidation),
        "present_min": style.present_min.0,
        "options": options,
    })
}

/// Equal, numbers as numbers; consolidations are compared by their first letters, but for one that
/// does not exist.
fn same_carried(got: &Value, want: &Value) -> bool {
    let consolidation = |value: &Value| {
        let text = value.as_str().unwrap_or("average").to_ascii_lowercase();
        text.get(..2).filter(|_| want["consolidate"] != "bogus").unwrap_or_default().to_owned()
    };
    let same_options = || {
        let (got, want) = (got["options"].as_object(), want["options"].as_object());
        let (Some(got), Some(want)) = (got, want) else { return false };
        let same = |(name, value): (&String, &Value)| match (value.as_f64(), got.get(name)) {
            (Some(want), Some(got)) => got.as_f64() == Some(want),
            (None, Some(got)) => got == value,
            (_, None) => false,
        };
        got.len() == want.len() && want.iter().all(same)
    };
    got["tags"] == want["tags"]
        && got["expression"] == want["expression"]
        && consolidation(&got["consolidate"]) == consolidation(&want["consolidate"])
        && got["present_min"].as_f64() == want["present_min"].as_f64()
        && same_options()
}

/// Computes what planning has to know.
struct InMemory<'s>(&'s MemorySource);

impl Probe for InMemory<'_> {
    fn rows(&self, plan: &plan::Plan) -> Result<Option<Vec<ResultSeries>>, ProbeError> {
        let context = Context::new(CancelToken::new());
        let output = execute(plan, self.0, &context).map_err(|error| ProbeError {
            kind: base::error::Classify::kind(&error),
            message: error.to_string(),
        })?;
        match output.value {
            Answer::Vector(rows) => Ok(Some(rows)),
            _ => Ok(Some(Vec::new())),
        }
    }

    fn events(&self, _: &[&str], _: i64, _: i64) -> Result<Vec<i64>, ProbeError> {
        Ok(Vec::new())
    }
}

fn shown(row: &ResultSeries) -> Shown {
    let grid = row.grid.unwrap();
    let mut points: Vec<(Option<f64>, i64)> = grid.iter().map(|at| (None, at / 1000)).collect();
    for (time, value) in row.points.timestamps.iter().zip(&row.points.values) {
        points[((time - grid.start_ms) / grid.step_ms) as usize].0 = Some(*value);
    }
    (row.title.as_deref().unwrap_or_default().to_owned(), points)
}

fn options(request: &Value, steps: StepRules) -> LowerOptions {
    let time = |key: &str| request[key].as_i64().unwrap();
    let templates: BTreeMap<String, String> = match request["template"].as_object() {
        Some(map) => map
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect(),
        None => BTreeMap::new(),
    };
    LowerOptions {
        from_s: time("from"),
        until_s: time("until"),
        now_s: time("now"),
        known_s: 61 * DAY_S,
        x_files_factor: number(&request["xFilesFactor"]).unwrap_or(0.0),
        max_data_points: None,
        templates,
        steps,
        tenant: TenantId::DEFAULT,
        limits: QueryLimits::default(),
        zone: jiff::tz::TimeZone::UTC,
    }
}

pub(super) fn function(vector: &Value, store: &Store) -> Outcome {
    if NOT_ASKED.contains(&text(vector, "id")) {
        return Outcome::Skipped;
    }
    let (request, expect) = (&vector["request"], &vector["expect"]);
    let targets = request["targets"].as_array().unwrap().iter();
    // Blank targets are dropped before anything is read.
    let targets = targets.map(|target| target.as_str().unwrap()).filter(|t| !t.trim().is_empty());
    let got = run_styled(targets, &options(request, store.steps.clone()), &store.source);
    let Some(series) = expect["series"].as_array() else {
        return match got {
            Err(_) => Outcome::Passed,
            Ok(series) => Outcome::Failed(format!("want an error, got {series:?}")),
        };
    };
    let got = match got {
        Ok(got) => got,
        // The original answers a part of such a target.
        Err(why) if why.starts_with("cannot parse target") => return Outcome::Passed,
        Err(why) => return Outcome::Failed(why),
    };
    same_series(&got, series)
}

/// Names, points, and what the series carry beside them.
fn same_series(got: &Styled, wanted: &[Value]) -> Outcome {
    let expected: Vec<Shown> = wanted.iter().map(expected_series).collect();
    let rows: Vec<Shown> = got.iter().map(|(row, _)| shown(row)).collect();
    let outcome = compare(&rows, &expected);
    if outcome != Outcome::Passed {
        return outcome;
    }
    for (got, want) in got.iter().zip(wanted) {
        let (got, want) = (carries(got), carried(want));
        if !same_carried(&got, &want) {
            return Outcome::Failed(format!("carried: want {want}, got {got}"));
        }
    }
    Outcome::Passed
}

fn expected_series(series: &Value) -> Shown {
    let time = |key: &str| number(&series[key]).unwrap() as i64;
    let (start, end, step) = (time("start"), time("end"), time("step").max(1));
    let values = series["values"].as_array().unwrap().iter().map(number);
    let times = (0..).map(|index: i64| start + index * step).take_while(|time| *time <= end);
    (text(series, "name").to_owned(), values.zip(times).collect())
}

fn compare(got: &[Shown], expected: &[Shown]) -> Outcome {
    let expected = if expected.iter().all(|series| series.1.is_empty()) { &[] } else { expected };
    let names = |list: &[Shown]| list.iter().map(|series| series.0.clone()).collect::<Vec<_>>();
    if names(got) != names(expected) {
        return Outcome::Failed(format!("names: want {:?}, got {:?}", names(expected), names(got)));
    }
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        if got.len() != expected.len() {
            let count = format!("{name}: want {} points, got {}", expected.len(), got.len());
            return Outcome::Failed(count);
        }
        let wrong = got.iter().zip(expected).find(|(got, expected)| !same_point(got, expected));
        if let Some((got, expected)) = wrong {
            return Outcome::Failed(format!("{name}: want {expected:?}, got {got:?}"));
        }
    }
    Outcome::Passed
}

fn same_point(got: &(Option<f64>, i64), expected: &(Option<f64>, i64)) -> bool {
    let shown = |value: Option<f64>| value.filter(|value| !value.is_nan());
    got.1 == expected.1
        && match (shown(got.0), shown(expected.0)) {
            (None, None) => true,
            (Some(got), Some(expected)) => close(got, expected),
            _ => false,
        }
}

/// The series are stored on a grid of minutes, where all of them come out of one fetch.
pub(super) fn consolidation(vector: &Value) -> Outcome {
    let (request, expect) = (&vector["request"], &vector["expect"]);
    let (many, scale) = match request["series_list"].as_array() {
        Some(list) => (list.clone(), 1),
        None => (vec![request["series"].clone()], 60),
    };
    let of = |series: &Value, key: &str| series[key].as_i64().unwrap();
    let (start, end, step) = (of(&many[0], "start"), of(&many[0], "end"), of(&many[0], "step"));
    let extent = |series: &Value| (of(series, "start"), of(series, "end"), of(series, "step"));
    let empty = |series: &Value| series["values"].as_array().unwrap().is_empty();
    if start % step != 0 || many.iter().any(|s| extent(s) != (start, end, step) || empty(s)) {
        return Outcome::Skipped;
    }
    let points = request["maxDataPoints"].as_u64().unwrap() as usize;
    let slots = ((end - start) as f64 / step as f64 / points as f64).ceil() as i64;
    let unit = slots * step * scale;
    let shift = 1_700_000_000 / unit * unit;
    let step_s = step * scale;
    let mut source = MemorySource::new();
    let mut targets = Vec::new();
    for series in &many {
        let values = series["values"].as_array().unwrap().iter().enumerate();
        let at = |index: usize| (shift + start * scale + index as i64 * step_s) * 1000;
        let samples = values.filter_map(|(index, value)| Some((at(index), number(value)?)));
        let before = [(at(0) - 30 * DAY_S * 1000, 0.0)];
        source.add(labels(text(series, "name")), before.into_iter().chain(samples));
        let by = series["consolidate"].as_str().unwrap_or("average");
        targets.push(format!("consolidateBy({},\"{by}\")", text(series, "name")));
    }
    let until_s = shift - step_s + end * scale;
    let options = LowerOptions {
        from_s: shift - step_s + start * scale,
        until_s,
        now_s: until_s,
        known_s: 61 * DAY_S,
        x_files_factor: number(&many[0]["xFilesFactor"]).unwrap_or(0.0),
        max_data_points: Some(points),
        templates: BTreeMap::new(),
        steps: StepRules::uniform(step_s * 1000),
        tenant: TenantId::DEFAULT,
        limits: QueryLimits::default(),
        zone: jiff::tz::TimeZone::UTC,
    };
    let got = match run(targets.iter().map(String::as_str), &options, &source) {
        Ok(got) => got,
        Err(why) => return Outcome::Failed(why),
    };
    let point = |point: &Value| (number(&point[0]), point[1].as_i64().unwrap() * scale + shift);
    let points = |list: &Value| list.as_array().unwrap().iter().map(point).collect::<Vec<_>>();
    let expected: Vec<_> = match expect["json"].as_array() {
        Some(list) => list.iter().map(|series| points(&series["datapoints"])).collect(),
        None => vec![points(&expect["datapoints"])],
    };
    let named = targets.iter().cloned().zip(expected).collect::<Vec<_>>();
    compare(&got, &named)
}
