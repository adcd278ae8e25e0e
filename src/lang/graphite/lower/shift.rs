//! Series from other times, and parts of the time asked for.

use jiff::{Timestamp, ToSpan, Unit, ZonedRound};
use plan::{ExpressionRule, Node, Op, Presentation, Rows, RowsFunction};

use super::{Lowering, present, rows, wrap};
use crate::graphite::argument::Arguments;
use crate::graphite::error::GraphiteError;
use crate::graphite::time::parse_interval;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

/// Shifts that one call may ask for.
const SHIFTS_MAX: i64 = 1000;

/// Without a sign the past is meant.
fn signed(text: &str) -> String {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        format!("-{text}")
    } else {
        text.to_owned()
    }
}

/// The series over a window moved by `shift_s`, on the present one.
fn shifted(c: Context<'_, '_>, a: &Arguments<'_>, shift_s: i64, until_ms: Option<i64>) -> Lowered {
    let (from_s, until_s) = (c.from_s, c.until_s);
    c.from_s = from_s.saturating_add(shift_s);
    c.until_s = until_s.saturating_add(shift_s);
    let shifted = c.series(a, "seriesList");
    (c.from_s, c.until_s) = (from_s, until_s);
    let inputs = vec![shifted?, c.series(a, "seriesList")?];
    let by_ms = shift_s.saturating_mul(-1000);
    Ok(Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Restart { by_ms, until_ms } })))
}

pub(in crate::graphite) fn time_shift(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let text = signed(a.required_text("timeShift")?);
    let mut shift_s = parse_interval(&text)?;
    if a.boolean("alignDst")?.unwrap_or(false) {
        shift_s = shift_s.saturating_add(summer_time(c, shift_s));
    }
    // What the present does not show yet is cut off the past as well, unless told otherwise.
    let reset_end = a.boolean("resetEnd")?.unwrap_or(true);
    let until_s = c.until_s.min(c.options.now_s);
    let until_ms = (reset_end && until_s < c.until_s).then_some(until_s.saturating_mul(1000));
    Ok(present(
        shifted(c, a, shift_s, until_ms)?,
        Presentation {
            title: Some(wrap("timeShift(", &format!(", \"{text}\")"))),
            marks: vec![("timeShift".to_owned(), text)],
            ..Presentation::default()
        },
    ))
}

/// Seconds that clocks are apart if one window lies in summer time and the other does not.
fn summer_time(c: &Lowering<'_>, shift_s: i64) -> i64 {
    let summer = |at_s: i64| {
        let time = Timestamp::from_second(at_s).ok();
        time.is_some_and(|time| c.options.zone.to_offset_info(time).dst().is_dst())
    };
    let now = [summer(c.from_s), summer(c.until_s)];
    let then = [c.from_s, c.until_s].map(|at_s| summer(at_s.saturating_add(shift_s)));
    match (now, then) {
        ([true, true], [false, false]) => 3600,
        ([false, false], [true, true]) => -3600,
        _ => 0,
    }
}

pub(in crate::graphite) fn time_stack(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let unit = signed(a.text("timeShiftUnit")?.unwrap_or("1d"));
    let unit_s = parse_interval(&unit)?;
    let first = a.integer("timeShiftStart")?.unwrap_or(0);
    let end = a.integer("timeShiftEnd")?.unwrap_or(7);
    if end.saturating_sub(first) > SHIFTS_MAX {
        return Err(a.bad("timeShiftEnd", "at most 1000 shifts"));
    }
    let mut inputs = Vec::new();
    for shift in first..end {
        let moved = shifted(c, a, unit_s.saturating_mul(shift), None)?;
        inputs.push(present(
            moved,
            Presentation {
                title: Some(wrap("timeShift(", &format!(", {unit}, {shift})"))),
                expression: Some(ExpressionRule::Title),
                marks: vec![
                    ("timeShiftUnit".to_owned(), unit.clone()),
                    ("timeShift".to_owned(), shift.to_string()),
                ],
                ..Presentation::default()
            },
        ));
    }
    Ok(Node::new(Op::Union(inputs)))
}

pub(in crate::graphite) fn time_slice(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let (now_s, zone) = (c.options.now_s, &c.options.zone);
    let start_s = a
        .date("startSliceAt", now_s, zone)?
        .ok_or_else(|| a.bad("startSliceAt", "a time in quotes"))?;
    let end_s = a.date("endSliceAt", now_s, zone)?.unwrap_or(now_s);
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    let (origin_ms, from_ms, until_ms) = (ms(c.from_s), ms(start_s), ms(end_s));
    let sliced = rows(input, RowsFunction::Slice { origin_ms, from_ms, until_ms });
    Ok(present(
        sliced,
        Presentation {
            title: Some(wrap("timeSlice(", &format!(", {start_s}, {end_s})"))),
            marks: vec![
                ("timeSliceStart".to_owned(), start_s.to_string()),
                ("timeSliceEnd".to_owned(), end_s.to_string()),
            ],
            ..Presentation::default()
        },
    ))
}

/// The unit that a window can begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The second, minute, hour or day.
    Unit(Unit),
    /// The week, from this day on; Monday is 1.
    Week(i8),
    /// The month.
    Month,
    /// The year.
    Year,
}

impl Begin {
    /// As `alignTo` names it: by its first letters, a week's first day behind it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        Some(match lower.as_str() {
            text if text.starts_with('s') => Self::Unit(Unit::Second),
            text if text.starts_with("min") => Self::Unit(Unit::Minute),
            text if text.starts_with('h') => Self::Unit(Unit::Hour),
            text if text.starts_with('d') => Self::Unit(Unit::Day),
            text if text.starts_with('w') => match text.chars().last()?.to_digit(10) {
                None => Self::Week(1),
                Some(day @ 1..=7) => Self::Week(i8::try_from(day).ok()?),
                Some(_) => return None,
            },
            text if text.starts_with("mon") => Self::Month,
            text if text.starts_with('y') => Self::Year,
            _ => return None,
        })
    }
}

/// The start of the unit that `at_s` lies in, by the request's wall clock; itself beyond the calendar.
pub(super) fn begin(c: &Lowering<'_>, at_s: i64, unit: Begin) -> i64 {
    let Ok(time) = Timestamp::from_second(at_s) else { return at_s };
    let time = time.to_zoned(c.options.zone.clone());
    let trunc = |unit| time.round(ZonedRound::new().smallest(unit).mode(jiff::RoundMode::Trunc));
    let day = || time.start_of_day();
    let began = match unit {
        Begin::Unit(unit) => trunc(unit),
        Begin::Week(first) => {
            let since = (time.weekday().to_monday_one_offset() - first).rem_euclid(7);
            day().and_then(|day| day.checked_sub(i64::from(since).days()))
        }
        Begin::Month => time.first_of_month().and_then(|first| first.start_of_day()),
        Begin::Year => time.first_of_year().and_then(|first| first.start_of_day()),
    };
    began.map_or(at_s, |began| began.timestamp().as_second())
}

/// The series over a window that begins with a unit.
pub(super) fn from_begin(c: Context<'_, '_>, a: &Arguments<'_>, unit: Begin) -> Lowered {
    let from_s = c.from_s;
    c.from_s = begin(c, from_s, unit);
    let input = c.series(a, "seriesList");
    c.from_s = from_s;
    input
}
