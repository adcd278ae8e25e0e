//! The parameters of `/render` that say how a chart looks.

mod read;

use super::color::Color;

/// Pixels of a picture, in all.
pub(super) const PIXELS_MAX: u64 = 16_000_000;
/// Pixels of one side.
const SIDE_MAX: u32 = 16_000;
/// Series of the legend beyond which it is left out unless it is asked for.
pub(super) const LEGEND_MAX: usize = 10;

/// How points are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineMode {
    /// From point to point; a gap ends the line.
    Slope,
    /// Each value holds until the next.
    Staircase,
    /// From point to point over gaps.
    Connected,
}

/// What is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AreaMode {
    /// Nothing.
    None,
    /// Below the first series.
    First,
    /// Below every series.
    All,
    /// Below every series, each on top of the one before.
    Stacked,
}

/// How large numbers are shortened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitSystem {
    /// Powers of 1000.
    Si,
    /// Powers of 1024.
    Binary,
    /// Seconds from milliseconds, minutes, hours, days.
    Msec,
    /// Not at all.
    None,
}

impl UnitSystem {
    /// What a number of this size is divided by, and what stands behind it then.
    pub(super) fn prefix(self, size: f64) -> (f64, &'static str) {
        let table: &[(f64, &str)] = match self {
            Self::Si => &[(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")],
            Self::Binary => &[
                (1_125_899_906_842_624.0, "Pi"),
                (1_099_511_627_776.0, "Ti"),
                (1_073_741_824.0, "Gi"),
                (1_048_576.0, "Mi"),
                (1024.0, "Ki"),
            ],
            Self::Msec => {
                &[(86_400_000.0, "d"), (3_600_000.0, "h"), (60_000.0, "m"), (1000.0, "s")]
            }
            Self::None => &[],
        };
        let found = table.iter().find(|(divisor, _)| size >= *divisor);
        found.copied().unwrap_or((1.0, if self == Self::Msec { "ms" } else { "" }))
    }
}

/// Where the axis of values stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YSide {
    /// On the left.
    Left,
    /// On the right.
    Right,
}

/// A parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The picture would be too large.
    #[error("a picture of {width} x {height} has more than {PIXELS_MAX} pixels, or none")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// A value that is none of those it may be.
    #[error("{name} cannot be {value:?}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

/// How a chart looks.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are the parameters of the same names")]
pub struct ChartOptions {
    pub width: u32,
    pub height: u32,
    pub margin: f64,
    pub font_size: f64,
    pub title: Option<String>,
    pub y_title: Option<String>,
    pub y_title_right: Option<String>,
    pub background: Color,
    pub foreground: Color,
    pub major_grid: Color,
    pub minor_grid: Color,
    pub colors: Vec<Color>,
    pub line_mode: LineMode,
    pub line_width: f64,
    pub connected_limit: Option<usize>,
    pub area_mode: AreaMode,
    pub area_alpha: f64,
    pub nulls_are_zero: bool,
    pub hide_legend: Option<bool>,
    pub unique_legend: bool,
    pub hide_x_axis: bool,
    pub hide_y_axis: bool,
    pub hide_grid: bool,
    pub graph_only: bool,
    pub x_format: Option<String>,
    pub y_side: YSide,
    pub units: UnitSystem,
    pub log_base: Option<f64>,
    pub minor_y: usize,
    /// Smallest, largest, limit and step of the left axis.
    pub y_left: [Option<f64>; 4],
    /// Smallest, largest, limit and step of the right axis.
    pub y_right: [Option<f64>; 4],
    pub right_color: Option<Color>,
    pub left_color: Option<Color>,
    pub right_width: Option<f64>,
    pub left_width: Option<f64>,
    pub right_dashed: bool,
    pub left_dashed: bool,
    /// Pixels between two points that are drawn.
    pub x_step_min: f64,
    /// Marks of an axis of values; `None` is as many as there is room for.
    pub y_marks: Option<usize>,
    pub hide_null_from_legend: bool,
    pub pie_labels: PieLabels,
    /// Percent, or the value, that a slice has a label from.
    pub pie_label_min: f64,
    pub pie_label_color: Option<Color>,
}

/// What slices of a pie say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieLabels {
    /// Nothing.
    None,
    /// Their value.
    Number,
    /// Their share.
    Percent,
}
