//! PromQL: text to plan.
//!
//! [`parse`] gives a typed tree with positions, [`lower`] turns it into a [`plan::Plan`] over one grid;
//! [`plan`] does both. The language is that of Prometheus 3.14 with the features a stock server has
//! switched on; the others need a [`Features`] flag.

pub mod ast;
pub mod functions;
pub mod print;
pub mod re2;

mod check;
mod lower;
mod notes;
mod syntax;

#[cfg(test)]
mod tests;

use model::{Matcher, StepGrid, TenantId};
use plan::{Plan, QueryLimits};

use crate::error::LangError;

pub use ast::{Expr, ValueType, with_stack};
pub use notes::annotation_text;
pub use print::prettify;
pub use syntax::number::{DURATION_UNITS, parse_duration, print_duration};
pub use syntax::quote::{presentable, quoted, unquoted};

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
    /// The labels `__type__` and `__unit__` describe a metric, and say what a counter is.
    pub type_and_unit_labels: bool,
    /// Start timestamps tell resets, and `start_timestamp` answers.
    pub start_timestamps: bool,
}

impl Features {
    /// Everything on.
    pub const ALL: Features = Features {
        experimental_functions: true,
        extended_selectors: true,
        fill_modifiers: true,
        delayed_name_removal: true,
        type_and_unit_labels: true,
        start_timestamps: true,
    };
}

impl Features {
    /// Switches on what the flag of this name does in Prometheus; `false` where it does nothing to
    /// the language.
    pub fn enable(&mut self, flag: &str) -> bool {
        match flag {
            "promql-experimental-functions" => self.experimental_functions = true,
            "promql-extended-range-selectors" => self.extended_selectors = true,
            "promql-binop-fill-modifiers" => self.fill_modifiers = true,
            "promql-delayed-name-removal" => self.delayed_name_removal = true,
            "type-and-unit-labels" => self.type_and_unit_labels = true,
            "use-start-timestamps" => self.start_timestamps = true,
            // On in a stock server.
            "promql-duration-expr" | "native-histograms" => {}
            _ => return false,
        }
        true
    }
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
    /// The rows may come in any order, since they are sorted afterwards.
    pub any_order: bool,
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
            any_order: false,
            tenant: TenantId::DEFAULT,
            limits: QueryLimits::default(),
            features: Features::default(),
        }
    }
}

/// The checked tree of `text`.
pub fn parse(text: &str, features: Features) -> Result<Expr, LangError> {
    let expr = syntax::parse_expr(text, features)?;
    ast::with_stack(&expr, || check::check(&expr, text))?.map_err(|error| error.in_text(text))?;
    Ok(expr)
}

/// The plan of a checked tree.
pub fn lower(expr: &Expr, options: &LowerOptions) -> Result<Plan, LangError> {
    ast::with_stack(expr, || lower::lower(expr, options))?
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
    let (matchers, is_selective) = parse_any_selector(text)?;
    if !is_selective {
        return Err(LangError::syntax("match[] must contain at least one non-empty matcher"));
    }
    Ok(matchers)
}

/// The matchers of a selector, and whether one of them refuses the empty text. Without any matcher
/// Prometheus selects nothing.
pub fn parse_any_selector(text: &str) -> Result<(Vec<Matcher>, bool), LangError> {
    let selector = syntax::parse_selector(text)?;
    let span = plan::Span { start: 0, end: text.len() as u32 };
    check::check_selector(&selector, span, true).map_err(|error| error.in_text(text))?;
    Ok((lower::matchers(&selector), selector.is_selective()))
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
