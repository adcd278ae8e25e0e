//! PromQL: text to plan.
//!
//! [`parse`] gives a typed tree with positions, [`lower`] turns it into a [`plan::Plan`] over one grid;
//! [`plan`] does both. The language is that of Prometheus 3.14 with the features a stock server has
//! switched on; the others need a [`Features`] flag. Absent, and refused with a message that says so:
//! native histograms, `info`, `start_timestamp`, `anchored` and `smoothed`.

pub mod ast;
pub mod functions;
pub mod print;
pub mod re2;

mod check;
mod lower;
mod syntax;

#[cfg(test)]
mod tests;

use model::{Matcher, StepGrid, TenantId};
use plan::{Annotation, Level, Plan, QueryLimits};

use crate::error::{LangError, Position};

pub use ast::{Expr, ValueType};
pub use lower::lower;
pub use print::prettify;
pub use syntax::number::parse_duration;
pub use syntax::quote::unquoted;

/// Parts of the language that a stock server has switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Functions and aggregations marked experimental.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub extended_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// Metric names are dropped at the end of a query rather than by each function.
    pub delayed_name_removal: bool,
}

impl Features {
    /// Everything on.
    pub const ALL: Features = Features {
        experimental_functions: true,
        extended_selectors: true,
        fill_modifiers: true,
        delayed_name_removal: true,
    };
}

/// When and how a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowerOptions {
    /// The instants of the answer; one for an instant query.
    pub grid: StepGrid,
    /// How far back a selector looks for its newest sample.
    pub lookback_ms: i64,
    /// Step of sub-queries that name none.
    pub subquery_step_ms: i64,
    /// What `step()` answers: 0 for an instant query.
    pub step_ms: i64,
    /// Whose data.
    pub tenant: TenantId,
    /// What the query may cost.
    pub limits: QueryLimits,
    /// Switched-on parts of the language.
    pub features: Features,
}

impl LowerOptions {
    /// A stock server's options over `grid`: a look-back of 5 m, sub-queries at 1 m.
    pub fn new(grid: StepGrid) -> Self {
        let is_instant = grid == StepGrid::instant(grid.start_ms);
        Self {
            grid,
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            step_ms: if is_instant { 0 } else { grid.step_ms },
            tenant: TenantId::DEFAULT,
            limits: QueryLimits::default(),
            features: Features::default(),
        }
    }
}

/// The checked tree of `text`.
pub fn parse(text: &str, features: Features) -> Result<Expr, LangError> {
    let expr = syntax::parse_expr(text, features)?;
    check::check(&expr, text).map_err(|error| error.in_text(text))?;
    Ok(expr)
}

/// The plan of `text`.
pub fn plan(text: &str, options: &LowerOptions) -> Result<Plan, LangError> {
    lower(&parse(text, options.features)?, options)
}

/// Checks `text` as a stock server would.
pub fn check(text: &str) -> Result<(), LangError> {
    parse(text, Features::default()).map(|_| ())
}

/// The matchers of a selector that stands alone, as `match[]` parameters do.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, LangError> {
    let selector = syntax::parse_selector(text)?;
    let span = plan::Span { start: 0, end: text.len() as u32 };
    check::check_selector(&selector, span, true).map_err(|error| error.in_text(text))?;
    if !selector.is_selective() {
        return Err(LangError::syntax("match[] must contain at least one non-empty matcher"));
    }
    Ok(lower::matchers(&selector))
}

/// The matchers of every selector in `expr`, in the order of the text.
pub fn selectors(expr: &Expr) -> Vec<Vec<Matcher>> {
    let own = match &expr.kind {
        ast::ExprKind::Selector(selector) => Some(selector),
        ast::ExprKind::Range(range) => Some(&range.selector),
        _ => None,
    };
    let below = expr.children().into_iter().flat_map(selectors);
    own.map(lower::matchers).into_iter().chain(below).collect()
}

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
    (level, format!("{word}: {}{place}", annotation.kind))
}
