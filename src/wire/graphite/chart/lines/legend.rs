//! Names of series with their colours, in columns below the plot.

use super::Drawn;
use crate::graphite::chart::options::ChartOptions;
use crate::graphite::chart::scene::{Anchor, Scene};
use crate::graphite::chart::text::Font;

/// Share of the picture's height that a legend may take.
const SHARE_MAX: f64 = 0.5;

/// Draws the legend at the bottom of the room (left, right, top, bottom) and answers the bottom of
/// what is left.
pub(super) fn draw(
    scene: &mut Scene,
    font: &Font,
    drawn: &[Drawn<'_>],
    (left, right, top, bottom): (f64, f64, f64, f64),
    options: &ChartOptions,
) -> f64 {
    let size = options.font_size;
    let mut items: Vec<&Drawn<'_>> =
        drawn.iter().filter(|one| !one.series.look.is_invisible).collect();
    if options.unique_legend {
        let mut names = std::collections::HashSet::new();
        items.retain(|one| names.insert(one.series.name.as_str()));
    }
    items.retain(|one| !one.series.name.is_empty());
    if options.hide_null_from_legend {
        items.retain(|one| one.series.values.iter().any(Option::is_some));
    }
    let (swatch, line) = (size * 0.9, size * 1.5);
    let rows_max = (((bottom - top) * SHARE_MAX / line).floor() as usize).max(1);
    let widest = items.iter().map(|one| font.width(&one.series.name, size)).fold(0.0, f64::max);
    let wanted = widest + swatch + size * 1.5;
    let columns =
        (((right - left) / wanted.max(1.0)).floor() as usize).clamp(1, items.len().max(1));
    let column_width = (right - left) / columns as f64;
    let rows = items.len().div_ceil(columns).min(rows_max);
    let start = bottom - rows as f64 * line;
    for (index, one) in items.iter().take(rows * columns).enumerate() {
        let x = left + (index % columns) as f64 * column_width;
        let y = start + (index / columns) as f64 * line + line * 0.75;
        scene.rectangle([x, y - swatch * 0.85, swatch, swatch], one.color);
        let room = column_width - swatch - size;
        let name = font.fitted(&one.series.name, size, room);
        let ink = (size, options.foreground);
        scene.text((x + swatch + size * 0.4, y), name, ink, Anchor::Start);
    }
    start - size * 0.4
}
