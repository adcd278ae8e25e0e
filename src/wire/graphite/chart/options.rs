//! The parameters of `/render` that say how a chart looks.

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

/// Colours of a template: background, foreground, major and minor grid, lines.
fn template(name: &str) -> (Color, Color, Color, Color, &'static str) {
    let (black, white) = (Color::rgb(0, 0, 0), Color::rgb(255, 255, 255));
    let grey = Color::rgb(100, 100, 100);
    const LINES: &str = "blue,green,red,purple,brown,yellow,aqua,grey,magenta,pink,gold,rose";
    match name {
        "plain" => (white, black, Color::rgb(180, 180, 180), Color::rgb(225, 225, 225), LINES),
        "summary" => (
            white,
            black,
            Color::rgb(200, 200, 200),
            Color::rgb(232, 232, 232),
            "#6666ff,#66cc66,#ff6666,#cc99ff,#999966",
        ),
        "noc" => (
            black,
            white,
            grey,
            Color::rgb(45, 45, 45),
            "blue,green,yellow,red,purple,brown,aqua,grey,magenta,pink,gold,rose",
        ),
        "alphas" => (
            white,
            black,
            Color::rgb(180, 180, 180),
            Color::rgb(225, 225, 225),
            "00ff00aa,ff000077,00337799",
        ),
        _ => (black, white, grey, Color::rgb(45, 45, 45), LINES),
    }
}

/// Reads parameters by name.
struct Reader<'p>(&'p dyn Fn(&str) -> Option<String>);

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn flag(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        Some(matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"))
    }

    fn color(&self, name: &str) -> Option<Color> {
        Color::parse(&self.text(name)?)
    }

    fn side(&self, name: &str, default: u32) -> u32 {
        self.number(name).map_or(default, |side| side.clamp(0.0, f64::from(u32::MAX)) as u32)
    }

    fn one_of<T: Copy>(
        &self,
        name: &'static str,
        known: &[(&str, T)],
        default: T,
    ) -> Result<T, OptionError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(&text));
        found.map(|(_, value)| *value).ok_or(OptionError::Value { name, value: text })
    }

    fn limits(&self, side: &str) -> [Option<f64>; 4] {
        ["yMin", "yMax", "yLimit", "yStep"].map(|name| self.number(&format!("{name}{side}")))
    }
}

impl ChartOptions {
    /// The options of a request; `parameter` gives the value of a name.
    pub fn read(parameter: &dyn Fn(&str) -> Option<String>) -> Result<Self, OptionError> {
        let read = Reader(parameter);
        let (width, height) = (read.side("width", 330), read.side("height", 250));
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > SIDE_MAX || !(1..=PIXELS_MAX).contains(&pixels) {
            return Err(OptionError::Size { width, height });
        }
        let (background, foreground, template_major, template_minor, lines) =
            template(&read.text("template").unwrap_or_default());
        let listed = read.text("colorList");
        let mut colors: Vec<Color> =
            listed.as_deref().unwrap_or(lines).split(',').filter_map(Color::parse).collect();
        if colors.is_empty() {
            colors = lines.split(',').filter_map(Color::parse).collect();
        }
        let graph_only = read.flag("graphOnly").unwrap_or(false);
        let hide_axes = graph_only || read.flag("hideAxes").unwrap_or(false);
        let paper = read.color("bgcolor");
        // Words that nobody chose a colour for are to be read on what was chosen.
        let readable = paper.map(|paper| match paper.is_light() {
            true => Color::rgb(0, 0, 0),
            false => Color::rgb(255, 255, 255),
        });
        let foreground = read.color("fgcolor").or(readable).unwrap_or(foreground);
        let background = paper.unwrap_or(background);
        let shares = if background.is_light() { (0.25, 0.1) } else { (0.39, 0.18) };
        let (major, minor) = match paper {
            Some(paper) => (paper.mixed(foreground, shares.0), paper.mixed(foreground, shares.1)),
            None => (template_major, template_minor),
        };
        let [left, right, both] = ["Left", "Right", ""].map(|side| read.limits(side));
        let filled = |side: [Option<f64>; 4]| std::array::from_fn(|at| side[at].or(both[at]));
        let base = read.text("logBase");
        let log_base = match base.as_deref() {
            Some("e") => Some(std::f64::consts::E),
            _ => read.number("logBase").filter(|base| *base > 1.0),
        };
        Ok(Self {
            width,
            height,
            margin: read.number("margin").unwrap_or(10.0).clamp(0.0, 500.0),
            font_size: read.number("fontSize").unwrap_or(10.0).clamp(4.0, 72.0) * 1.1,
            title: read.text("title"),
            y_title: read.text("vtitle"),
            y_title_right: read.text("vtitleRight"),
            background,
            foreground,
            major_grid: read.color("majorGridLineColor").unwrap_or(major),
            minor_grid: read.color("minorGridLineColor").unwrap_or(minor),
            colors,
            line_mode: read.one_of(
                "lineMode",
                &[
                    ("slope", LineMode::Slope),
                    ("staircase", LineMode::Staircase),
                    ("connected", LineMode::Connected),
                ],
                LineMode::Slope,
            )?,
            line_width: read.number("lineWidth").unwrap_or(1.2).clamp(0.0, 100.0),
            connected_limit: read.number("connectedLimit").map(|limit| limit.max(0.0) as usize),
            area_mode: read.one_of(
                "areaMode",
                &[
                    ("none", AreaMode::None),
                    ("first", AreaMode::First),
                    ("all", AreaMode::All),
                    ("stacked", AreaMode::Stacked),
                ],
                AreaMode::None,
            )?,
            area_alpha: read.number("areaAlpha").unwrap_or(1.0).clamp(0.0, 1.0),
            nulls_are_zero: read.flag("drawNullAsZero").unwrap_or(false),
            hide_legend: if graph_only { Some(true) } else { read.flag("hideLegend") },
            unique_legend: read.flag("uniqueLegend").unwrap_or(false),
            hide_x_axis: hide_axes || read.flag("hideXAxis").unwrap_or(false),
            hide_y_axis: hide_axes || read.flag("hideYAxis").unwrap_or(false),
            hide_grid: graph_only || read.flag("hideGrid").unwrap_or(false),
            graph_only,
            x_format: read.text("xFormat"),
            y_side: read.one_of(
                "yAxisSide",
                &[("left", YSide::Left), ("right", YSide::Right)],
                YSide::Left,
            )?,
            units: read.one_of(
                "yUnitSystem",
                &[
                    ("si", UnitSystem::Si),
                    ("binary", UnitSystem::Binary),
                    ("sec", UnitSystem::None),
                    ("msec", UnitSystem::Msec),
                    ("none", UnitSystem::None),
                ],
                UnitSystem::Si,
            )?,
            log_base,
            minor_y: read.number("minorY").unwrap_or(1.0).clamp(0.0, 10.0) as usize,
            y_left: filled(left.or_old(read.number("min"), read.number("max"))),
            y_right: filled(right),
            right_color: read.color("rightColor"),
            left_color: read.color("leftColor"),
            right_width: read.number("rightWidth"),
            left_width: read.number("leftWidth"),
            right_dashed: read.flag("rightDashed").unwrap_or(false),
            left_dashed: read.flag("leftDashed").unwrap_or(false),
            x_step_min: read.number("minXStep").unwrap_or(1.0).clamp(0.01, 1000.0),
            y_marks: read.text("yDivisors").and_then(|list| {
                let marks = list.split(',').filter_map(|mark| mark.trim().parse().ok());
                marks.max().map(|marks: usize| marks.clamp(1, 100))
            }),
            hide_null_from_legend: read.flag("hideNullFromLegend").unwrap_or(false),
            pie_labels: match graph_only {
                true => PieLabels::None,
                false => read.one_of(
                    "valueLabels",
                    &[
                        ("none", PieLabels::None),
                        ("number", PieLabels::Number),
                        ("percent", PieLabels::Percent),
                    ],
                    PieLabels::Percent,
                )?,
            },
            pie_label_min: read.number("valueLabelsMin").unwrap_or(5.0),
            pie_label_color: read.color("valueLabelsColor"),
        })
    }
}

/// `min` and `max`, the older names of `yMin` and `yMax`.
trait OldNames {
    fn or_old(self, min: Option<f64>, max: Option<f64>) -> Self;
}

impl OldNames for [Option<f64>; 4] {
    fn or_old(mut self, min: Option<f64>, max: Option<f64>) -> Self {
        self[0] = self[0].or(min);
        self[1] = self[1].or(max);
        self
    }
}
