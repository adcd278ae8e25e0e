//! The grammar of selectors, label lists and windows.

use plan::Span;

use super::SyntaxError;
use super::parser::{Parsed, Parser, span_of};
use super::quote::quoted;
use super::token::{Kind, MatchOp, Token};
use crate::promql::ast::{
    Expr, ExprKind, LabelTest, LabelTestOp, RangeSelector, Selector, Shift, Subquery,
};
use crate::promql::re2;

const NAME: &str = model::METRIC_NAME;
const RANGE: &str = "subquery or range selector";
const RANGE_WANTED: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`.
    pub(super) fn selector(&mut self) -> Parsed<(Selector, Span)> {
        let first = self.peek()?;
        let mut selector = Selector::default();
        let mut span = span_of(first);
        match first.kind {
            Kind::LeftBrace => {}
            Kind::Identifier | Kind::MetricIdentifier => {
                self.take()?;
                selector.name = Some(self.source(first).to_owned());
            }
            Kind::Word(word) if word.may_name_metric() => {
                self.take()?;
                selector.name = Some(self.source(first).to_owned());
            }
            _ => return Err(self.unexpected(first)),
        }
        if self.peek()?.kind == Kind::LeftBrace {
            selector.matchers = self.label_tests()?;
            span.end = self.closed_at as u32;
        }
        Ok((selector, span))
    }

    fn label_tests(&mut self) -> Parsed<Vec<LabelTest>> {
        self.expect(Kind::LeftBrace)?;
        let mut tests = Vec::new();
        if self.eat(Kind::RightBrace)? {
            return Ok(tests);
        }
        loop {
            tests.push(self.label_test()?);
            let token = self.peek()?;
            match token.kind {
                Kind::RightBrace => break,
                Kind::Comma => {
                    self.take()?;
                    if self.peek()?.kind == Kind::RightBrace {
                        break;
                    }
                }
                _ => return Err(self.unexpected_in(token, "label matching", "\",\" or \"}\"")),
            }
        }
        self.take()?;
        Ok(tests)
    }

    fn label_test(&mut self) -> Parsed<LabelTest> {
        const CONTEXT: &str = "label matching";
        let first = self.peek()?;
        let name = match first.kind {
            Kind::Identifier => self.source(first).to_owned(),
            Kind::Text => self.unquoted(first)?,
            _ => return Err(self.unexpected_in(first, CONTEXT, "identifier or \"}\"")),
        };
        self.take()?;
        let op = self.peek()?;
        let Kind::Match(kind) = op.kind else {
            if first.kind == Kind::Text {
                let (value, name) = (name, NAME.to_owned());
                return Ok(LabelTest { name, op: LabelTestOp::Equal, value, is_bare_name: true });
            }
            return Err(self.unexpected_in(op, CONTEXT, "label matching operator"));
        };
        self.take()?;
        let right = self.peek()?;
        if right.kind != Kind::Text {
            return Err(self.unexpected_in(right, CONTEXT, "string"));
        }
        self.take()?;
        let value = self.unquoted(right)?;
        let op = match kind {
            MatchOp::Equal => LabelTestOp::Equal,
            MatchOp::NotEqual => LabelTestOp::NotEqual,
            MatchOp::Regex => LabelTestOp::Regex(pattern(&value, first, right)?),
            MatchOp::NotRegex => LabelTestOp::NotRegex(pattern(&value, first, right)?),
        };
        Ok(LabelTest { name, op, value, is_bare_name: false })
    }

    /// `(a, "b", …)`
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        let open = self.peek()?;
        if open.kind != Kind::LeftParen {
            return Err(self.unexpected_in(open, CONTEXT, "\"(\""));
        }
        self.take()?;
        let mut labels = Vec::new();
        while !self.eat(Kind::RightParen)? {
            let token = self.peek()?;
            let label = match token.kind {
                Kind::Identifier | Kind::Word(_) => self.source(token).to_owned(),
                Kind::Text => self.unquoted(token)?,
                _ => return Err(self.unexpected_in(token, CONTEXT, "label")),
            };
            self.take()?;
            if label.is_empty() {
                let message = format!("invalid label name for grouping: {}", quoted(&label));
                return Err(self.error_at(span_of(token), message));
            }
            labels.push(label);
            let token = self.peek()?;
            match token.kind {
                Kind::RightParen => {}
                Kind::Comma => {
                    self.take()?;
                }
                _ => return Err(self.unexpected_in(token, CONTEXT, "\",\" or \")\"")),
            }
        }
        Ok(labels)
    }

    /// `[range]` or `[range:step]` behind an expression.
    pub(super) fn bracketed(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.expect(Kind::LeftBracket)?;
        let range = self.positive_duration(RANGE, RANGE_WANTED)?;
        let token = self.peek()?;
        match token.kind {
            Kind::RightBracket => {
                self.take()?;
                let brackets = Span { start: open.start as u32, end: token.end as u32 };
                let (selector, selector_span) = self.unshifted(expr, brackets)?;
                let span = Span { start: selector_span.start, end: self.closed_at as u32 };
                let range = RangeSelector { selector, selector_span, range };
                self.node(ExprKind::Range(range), span, 0)
            }
            Kind::Colon => {
                self.take()?;
                let mut step = None;
                if self.peek()?.kind != Kind::RightBracket {
                    let wanted = "number, duration, step(), range(), or \"]\"";
                    step = Some(self.positive_duration("subquery selector", wanted)?);
                }
                let close = self.peek()?;
                if close.kind != Kind::RightBracket {
                    return Err(self.unexpected_in(close, "subquery selector", "\"]\""));
                }
                self.take()?;
                let below = expr.height;
                let span = Span { start: expr.span.start, end: close.end as u32 };
                let inner = Box::new(expr);
                let subquery = Subquery { inner, range, step, shift: Shift::default() };
                self.node(ExprKind::Subquery(subquery), span, below)
            }
            _ => Err(self.unexpected_in(token, "subquery or range", "\":\" or \"]\"")),
        }
    }

    /// The selector before a range: a plain one.
    fn unshifted(&self, expr: Expr, brackets: Span) -> Parsed<(Selector, Span)> {
        let message = match expr.kind {
            ExprKind::Selector(selector) => {
                if selector.shift.offset.is_some() {
                    "no offset modifiers allowed before range"
                } else if selector.shift.at.is_some() {
                    "no @ modifiers allowed before range"
                } else {
                    return Ok((selector, expr.span));
                }
            }
            _ => "ranges only allowed for vector selectors",
        };
        Err(self.error_at(brackets, message))
    }
}

/// The compiled pattern of a label test whose tokens are given.
fn pattern(value: &str, first: Token, right: Token) -> Parsed<model::Pattern> {
    re2::pattern(value).map_err(|message| SyntaxError {
        message,
        start: first.start,
        end: right.end,
    })
}
