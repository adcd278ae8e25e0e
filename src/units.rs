//! Lengths of time and sizes as the configuration spells them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use server::DURATION_UNITS;

/// A length of time: `"15m"`, `"2h"`, `"90d"`, `"500ms"`, or a number of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Millis(pub i64);

/// Units of time, longest first, in milliseconds: those of PromQL.
const TIME_UNITS: &[(&str, i64)] = &DURATION_UNITS;

/// Units of size, largest first, in bytes.
const SIZE_UNITS: &[(&str, i64)] =
    &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A size: `"2GiB"`, `"64MiB"`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub u64);

fn parse_with_units(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..digits].parse().ok()?;
    let unit = &text[digits..];
    let factor = match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return None,
    };
    number.checked_mul(factor)
}

fn format_with_units(number: i64, units: &[(&str, i64)]) -> String {
    for (name, factor) in units {
        if number != 0 && number % factor == 0 {
            return format!("{}{name}", number / factor);
        }
    }
    "0".to_owned()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

impl NumberOrText {
    fn value<E: serde::de::Error>(self, units: &[(&str, i64)], example: &str) -> Result<i64, E> {
        let value = match &self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => parse_with_units(text, units),
        };
        value.filter(|value| *value >= 0).ok_or_else(|| {
            let shown = match self {
                Self::Number(number) => number.to_string(),
                Self::Text(text) => text,
            };
            E::custom(format!("cannot read {shown:?}: write it like {example}"))
        })
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NumberOrText::deserialize(deserializer)?.value(TIME_UNITS, "\"15m\" or \"2h\"").map(Self)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_with_units(self.0, TIME_UNITS))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value =
            NumberOrText::deserialize(deserializer)?.value(SIZE_UNITS, "\"64MiB\" or \"2GiB\"")?;
        Ok(Self(value.unsigned_abs()))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_with_units(self.0 as i64, SIZE_UNITS))
    }
}
