//! Charts of series: what is drawn is decided once, as a scene of a few kinds of shapes, and then
//! written as SVG or painted as PNG.
//!
//! Equal input gives equal bytes: no clock, no randomness, and the typeface is compiled in. The size of
//! a picture, the number of its series and the length of every text are bounded.

mod axis;
mod color;
mod lines;
mod options;
mod pie;
mod png;
mod scene;
mod svg;
mod text;

pub use color::Color;
pub use options::{AreaMode, ChartOptions, LineMode, OptionError, UnitSystem, YSide};
pub use scene::Scene;

/// One series of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartSeries {
    /// What the legend says.
    pub name: String,
    /// Time of the first value, in seconds.
    pub start: i64,
    /// Distance of two values in seconds.
    pub step: i64,
    /// Values, `None` where there is none.
    pub values: Vec<Option<f64>>,
    /// How it wants to be drawn.
    pub look: Look,
}

/// How one series is drawn; what is not set follows the chart's options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Colour, by name or as hexadecimal digits.
    pub color: Option<String>,
    /// Opacity from 0 to 1.
    pub alpha: Option<f64>,
    /// Width of the line in pixels.
    pub line_width: Option<f64>,
    /// Length of the dashes in pixels.
    pub dashed: Option<f64>,
    /// A vertical line at every value but 0.
    pub is_infinite: bool,
    /// Against the axis on the right.
    pub second_axis: bool,
    /// An area from its value down to the highest of the stacked series before it.
    pub stacked: bool,
    /// Takes its room, but is not drawn.
    pub is_invisible: bool,
}

/// How times are shown: in whose zone, and in which words.
pub struct TimeText<'t> {
    /// Seconds that the zone is ahead of UTC at a time.
    pub offset_s: &'t dyn Fn(i64) -> i64,
    /// A time by a pattern such as `%H:%M`.
    pub text: &'t dyn Fn(i64, &str) -> String,
}

/// The series over time, from `from` to `until` in seconds.
pub fn line_chart(
    series: &[ChartSeries],
    window: (i64, i64),
    options: &ChartOptions,
    times: &TimeText<'_>,
) -> Scene {
    lines::draw(series, window, options, times)
}

/// Slices of a pie by name and value.
pub fn pie_chart(slices: &[(String, f64)], options: &ChartOptions) -> Scene {
    pie::draw(slices, options)
}

/// The text of an SVG document.
pub fn to_svg(scene: &Scene) -> String {
    svg::write(scene)
}

/// The bytes of a PNG file; `None` if the scene is larger than can be painted.
pub fn to_png(scene: &Scene) -> Option<Vec<u8>> {
    png::paint(scene)
}

#[cfg(test)]
mod tests;
