//! Single fields of JSON as protobuf spells them: numbers may be texts, anything may be `null`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::prometheus::otlp::message::Temporality;

/// What a JSON number becomes.
trait FromNumber: Sized {
    fn from_u64(number: u64) -> Option<Self>;
    fn from_i64(number: i64) -> Option<Self>;
    fn from_f64(number: f64) -> Option<Self>;
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! integer_from_number {
    ($($kind:ty),*) => {$(
        impl FromNumber for $kind {
            fn from_u64(number: u64) -> Option<Self> {
                Self::try_from(number).ok()
            }

            fn from_i64(number: i64) -> Option<Self> {
                Self::try_from(number).ok()
            }

            fn from_f64(_: f64) -> Option<Self> {
                None
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

integer_from_number!(u64, i64, u32, i32);

impl FromNumber for f64 {
    fn from_u64(number: u64) -> Option<Self> {
        Some(number as f64)
    }

    fn from_i64(number: i64) -> Option<Self> {
        Some(number as f64)
    }

    fn from_f64(number: f64) -> Option<Self> {
        Some(number)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A number or the text of one; nothing for `null`. Through a value of its own, since the parser may
/// keep numbers as texts of any length.
fn some<'de, D: Deserializer<'de>, T: FromNumber>(from: D) -> Result<Option<T>, D::Error> {
    let number = match Value::deserialize(from)? {
        Value::Null => return Ok(None),
        Value::String(text) => T::from_text(&text),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => T::from_u64(number),
            (None, Some(number)) => T::from_i64(number),
            (None, None) => number.as_f64().and_then(T::from_f64),
        },
        _ => return Err(D::Error::custom("expected a number or the text of one")),
    };
    number.map(Some).ok_or_else(|| D::Error::custom("number is out of range or none"))
}

/// A number of the list helpers.
struct Item<T>(T);

impl<'de, T: FromNumber + Default> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        some(from).map(|number| Self(number.unwrap_or_default()))
    }
}

fn numbers<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromNumber + Default,
{
    let items = Option::<Vec<Item<T>>>::deserialize(from)?.unwrap_or_default();
    Ok(items.into_iter().map(|Item(number)| number).collect())
}

/// An unsigned integer of 64 bits.
pub fn unsigned<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    some(from).map(Option::unwrap_or_default)
}

/// A list of them.
pub fn unsigned_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    numbers(from)
}

/// A signed integer of 64 bits, or nothing.
pub fn integer<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    some(from)
}

/// An integer of 32 bits.
#[allow(private_bounds, reason = "only the integers of this module are meant")]
pub fn small<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromNumber + Default,
{
    some(from).map(Option::unwrap_or_default)
}

/// A float; the texts `NaN`, `Infinity` and `-Infinity` are some, too.
pub fn double<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    some(from).map(Option::unwrap_or_default)
}

/// A float, or nothing.
pub fn some_double<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    some(from)
}

/// A list of floats.
pub fn double_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    numbers(from)
}

/// A list, or nothing.
pub fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }
}

/// A text, borrowed where nothing in it is escaped.
pub fn text<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Cow<'a, str>, D::Error> {
    from.deserialize_any(TextVisitor)
}

/// A text, or nothing.
pub fn some_text<'de: 'a, 'a, D>(from: D) -> Result<Option<Cow<'a, str>>, D::Error>
where
    D: Deserializer<'de>,
{
    text(from).map(Some)
}

/// An enumeration, by number or by name.
pub fn temporality<'de, D: Deserializer<'de>>(from: D) -> Result<Temporality, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(Temporality::Unspecified),
        Value::Number(number) => Ok(Temporality::from_number(number.as_i64().unwrap_or_default())),
        Value::String(name) => match name.as_str() {
            "AGGREGATION_TEMPORALITY_UNSPECIFIED" => Ok(Temporality::Unspecified),
            "AGGREGATION_TEMPORALITY_DELTA" => Ok(Temporality::Delta),
            "AGGREGATION_TEMPORALITY_CUMULATIVE" => Ok(Temporality::Cumulative),
            _ => Err(D::Error::custom(format!("unknown temporality {name:?}"))),
        },
        _ => Err(D::Error::custom("expected the number or name of an enumeration")),
    }
}

/// The `LENGTH` bytes of an identifier in hexadecimal digits; empty for none.
pub fn hex_bytes<'de, D, const LENGTH: usize>(from: D) -> Result<Vec<u8>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = text(from)?;
    let bad = || D::Error::custom(format!("{text:?} is not {LENGTH} bytes in hexadecimal digits"));
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.len() != LENGTH * 2 || !text.is_ascii() {
        return Err(bad());
    }
    let byte = |index: usize| u8::from_str_radix(text.get(index..index + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(|index| byte(index).ok_or_else(bad)).collect()
}
