//! Remarks about an answer as the API shows them.

use base::number_text;
use plan::{Annotation, AnnotationKind, Level, Monotonicity};

use crate::error::Position;

/// An annotation as the API shows it: `PromQL warning: … (line:col)`.
pub fn annotation_text(annotation: &Annotation, query: &str) -> (Level, String) {
    let level = annotation.kind.level();
    let word = match level {
        Level::Warning => "PromQL warning",
        Level::Info => "PromQL info",
    };
    let place = annotation.span.map_or(String::new(), |span| {
        let at = Position::in_text(query, span.start as usize, span.end as usize);
        format!(" ({}:{})", at.line, at.column)
    });
    let details = match &annotation.kind {
        AnnotationKind::ForcedMonotonicity(repairs) if !place.is_empty() => details(repairs),
        _ => String::new(),
    };
    (level, format!("{word}: {}{details}{place}", annotation.kind))
}

/// Which buckets were repaired, how much and when.
fn details(repairs: &Monotonicity) -> String {
    let Monotonicity { buckets, difference_max, histograms, instants_ms, .. } = repairs;
    let [low, high] = [buckets.0, buckets.1].map(number_text::general);
    let difference = number_text::general_to(*difference_max, 2);
    let [from, until] = [instants_ms.0, instants_ms.1].map(rfc3339);
    format!(
        ", from buckets {low} to {high}, with a max diff of {difference}, over {histograms} samples \
         from {from} to {until}"
    )
}

/// An instant of whole seconds as RFC 3339 has it, in UTC.
fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_second(at_ms / 1000)
        .map_or_else(|_| at_ms.to_string(), |at| at.to_string())
}
