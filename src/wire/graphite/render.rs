//! The answers of `/render` that are data: `json`, `raw`, `csv`, `dygraph`, `rickshaw`, and what
//! `pickle` and `msgpack` hold.

use std::fmt::Write as _;

use super::json::{Style, Writer, push_float};
use super::pack::Pack;

/// One result series on a regular grid, in whole seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderSeries {
    /// What the query calls it.
    pub name: String,
    /// Its tags in the order they are shown.
    pub tags: Vec<(String, String)>,
    /// Time of the first value.
    pub start: i64,
    /// Time behind the last slot.
    pub end: i64,
    /// Distance of two values; at least 1.
    pub step: i64,
    /// Values, `None` where there is none.
    pub values: Vec<Option<f64>>,
    /// The text that the series came from.
    pub expression: String,
    /// How its points would be merged.
    pub consolidation: String,
    /// Share of values that a merged value needs.
    pub x_files_factor: f64,
}

impl RenderSeries {
    /// Values with their times. A time past the end has no value to show.
    fn points(&self) -> impl Iterator<Item = (i64, Option<f64>)> + '_ {
        let times = (0..).map(|index: i64| self.start + index * self.step);
        times.zip(self.values.iter().copied()).take_while(|(time, _)| *time <= self.end)
    }
}

/// `[{"target": …, "tags": {…}, "datapoints": [[value, time], …]}, …]`; the empty list when no series
/// has a value. With `no_null_points` only numbers are shown, and only series that have one.
pub fn json(series: &[RenderSeries], no_null_points: bool, style: Style) -> String {
    let mut json = Writer::new(style);
    json.begin('[');
    let shown = |value: &Option<f64>| !no_null_points || value.is_some_and(|value| !value.is_nan());
    if series.iter().any(|series| !series.values.is_empty()) {
        for series in series {
            if no_null_points && !series.values.iter().any(shown) {
                continue;
            }
            json.begin('{');
            json.key("target");
            json.text(&series.name);
            json.key("tags");
            json.begin('{');
            for (tag, value) in &series.tags {
                json.key(tag);
                json.text(value);
            }
            json.end('}');
            json.key("datapoints");
            json.begin('[');
            for (time, value) in series.points().filter(|(_, value)| shown(value)) {
                json.begin('[');
                json.number(value);
                json.integer(time);
                json.end(']');
            }
            json.end(']');
            json.end('}');
        }
    }
    json.end(']');
    json.finish()
}

/// `name,start,end,step|value,value,…` a line; no value is `None`.
pub fn raw(series: &[RenderSeries]) -> String {
    let mut out = String::new();
    for series in series {
        let _ = write!(out, "{},{},{},{}|", series.name, series.start, series.end, series.step);
        for (index, value) in series.values.iter().enumerate() {
            out.push_str(if index == 0 { "" } else { "," });
            match value {
                Some(value) => push_float(&mut out, *value),
                None => out.push_str("None"),
            }
        }
        out.push('\n');
    }
    out
}

/// `name,time,value` a line with CR LF; `time_text` spells a time in the request's zone.
pub fn csv(series: &[RenderSeries], time_text: impl Fn(i64) -> String) -> String {
    let mut out = String::new();
    for series in series {
        let quote = series.name.contains([',', '"', '\r', '\n']);
        let name = match quote {
            true => format!("\"{}\"", series.name.replace('"', "\"\"")),
            false => series.name.clone(),
        };
        for (time, value) in series.points() {
            let _ = write!(out, "{name},{},", time_text(time));
            if let Some(value) = value {
                push_float(&mut out, value);
            }
            out.push_str("\r\n");
        }
    }
    out
}

/// `{"labels" : ["Time", name…], "data" : [[milliseconds, value…], …]}`; `None`, as with the original,
/// where the series do not stand on one grid.
pub fn dygraph(series: &[RenderSeries], style: Style) -> Option<String> {
    let Some(first) = series.first() else { return Some("{}".to_owned()) };
    let grid = |one: &RenderSeries| (one.start, one.end, one.step);
    if series.iter().any(|one| grid(one) != grid(first)) {
        return None;
    }
    let mut labels = Writer::new(Style { pretty: false, ..style });
    labels.texts(std::iter::once("Time").chain(series.iter().map(|series| series.name.as_str())));
    let mut data = Writer::new(Style { pretty: false, ..style });
    data.begin('[');
    for (index, (time, _)) in first.points().enumerate().filter(|(_, (time, _))| *time < first.end)
    {
        data.begin('[');
        data.integer(time.saturating_mul(1000));
        let values = series.iter().map(|one| one.values.get(index).copied().flatten());
        values.for_each(|value| data.number(value));
        data.end(']');
    }
    data.end(']');
    Some(format!("{{\"labels\" : {}, \"data\" : {}}}", labels.finish(), data.finish()))
}

/// `[{"target": …, "datapoints": [{"x": time, "y": value}, …]}, …]`
pub fn rickshaw(series: &[RenderSeries], style: Style) -> String {
    let mut json = Writer::new(style);
    json.begin('[');
    for series in series {
        json.begin('{');
        json.key("target");
        json.text(&series.name);
        json.key("datapoints");
        json.begin('[');
        for (time, value) in series.points().filter(|(time, _)| *time < series.end) {
            json.begin('{');
            json.key("x");
            json.integer(time);
            json.key("y");
            json.number(value);
            json.end('}');
        }
        json.end(']');
        json.end('}');
    }
    json.end(']');
    json.finish()
}

/// What other programs of the family read from each other: everything known of each series.
pub fn packed(series: &[RenderSeries], mut pack: Box<dyn Pack>) -> Vec<u8> {
    pack.begin_list(series.len());
    for series in series {
        pack.begin_map(9);
        pack.text("name");
        pack.text(&series.name);
        for (key, time) in [("start", series.start), ("end", series.end), ("step", series.step)] {
            pack.text(key);
            pack.integer(time);
        }
        pack.text("values");
        pack.begin_list(series.values.len());
        for value in &series.values {
            match value {
                Some(value) => pack.float(*value),
                None => pack.none(),
            }
        }
        pack.end_list();
        pack.text("pathExpression");
        pack.text(&series.expression);
        pack.text("valuesPerPoint");
        pack.integer(1);
        pack.text("consolidationFunc");
        pack.text(&series.consolidation);
        pack.text("xFilesFactor");
        pack.float(series.x_files_factor);
        pack.end_map();
    }
    pack.end_list();
    pack.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[Option<f64>]) -> RenderSeries {
        RenderSeries {
            name: "a,\"b\"".into(),
            tags: vec![("name".into(), "a".into())],
            start: 60,
            end: 60 + 60 * values.len() as i64,
            step: 60,
            values: values.to_vec(),
            expression: "a".into(),
            consolidation: "average".into(),
            x_files_factor: 0.0,
        }
    }

    #[test]
    fn formats() {
        let some = [series(&[Some(1.0), None, Some(f64::INFINITY)])];
        assert_eq!(
            json(&some, false, Style::PLAIN),
            r#"[{"target": "a,\"b\"", "tags": {"name": "a"}, "datapoints": [[1.0, 60], [null, 120], [1e9999, 180]]}]"#
        );
        assert!(json(&some, true, Style::PLAIN).contains("[[1.0, 60], [1e9999, 180]]"));
        assert_eq!(json(&[series(&[])], false, Style::PLAIN), "[]");
        assert_eq!(json(&[series(&[None])], true, Style::PLAIN), "[]");
        assert_eq!(raw(&some), "a,\"b\",60,240,60|1.0,None,inf\n");
        assert_eq!(
            dygraph(&some, Style::PLAIN).unwrap(),
            r#"{"labels" : ["Time", "a,\"b\""], "data" : [[60000, 1.0], [120000, null], [180000, 1e9999]]}"#
        );
        assert_eq!(dygraph(&[], Style::PLAIN).unwrap(), "{}");
        let mixed = [series(&[None]), series(&[None, None])];
        assert_eq!(dygraph(&mixed, Style::PLAIN), None);
        assert!(rickshaw(&some, Style::PLAIN).contains(r#"[{"x": 60, "y": 1.0}, {"x": 120, "#));
        let text = csv(&some, |time| time.to_string());
        assert!(text.starts_with("\"a,\"\"b\"\"\",60,1.0\r\n\"a,\"\"b\"\"\",120,\r\n"));
    }
}
