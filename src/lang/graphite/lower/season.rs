//! What series are expected to be: seasons and lines.

use plan::semantics::TitleRule;
use plan::{ExpressionRule, Node, Op, Presentation, Rows, RowsFunction, node::Number};

use super::{Lowering, present, rows, wrap};
use crate::graphite::argument::Arguments;
use crate::graphite::error::GraphiteError;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

/// Values made anew under the labels of their series.
fn forecast(
    input: Node,
    title: Option<TitleRule>,
    expression: Option<ExpressionRule>,
    marks: &[&str],
) -> Node {
    present(
        input,
        Presentation {
            title,
            expression,
            marks: marks.iter().map(|mark| ((*mark).to_owned(), "1".to_owned())).collect(),
            plain: true,
            ..Presentation::default()
        },
    )
}

/// The series over a window that begins earlier, smoothed.
fn smoothed(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    deviations: &[Option<f64>],
) -> Result<Vec<Node>, GraphiteError> {
    let lead_ms = a.length_ms("bootstrapInterval")?.map_or(7 * 86_400_000, |(ms, _)| ms);
    let season_ms = a.length_ms("seasonality")?.map_or(86_400_000, |(ms, _)| ms);
    let from_s = c.from_s;
    c.from_s = from_s.saturating_sub(lead_ms / 1000);
    let input = c.series(a, "seriesList");
    c.from_s = from_s;
    let input = input?;
    let smooth = |deviations: &Option<f64>| {
        let deviations = deviations.map(Number);
        rows(input.clone(), RowsFunction::Seasonal { season_ms, lead_ms, deviations })
    };
    Ok(deviations.iter().map(smooth).collect())
}

pub(in crate::graphite) fn forecasts(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let smoothed = smoothed(c, a, &[None])?.remove(0);
    let title = Some(wrap("holtWintersForecast(", ")"));
    let marks = ["holtWintersForecast", "holtWintersDeviation"];
    Ok(forecast(smoothed, title, Some(ExpressionRule::Title), &marks))
}

/// The lower and the upper band.
fn bands(c: Context<'_, '_>, a: &Arguments<'_>) -> Result<[Node; 2], GraphiteError> {
    let delta = a.float("delta")?.unwrap_or(3.0);
    let mut both = smoothed(c, a, &[Some(-delta), Some(delta)])?;
    let marks = [
        "holtWintersForecast",
        "holtWintersDeviation",
        "holtWintersConfidenceUpper",
        "holtWintersConfidenceLower",
    ];
    let mut band = |side: &str| {
        let title = Some(wrap(&format!("holtWintersConfidence{side}("), ")"));
        forecast(both.remove(0), title, None, &marks)
    };
    Ok([band("Lower"), band("Upper")])
}

fn interleaved(inputs: [Node; 2]) -> Node {
    let inputs = inputs.to_vec();
    Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Interleave }))
}

pub(in crate::graphite) fn confidence_bands(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    Ok(interleaved(bands(c, a)?))
}

pub(in crate::graphite) fn aberration(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let [lower, upper] = bands(c, a)?;
    let inputs = vec![c.series(a, "seriesList")?, lower, upper];
    let beyond = Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Beyond }));
    let title = Some(wrap("holtWintersAberration(", ")"));
    Ok(forecast(beyond, title, Some(ExpressionRule::Title), &["holtWintersAberration"]))
}

pub(in crate::graphite) fn confidence_area(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let both = interleaved(bands(c, a)?);
    let function = "holtWintersConfidenceArea".to_owned();
    let area = rows(both, RowsFunction::Area { function });
    Ok(present(
        area,
        Presentation {
            expression: Some(ExpressionRule::Title),
            marks: vec![("holtWintersConfidenceArea".to_owned(), "1".to_owned())],
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn linear_regression(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let (now_s, zone) = (c.options.now_s, &c.options.zone);
    let start_s = a.date("startSourceAt", now_s, zone)?.unwrap_or(c.from_s);
    let end_s = a.date("endSourceAt", now_s, zone)?.unwrap_or(c.until_s);
    let (from_s, until_s) = (c.from_s, c.until_s);
    (c.from_s, c.until_s) = (start_s, end_s);
    let source = c.series(a, "seriesList");
    (c.from_s, c.until_s) = (from_s, until_s);
    let inputs = vec![c.series(a, "seriesList")?, source?];
    let lines = Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Trend }));
    let window = format!("{start_s}, {end_s}");
    Ok(present(
        lines,
        Presentation {
            title: Some(wrap("linearRegression(", &format!(", {window})"))),
            expression: Some(ExpressionRule::Title),
            marks: vec![("linearRegressions".to_owned(), window)],
            plain: true,
            ..Presentation::default()
        },
    ))
}
