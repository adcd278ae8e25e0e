//! How rows present themselves: title, labels, expression, drawing. Values stay as they are.

use std::sync::Arc;

use model::{LabelBuilder, Labels, METRIC_NAME};
use plan::semantics::{Arithmetic, Reducer};
use plan::{
    Drawing, ExpressionRule, LabelRule, Presentation, RowStyle, Rows as RowsNode, node::Number,
};

use super::each;
use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::title;
use crate::row::Identity;

/// The rows under their new presentation.
pub(super) fn stream(
    executor: &Executor<'_>,
    rows: &RowsNode,
    presentation: &Presentation,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let rule = presentation.title.as_ref().map(title::Compiled::new).transpose()?;
    each(executor, rows, sink, |identity, _| {
        if let Some(rule) = &rule {
            rule.apply(identity);
        }
        match presentation.labels {
            None => {}
            Some(LabelRule::Name) => {
                let name = identity.title_or_name();
                identity.set_labels(Labels::from_pairs([(METRIC_NAME, &*name)]));
            }
            Some(LabelRule::Parsed) => {
                let name = identity.title_or_name();
                identity.set_labels(parsed(&name));
            }
        }
        if !presentation.marks.is_empty() {
            let mut labels = LabelBuilder::from_labels(identity.labels().view());
            for (name, value) in &presentation.marks {
                labels.set(name, value);
            }
            identity.set_labels(labels.build());
        }
        restyle(identity, presentation);
        Ok(())
    })
}

/// `name;label=value…` as labels.
fn parsed(title: &str) -> Labels {
    let mut parts = title.split(';');
    let mut labels = LabelBuilder::default();
    labels.set(METRIC_NAME, parts.next().unwrap_or_default());
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        labels.set(name, value);
    }
    labels.build()
}

/// The style of a row that has none yet: called by its title.
pub(crate) fn style_of(identity: &mut Identity<'_>) -> RowStyle {
    match &identity.style {
        Some(style) => RowStyle::clone(style),
        None => RowStyle {
            expression: identity.title_or_name(),
            consolidation: Reducer::Average(Arithmetic::Plain),
            present_min: Number(0.0),
            drawing: Drawing::default(),
        },
    }
}

fn restyle(identity: &mut Identity<'_>, presentation: &Presentation) {
    let Presentation { expression, consolidation, present_min, drawing, plain, .. } = presentation;
    let kept = expression.is_none() && consolidation.is_none() && present_min.is_none();
    if kept && drawing.is_none() && !plain {
        // A row without a style is called by its title, so a title must not change that silently.
        return;
    }
    let mut style = style_of(identity);
    if *plain {
        style.consolidation = Reducer::Average(Arithmetic::Plain);
        style.drawing = Drawing::default();
    }
    match expression {
        Some(ExpressionRule::Text(text)) => style.expression = text.as_str().into(),
        Some(ExpressionRule::Title) => style.expression = identity.title_or_name(),
        None => {}
    }
    if let Some(reducer) = consolidation {
        style.consolidation = reducer.clone();
    }
    if let Some(share) = present_min {
        style.present_min = *share;
    }
    if let Some(drawing) = drawing {
        style.drawing = style.drawing.with(drawing);
    }
    identity.style = Some(Arc::new(style));
}
