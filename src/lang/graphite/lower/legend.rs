//! Names with numbers in them.

use base::printf::{Conversion, Spec};
use plan::semantics::{Reducer, TitleRule};
use plan::{
    FieldWidth, Node, NumberFormat, Op, Presentation, Rows, RowsFunction, TitleField, TitlePart,
    UnitSystem,
};

use super::{Lowering, present, reducer, rows};
use crate::graphite::argument::Arguments;
use crate::graphite::error::GraphiteError;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

/// A part as wide as it comes.
pub(super) fn own(part: TitlePart) -> TitleField {
    TitleField { part, width: FieldWidth::Own }
}

/// A fixed text.
pub(super) fn text(text: impl Into<String>) -> TitlePart {
    TitlePart::Text(text.into())
}

/// A number in this spelling, `absent` where there is none.
pub(super) fn number(number: Reducer, spec: Spec, absent: &str) -> TitlePart {
    let format = NumberFormat { spec, units: None, suffix: None };
    TitlePart::Number { number, format, absent: absent.to_owned() }
}

fn system(name: &str) -> Option<UnitSystem> {
    match name {
        "si" => Some(UnitSystem::Decimal),
        "binary" => Some(UnitSystem::Binary),
        _ => None,
    }
}

pub(in crate::graphite) fn legend_value(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let mut types = a.texts("valuesTypes")?;
    let units = types.last().and_then(|last| system(last));
    if units.is_some() {
        types.pop();
    }
    // What comes behind the first number is longer than 20 characters already.
    let width = if units.is_some() { FieldWidth::Fixed(20) } else { FieldWidth::Own };
    let mut fields = vec![TitleField { part: TitlePart::Title, width }];
    for kind in types {
        let known = reducer(kind.strip_suffix("Series").unwrap_or(kind));
        let known = known.filter(|known| *known != Reducer::First);
        match units {
            None => {
                let conversion = match known {
                    Some(Reducer::Count) => Conversion::Integer,
                    _ => Conversion::Text,
                };
                fields.push(own(text(format!(" ({kind}: "))));
                fields.push(own(match known {
                    Some(known) => number(known, Spec::plain(conversion), "None"),
                    None => text("(?)"),
                }));
                fields.push(own(text(")")));
            }
            Some(_) => {
                let format = NumberFormat { spec: Spec::fixed(2), units, suffix: None };
                let value = match known {
                    Some(number) => TitlePart::Number { number, format, absent: "None".to_owned() },
                    None => text("(?)"),
                };
                fields.push(TitleField { part: text(kind), width: FieldWidth::Fixed(5) });
                fields.push(TitleField { part: value, width: FieldWidth::Fixed(10) });
            }
        }
    }
    Ok(rows(input, RowsFunction::TitleNumbers(fields)))
}

pub(in crate::graphite) fn cacti_style(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let units = a.text("system")?.and_then(system);
    let suffix = a.text("units")?.filter(|units| !units.is_empty()).map(str::to_owned);
    let mut fields = vec![TitleField { part: TitlePart::Title, width: FieldWidth::Column(0) }];
    let numbers = [(" Current:", Reducer::Last), (" Max:", Reducer::Max), (" Min:", Reducer::Min)];
    for (name, number) in numbers {
        let format = NumberFormat { spec: Spec::fixed(2), units, suffix: suffix.clone() };
        let part = TitlePart::Number { number, format, absent: "nan".to_owned() };
        fields.push(own(text(name)));
        fields.push(TitleField { part, width: FieldWidth::Column(3) });
    }
    fields.push(own(text(" ")));
    Ok(rows(input, RowsFunction::TitleNumbers(fields)))
}

pub(in crate::graphite) fn alias_query(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let search = a.required_text("search")?.to_owned();
    model::Pattern::new(&search)?;
    let replacement = a.required_text("replace")?.to_owned();
    let (before, format, after) = template(a.required_text("newName")?)
        .ok_or_else(|| a.bad("newName", "a text with one conversion of a number, such as %d"))?;
    let renamed = present(
        input.clone(),
        Presentation {
            title: Some(TitleRule::Substitute { search, replacement }),
            ..Presentation::default()
        },
    );
    let mut inputs = vec![input];
    for query in c.titles(renamed)? {
        inputs.push(c.target(&query)?);
    }
    let function = RowsFunction::TitleFromLast { before, format, after };
    Ok(Node::new(Op::Rows(Rows { inputs, function })))
}

/// A text around its only conversion; `%%` is a percent sign.
fn template(format: &str) -> Option<(String, Spec, String)> {
    let (mut before, mut after) = (String::new(), String::new());
    let mut found = None;
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        let out = if found.is_none() { &mut before } else { &mut after };
        out.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        if let Some(behind) = rest.strip_prefix('%') {
            out.push('%');
            rest = behind;
        } else if found.is_none() {
            let (spec, behind) = Spec::parse(rest)?;
            found = Some(spec);
            rest = behind;
        } else {
            return None;
        }
    }
    after.push_str(rest);
    found.map(|spec| (before, spec, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_one_number() {
        let (before, spec, after) = template("Channel %d MHz 5%%").unwrap();
        assert_eq!((before.as_str(), after.as_str()), ("Channel ", " MHz 5%"));
        assert_eq!(spec.print(410.9), "410");
        assert!(template("none").is_none() && template("%d %d").is_none());
        assert!(template("%y").is_none());
    }
}
