//! Direct calls of one function on series made by hand, asked again as a target over the same series
//! in a store.
//!
//! Calls that no fetch can lead to are left out: series of different extent, names of one series
//! twice, lists of lists, a request's window that is not that of its series.

use exec::testing::MemorySource;
use lang::graphite::StepRules;
use model::{LabelBuilder, ResultSeries};
use serde_json::{Value, json};

use super::super::{Outcome, number, text};
use super::{DAY_S, labels, options, run_styled, same_series};

/// The series of a call, and the text that stands for them.
#[derive(Default)]
struct Stored<'v> {
    series: Vec<&'v Value>,
}

impl<'v> Stored<'v> {
    /// An argument as a target spells it; `None` where it has no spelling.
    fn spelled(&mut self, argument: &'v Value) -> Option<String> {
        Some(match argument {
            Value::Null => "None".to_owned(),
            Value::Bool(_) | Value::Number(_) => argument.to_string(),
            Value::String(text) if text.contains('"') => return None,
            Value::String(text) => format!("\"{text}\""),
            Value::Object(_) => self.stored(argument.get("$series")?)?,
            Value::Array(list) if list.is_empty() => "no.such.series".to_owned(),
            Value::Array(list) => {
                let series = list.iter().map(|item| self.stored(item.get("$series")?));
                let series = series.collect::<Option<Vec<String>>>()?;
                if series.len() == 1 {
                    series.concat()
                } else {
                    format!("group({})", series.join(","))
                }
            }
        })
    }

    fn stored(&mut self, series: &'v Value) -> Option<String> {
        let name = text(series, "name");
        let plain = |byte: u8| !b"(){},'\"\\| *?[]".contains(&byte);
        let is_fetched = series["pathExpression"] == series["name"]
            && series["consolidate"] == "average"
            && series["tags"] == json!({"name": name})
            && name.bytes().all(plain)
            && self.series.iter().all(|other| other["name"] != series["name"]);
        self.series.push(series);
        is_fetched.then(|| name.to_owned())
    }

    /// First slot, slots and step, if all series have the same.
    fn extent(&self) -> Option<(i64, i64, i64)> {
        let of = |series: &Value| {
            let count = series["values"].as_array()?.len() as i64;
            Some((series["start"].as_i64()?, count, series["step"].as_i64().filter(|s| *s > 0)?))
        };
        let first = of(self.series.first()?)?;
        let is_same = self.series.iter().all(|series| of(series) == Some(first));
        (is_same && first.1 > 0 && first.0 % first.2 == 0).then_some(first)
    }
}

pub(in super::super) fn check(vector: &Value) -> Outcome {
    asked(vector).unwrap_or(Outcome::Skipped)
}

/// A result as a store would give it: values are floats, and the end is where they end, which the
/// tests' own series do not care for.
fn recorded(series: &Value) -> Option<Value> {
    let mut series = series.clone();
    let (start, step) = (series["start"].as_i64()?, series["step"].as_i64()?);
    let count = series["values"].as_array()?.len() as i64;
    series["end"] = (start + step * count - 1).into();
    // A line without a step stands on no grid.
    (step > 0).then_some(series)
}

/// Whole floats in tags as integers, which the values of these tests are.
fn spell_as_integers(row: &mut ResultSeries) {
    let mut labels = LabelBuilder::default();
    for (label, value) in row.labels.iter() {
        let number = value.strip_suffix(".0").filter(|whole| whole.parse::<i64>().is_ok());
        labels.set(label, number.unwrap_or(value));
    }
    row.labels = labels.build();
}

/// `None` where the call cannot be asked.
fn asked(vector: &Value) -> Option<Outcome> {
    let (request, expect) = (&vector["request"], &vector["expect"]);
    // Shows values in names, and these are integers.
    if text(vector, "subject") == "legendValue" {
        return None;
    }
    let mut stored = Stored::default();
    let mut arguments = Vec::new();
    for argument in request["args"].as_array()? {
        arguments.push(stored.spelled(argument)?);
    }
    for (name, value) in request["kwargs"].as_object()? {
        arguments.push(format!("{name}={}", stored.spelled(value)?));
    }
    let target = format!("{}({})", request["function"][0].as_str()?, arguments.join(","));
    let context = (&request["context"]["startTime"], &request["context"]["endTime"]);
    let context = match context {
        (Value::Null, Value::Null) => None,
        (from, until) => Some((from.as_i64()?, until.as_i64()?)),
    };
    let (from, until, step) = match (stored.extent(), context) {
        (Some((start, count, step)), None) => (start - step, start + step * (count - 1), step),
        // The first slot follows the start of the window.
        (Some((start, count, step)), Some((from, until))) => {
            let is_fetched = from - from.rem_euclid(step) + step == start
                && until - until.rem_euclid(step) == start + step * (count - 1);
            is_fetched.then_some((from, until, step))?
        }
        (None, Some((from, until))) if stored.series.is_empty() => (from, until, 60),
        _ => return None,
    };
    let mut source = MemorySource::new();
    for series in &stored.series {
        let start = series["start"].as_i64()?;
        let values = series["values"].as_array()?.iter().enumerate();
        let value = |value: &Value| number(value).filter(|value| !value.is_nan());
        let samples = values
            .filter_map(|(index, item)| Some(((start + index as i64 * step) * 1000, value(item)?)));
        let before = [((start - 30 * DAY_S) / step * step * 1000, 0.0)];
        source.add(labels(text(series, "name")), before.into_iter().chain(samples));
    }
    let window = json!({"from": from, "until": until, "now": until.max(from)});
    let mut options = options(&window, StepRules::uniform(step * 1000));
    let share = |series: &&Value| number(&series["xFilesFactor"]).unwrap_or(0.0);
    options.x_files_factor = stored.series.first().map_or(0.0, share);
    let got = run_styled([target.as_str()], &options, &source);
    let outcome = match (got, expect["result"].as_array()) {
        (Err(_), None) => Outcome::Passed,
        (Ok(got), None) => Outcome::Failed(format!("{target}: want an error, got {got:?}")),
        (Err(why), Some(_)) => Outcome::Failed(format!("{target}: {why}")),
        (Ok(mut got), Some(wanted)) => {
            got.iter_mut().for_each(|(row, _)| spell_as_integers(row));
            let wanted = wanted.iter().map(|series| recorded(series.get("$series")?));
            same_series(&got, &wanted.collect::<Option<Vec<Value>>>()?)
        }
    };
    Some(match outcome {
        Outcome::Failed(why) => Outcome::Failed(format!("{target}: {why}")),
        outcome => outcome,
    })
}
