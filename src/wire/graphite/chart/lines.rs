//! The chart of series over time.
//!
//! The room is given away from the outside in: title, legend, words of the axes; what is left is the
//! plot. Every shape of a series is clipped to the plot by computing it inside.

mod clip;
mod legend;
mod plot;

use super::axis::{ValueAxis, Wanted, time_marks};
use super::color::Color;
use super::options::{AreaMode, ChartOptions, LEGEND_MAX, YSide};
use super::scene::{Anchor, Scene, Shape};
use super::text::Font;
use super::{ChartSeries, TimeText};

/// A series with its place in the stack and its colour.
struct Drawn<'s> {
    series: &'s ChartSeries,
    /// Values as they are drawn: on top of those below, where they are stacked.
    tops: Vec<Option<f64>>,
    /// What the area stands on; `None` is the axis.
    below: Option<Vec<f64>>,
    color: Color,
    is_area: bool,
}

/// Heights of the plot beyond which nothing is told apart.
const FAR: f64 = 1000.0;

/// The rectangle of the plot, and the axes that its points are placed by.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    window: (i64, i64),
    /// Left and right.
    axes: [Option<ValueAxis>; 2],
}

impl Frame {
    fn x(&self, at: f64) -> f64 {
        let span = (self.window.1 - self.window.0).max(1) as f64;
        self.left + self.width * (at - self.window.0 as f64) / span
    }

    fn y(&self, side: usize, value: f64) -> Option<f64> {
        let place = self.axes.get(side)?.as_ref()?.position(value)?;
        // Far outside is as good as very far, which the painter could not count.
        Some(self.top + self.height * (1.0 - place.clamp(-FAR, FAR)))
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    fn right(&self) -> f64 {
        self.left + self.width
    }
}

pub(super) fn draw(
    series: &[ChartSeries],
    window: (i64, i64),
    options: &ChartOptions,
    times: &TimeText<'_>,
) -> Scene {
    let mut scene = Scene::new(options.width, options.height, options.background);
    let Some(font) = Font::load() else { return scene };
    if !series.iter().any(|one| one.values.iter().any(Option::is_some)) {
        no_data(&mut scene, options);
        return scene;
    }
    let drawn = prepare(series, options);
    let frame = layout(&mut scene, &font, &drawn, window, options);
    grid(&mut scene, &frame, options);
    time_grid(&mut scene, &font, &frame, options, times);
    plot::series(&mut scene, &frame, &drawn, options);
    axes(&mut scene, &frame, options);
    scene
}

fn no_data(scene: &mut Scene, options: &ChartOptions) {
    let at = (f64::from(options.width) / 2.0, f64::from(options.height) / 2.0);
    scene.text(at, "No Data", (options.font_size * 1.4, Color::rgb(200, 0, 0)), Anchor::Middle);
}

/// Colours, and what stands on what.
fn prepare<'s>(series: &'s [ChartSeries], options: &ChartOptions) -> Vec<Drawn<'s>> {
    let mut heights: std::collections::HashMap<(bool, i64), f64> = Default::default();
    let mut drawn = Vec::with_capacity(series.len());
    // A series with a colour of its own leaves the next of the list to the one behind it.
    let mut listed = options.colors.iter().copied().cycle();
    for (index, one) in series.iter().enumerate() {
        let side = if one.look.second_axis { options.right_color } else { options.left_color };
        let own = one.look.color.as_deref().and_then(Color::parse);
        let has_sides = series.iter().any(|one| one.look.second_axis);
        let color = own
            .or(side.filter(|_| has_sides))
            .or_else(|| listed.next())
            .unwrap_or(options.foreground);
        // What `stacked` gives is piled up already; the picture piles up the rest.
        let is_piled = options.area_mode == AreaMode::Stacked && !one.look.stacked;
        let is_area = is_piled
            || one.look.stacked
            || options.area_mode == AreaMode::All
            || options.area_mode == AreaMode::First && index == 0;
        let zero = if options.nulls_are_zero || is_piled { Some(0.0) } else { None };
        let mut tops: Vec<Option<f64>> =
            one.values.iter().map(|value| value.filter(|v| v.is_finite()).or(zero)).collect();
        let mut below = None;
        if (is_piled || one.look.stacked) && !one.look.is_infinite {
            let mut ground = Vec::with_capacity(tops.len());
            for (slot, top) in tops.iter_mut().enumerate() {
                let at = one.start + slot as i64 * one.step;
                let height = heights.entry((one.look.second_axis, at)).or_insert(0.0);
                ground.push(*height);
                match (is_piled, *top) {
                    (true, value) => *height += value.unwrap_or(0.0),
                    // Nothing of it is seen behind those before.
                    (false, Some(value)) => *height = height.max(value),
                    (false, None) => continue,
                }
                *top = Some(*height);
            }
            below = Some(ground);
        }
        drawn.push(Drawn { series: one, tops, below, color, is_area });
    }
    drawn
}

/// Smallest and largest value of a side.
fn extent(drawn: &[Drawn<'_>], right: bool) -> Option<(f64, f64)> {
    let mine = drawn.iter().filter(|d| d.series.look.second_axis == right);
    let mine = mine.filter(|d| !d.series.look.is_infinite);
    let mut extent: Option<(f64, f64)> = None;
    for one in mine {
        let ground = if one.is_area && one.below.is_none() { Some(0.0) } else { None };
        let below = one.below.iter().flatten().copied();
        for value in one.tops.iter().flatten().copied().chain(below).chain(ground) {
            let (low, high) = extent.unwrap_or((value, value));
            extent = Some((low.min(value), high.max(value)));
        }
    }
    extent
}

fn layout(
    scene: &mut Scene,
    font: &Font,
    drawn: &[Drawn<'_>],
    window: (i64, i64),
    options: &ChartOptions,
) -> Frame {
    let (size, ink) = (options.font_size, options.foreground);
    let margin = if options.graph_only { 0.0 } else { options.margin };
    let (width, height) = (f64::from(options.width), f64::from(options.height));
    let (mut top, mut bottom) = (margin, height - margin);
    let (mut left, mut right) = (margin, width - margin);
    if let Some(title) = options.title.as_ref().filter(|_| !options.graph_only) {
        for line in title.lines().take(5) {
            let text = font.fitted(line, size * 1.3, right - left);
            top += size * 1.3;
            scene.text((width / 2.0, top), text, (size * 1.3, ink), Anchor::Middle);
            top += size * 0.4;
        }
    }
    if !options.hide_legend.unwrap_or(drawn.len() > LEGEND_MAX) {
        bottom = legend::draw(scene, font, drawn, (left, right, top, bottom), options);
    }
    if !options.hide_x_axis {
        bottom -= size * 1.6;
    }
    let plot_height = (bottom - top).max(1.0);
    let axes = [false, true].map(|side| axis(drawn, side, plot_height, options));
    for (title, at_left) in [(&options.y_title, true), (&options.y_title_right, false)] {
        let Some(title) = title.as_ref().filter(|_| !options.hide_y_axis) else { continue };
        let text = font.fitted(title, size, plot_height);
        let x = if at_left { left + size } else { right - size * 0.3 };
        let at = (x, (top + bottom) / 2.0);
        let anchor = Anchor::Middle;
        scene.shapes.push(Shape::Text { at, text, size, color: ink, anchor, upright: true });
        *(if at_left { &mut left } else { &mut right }) += if at_left { 1.4 } else { -1.4 } * size;
    }
    for (side, axis) in axes.iter().enumerate().filter(|_| !options.hide_y_axis) {
        let Some(axis) = axis else { continue };
        let widths =
            axis.marks.iter().map(|mark| font.width(&axis.label(*mark, options.units), size));
        let room = widths.fold(0.0, f64::max) + size * 0.5;
        let at_right = side == 1 || options.y_side == YSide::Right && axes[1].is_none();
        *(if at_right { &mut right } else { &mut left }) += if at_right { -room } else { room };
    }
    let width = (right - left).max(1.0);
    Frame { left, top, width, height: plot_height, window, axes }
}

fn axis(
    drawn: &[Drawn<'_>],
    right: bool,
    height: f64,
    options: &ChartOptions,
) -> Option<ValueAxis> {
    let extent = extent(drawn, right).or((!right).then_some((0.0, 1.0)))?;
    let [min, max, limit, step] = if right { options.y_right } else { options.y_left };
    let wanted = Wanted { min, max, limit, step, log_base: options.log_base };
    // A left axis that nothing stands on would only take room.
    let only_right = !right && drawn.iter().all(|one| one.series.look.second_axis);
    let room = (height / (options.font_size * 2.6)).clamp(1.0, 12.0);
    let marks = options.y_marks.map_or(room, |marks| marks as f64);
    (!only_right).then(|| ValueAxis::new(extent, wanted, marks))
}

/// Lines behind the series, and the words of the axes.
fn grid(scene: &mut Scene, frame: &Frame, options: &ChartOptions) {
    let (size, ink) = (options.font_size, options.foreground);
    for side in [0, 1] {
        let Some(axis) = &frame.axes[side] else { continue };
        let at_right = side == 1 || options.y_side == YSide::Right && frame.axes[1].is_none();
        if side == 0 || frame.axes[0].is_none() {
            value_lines(scene, frame, side, options);
        }
        for mark in axis.marks.iter().filter(|_| !options.hide_y_axis) {
            let Some(y) = frame.y(side, *mark) else { continue };
            let label = axis.label(*mark, options.units);
            let (x, anchor) = match at_right {
                true => (frame.right() + size * 0.4, Anchor::Start),
                false => (frame.left - size * 0.4, Anchor::End),
            };
            scene.text((x, y + size * 0.35), label, (size, ink), anchor);
        }
    }
}

/// Upright lines, and the times below them.
fn time_grid(
    scene: &mut Scene,
    font: &Font,
    frame: &Frame,
    options: &ChartOptions,
    times: &TimeText<'_>,
) {
    let (size, ink) = (options.font_size, options.foreground);
    let room = frame.width / (size * 5.5);
    let marks = time_marks(frame.window, room, options.x_format.as_deref(), times);
    let mut upright = |x: f64, color: Color| {
        if !options.hide_grid && (frame.left..=frame.right()).contains(&x) {
            scene.segment((x, frame.top), (x, frame.bottom()), color, 0.6);
        }
    };
    let places: Vec<f64> = marks.iter().map(|(at, _)| frame.x(*at as f64)).collect();
    if let [first, second, ..] = places[..] {
        let half = (second - first) / 2.0;
        places.iter().for_each(|x| upright(x + half, options.minor_grid));
        upright(first - half, options.minor_grid);
    }
    places.iter().for_each(|x| upright(*x, options.major_grid));
    for (x, (_, label)) in places.into_iter().zip(marks).filter(|_| !options.hide_x_axis) {
        let below = frame.bottom() + size * 1.35;
        // The first and the last stay inside of the picture.
        let half = font.width(&label, size) / 2.0 + 1.0;
        let x = x.min(f64::from(options.width) - half).max(half);
        scene.text((x, below), label, (size, ink), Anchor::Middle);
    }
}

fn value_lines(scene: &mut Scene, frame: &Frame, side: usize, options: &ChartOptions) {
    let Some(axis) = frame.axes[side].as_ref().filter(|_| !options.hide_grid) else { return };
    let mut line = |value: f64, color: Color, width: f64| {
        if let Some(y) = frame.y(side, value) {
            scene.segment((frame.left, y), (frame.right(), y), color, width);
        }
    };
    for pair in axis.marks.windows(2).filter(|_| options.log_base.is_none()) {
        for minor in 1..=options.minor_y {
            let share = minor as f64 / (options.minor_y + 1) as f64;
            line(pair[0] + (pair[1] - pair[0]) * share, options.minor_grid, 0.6);
        }
    }
    for mark in &axis.marks {
        line(*mark, options.major_grid, 0.6);
    }
}

/// The lines that the words stand at.
fn axes(scene: &mut Scene, frame: &Frame, options: &ChartOptions) {
    let (bottom, ink) = (frame.bottom(), options.foreground);
    if !options.hide_x_axis {
        scene.segment((frame.left, bottom), (frame.right(), bottom), ink, 1.0);
    }
    if !options.hide_y_axis {
        let left_is_right = options.y_side == YSide::Right && frame.axes[1].is_none();
        if frame.axes[0].is_some() && !left_is_right {
            scene.segment((frame.left, frame.top), (frame.left, bottom), ink, 1.0);
        }
        if frame.axes[1].is_some() || left_is_right {
            scene.segment((frame.right(), frame.top), (frame.right(), bottom), ink, 1.0);
        }
    }
}
