//! The lines `rollup` and `histogram`: what they say becomes rows, or the text of a refusal behind the
//! command's name.

use model::WriteBatch;
use wire::opentsdb::gate::Gate;
use wire::opentsdb::histogram::SimpleHistogram;
use wire::opentsdb::number::parse_value;
use wire::opentsdb::point::PutPointError;
use wire::opentsdb::special_json::{RollupParts, push_histogram, push_rollup};
use wire::opentsdb::special_line::{histogram_line, rollup_line, rollup_parts};

use super::put::{NO_HISTOGRAMS, NO_ROLLUPS, rollup_metric};
use crate::state::State;

/// Lines are UTF-8, or what the original takes them for.
fn text(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => line.iter().copied().map(char::from).collect(),
    }
}

fn told(error: &PutPointError) -> String {
    match error {
        PutPointError::Point(error) => format!("illegal argument: {error}"),
        PutPointError::Unknown(unknown) => format!("unknown metric: {unknown}"),
    }
}

/// Takes a `rollup` line.
pub(super) fn rollup(
    state: &State,
    line: &[u8],
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
) -> Result<(), String> {
    let line = text(line);
    let mut point = rollup_line(&line).map_err(|error| error.to_string())?;
    let (interval, aggregator, group_by) = rollup_parts(point.what);
    let parts = RollupParts {
        interval: interval.to_owned(),
        aggregator: aggregator.to_owned(),
        group_by: group_by.to_owned(),
    };
    let value = parse_value(point.value.as_bytes());
    let value = value.map_err(|error| format!("invalid value: {error}"))?;
    let stored = rollup_metric(state, &parts, point.metric)
        .ok_or_else(|| format!("illegal argument: {NO_ROLLUPS}"))?
        .map_err(|error| format!("No such rollup: {error}"))?;
    let sample = (point.metric, point.timestamp, value);
    push_rollup(batch, gate, sample, &mut point.tags, &stored).map_err(|error| told(&error))
}

/// Takes a `histogram` line. One whose value is no histogram is dropped without a word, as the
/// original does.
pub(super) fn histogram(
    state: &State,
    line: &[u8],
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
) -> Result<(), String> {
    if !state.settings.opentsdb.histograms {
        return Err(NO_HISTOGRAMS.to_owned());
    }
    let line = text(line);
    let mut point = histogram_line(&line).map_err(|error| error.to_string())?;
    let sent = if point.what.is_empty() {
        SimpleHistogram::from_text(point.value)
    } else {
        SimpleHistogram::from_base64(point.value)
    };
    let Ok(sent) = sent else {
        state.metrics.rejected_samples.with("malformed").inc();
        return Err(String::new());
    };
    let place = (point.metric, point.timestamp);
    push_histogram(batch, gate, place, &mut point.tags, &sent).map_err(|error| told(&error))
}
