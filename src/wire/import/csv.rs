//! Comma-separated values whose columns a `format` describes, as VictoriaMetrics takes them:
//! `1:label:ticker,2:metric:ask,3:time:unix_s`. Columns count from 1; those not named are passed over.
//!
//! A field may stand in double quotes, a doubled quote inside means one (RFC 4180).

use model::{METRIC_NAME, WriteBatch};

use super::{ExtraLabels, LineReader, begin_row};

/// Columns that a line may have.
const COLUMNS_MAX: usize = 10_000;

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    /// The value of the metric of this name.
    Metric(String),
    /// The value of the label of this name.
    Label(String),
    /// The time.
    Time(TimeFormat),
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeFormat {
    Seconds,
    Millis,
    Nanos,
    Rfc3339,
}

/// The reader.
#[derive(Clone, Debug)]
pub struct CsvReader {
    /// Time of lines without a time column, in milliseconds.
    default_ms: i64,
    extra: ExtraLabels,
    /// By column, from 0.
    columns: Vec<(usize, Role)>,
    fields: Vec<Vec<u8>>,
}

fn parse_column(text: &str) -> Result<(usize, Role), String> {
    let mut parts = text.splitn(3, ':');
    let (Some(column), Some(role), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("{text:?} is not column:role:name"));
    };
    let number = column.trim().parse().ok().filter(|number| (1..=COLUMNS_MAX).contains(number));
    let number: usize =
        number.ok_or_else(|| format!("{column:?} is not a column from 1 to {COLUMNS_MAX}"))?;
    let role = match (role, name) {
        (_, "") => return Err(format!("{text:?} has no name")),
        ("metric", name) => Role::Metric(name.to_owned()),
        ("label", name) => Role::Label(name.to_owned()),
        ("time", "unix_s") => Role::Time(TimeFormat::Seconds),
        ("time", "unix_ms") => Role::Time(TimeFormat::Millis),
        ("time", "unix_ns") => Role::Time(TimeFormat::Nanos),
        ("time", "rfc3339") => Role::Time(TimeFormat::Rfc3339),
        ("time", other) => {
            return Err(format!("time {other:?} is none of unix_s, unix_ms, unix_ns, rfc3339"));
        }
        (other, _) => return Err(format!("role {other:?} is none of metric, label, time")),
    };
    Ok((number - 1, role))
}

impl CsvReader {
    /// A reader for lines of this `format`. `Err` says what is wrong with it.
    pub fn new(format: &str, default_ms: i64, extra: ExtraLabels) -> Result<Self, String> {
        let columns = format.split(',').map(parse_column).collect::<Result<Vec<_>, _>>()?;
        if !columns.iter().any(|(_, role)| matches!(role, Role::Metric(_))) {
            return Err("no column is a metric".to_owned());
        }
        Ok(Self { default_ms, extra, columns, fields: Vec::new() })
    }

    fn text(&self, column: usize) -> Result<&str, String> {
        let field = self.fields.get(column).ok_or_else(|| {
            format!("there is no column {}: the line has {}", column + 1, self.fields.len())
        })?;
        std::str::from_utf8(field).map_err(|_| format!("column {} is not UTF-8", column + 1))
    }

    fn time(&self) -> Result<i64, String> {
        let of_time = |(column, role): &(usize, Role)| match role {
            Role::Time(format) => Some((*column, *format)),
            _ => None,
        };
        match self.columns.iter().find_map(of_time) {
            None => Ok(self.default_ms),
            Some((column, format)) => parse_time(self.text(column)?, format),
        }
    }
}

fn parse_time(text: &str, format: TimeFormat) -> Result<i64, String> {
    let bad = || format!("the time {text:?} cannot be read");
    let integer = || text.parse::<i64>().map_err(|_| bad());
    match format {
        TimeFormat::Seconds => integer()?.checked_mul(1000).ok_or_else(bad),
        TimeFormat::Millis => integer(),
        TimeFormat::Nanos => Ok(integer()?.div_euclid(1_000_000)),
        TimeFormat::Rfc3339 => {
            text.parse().map(|at: jiff::Timestamp| at.as_millisecond()).map_err(|_| bad())
        }
    }
}

/// Splits `line` into `fields`, whose memory is reused.
fn split(line: &[u8], fields: &mut Vec<Vec<u8>>) -> Result<(), String> {
    fields.clear();
    let mut rest = line;
    loop {
        if fields.len() >= COLUMNS_MAX {
            return Err(format!("more than {COLUMNS_MAX} columns"));
        }
        let mut field = Vec::new();
        if let Some(mut inner) = rest.strip_prefix(b"\"") {
            loop {
                let quote = memchr::memchr(b'"', inner).ok_or("a quoted field does not end")?;
                field.extend_from_slice(&inner[..quote]);
                inner = &inner[quote + 1..];
                match inner.strip_prefix(b"\"") {
                    Some(more) => {
                        field.push(b'"');
                        inner = more;
                    }
                    None => break,
                }
            }
            rest = inner;
        } else {
            let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
            field.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(field);
        match rest {
            [] => return Ok(()),
            [b',', more @ ..] => rest = more,
            _ => return Err(format!("column {} goes on behind its quotes", fields.len())),
        }
    }
}

impl LineReader for CsvReader {
    fn read(&mut self, line: &[u8], batch: &mut WriteBatch) -> Result<(), String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        split(line, &mut self.fields)?;
        let at_ms = self.time()?;
        let mut labels = Vec::new();
        let mut values = Vec::new();
        for (column, role) in &self.columns {
            let text = self.text(*column)?;
            match role {
                Role::Time(_) => {}
                Role::Label(name) => labels.push((name.as_bytes(), text.as_bytes())),
                // An empty field is a sample that was not taken.
                Role::Metric(_) if text.is_empty() => {}
                Role::Metric(name) => {
                    let value: f64 =
                        text.parse().map_err(|_| format!("the value {text:?} is not a number"))?;
                    values.push((name.as_bytes(), value));
                }
            }
        }
        for (name, value) in values {
            let pairs = labels.iter().copied().chain([(METRIC_NAME.as_bytes(), name)]);
            begin_row(pairs, &self.extra, batch)?;
            batch.push_float(at_ms, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{SeriesHasher, TenantId};

    use super::*;

    #[test]
    fn columns_become_labels_times_and_metrics() {
        let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1));
        // The example of VictoriaMetrics' documentation.
        let format = "2:metric:ask,3:metric:bid,1:label:ticker,4:time:unix_s";
        let mut reader = CsvReader::new(format, 0, vec![]).unwrap();
        reader.read(b"GOOG,1.23,4.56,1700000000\r", &mut batch).unwrap();
        reader.read(b"\"a,\"\"b\",,7,1700000001", &mut batch).unwrap();
        let shown: Vec<String> = batch
            .rows()
            .iter()
            .map(|row| {
                let (times, bits) = batch.samples(row);
                format!("{} {} {}", batch.labels(row), f64::from_bits(bits[0]), times[0])
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"{__name__="ask", ticker="GOOG"} 1.23 1700000000000"#,
                r#"{__name__="bid", ticker="GOOG"} 4.56 1700000000000"#,
                r#"{__name__="bid", ticker="a,\"b"} 7 1700000001000"#,
            ]
        );
        for (line, want) in [
            (&b"GOOG,x,1,1"[..], "the value \"x\" is not a number"),
            (b"GOOG,1", "there is no column 4: the line has 2"),
            (b"\"a,1,1,1", "a quoted field does not end"),
            (b"a,1,1,soon", "the time \"soon\" cannot be read"),
        ] {
            assert_eq!(reader.read(line, &mut batch).unwrap_err(), want);
        }
        for format in ["", "1:metric", "0:metric:a", "1:label:x", "1:time:custom:2006", "1:what:x"]
        {
            assert!(CsvReader::new(format, 0, vec![]).is_err(), "{format}");
        }
    }
}
