//! One evaluation, in all the ways the reference tries it.

use base::cancel::CancelToken;
use exec::{Context, Output, Value};
use lang::promql::ast::{At, Expr, ExprKind, Shift};
use lang::promql::{Features, LowerOptions, annotation_text, lower, parse};
use model::{Labels, StepGrid};
use plan::{Annotation, Level};

use super::compare::{at_instant, compare_instant, compare_matrix};
use super::database::Database;
use super::script::{Answer, Eval, Notes, Time, Wording};

/// What became of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As the reference answers.
    Right,
    /// Otherwise.
    Wrong(String),
}

/// A minute.
const MINUTE_MS: i64 = 60_000;

/// Calls whose value depends on when they are evaluated, whatever `@` says.
const TIMED: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Runs `eval` and compares.
pub(crate) fn evaluate(eval: &Eval, database: &Database) -> Outcome {
    let expr = match parse(&eval.query, Features::ALL) {
        Ok(expr) => expr,
        Err(error) => return Outcome::Wrong(format!("does not parse: {error}")),
    };
    let result = match eval.time {
        Time::Instant(at_ms) => instant(eval, &expr, at_ms, database),
        Time::Range(from, until, step) => {
            range(eval, &expr, StepGrid::new(from, until, step), database)
        }
    };
    match result {
        Ok(()) => Outcome::Right,
        Err(reason) => Outcome::Wrong(reason),
    }
}

fn any(expr: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    test(expr) || expr.children().into_iter().any(|child| any(child, test))
}

/// Text to answer over `grid`, as a server would.
pub(crate) fn run(
    expr: &Expr,
    grid: StepGrid,
    is_range: bool,
    database: &Database,
) -> Result<Output, String> {
    let options = LowerOptions {
        step_ms: if is_range { grid.step_ms } else { 0 },
        features: Features { type_and_unit_labels: false, ..Features::ALL },
        ..LowerOptions::new(grid)
    };
    let plan = lower(expr, &options).map_err(|error| error.to_string())?;
    let plan = plan::rules::optimise(plan);
    let context = Context::new(CancelToken::default());
    exec::execute(&plan, database.source(), &context).map_err(|error| error.to_string())
}

fn check_notes(notes: &Notes, output: &Output, query: &str) -> Result<(), String> {
    for (level, wanted, none) in [
        (Level::Warning, &notes.warnings, notes.no_warning),
        (Level::Info, &notes.infos, notes.no_info),
    ] {
        let of_level = output.annotations.iter().filter(|one| one.kind.level() == level);
        // Scripts of 3.14 word notes without their place in the query, later ones with it.
        let placeless = |one: &Annotation| Annotation { kind: one.kind.clone(), span: None };
        let texts: Vec<[String; 2]> = of_level
            .map(|one| [one.clone(), placeless(one)].map(|one| annotation_text(&one, query).1))
            .collect();
        if none && !texts.is_empty() {
            return Err(format!("expected no {level:?}, got {texts:?}"));
        }
        if wanted.is_empty() {
            continue;
        }
        let accepts =
            |wording: &Wording, texts: &[String; 2]| texts.iter().any(|text| wording.accepts(text));
        let met = |wording: &Wording| texts.iter().any(|texts| accepts(wording, texts));
        let asked = |texts: &[String; 2]| wanted.iter().any(|wording| accepts(wording, texts));
        if texts.is_empty() || !wanted.iter().all(met) || !texts.iter().all(asked) {
            return Err(format!("expected {level:?} {wanted:?}, got {texts:?}"));
        }
    }
    Ok(())
}

/// Checks that a failure is wanted; `Ok(None)` when it was.
fn unless_failing(eval: &Eval, outcome: Result<Output, String>) -> Result<Option<Output>, String> {
    match (&eval.fails, outcome) {
        (None, Ok(output)) => Ok(Some(output)),
        (None, Err(error)) => Err(format!("failed: {error}")),
        (Some(wording), Err(error)) if wording.accepts(&error) => Ok(None),
        (Some(wording), Err(error)) => Err(format!("failed with {error:?}, not {wording:?}")),
        (Some(_), Ok(_)) => Err("should have failed".to_owned()),
    }
}

fn range(eval: &Eval, expr: &Expr, grid: StepGrid, database: &Database) -> Result<(), String> {
    let Some(output) = unless_failing(eval, run(expr, grid, true, database))? else {
        return Ok(());
    };
    check_notes(&eval.notes, &output, &eval.query)?;
    let rows = match output.value {
        Value::Vector(mut rows) => {
            exec::sort_by_labels(&mut rows);
            rows.retain(|row| !row.points.timestamps.is_empty());
            rows
        }
        Value::Scalar(points) => vec![model::ResultSeries {
            labels: Labels::empty(),
            title: None,
            disagreeing: [].into(),
            grid: None,
            points,
        }],
        Value::Text(_) => return Err("a text over a range".to_owned()),
    };
    compare_matrix(eval, &rows, grid.start_ms, grid.step_ms)
}

fn instant(eval: &Eval, expr: &Expr, at_ms: i64, database: &Database) -> Result<(), String> {
    instant_once(eval, expr, at_ms, database)?;
    if any(expr, &|one| matches!(&one.kind, ExprKind::Call(c) if TIMED.contains(&c.function))) {
        return Ok(());
    }
    // The same with the time fixed by `@`, evaluated at other times, by way of the printed text.
    let mut fixed = expr.clone();
    fix_time(&mut fixed, at_ms);
    let text = fixed.to_string();
    let fixed = parse(&text, Features::ALL).map_err(|error| format!("{text:?}: {error}"))?;
    let times = match at_ms {
        0 => vec![-1000, 0, 1000],
        _ => vec![-10 * at_ms, 0, at_ms / 5, at_ms, 10 * at_ms],
    };
    for time in times {
        instant_once(eval, &fixed, time, database)
            .map_err(|error| format!("as {text:?} at {time}: {error}"))?;
    }
    Ok(())
}

fn instant_once(eval: &Eval, expr: &Expr, at_ms: i64, database: &Database) -> Result<(), String> {
    let grid = StepGrid::instant(at_ms);
    let Some(output) = unless_failing(eval, run(expr, grid, false, database))? else {
        return Ok(());
    };
    check_notes(&eval.notes, &output, &eval.query)?;
    if let (Answer::Text(wanted), Value::Text(got)) = (&eval.expected, &output.value) {
        return if wanted == got {
            Ok(())
        } else {
            Err(format!("expected {wanted:?}, got {got:?}"))
        };
    }
    if let Some((from, _, step)) = eval.range_vector {
        let Value::Vector(rows) = output.value else {
            return Err("expected a range vector".to_owned());
        };
        return compare_matrix(eval, &rows, from, step);
    }
    let result = at_instant(&output.value, at_ms)
        .ok_or_else(|| format!("no answer at {at_ms}: {:?}", output.value))?;
    compare_instant(eval, &result, eval.ordered)?;
    let is_timed = ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|word| eval.query.to_ascii_lowercase().contains(word));
    if eval.ordered || is_timed {
        return Ok(());
    }
    within_range(eval, expr, at_ms, database).map_err(|error| format!("as a range: {error}"))
}

/// The same instant out of a range query around it.
fn within_range(eval: &Eval, expr: &Expr, at_ms: i64, database: &Database) -> Result<(), String> {
    let grid = StepGrid::new(at_ms - MINUTE_MS, at_ms + MINUTE_MS, MINUTE_MS);
    let Some(output) = unless_failing(eval, run(expr, grid, true, database))? else {
        return Ok(());
    };
    let result = at_instant(&output.value, at_ms).ok_or("no answer")?;
    compare_instant(eval, &result, false)
}

/// Puts `@ at_ms` on everything that has none and is not inside something that has one.
fn fix_time(expr: &mut Expr, at_ms: i64) {
    let fix = |shift: &mut Shift| {
        shift.at.get_or_insert(At::Time(at_ms));
    };
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::Text(_) => {}
        ExprKind::Selector(selector) => fix(&mut selector.shift),
        ExprKind::Range(range) => fix(&mut range.selector.shift),
        ExprKind::Subquery(subquery) => fix(&mut subquery.shift),
        ExprKind::Call(call) => call.arguments.iter_mut().for_each(|one| fix_time(one, at_ms)),
        ExprKind::Aggregate(aggregate) => {
            fix_time(&mut aggregate.operand, at_ms);
            if let Some(parameter) = &mut aggregate.parameter {
                fix_time(parameter, at_ms);
            }
        }
        ExprKind::Binary(binary) => {
            fix_time(&mut binary.left, at_ms);
            fix_time(&mut binary.right, at_ms);
        }
        ExprKind::Unary { operand, .. } => fix_time(operand, at_ms),
        ExprKind::Paren(inner) => fix_time(inner, at_ms),
    }
}
