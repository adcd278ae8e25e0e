//! Values of attributes, and the texts that labels get from them.
//!
//! A text stays as it is; numbers are spelled as JSON spells them; lists and maps become JSON, keys
//! sorted, bytes in base 64 (pdata's `Value.AsString`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::json::fields::{integer, list, some_double, some_text, text};
use crate::prometheus::query_json::write_string;

/// An attribute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct KeyValue<'a> {
    /// Its name.
    #[serde(borrow, deserialize_with = "text")]
    pub key: Cow<'a, str>,
    /// Its value.
    #[serde(borrow)]
    pub value: AnyValue<'a>,
}

/// The value of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "JsonValue<'a>", bound(deserialize = "'de: 'a"))]
pub enum AnyValue<'a> {
    /// None.
    #[default]
    Empty,
    /// A text.
    Text(Cow<'a, str>),
    /// True or false.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A float.
    Double(f64),
    /// A list.
    List(Vec<AnyValue<'a>>),
    /// Names with values.
    Map(Vec<KeyValue<'a>>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

impl AnyValue<'_> {
    /// Appends the value as a label has it.
    pub fn write_text(&self, out: &mut String) {
        match self {
            Self::Empty => {}
            Self::Text(text) => out.push_str(text),
            Self::Double(value) => write_double(out, *value),
            Self::Bytes(bytes) => STANDARD.encode_string(bytes, out),
            Self::Bool(_) | Self::Integer(_) => self.write_scalar(out),
            Self::List(_) | Self::Map(_) => {
                let start = out.len();
                // JSON has no NaN and no infinity: the original then writes nothing at all.
                if self.write_json(out).is_none() {
                    out.truncate(start);
                }
            }
        }
    }

    fn write_scalar(&self, out: &mut String) {
        use std::fmt::Write as _;
        let _ = match self {
            Self::Bool(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            _ => Ok(()),
        };
    }

    /// Appends JSON; `None` where there is none for a number.
    fn write_json(&self, out: &mut String) -> Option<()> {
        match self {
            Self::Empty => out.push_str("null"),
            Self::Text(text) => write_json_text(out, text),
            Self::Bool(_) | Self::Integer(_) => self.write_scalar(out),
            Self::Double(value) if value.is_finite() => write_double(out, *value),
            Self::Double(_) => return None,
            Self::Bytes(bytes) => {
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out)?;
                }
                out.push(']');
            }
            Self::Map(entries) => {
                // Of equal keys the last counts, as in the map that the original makes first.
                let entries: BTreeMap<&str, &AnyValue<'_>> =
                    entries.iter().map(|entry| (&*entry.key, &entry.value)).collect();
                out.push('{');
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_json_text(out, key);
                    out.push(':');
                    value.write_json(out)?;
                }
                out.push('}');
            }
        }
        Some(())
    }
}

fn write_json_text(out: &mut String, text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    write_string(&mut bytes, text);
    out.push_str(&String::from_utf8_lossy(&bytes));
}

/// A number as JavaScript spells it: an exponent from 1e21 on and below 1e-6, without padding.
fn write_double(out: &mut String, value: f64) {
    use std::fmt::Write as _;
    let size = value.abs();
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Infinity", if value < 0.0 { "-" } else { "" })
    } else if size == 0.0 || (1e-6..1e21).contains(&size) {
        write!(out, "{value}")
    } else {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let plus = if exponent.starts_with('-') { "" } else { "+" };
        write!(out, "{digits}e{plus}{exponent}")
    };
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonValue<'a> {
    #[serde(borrow, alias = "string_value", deserialize_with = "some_text")]
    string_value: Option<Cow<'a, str>>,
    #[serde(alias = "bool_value")]
    bool_value: Option<bool>,
    #[serde(alias = "int_value", deserialize_with = "integer")]
    int_value: Option<i64>,
    #[serde(alias = "double_value", deserialize_with = "some_double")]
    double_value: Option<f64>,
    #[serde(borrow, alias = "array_value")]
    array_value: Option<JsonList<AnyValue<'a>>>,
    #[serde(borrow, alias = "kvlist_value")]
    kvlist_value: Option<JsonList<KeyValue<'a>>>,
    #[serde(alias = "bytes_value")]
    bytes_value: Option<Base64>,
}

/// Bytes in base 64.
struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        STANDARD.decode(&*text(from)?).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct JsonList<T> {
    #[serde(default = "Vec::new", deserialize_with = "list")]
    values: Vec<T>,
}

impl<'a> From<JsonValue<'a>> for AnyValue<'a> {
    fn from(json: JsonValue<'a>) -> Self {
        if let Some(text) = json.string_value {
            Self::Text(text)
        } else if let Some(value) = json.bool_value {
            Self::Bool(value)
        } else if let Some(value) = json.int_value {
            Self::Integer(value)
        } else if let Some(value) = json.double_value {
            Self::Double(value)
        } else if let Some(list) = json.array_value {
            Self::List(list.values)
        } else if let Some(map) = json.kvlist_value {
            Self::Map(map.values)
        } else if let Some(bytes) = json.bytes_value {
            Self::Bytes(Cow::Owned(bytes.0))
        } else {
            Self::Empty
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &AnyValue<'_>, want: &str) {
        let mut out = String::new();
        value.write_text(&mut out);
        assert_eq!(out, want);
    }

    #[test]
    fn values_are_spelled_as_in_the_original() {
        check(&AnyValue::Empty, "");
        check(&AnyValue::Text("a\"b".into()), "a\"b");
        check(&AnyValue::Bool(true), "true");
        check(&AnyValue::Integer(-5), "-5");
        check(&AnyValue::Double(1e6), "1000000");
        check(&AnyValue::Double(1e21), "1e+21");
        check(&AnyValue::Double(2.5e-9), "2.5e-9");
        check(&AnyValue::Double(f64::NEG_INFINITY), "-Infinity");
        check(&AnyValue::Bytes(b"tributary!"[..].into()), "dHJpYnV0YXJ5IQ==");
        let map = AnyValue::Map(vec![
            KeyValue { key: "z".into(), value: AnyValue::Text("<é\n".into()) },
            KeyValue {
                key: "a".into(),
                value: AnyValue::List(vec![AnyValue::Double(0.5), AnyValue::Empty]),
            },
            KeyValue { key: "z".into(), value: AnyValue::Text("<\"".into()) },
        ]);
        check(&map, r#"{"a":[0.5,null],"z":"<\""}"#);
        check(&AnyValue::List(vec![AnyValue::Double(f64::NAN)]), "");
    }
}
