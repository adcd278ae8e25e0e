//! Numbers of the values in titles and labels.

use base::printf::Spec;
use model::LabelBuilder;
use plan::semantics::Reducer;
use plan::{
    EvalError, FieldWidth, NumberFormat, Rows as RowsNode, TitleField, TitlePart, UnitSystem,
};

use super::choose::score;
use super::each;
use super::present::style_of;
use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::{Identity, Row};

/// Titles made of fields.
pub(super) fn titles(
    executor: &Executor<'_>,
    rows: &RowsNode,
    fields: &[TitleField],
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let columns = fields.iter().any(|field| matches!(field.width, FieldWidth::Column(_)));
    if !columns {
        let widths: Vec<usize> = fields
            .iter()
            .map(|field| if let FieldWidth::Fixed(width) = field.width { width } else { 0 })
            .collect();
        return each(executor, rows, sink, |identity, row| {
            identity.title = Some(title(fields, &widths, identity, row).into());
            Ok(())
        });
    }
    let mut collected = crate::row::Rows::new(executor.budget);
    for input in &rows.inputs {
        executor.stream(input, &mut |identity, row| collected.push(identity, row))?;
    }
    let items = collected.as_mut();
    let widths: Vec<usize> = fields.iter().map(|field| width(field, items)).collect();
    for (identity, row) in items {
        identity.title = Some(title(fields, &widths, identity, row).into());
        sink(identity, row)?;
    }
    Ok(())
}

fn width(field: &TitleField, items: &mut [(Identity<'static>, Row)]) -> usize {
    let extra = match field.width {
        FieldWidth::Own => return 0,
        FieldWidth::Fixed(width) => return width,
        FieldWidth::Column(extra) => extra,
    };
    let mut scratch = Vec::new();
    let mut longest = 0;
    for (identity, row) in items {
        let length = match &field.part {
            TitlePart::Title => identity.title_or_name().chars().count(),
            TitlePart::Text(text) => text.chars().count(),
            TitlePart::Number { number, format, .. } => {
                let number = score(number, row, &mut scratch).filter(|number| *number != 0.0);
                // An integer has no negative zero.
                print(format, number.unwrap_or(3.0).trunc() + 0.0).chars().count()
            }
        };
        longest = longest.max(length);
    }
    longest + extra
}

fn title(fields: &[TitleField], widths: &[usize], identity: &mut Identity, row: &Row) -> String {
    let mut out = String::new();
    let mut scratch = Vec::new();
    for (field, width) in fields.iter().zip(widths) {
        let text = match &field.part {
            TitlePart::Title => identity.title_or_name().to_string(),
            TitlePart::Text(text) => text.clone(),
            TitlePart::Number { number, format, absent } => {
                match score(number, row, &mut scratch) {
                    Some(number) => print(format, number),
                    None => absent.clone(),
                }
            }
        };
        let fill = width.saturating_sub(text.chars().count());
        out.push_str(&text);
        out.extend(std::iter::repeat_n(' ', fill));
    }
    out
}

fn print(format: &NumberFormat, number: f64) -> String {
    let (number, power) = match format.units {
        Some(system) => scaled(number, system),
        None => (number, ""),
    };
    let digits = format.spec.print(number);
    match &format.suffix {
        Some(suffix) => format!("{digits} {power}{suffix}"),
        None => format!("{digits}{power}"),
    }
}

/// The number divided by the largest power that fits, and the power's name. What lies a hair above a
/// whole number is taken for it.
fn scaled(number: f64, system: UnitSystem) -> (f64, &'static str) {
    let (base, names): (f64, [&'static str; 5]) = match system {
        UnitSystem::Decimal => (1000.0, ["P", "T", "G", "M", "k"]),
        UnitSystem::Binary => (1024.0, ["Pi", "Ti", "Gi", "Mi", "Ki"]),
    };
    let powers = names.into_iter().zip((1..=5).rev().map(|power| base.powi(power)));
    let fits = powers.into_iter().find(|(_, size)| number.abs() >= *size);
    let (name, size) = fits.unwrap_or(("", 1.0));
    let scaled = number / size;
    let hair = scaled - scaled.floor() < 1e-11 && number > 1.0;
    (if hair { scaled.floor() } else { scaled }, name)
}

/// A label where `text` has one.
pub(super) fn mark(
    executor: &Executor<'_>,
    rows: &RowsNode,
    label: &str,
    text: impl Fn(&Row, &mut Vec<f64>) -> Option<String>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut scratch = Vec::new();
    each(executor, rows, sink, |identity, row| {
        let Some(text) = text(row, &mut scratch) else { return Ok(()) };
        let mut labels = LabelBuilder::from_labels(identity.labels().view());
        labels.set(label, &text);
        identity.set_labels(labels.build());
        Ok(())
    })
}

/// Rows of the first input called after the last value of the further input at the same place.
pub(super) fn from_last(
    executor: &Executor<'_>,
    rows: &RowsNode,
    (before, format, after): (&str, &Spec, &str),
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let Some((named, others)) = rows.inputs.split_first() else { return Ok(()) };
    let mut others = others.iter();
    let mut scratch = Vec::new();
    executor.stream(named, &mut |identity, row| {
        let Some(other) = others.next() else {
            return Err(EvalError::BadArgument("series appeared while being named".into()).into());
        };
        let mut last = None;
        executor.stream(other, &mut |_, row| {
            if last.is_none() {
                last = Some(score(&Reducer::Last, row, &mut scratch));
            }
            Ok(())
        })?;
        let title = identity.title_or_name();
        let reason = match last {
            Some(Some(last)) => {
                identity.title = Some(format!("{before}{}{after}", format.print(last)).into());
                return sink(identity, row);
            }
            Some(None) => format!("no last value in the series found for {title}"),
            None => format!("no series found with the query for {title}"),
        };
        Err(EvalError::BadArgument(reason).into())
    })
}

/// Rows of the first input called by the expressions of the further ones.
pub(super) fn call(
    executor: &Executor<'_>,
    rows: &RowsNode,
    (function, after): (&str, &str),
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let Some((named, others)) = rows.inputs.split_first() else { return Ok(()) };
    let mut parts = Vec::new();
    for other in others {
        let mut expressions = std::collections::BTreeSet::new();
        executor.stream(other, &mut |identity, _| {
            expressions.insert(style_of(identity).expression);
            Ok(())
        })?;
        parts.push(expressions.iter().map(|text| &**text).collect::<Vec<_>>().join(","));
    }
    let title: plan::node::Text = format!("{function}({}{after})", parts.join(", ")).into();
    executor.stream(named, &mut |identity, row| {
        identity.title = Some(title.clone());
        sink(identity, row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_named() {
        assert_eq!(scaled(122_880.0, UnitSystem::Binary), (120.0, "Ki"));
        assert_eq!(scaled(-1500.0, UnitSystem::Decimal), (-1.5, "k"));
        assert_eq!(scaled(999.0, UnitSystem::Decimal), (999.0, ""));
        assert_eq!(scaled(0.5, UnitSystem::Binary), (0.5, ""));
    }
}
