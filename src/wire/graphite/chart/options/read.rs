//! Chart options from the parameters of a request.

use super::{
    AreaMode, ChartOptions, Color, LineMode, OptionError, PIXELS_MAX, PieLabels, SIDE_MAX,
    UnitSystem, YSide,
};

const LINE_MODES: &[(&str, LineMode)] = &[
    ("slope", LineMode::Slope),
    ("staircase", LineMode::Staircase),
    ("connected", LineMode::Connected),
];
const AREA_MODES: &[(&str, AreaMode)] = &[
    ("none", AreaMode::None),
    ("first", AreaMode::First),
    ("all", AreaMode::All),
    ("stacked", AreaMode::Stacked),
];
const Y_SIDES: &[(&str, YSide)] = &[("left", YSide::Left), ("right", YSide::Right)];
const UNIT_SYSTEMS: &[(&str, UnitSystem)] = &[
    ("si", UnitSystem::Si),
    ("binary", UnitSystem::Binary),
    ("sec", UnitSystem::None),
    ("msec", UnitSystem::Msec),
    ("none", UnitSystem::None),
];
const PIE_LABELS: &[(&str, PieLabels)] =
    &[("none", PieLabels::None), ("number", PieLabels::Number), ("percent", PieLabels::Percent)];

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

    fn size(&self) -> Result<(u32, u32), OptionError> {
        let (width, height) = (self.side("width", 330), self.side("height", 250));
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > SIDE_MAX || !(1..=PIXELS_MAX).contains(&pixels) {
            return Err(OptionError::Size { width, height });
        }
        Ok((width, height))
    }

    /// The template's colours, and those that were chosen instead.
    fn palette(&self) -> Palette {
        let (background, foreground, major, minor, lines) =
            template(&self.text("template").unwrap_or_default());
        let listed = |list: &str| list.split(',').filter_map(Color::parse).collect::<Vec<_>>();
        let chosen = self.text("colorList").map(|list| listed(&list));
        let colors = chosen.filter(|colors| !colors.is_empty()).unwrap_or_else(|| listed(lines));
        let ink = self.color("fgcolor");
        let Some(background) = self.color("bgcolor") else {
            let foreground = ink.unwrap_or(foreground);
            return Palette { background, foreground, major, minor, colors };
        };
        // Words and lines that nobody chose a colour for are to be seen on what was chosen.
        let (readable, shares) = match background.is_light() {
            true => (Color::rgb(0, 0, 0), (0.25, 0.1)),
            false => (Color::rgb(255, 255, 255), (0.39, 0.18)),
        };
        let foreground = ink.unwrap_or(readable);
        let major = background.mixed(foreground, shares.0);
        let minor = background.mixed(foreground, shares.1);
        Palette { background, foreground, major, minor, colors }
    }

    fn log_base(&self) -> Option<f64> {
        match self.text("logBase").as_deref() {
            Some("e") => Some(std::f64::consts::E),
            _ => self.number("logBase").filter(|base| *base > 1.0),
        }
    }

    /// The most marks of a list of numbers of marks.
    fn y_marks(&self) -> Option<usize> {
        let list = self.text("yDivisors")?;
        let marks = list.split(',').filter_map(|mark| mark.trim().parse().ok());
        marks.max().map(|marks: usize| marks.clamp(1, 100))
    }
}

/// The colours of a chart.
struct Palette {
    background: Color,
    foreground: Color,
    major: Color,
    minor: Color,
    colors: Vec<Color>,
}

impl ChartOptions {
    /// The options of a request; `parameter` gives the value of a name.
    pub fn read(parameter: &dyn Fn(&str) -> Option<String>) -> Result<Self, OptionError> {
        let read = Reader(parameter);
        let (width, height) = read.size()?;
        let Palette { background, foreground, major, minor, colors } = read.palette();
        let on = |name: &str| read.flag(name).unwrap_or(false);
        let number = |name: &str, default: f64| read.number(name).unwrap_or(default);
        let graph_only = on("graphOnly");
        let hide_axes = graph_only || on("hideAxes");
        let [left, right, both] = ["Left", "Right", ""].map(|side| read.limits(side));
        let filled = |side: [Option<f64>; 4]| std::array::from_fn(|at| side[at].or(both[at]));
        let pie_labels = read.one_of("valueLabels", PIE_LABELS, PieLabels::Percent)?;
        Ok(Self {
            width,
            height,
            margin: number("margin", 10.0).clamp(0.0, 500.0),
            font_size: number("fontSize", 10.0).clamp(4.0, 72.0) * 1.1,
            title: read.text("title"),
            y_title: read.text("vtitle"),
            y_title_right: read.text("vtitleRight"),
            background,
            foreground,
            major_grid: read.color("majorGridLineColor").unwrap_or(major),
            minor_grid: read.color("minorGridLineColor").unwrap_or(minor),
            colors,
            line_mode: read.one_of("lineMode", LINE_MODES, LineMode::Slope)?,
            line_width: number("lineWidth", 1.2).clamp(0.0, 100.0),
            connected_limit: read.number("connectedLimit").map(|limit| limit.max(0.0) as usize),
            area_mode: read.one_of("areaMode", AREA_MODES, AreaMode::None)?,
            area_alpha: number("areaAlpha", 1.0).clamp(0.0, 1.0),
            nulls_are_zero: on("drawNullAsZero"),
            hide_legend: if graph_only { Some(true) } else { read.flag("hideLegend") },
            unique_legend: on("uniqueLegend"),
            hide_x_axis: hide_axes || on("hideXAxis"),
            hide_y_axis: hide_axes || on("hideYAxis"),
            hide_grid: graph_only || on("hideGrid"),
            graph_only,
            x_format: read.text("xFormat"),
            y_side: read.one_of("yAxisSide", Y_SIDES, YSide::Left)?,
            units: read.one_of("yUnitSystem", UNIT_SYSTEMS, UnitSystem::Si)?,
            log_base: read.log_base(),
            minor_y: number("minorY", 1.0).clamp(0.0, 10.0) as usize,
            y_left: filled(left.or_old(read.number("min"), read.number("max"))),
            y_right: filled(right),
            right_color: read.color("rightColor"),
            left_color: read.color("leftColor"),
            right_width: read.number("rightWidth"),
            left_width: read.number("leftWidth"),
            right_dashed: on("rightDashed"),
            left_dashed: on("leftDashed"),
            x_step_min: number("minXStep", 1.0).clamp(0.01, 1000.0),
            y_marks: read.y_marks(),
            hide_null_from_legend: on("hideNullFromLegend"),
            pie_labels: if graph_only { PieLabels::None } else { pie_labels },
            pie_label_min: number("valueLabelsMin", 5.0),
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
