//! Tables of `/api/query/exp`: a column for every series, a line for every instant.

use model::{METRIC_NAME, ResultSeries};

use super::query_json::{push_double, push_integer, push_tags, push_text, push_texts};

/// What is said about a table beside its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// The variable.
    pub id: &'a str,
    /// What it is called.
    pub alias: Option<&'a str>,
    /// Metrics behind every column.
    pub metrics: &'a [String],
    /// The last instant of a table with one line is given as 0, as the original does for expressions.
    pub short_end: bool,
}

/// Appends a table. All rows stand on the same instants.
pub fn push_table(out: &mut Vec<u8>, table: Table<'_>, rows: &[ResultSeries]) {
    let instants = rows.first().map(|row| row.points.timestamps.as_slice()).unwrap_or_default();
    out.extend_from_slice(b"{\"id\":");
    push_text(out, table.id);
    if let Some(alias) = table.alias {
        out.extend_from_slice(b",\"alias\":");
        push_text(out, alias);
    }
    out.extend_from_slice(b",\"dps\":[");
    for (index, at_ms) in instants.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
        push_integer(out, *at_ms);
        for row in rows {
            out.push(b',');
            push_value(out, row.points.values.get(index).copied().unwrap_or(f64::NAN));
        }
        out.push(b']');
    }
    let first = instants.first().copied().unwrap_or_default();
    let shortened = table.short_end && instants.len() == 1;
    let last = instants.last().copied().filter(|_| !shortened).unwrap_or_default();
    out.extend_from_slice(
        format!(
            "],\"dpsMeta\":{{\"firstTimestamp\":{first},\"lastTimestamp\":{last},\
             \"setCount\":{},\"series\":{}}}",
            instants.len(),
            rows.len()
        )
        .as_bytes(),
    );
    if !rows.is_empty() {
        push_columns(out, table.metrics, rows);
    }
    out.push(b'}');
}

fn push_columns(out: &mut Vec<u8>, metrics: &[String], rows: &[ResultSeries]) {
    out.extend_from_slice(b",\"meta\":[{\"index\":0,\"metrics\":[\"timestamp\"]}");
    for (index, row) in rows.iter().enumerate() {
        out.extend_from_slice(format!(",{{\"index\":{},\"metrics\":", index + 1).as_bytes());
        push_texts(out, metrics.iter().map(String::as_str));
        out.extend_from_slice(b",\"commonTags\":");
        push_tags(out, row.labels.iter().filter(|(name, _)| *name != METRIC_NAME));
        out.extend_from_slice(b",\"aggregatedTags\":");
        push_texts(out, row.disagreeing.iter().map(String::as_str));
        out.push(b'}');
    }
    out.push(b']');
}

/// Appends a number, or one that is none as a text.
pub fn push_value(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_double(out, value);
    } else {
        out.push(b'"');
        push_double(out, value);
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Labels, Points};

    #[test]
    fn tables_have_a_column_for_every_row() {
        let row = |host: &str, values: [f64; 1]| ResultSeries {
            labels: Labels::from_pairs([("__name__", "m"), ("h", host)]),
            disagreeing: vec!["x".to_owned()].into(),
            points: Points {
                timestamps: vec![1_000],
                values: values.to_vec(),
                ..Points::default()
            },
            title: None,
            grid: None,
        };
        let metrics = ["m".to_owned()];
        let table = Table { id: "a", alias: Some("b"), metrics: &metrics, short_end: true };
        let mut out = Vec::new();
        push_table(&mut out, table, &[row("1", [2.0]), row("2", [f64::NAN])]);
        let want = r#"{"id":"a","alias":"b","dps":[[1000,2.0,"NaN"]],"dpsMeta":{"firstTimestamp":1000,"lastTimestamp":0,"setCount":1,"series":2},"meta":[{"index":0,"metrics":["timestamp"]},{"index":1,"metrics":["m"],"commonTags":{"h":"1"},"aggregatedTags":["x"]},{"index":2,"metrics":["m"],"commonTags":{"h":"2"},"aggregatedTags":["x"]}]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let mut out = Vec::new();
        push_table(&mut out, Table { alias: None, ..table }, &[]);
        let want = r#"{"id":"a","dps":[],"dpsMeta":{"firstTimestamp":0,"lastTimestamp":0,"setCount":0,"series":0}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
