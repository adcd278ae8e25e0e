//! `/render` as a picture. Drawing takes milliseconds of computing, so it runs beside the sockets.

use axum::http::StatusCode;
use axum::response::Response;
use exec::Output;
use model::ResultSeries;
use plan::RowStyle;
use wire::graphite::chart::{self, ChartOptions, ChartSeries, Look, Scene, TimeText};

use super::params::Params;
use super::render::request::{Format, Request, slice};
use super::render::{render_series, rows};
use super::reply::{failure_text, invalid, json, style, text, typed};

/// Series of one picture.
const SERIES_MAX: usize = 5_000;

/// The picture of a request's rows.
pub(super) async fn answer(
    params: &Params,
    request: &Request,
    output: Output,
) -> Result<Response, Response> {
    let options = options(params)?;
    let rows = rows(output);
    if rows.len() > SERIES_MAX {
        let reason = format!("{} series are too many for a picture of {SERIES_MAX}", rows.len());
        return Err(invalid(&reason));
    }
    let series: Vec<ChartSeries> =
        rows.iter().filter_map(|(row, style)| chart_series(row, style.as_deref())).collect();
    let slices = if request.is_pie { Some(slices(params, &series)?) } else { None };
    let (window, zone) =
        ((request.options.from_s, request.options.until_s), request.options.zone.clone());
    let is_svg = request.format == Format::Svg;
    let picture = tokio::task::spawn_blocking(move || {
        let scene = match slices {
            Some(slices) => chart::pie_chart(&slices, &options),
            None => line_chart(&series, window, &options, &zone),
        };
        if is_svg {
            Picture::Svg(chart::to_svg(&scene))
        } else {
            Picture::Png(chart::to_png(&scene))
        }
    })
    .await
    .map_err(|error| failure_text(&error))?;
    match picture {
        Picture::Svg(body) if params.get("jsonp").is_some() => {
            let mut quoted = wire::graphite::json::Writer::new(style(params));
            quoted.text(&body);
            Ok(json(params, style(params), quoted.finish()))
        }
        Picture::Svg(body) => Ok(typed("image/svg+xml", body)),
        Picture::Png(Some(body)) => Ok(typed("image/png", body)),
        Picture::Png(None) => {
            Err(text(StatusCode::INTERNAL_SERVER_ERROR, "cannot paint the picture".to_owned()))
        }
    }
}

enum Picture {
    Svg(String),
    Png(Option<Vec<u8>>),
}

/// Width in pixels that points are merged to: more than one a pixel is not seen.
pub(super) fn width(params: &Params) -> Result<usize, Response> {
    let options = options(params)?;
    Ok(((f64::from(options.width) / options.x_step_min.max(1.0)) as usize).max(1))
}

fn options(params: &Params) -> Result<ChartOptions, Response> {
    ChartOptions::read(&|name| params.get(name).map(str::to_owned))
        .map_err(|error| invalid(&error.to_string()))
}

fn line_chart(
    series: &[ChartSeries],
    window: (i64, i64),
    options: &ChartOptions,
    zone: &jiff::tz::TimeZone,
) -> Scene {
    let stamp = |at| jiff::Timestamp::from_second(at).unwrap_or_default();
    let times = TimeText {
        offset_s: &|at| i64::from(zone.to_offset(stamp(at)).seconds()),
        // A pattern is the user's: what it spells wrongly shows as it is.
        text: &|at, pattern| {
            let at = stamp(at).to_zoned(zone.clone());
            jiff::fmt::strtime::format(pattern, &at).unwrap_or_else(|_| pattern.to_owned())
        },
    };
    chart::line_chart(series, window, options, &times)
}

fn chart_series(row: &ResultSeries, style: Option<&RowStyle>) -> Option<ChartSeries> {
    let series = render_series(row, style)?;
    let drawing = style.map(|style| style.drawing.clone()).unwrap_or_default();
    let look = Look {
        color: drawing.color.as_deref().map(str::to_owned),
        alpha: drawing.alpha.map(|alpha| alpha.0),
        line_width: drawing.line_width.map(|width| width.0),
        dashed: drawing.dashed.map(|dash| dash.0),
        is_infinite: drawing.infinite,
        second_axis: drawing.second_axis,
        stacked: drawing.stacked,
        is_invisible: drawing.invisible,
    };
    let (name, start, step) = (series.name, series.start, series.step);
    Some(ChartSeries { name, start, step, values: series.values, look })
}

/// The slices of a pie: those given as `name:value`, and each series' average, largest or smallest.
fn slices(params: &Params, series: &[ChartSeries]) -> Result<Vec<(String, f64)>, Response> {
    let mode = params.get("pieMode").unwrap_or("average");
    if !["average", "maximum", "minimum"].contains(&mode) {
        return Err(invalid(&format!("pieMode cannot be {mode:?}")));
    }
    let given = params.all("target").into_iter().filter_map(slice);
    let mut slices: Vec<(String, f64)> =
        given.map(|(name, value)| (name.to_owned(), value)).collect();
    slices.extend(series.iter().map(|one| {
        let values = || one.values.iter().flatten().copied();
        let value = match mode {
            "maximum" => values().fold(f64::NEG_INFINITY, f64::max),
            "minimum" => values().fold(f64::INFINITY, f64::min),
            _ => values().sum::<f64>() / values().count().max(1) as f64,
        };
        (one.name.clone(), value)
    }));
    Ok(slices)
}
