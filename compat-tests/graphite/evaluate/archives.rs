//! What whisper's archives show of a series: which slots a question gets, and what a coarser slot holds.

use exec::testing::MemorySource;
use lang::graphite::StepRules;
use serde_json::{Value, json};

use super::super::{Outcome, close, number, text};
use super::{DAY_S, labels, options, run};

/// Rules of one series that holds `archives`, a list of seconds and points.
fn rules(archives: &Value, aggregation: &str) -> StepRules {
    let archives = archives.as_array().unwrap().iter();
    let archives: Vec<String> = archives.map(|pair| format!("{}:{}", pair[0], pair[1])).collect();
    let schemas = format!("[a]\npattern = .*\nretentions = {}\n", archives.join(","));
    let rules = StepRules::parse(&schemas, 60_000).unwrap();
    rules.with_aggregation(&format!("[a]\npattern = .*\n{aggregation}\n")).unwrap()
}

/// First slot, its end, the step, and the values.
pub(in super::super) fn fetch(vector: &Value) -> Outcome {
    let (request, expect) = (&vector["request"], &vector["expect"]);
    let now = request["now"].as_i64().unwrap();
    let mut source = MemorySource::new();
    // Recorded with a file that has no sample but these.
    let count = if request["points"].is_string() { 30 } else { 1 };
    let samples = (0..count).rev().map(|back| ((now - 60 * back) * 1000, back as f64));
    source.add(labels("a"), samples);
    let mut options = options(request, rules(&request["archives"], ""));
    options.known_s = 10 * 365 * DAY_S;
    let rows = match run(["a"], &options, &source) {
        Ok(rows) => rows,
        Err(why) => return Outcome::Failed(why),
    };
    let Some((_, points)) = rows.first() else {
        return Outcome::equal(expect["nothing"].as_bool(), Some(true));
    };
    let step = points.get(1).map_or(60, |second| second.1 - points[0].1);
    let info = json!([points[0].1, points[points.len() - 1].1 + step, step]);
    if info != expect["time_info"] {
        return Outcome::Failed(format!("want {}, got {info}", expect["time_info"]));
    }
    let Some(values) = expect["values"].as_array() else { return Outcome::Passed };
    Outcome::equal(
        points.iter().map(|point| point.0).collect::<Vec<_>>(),
        values.iter().map(number).collect(),
    )
}

/// The value of a coarse slot.
pub(in super::super) fn rollup(vector: &Value) -> Outcome {
    let (request, expect) = (&vector["request"], &vector["expect"]);
    let slot = 1_700_000_000 / 3600 * 3600;
    let points = request["points"].as_array().unwrap().iter();
    let samples = points
        .map(|point| ((slot + point[0].as_i64().unwrap()) * 1000, number(&point[1]).unwrap()));
    let mut source = MemorySource::new();
    // Within one slot of the finest archive the later write wins there, the later time here.
    let Some(archives) = request["archives"].as_array() else {
        source.add(labels("a"), samples);
        let window = json!({"from": slot - 60, "until": slot + 60, "now": slot + 60});
        let options = options(&window, StepRules::uniform(60_000));
        let got: Vec<_> = run(["a"], &options, &source).unwrap()[0].1.iter().map(|p| p.0).collect();
        let wanted = expect["slots"][1].as_array().unwrap().iter().map(number).collect();
        return Outcome::equal(got, wanted);
    };
    source.add(labels("a"), samples);
    let coarse_s = archives[1][0].as_i64().unwrap();
    let aggregation = format!(
        "aggregationMethod = {}\nxFilesFactor = {}",
        text(request, "aggregation"),
        request["xFilesFactor"]
    );
    // Further back than the finer archive reaches.
    let window = json!({"from": slot - 1, "until": slot + coarse_s - 1, "now": slot + 2 * 3600});
    let options = options(&window, rules(&request["archives"], &aggregation));
    let got = match run(["a"], &options, &source) {
        Ok(rows) => rows.first().and_then(|row| row.1.first().copied()),
        Err(why) => return Outcome::Failed(why),
    };
    let wanted = number(&expect["value_at_coarse_slot"]);
    match (got, wanted) {
        (Some((Some(value), at)), Some(wanted)) if at == slot && close(value, wanted) => {
            Outcome::Passed
        }
        (Some((None, at)), None) if at == slot => Outcome::Passed,
        _ => Outcome::Failed(format!("want {wanted:?}, got {got:?}")),
    }
}
