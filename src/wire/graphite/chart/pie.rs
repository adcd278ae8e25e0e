//! The chart of shares.

use std::f64::consts::{FRAC_PI_2, TAU};

use super::options::{ChartOptions, PieLabels};
use super::scene::{Anchor, Scene, Shape};
use super::text::Font;

/// Slices that are drawn; the rest is one more.
const SLICES_MAX: usize = 500;

pub(super) fn draw(slices: &[(String, f64)], options: &ChartOptions) -> Scene {
    let mut scene = Scene::new(options.width, options.height, options.background);
    let Some(font) = Font::load() else { return scene };
    let (size, ink) = (options.font_size, options.foreground);
    let (width, height) = (f64::from(options.width), f64::from(options.height));
    let mut top = options.margin;
    if let Some(title) = &options.title {
        top += size * 1.3;
        let text = font.fitted(title, size * 1.3, width - 2.0 * options.margin);
        scene.text((width / 2.0, top), text, (size * 1.3, ink), Anchor::Middle);
        top += size * 0.5;
    }
    let slices: Vec<&(String, f64)> =
        slices.iter().filter(|(_, value)| value.is_finite() && *value > 0.0).collect();
    let total: f64 = slices.iter().map(|(_, value)| value).sum();
    let mut bottom = height - options.margin;
    if !options.hide_legend.unwrap_or(slices.len() > super::options::LEGEND_MAX) {
        for (index, (name, _)) in slices.iter().enumerate().rev() {
            if bottom - size * 1.5 < top + (height - top) * 0.5 {
                continue;
            }
            let color = options.colors[index % options.colors.len()];
            scene.rectangle([options.margin, bottom - size * 0.85, size * 0.9, size * 0.9], color);
            let name = font.fitted(name, size, width - 2.0 * options.margin - size * 1.5);
            scene.text((options.margin + size * 1.4, bottom), name, (size, ink), Anchor::Start);
            bottom -= size * 1.5;
        }
    }
    let radius = ((width - 2.0 * options.margin).min(bottom - top - size * 0.5) / 2.0).max(1.0);
    let center = (width / 2.0, top + radius);
    let mut angle = -FRAC_PI_2;
    for (index, (_, value)) in slices.iter().take(SLICES_MAX).enumerate() {
        let share = value / total;
        let fill = options.colors[index % options.colors.len()];
        let points = wedge(center, radius, angle, share * TAU);
        scene.shapes.push(Shape::Area { points, fill });
        let label = match options.pie_labels {
            PieLabels::Number => Some((*value, format!("{value:.2}"))),
            PieLabels::Percent => Some((share * 100.0, format!("{:.0}%", share * 100.0))),
            PieLabels::None => None,
        };
        if let Some((_, label)) = label.filter(|(size, _)| *size >= options.pie_label_min) {
            let middle = angle + share * TAU / 2.0;
            let (x, y) = on_circle(center, radius * 0.65, middle);
            let ink = options.pie_label_color.unwrap_or(options.background);
            scene.text((x, y + size * 0.35), label, (size, ink), Anchor::Middle);
        }
        angle += share * TAU;
    }
    if slices.is_empty() {
        scene.text((width / 2.0, height / 2.0), "No Data", (size * 1.4, ink), Anchor::Middle);
    }
    scene
}

fn on_circle((x, y): (f64, f64), radius: f64, angle: f64) -> (f64, f64) {
    (x + radius * angle.cos(), y + radius * angle.sin())
}

/// A slice as a polygon, a corner every two degrees.
fn wedge(center: (f64, f64), radius: f64, start: f64, width: f64) -> Vec<(f64, f64)> {
    let steps = ((width / TAU * 180.0).ceil() as usize).max(1);
    let arc = (0..=steps).map(|step| start + width * step as f64 / steps as f64);
    std::iter::once(center).chain(arc.map(|angle| on_circle(center, radius, angle))).collect()
}
