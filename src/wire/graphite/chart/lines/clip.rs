//! What lines and areas show of values outside of the plot: where they cross its edge they end.

/// A place in pixels.
pub(super) type Point = (f64, f64);

/// Rounding may leave a crossing a little outside.
const TOLERANCE: f64 = 1e-6;

/// The parts of a line that lie between `top` and `bottom`.
pub(super) fn line(points: &[Point], top: f64, bottom: f64) -> Vec<Vec<Point>> {
    let points = with_crossings(points, top, bottom);
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut is_open = false;
    for pair in points.windows(2) {
        let middle = (pair[0].1 + pair[1].1) / 2.0;
        let is_inside = (top - TOLERANCE..=bottom + TOLERANCE).contains(&middle);
        match parts.last_mut().filter(|_| is_open) {
            Some(part) if is_inside => part.push(pair[1]),
            _ if is_inside => parts.push(pair.to_vec()),
            _ => {}
        }
        is_open = is_inside;
    }
    parts
}

/// The outline of an area, pressed between `top` and `bottom`.
pub(super) fn area(points: &[Point], top: f64, bottom: f64) -> Vec<Point> {
    let points = with_crossings(points, top, bottom).into_iter();
    points.map(|(x, y)| (x, y.clamp(top, bottom))).collect()
}

/// The points, and one more wherever the way between two crosses an edge.
fn with_crossings(points: &[Point], top: f64, bottom: f64) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::with_capacity(points.len());
    for &(x, y) in points {
        if let Some(&(from_x, from_y)) = out.last() {
            let share = |edge: f64| (edge - from_y) / (y - from_y);
            let mut cuts = [share(top), share(bottom)];
            cuts.sort_unstable_by(f64::total_cmp);
            let cuts = cuts.into_iter().filter(|cut| *cut > 0.0 && *cut < 1.0);
            out.extend(cuts.map(|cut| (from_x + (x - from_x) * cut, from_y + (y - from_y) * cut)));
        }
        out.push((x, y));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_the_edges() {
        let all = [(0.0, 5.0), (10.0, 5.0)];
        assert_eq!(line(&all, 0.0, 10.0), [all.to_vec()]);
        let peak = [(0.0, 5.0), (10.0, -5.0), (20.0, 5.0)];
        let parts = [vec![(0.0, 5.0), (5.0, 0.0)], vec![(15.0, 0.0), (20.0, 5.0)]];
        assert_eq!(line(&peak, 0.0, 10.0), parts);
        let through = [(0.0, -10.0), (30.0, 20.0), (40.0, 20.0)];
        assert_eq!(line(&through, 0.0, 10.0), [vec![(10.0, 0.0), (20.0, 10.0)]]);
        assert!(line(&[(0.0, -1.0), (10.0, -9.0)], 0.0, 10.0).is_empty());
    }

    #[test]
    fn areas_keep_their_slopes() {
        let outline = area(&[(0.0, 5.0), (10.0, -5.0)], 0.0, 10.0);
        assert_eq!(outline, [(0.0, 5.0), (5.0, 0.0), (10.0, 0.0)]);
    }
}
