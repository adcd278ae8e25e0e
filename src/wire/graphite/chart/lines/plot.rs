//! Series as lines, stairs and areas.

use super::{Drawn, Frame, clip};
use crate::graphite::chart::options::{ChartOptions, LineMode};
use crate::graphite::chart::scene::{Pen, Scene, Shape};

/// A run of points without a gap: times, and values on the way.
type Run = Vec<(f64, f64, usize)>;

pub(super) fn series(
    scene: &mut Scene,
    frame: &Frame,
    drawn: &[Drawn<'_>],
    options: &ChartOptions,
) {
    // Areas are painted from the top of the stack down, so that lines stay visible.
    for one in drawn.iter().filter(|one| one.is_area && !one.series.look.is_invisible) {
        for run in runs(one, options) {
            area(scene, frame, one, &run, options);
        }
    }
    for one in drawn.iter().filter(|one| !one.series.look.is_invisible) {
        if one.series.look.is_infinite {
            verticals(scene, frame, one, options);
        } else if !one.is_area || options.area_alpha < 1.0 || one.series.look.alpha.is_some() {
            for run in runs(one, options) {
                line(scene, frame, one, &run, options);
            }
        }
    }
}

fn side(one: &Drawn<'_>) -> usize {
    usize::from(one.series.look.second_axis)
}

fn time(one: &Drawn<'_>, slot: usize) -> f64 {
    one.series.start as f64 + slot as f64 * one.series.step as f64
}

/// The parts of a series that are drawn in one go.
fn runs(one: &Drawn<'_>, options: &ChartOptions) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut gap = usize::MAX;
    let bridged = match options.line_mode {
        LineMode::Connected => options.connected_limit.unwrap_or(usize::MAX - 1),
        _ => 0,
    };
    for (slot, value) in one.tops.iter().enumerate() {
        let Some(value) = value else {
            gap = gap.saturating_add(1);
            continue;
        };
        if gap > bridged {
            runs.push(Run::new());
        }
        gap = 0;
        if let Some(run) = runs.last_mut() {
            run.push((time(one, slot), *value, slot));
        }
    }
    runs
}

/// The points of a run in pixels; stairs have a corner between each two.
fn points(frame: &Frame, one: &Drawn<'_>, run: &Run, options: &ChartOptions) -> Vec<(f64, f64)> {
    let stairs = options.line_mode == LineMode::Staircase;
    let mut out = Vec::with_capacity(run.len() * 2);
    for (at, value, _) in run {
        let Some(y) = frame.y(side(one), *value) else { continue };
        let x = frame.x(*at).clamp(frame.left, frame.right());
        out.push((x, y));
        if stairs {
            let end = frame.x(*at + one.series.step as f64);
            out.push((end.clamp(frame.left, frame.right()), y));
        }
    }
    out
}

fn pen(one: &Drawn<'_>, options: &ChartOptions) -> Pen {
    let look = &one.series.look;
    let (width, dashed) = match look.second_axis {
        true => (options.right_width, options.right_dashed),
        false => (options.left_width, options.left_dashed),
    };
    let color = look.alpha.map_or(one.color, |alpha| one.color.with_alpha(alpha));
    Pen {
        // An area keeps its edge even where it is all but transparent.
        color: if one.is_area { one.color } else { color },
        width: look.line_width.or(width).unwrap_or(options.line_width).clamp(0.0, 100.0),
        dash: look.dashed.or(dashed.then_some(2.5)),
    }
}

fn line(scene: &mut Scene, frame: &Frame, one: &Drawn<'_>, run: &Run, options: &ChartOptions) {
    let mut points = points(frame, one, run, options);
    if let [(x, y)] = points[..] {
        // A point without neighbours would not be seen.
        points = vec![(x - 0.75, y), (x + 0.75, y)];
    }
    for points in clip::line(&points, frame.top, frame.bottom()) {
        scene.shapes.push(Shape::Line { points, pen: pen(one, options) });
    }
}

fn area(scene: &mut Scene, frame: &Frame, one: &Drawn<'_>, run: &Run, options: &ChartOptions) {
    let mut outline = points(frame, one, run, options);
    match &one.below {
        None => {
            let zero = frame.y(side(one), 0.0).unwrap_or(frame.bottom());
            let (first, last) = (outline.first().copied(), outline.last().copied());
            outline.extend(last.map(|(x, _)| (x, zero)));
            outline.extend(first.map(|(x, _)| (x, zero)));
        }
        Some(below) => {
            let ground = |slot: &usize| below.get(*slot).copied().unwrap_or(0.0);
            let floor: Run = run.iter().map(|(at, _, slot)| (*at, ground(slot), *slot)).collect();
            let floor = points(frame, one, &floor, options);
            outline.extend(floor.into_iter().rev());
        }
    }
    let outline = clip::area(&outline, frame.top, frame.bottom());
    if outline.len() > 2 {
        let alpha = one.series.look.alpha.unwrap_or(options.area_alpha);
        let fill = one.color.with_alpha(one.color.alpha * alpha);
        scene.shapes.push(Shape::Area { points: outline, fill });
    }
}

fn verticals(scene: &mut Scene, frame: &Frame, one: &Drawn<'_>, options: &ChartOptions) {
    for (slot, value) in one.tops.iter().enumerate() {
        let x = frame.x(time(one, slot));
        if value.is_some_and(|value| value != 0.0) && (frame.left..=frame.right()).contains(&x) {
            let points = vec![(x, frame.top), (x, frame.bottom())];
            scene.shapes.push(Shape::Line { points, pen: pen(one, options) });
        }
    }
}
