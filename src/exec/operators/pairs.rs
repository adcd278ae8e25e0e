//! Binary operators where a native histogram is involved.

use std::sync::Arc;

use model::{Histogram, ResetHint};
use plan::semantics::BinaryOp;
use plan::{AnnotationKind, HistogramOperation};

use crate::kernels::arithmetic::combine;
use crate::kernels::native::trim::{Keep, trim};
use crate::row::{Point, is_absent};

/// What became of a pair.
pub(crate) enum Paired {
    /// The operator's value; for a comparison that holds the left one.
    Value(Point),
    /// A comparison that does not hold.
    Unequal,
    /// The operator is not made for such values.
    Nothing,
}

/// Combines two present points, and says what is remarkable about it.
pub(crate) fn paired(
    op: BinaryOp,
    left: &Point,
    right: &Point,
) -> (Paired, Option<AnnotationKind>) {
    let incompatible = |left, right| {
        let op = op.symbol();
        (Paired::Nothing, Some(AnnotationKind::IncompatibleTypes { left, op, right }))
    };
    let whole = |histogram| (Paired::Value(Point::Histogram(Arc::new(histogram))), None);
    let kept = |mut histogram: Histogram| {
        histogram.compact();
        whole(histogram)
    };
    match (left, right) {
        (Point::Histogram(left), Point::Histogram(right)) => histograms(op, left, right),
        (Point::Histogram(histogram), Point::Float(value)) => {
            let mut out = (**histogram).clone();
            match op {
                BinaryOp::Multiply => out.scale(*value),
                BinaryOp::Divide => out.divide(*value),
                // Emptied buckets stay, as multiplication by infinity shows.
                BinaryOp::TrimUpper => return whole(trim(histogram, *value, Keep::Below)),
                BinaryOp::TrimLower => return whole(trim(histogram, *value, Keep::Above)),
                _ => return incompatible("histogram", "float"),
            }
            kept(out)
        }
        (Point::Float(value), Point::Histogram(histogram)) if op == BinaryOp::Multiply => {
            let mut out = (**histogram).clone();
            out.scale(*value);
            kept(out)
        }
        (Point::Float(_), Point::Histogram(_)) => incompatible("float", "histogram"),
        (Point::Float(_), Point::Float(_))
            if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) =>
        {
            incompatible("float", "float")
        }
        (Point::Float(left), Point::Float(right)) => {
            let value = combine(op, false, *left, *right, *left);
            let paired =
                if is_absent(value) { Paired::Unequal } else { Paired::Value(Point::Float(value)) };
            (paired, None)
        }
        (Point::Absent, _) | (_, Point::Absent) => (Paired::Nothing, None),
    }
}

fn histograms(
    op: BinaryOp,
    left: &Arc<Histogram>,
    right: &Arc<Histogram>,
) -> (Paired, Option<AnnotationKind>) {
    let compared = |holds: bool| {
        let value = Paired::Value(Point::Histogram(left.clone()));
        (if holds { value } else { Paired::Unequal }, None)
    };
    let (combined, operation) = match op {
        BinaryOp::Add => (left.plus(right), HistogramOperation::Addition),
        BinaryOp::Subtract => (left.minus(right), HistogramOperation::Subtraction),
        BinaryOp::Equal => return compared(left.same_as(right)),
        BinaryOp::NotEqual => return compared(!left.same_as(right)),
        _ => {
            let (left, right, op) = ("histogram", "histogram", op.symbol());
            return (Paired::Nothing, Some(AnnotationKind::IncompatibleTypes { left, op, right }));
        }
    };
    let Ok((mut out, merged)) = combined else {
        return (Paired::Nothing, Some(AnnotationKind::IncompatibleLayouts(op.symbol())));
    };
    if merged.resets_conflict {
        return (Paired::Nothing, Some(AnnotationKind::ResetsConflict(operation)));
    }
    if op == BinaryOp::Subtract {
        out.reset_hint = ResetHint::Gauge;
    }
    out.compact();
    let reconciled =
        merged.bounds_reconciled.then_some(AnnotationKind::BoundsReconciled(operation));
    (Paired::Value(Point::Histogram(Arc::new(out))), reconciled)
}
