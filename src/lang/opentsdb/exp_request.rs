//! The body of `/api/query/exp`.

use serde_json::Value;

use super::error::OpenTsdbError;
use super::exp::{
    Downsampler, ExpRequest, Fill, Filters, Join, Metric, NamedExpression, Output, Time,
};
use super::request::{Fields, first_object, from_object, missing_content, wrong};

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<ExpRequest, OpenTsdbError> {
    if body.is_empty() {
        return Err(missing_content());
    }
    if body.len() > base::limits::QUERY_BYTES_MAX {
        let message = format!("query of {} bytes is too large", body.len());
        return Err(OpenTsdbError::too_large(message));
    }
    let object = first_object(body)?;
    let fields = Fields(&object);
    Ok(ExpRequest {
        name: fields.text("name")?,
        time: object_of(fields, "time")?.map(time).transpose()?,
        filters: list(fields, "filters", filters)?,
        metrics: list(fields, "metrics", metric)?.unwrap_or_default(),
        expressions: list(fields, "expressions", expression)?,
        outputs: list(fields, "outputs", |fields| {
            Ok(Output { id: fields.text("id")?, alias: fields.text("alias")? })
        })?,
    })
}

fn object_of<'a>(fields: Fields<'a>, name: &str) -> Result<Option<Fields<'a>>, OpenTsdbError> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(Fields(object))),
        Some(_) => Err(wrong(name, "an object")),
    }
}

fn list<'a, T>(
    fields: Fields<'a>,
    name: &str,
    read: impl Fn(Fields<'a>) -> Result<T, OpenTsdbError>,
) -> Result<Option<Vec<T>>, OpenTsdbError> {
    let items = match fields.get(name) {
        None => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong(name, "an array")),
    };
    let read = |item: &'a Value| match item {
        Value::Object(object) => read(Fields(object)),
        _ => Err(wrong(name, "objects")),
    };
    items.iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn time(fields: Fields<'_>) -> Result<Time, OpenTsdbError> {
    let downsampler = object_of(fields, "downsampler")?.map(|fields| {
        Ok(Downsampler {
            interval: fields.text("interval")?,
            aggregator: fields.text("aggregator")?,
            fill: fill(fields)?,
        })
    });
    Ok(Time {
        start: fields.text("start")?,
        end: fields.text("end")?,
        timezone: fields.text("timezone")?,
        downsampler: downsampler.transpose()?,
        aggregator: fields.text("aggregator")?,
        rate: fields.flag("rate")?,
    })
}

fn fill(fields: Fields<'_>) -> Result<Option<Fill>, OpenTsdbError> {
    let Some(fields) = object_of(fields, "fillPolicy")? else { return Ok(None) };
    let value = match fields.get("value") {
        None => 0.0,
        Some(Value::Number(number)) => number.as_f64().unwrap_or_default(),
        Some(Value::String(text)) => text.parse().map_err(|_| wrong("value", "a number"))?,
        Some(_) => return Err(wrong("value", "a number")),
    };
    Fill::new(fields.text("policy")?.as_deref(), value).map(Some)
}

fn filters(fields: Fields<'_>) -> Result<Filters, OpenTsdbError> {
    let tags = match fields.get("tags") {
        None => None,
        Some(Value::Array(items)) => Some(items.iter().map(from_object).collect::<Result<_, _>>()?),
        Some(_) => return Err(wrong("tags", "an array")),
    };
    Ok(Filters { id: fields.text("id")?, tags, explicit_tags: fields.flag("explicitTags")? })
}

fn metric(fields: Fields<'_>) -> Result<Metric, OpenTsdbError> {
    Ok(Metric {
        id: fields.text("id")?,
        metric: fields.text("metric")?,
        filter: fields.text("filter")?,
        aggregator: fields.text("aggregator")?,
        time_offset: fields.text("timeOffset")?,
        fill: fill(fields)?,
    })
}

fn expression(fields: Fields<'_>) -> Result<NamedExpression, OpenTsdbError> {
    Ok(NamedExpression {
        id: fields.text("id")?,
        text: fields.text("expr")?,
        join: object_of(fields, "join")?.map(join).transpose()?.unwrap_or_default(),
        fill: fill(fields)?,
    })
}

fn join(fields: Fields<'_>) -> Result<Join, OpenTsdbError> {
    let union = match fields.text("operator")?.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("union") => true,
        Some("intersection") => false,
        Some(other) => {
            return Err(OpenTsdbError::unmapped(format!("Unrecognized set operator: {other}")));
        }
    };
    let aggregated = fields.get("includeAggTags").is_none() || fields.flag("includeAggTags")?;
    Ok(Join { union, query_tags: fields.flag("useQueryTags")?, aggregated_tags: aggregated })
}
