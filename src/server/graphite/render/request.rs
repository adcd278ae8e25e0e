//! The parameters of `/render`.

use axum::response::Response;
use lang::graphite::LowerOptions;
use model::TenantId;

use crate::graphite::draw;
use crate::graphite::params::Params;
use crate::graphite::reply::invalid;
use crate::state::State;

/// The window where the request names none.
const DEFAULT_WINDOW_S: i64 = 86_400;

/// How long a series is listed after its last sample, without values.
const KNOWN_S: i64 = 90 * 86_400;

/// How long an answer may be kept where the request does not say.
const CACHE_S: i64 = 60;

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::graphite) enum Format {
    Json,
    Raw,
    Csv,
    Dygraph,
    Rickshaw,
    Pickle,
    MsgPack,
    Png,
    Svg,
}

/// How long the answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::graphite) enum Caching {
    Seconds(i64),
    Never,
}

/// A request as far as it is not the targets' or the chart's.
#[derive(Clone, Debug)]
pub(in crate::graphite) struct Request {
    pub(in crate::graphite) format: Format,
    pub(in crate::graphite) is_pie: bool,
    pub(in crate::graphite) caching: Caching,
    pub(in crate::graphite) options: LowerOptions,
}

impl Request {
    /// Reads the parameters.
    pub(super) fn new(state: &State, params: &Params) -> Result<Self, Response> {
        let is_pie = match params.get("graphType") {
            None | Some("line") => false,
            Some("pie") => true,
            Some(other) => {
                let reason = format!("Invalid graphType '{other}', must be one of ['line', 'pie']");
                return Err(invalid(&reason));
            }
        };
        let format = match format(params)? {
            // A pie is a picture in every format that has none.
            Format::Svg => Format::Svg,
            _ if is_pie => Format::Png,
            format => format,
        };
        let timeout = params.integer("cacheTimeout")?.unwrap_or(CACHE_S);
        let caching = match params.get("noCache").is_some() || timeout <= 0 {
            true => Caching::Never,
            false => Caching::Seconds(timeout.min(86_400 * 365)),
        };
        Ok(Self { format, is_pie, caching, options: options(state, params, format)? })
    }

    /// The targets that are to be computed.
    pub(super) fn targets(&self, params: &Params) -> Vec<String> {
        let targets = params.all("target");
        let targets = targets.into_iter().filter(|target| !target.trim().is_empty());
        // A slice of a pie may be given as it is: `name:value`.
        let targets = targets.filter(|target| !self.is_pie || slice(target).is_none());
        targets.map(str::to_owned).collect()
    }
}

/// `name:value`
pub(in crate::graphite) fn slice(target: &str) -> Option<(&str, f64)> {
    let (name, value) = target.split_once(':')?;
    Some((name, value.trim().parse().ok()?))
}

/// The format; an unknown one is a picture, as with the original.
fn format(params: &Params) -> Result<Format, Response> {
    let asked = match params.get("format") {
        Some(format) => format,
        None if params.get("rawData").is_some() => "raw",
        None if params.get("pickle").is_some() => "pickle",
        None => "png",
    };
    Ok(match asked {
        "json" => Format::Json,
        "raw" => Format::Raw,
        "csv" => Format::Csv,
        "dygraph" => Format::Dygraph,
        "rickshaw" => Format::Rickshaw,
        "pickle" => Format::Pickle,
        "msgpack" => Format::MsgPack,
        "svg" => Format::Svg,
        "pdf" => return Err(invalid("format pdf is not written here; use svg or png")),
        _ => Format::Png,
    })
}

/// What the targets are lowered with.
pub(super) fn options(
    state: &State,
    params: &Params,
    format: Format,
) -> Result<LowerOptions, Response> {
    let now_s = params.now_s(state.now_ms())?;
    let until_s = params.time("until", now_s)?.unwrap_or(now_s);
    let from_s = params.time("from", now_s)?.unwrap_or(now_s - DEFAULT_WINDOW_S);
    let (from_s, until_s) = (from_s.min(until_s), from_s.max(until_s));
    if from_s == until_s {
        return Err(invalid("Invalid empty time range"));
    }
    let share = params.get("xFilesFactor").map(str::parse::<f64>).transpose();
    let x_files_factor = share.map_err(|_| invalid("xFilesFactor is no number"))?.unwrap_or(0.0);
    // Digits only; anything else, and 0, counts as not given.
    let points =
        params.get("maxDataPoints").filter(|text| format == Format::Json && !text.is_empty());
    let max_data_points = match format {
        Format::Png | Format::Svg => Some(draw::width(params)?),
        _ => points.and_then(|text| text.parse().ok()).filter(|points| *points > 0),
    };
    Ok(LowerOptions {
        from_s,
        until_s,
        now_s,
        known_s: KNOWN_S,
        x_files_factor,
        max_data_points,
        templates: params.templates(),
        steps: state.settings.graphite.steps.clone(),
        tenant: TenantId::DEFAULT,
        limits: state.limits_with(params.get("rollups")),
        zone: params.zone(),
    })
}
