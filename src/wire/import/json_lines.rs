//! VictoriaMetrics' export: one JSON object a line,
//! `{"metric":{"__name__":"up","job":"a"},"values":[1,null],"timestamps":[1700000000000,…]}`.
//!
//! Times are milliseconds. `null` is NaN, and texts name what JSON has no number for.

use model::WriteBatch;
use serde::Deserialize;
use serde_json::Value;

use super::{ExtraLabels, LineReader, begin_row};

/// The reader.
#[derive(Clone, Debug, Default)]
pub struct JsonLinesReader {
    /// Labels for every series.
    pub extra: ExtraLabels,
}

#[derive(Deserialize)]
struct Line {
    metric: Pairs,
    values: Vec<Value>,
    timestamps: Vec<i64>,
}

/// The members of an object in their order; a name that repeats is an error later.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<M: serde::de::MapAccess<'de>>(
                self,
                mut map: M,
            ) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn number(value: &Value) -> Result<f64, String> {
    let bad = || format!("the value {value} is not a number");
    match value {
        Value::Null => Ok(f64::NAN),
        Value::Number(number) => number.as_f64().ok_or_else(bad),
        Value::String(text) => match text.as_str() {
            "Infinity" | "+Inf" | "Inf" => Ok(f64::INFINITY),
            "-Infinity" | "-Inf" => Ok(f64::NEG_INFINITY),
            other => other.parse().map_err(|_| bad()),
        },
        _ => Err(bad()),
    }
}

impl LineReader for JsonLinesReader {
    fn read(&mut self, line: &[u8], batch: &mut WriteBatch) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let (values, timestamps) = (&line.values, &line.timestamps);
        if values.len() != timestamps.len() {
            return Err(format!("{} values and {} timestamps", values.len(), timestamps.len()));
        }
        let values = values.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let pairs = line.metric.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        begin_row(pairs, &self.extra, batch)?;
        for (at_ms, value) in timestamps.iter().zip(values) {
            batch.push_float(*at_ms, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{SeriesHasher, TenantId};

    use super::*;

    #[test]
    fn a_line_is_a_row_or_a_reason() {
        let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1));
        let mut reader = JsonLinesReader { extra: vec![("dc".into(), "x".into())] };
        // The example of VictoriaMetrics' documentation, shortened, with what it says of other numbers.
        let line = br#"{"metric":{"__name__":"up","job":"node_exporter","dc":"old"},"values":[0,null,"Infinity",-1.5],"timestamps":[1549891472010,1549891487724,1549891503438,1549891519152]}"#;
        reader.read(line, &mut batch).unwrap();
        let row = batch.rows()[0];
        assert_eq!(
            batch.labels(&row).to_string(),
            r#"{__name__="up", dc="x", job="node_exporter"}"#
        );
        let (times, bits) = batch.samples(&row);
        let values: Vec<f64> = bits.iter().map(|bits| f64::from_bits(*bits)).collect();
        assert_eq!(times[3], 1_549_891_519_152);
        assert!(values[1].is_nan() && values[2] == f64::INFINITY && values[3] == -1.5);
        for bad in [
            &b"{"[..],
            b"[]",
            br#"{"metric":{},"values":[1],"timestamps":[]}"#,
            br#"{"metric":{"a":"1","a":"2"},"values":[1],"timestamps":[1]}"#,
        ] {
            assert!(reader.read(bad, &mut batch).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(batch.rows().len(), 1);
    }
}
