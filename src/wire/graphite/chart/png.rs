//! A scene as pixels.

use tiny_skia::{
    FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use super::color::Color;
use super::scene::{Anchor, Pen, Scene, Shape};
use super::text::Font;

pub(super) fn paint(scene: &Scene) -> Option<Vec<u8>> {
    let mut canvas =
        Canvas { pixels: Pixmap::new(scene.width, scene.height)?, font: Font::load()? };
    for shape in &scene.shapes {
        // A shape that cannot be painted, for it has no extent, is left out.
        let _ = canvas.shape(shape);
    }
    canvas.pixels.encode_png().ok()
}

struct Canvas {
    pixels: Pixmap,
    font: Font,
}

impl Canvas {
    fn shape(&mut self, shape: &Shape) -> Option<()> {
        match shape {
            Shape::Rectangle { at: [x, y, width, height], fill } => {
                let at = Rect::from_xywh(*x as f32, *y as f32, *width as f32, *height as f32)?;
                self.pixels.fill_rect(at, &colored(*fill, false), Transform::identity(), None);
            }
            Shape::Line { points, pen } => self.line(points, pen)?,
            Shape::Area { points, fill } => {
                let path = path(points, true)?;
                self.fill(&path, *fill, Transform::identity());
            }
            Shape::Text { at, text, size, color, anchor, upright } => {
                let width = self.font.width(text, *size);
                let shift = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => -width / 2.0,
                    Anchor::End => -width,
                };
                let outline = self.font.outline(text, *size)?;
                let place = Transform::from_translate(at.0 as f32, at.1 as f32);
                let place = if *upright { place.pre_rotate(-90.0) } else { place };
                self.fill(&outline, *color, place.pre_translate(shift as f32, 0.0));
            }
        }
        Some(())
    }

    fn line(&mut self, points: &[(f64, f64)], pen: &Pen) -> Option<()> {
        let path = path(points, false)?;
        let dash = pen.dash.map(|dash| dash.max(1.0) as f32);
        let stroke = Stroke {
            width: pen.width.max(0.1) as f32,
            line_join: LineJoin::Round,
            dash: dash.and_then(|dash| StrokeDash::new(vec![dash, dash], 0.0)),
            ..Stroke::default()
        };
        let paint = colored(pen.color, true);
        self.pixels.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
        Some(())
    }

    fn fill(&mut self, path: &Path, color: Color, place: Transform) {
        self.pixels.fill_path(path, &colored(color, true), FillRule::Winding, place, None);
    }
}

fn colored(color: Color, smooth: bool) -> Paint<'static> {
    let mut paint = Paint { anti_alias: smooth, ..Paint::default() };
    let alpha = (color.alpha * 255.0).round() as u8;
    paint.set_color_rgba8(color.red, color.green, color.blue, alpha);
    paint
}

fn path(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    builder.move_to(first.0 as f32, first.1 as f32);
    for (x, y) in rest {
        builder.line_to(*x as f32, *y as f32);
    }
    if closed {
        builder.close();
    }
    builder.finish()
}
