//! The grammar of expressions, by precedence climbing.
//!
//! One function per rule of Prometheus's grammar. Where that grammar has a rule for a broken input,
//! the message names the rule's context; everywhere else the message is just the unexpected token.

use base::limits::{QUERY_DEPTH_MAX, QUERY_HEIGHT_MAX};
use plan::Span;

use super::lexer::Lexer;
use super::token::{Kind, Operator, POWER, PRODUCT, Token, Word};
use super::{SyntaxError, TOO_DEEP, is_end, number, quote};
use crate::promql::Features;
use crate::promql::ast::{
    Aggregate, AggregateOp, Binary, Call, Expr, ExprKind, Group, Matching, Selector,
};
use crate::promql::functions::signature;

pub(super) type Parsed<T> = Result<T, SyntaxError>;

/// Parses one text.
pub(crate) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    pub(super) features: Features,
    depth: usize,
    /// Operators of the duration being read.
    pub(super) duration_operators: usize,
    /// End of the last closing token, number or duration.
    pub(super) closed_at: usize,
    /// The innermost aggregation clause is what an unexpected token is reported for.
    in_aggregation: bool,
}

impl<'a> Parser<'a> {
    /// A parser of `text`.
    pub(crate) fn new(text: &'a str, features: Features) -> Self {
        Self {
            lexer: Lexer::new(text),
            ahead: None,
            features,
            depth: 0,
            duration_operators: 0,
            closed_at: 0,
            in_aggregation: false,
        }
    }

    /// Everything up to the end of the text.
    pub(crate) fn whole_expression(&mut self) -> Parsed<Expr> {
        if is_end(self.peek()?.kind) {
            return Err(SyntaxError {
                message: "no expression found in input".to_owned(),
                start: 0,
                end: 0,
            });
        }
        let expr = self.expression(0)?;
        let rest = self.peek()?;
        if is_end(rest.kind) { Ok(expr) } else { Err(self.unexpected(rest)) }
    }

    /// A selector up to the end of the text.
    pub(crate) fn whole_selector(&mut self) -> Parsed<Selector> {
        let (selector, _) = self.selector()?;
        let rest = self.peek()?;
        if is_end(rest.kind) { Ok(selector) } else { Err(self.unexpected(rest)) }
    }

    // Tokens

    pub(super) fn peek(&mut self) -> Parsed<Token> {
        match self.ahead {
            Some(token) => Ok(token),
            None => {
                let token = self.lexer.next()?;
                self.ahead = Some(token);
                Ok(token)
            }
        }
    }

    pub(super) fn take(&mut self) -> Parsed<Token> {
        let token = self.peek()?;
        self.ahead = None;
        if matches!(
            token.kind,
            Kind::RightBrace
                | Kind::RightParen
                | Kind::RightBracket
                | Kind::Duration
                | Kind::Number
        ) {
            self.closed_at = token.end;
        }
        Ok(token)
    }

    /// Takes the next token when it is of this kind.
    pub(super) fn eat(&mut self, kind: Kind) -> Parsed<bool> {
        let found = self.peek()?.kind == kind;
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// Takes the next token, which must be of this kind.
    pub(super) fn expect(&mut self, kind: Kind) -> Parsed<Token> {
        let token = self.peek()?;
        if token.kind == kind { self.take() } else { Err(self.unexpected(token)) }
    }

    pub(super) fn source(&self, token: Token) -> &'a str {
        self.lexer.text().get(token.start..token.end).unwrap_or_default()
    }

    // Errors

    /// The error of a token that no rule takes.
    pub(super) fn unexpected(&self, token: Token) -> SyntaxError {
        let context = if self.in_aggregation { "aggregation" } else { "" };
        self.unexpected_in(token, context, "")
    }

    /// The error of a token inside a rule that names itself.
    pub(super) fn unexpected_in(&self, token: Token, context: &str, wanted: &str) -> SyntaxError {
        let mut message = format!("unexpected {}", token.describe(self.lexer.text()));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !wanted.is_empty() {
            message.push_str(", expected ");
            message.push_str(wanted);
        }
        let end = if is_end(token.kind) { token.start } else { token.end };
        SyntaxError { message, start: token.start, end }
    }

    pub(super) fn error_at(&self, span: Span, message: impl Into<String>) -> SyntaxError {
        let (start, end) = (span.start as usize, span.end as usize);
        SyntaxError { message: message.into(), start, end }
    }

    // Nodes

    pub(super) fn node(&self, kind: ExprKind, span: Span, below: u16) -> Parsed<Expr> {
        let height = below.saturating_add(1);
        if usize::from(height) > QUERY_HEIGHT_MAX {
            return Err(self.error_at(span, TOO_DEEP));
        }
        Ok(Expr { kind, span, height })
    }

    /// Goes one level deeper; the first error ends the parse, so only success must [`Self::leave`].
    pub(super) fn enter(&mut self) -> Parsed<()> {
        if self.depth >= QUERY_DEPTH_MAX {
            return Err(self.error_at(Span::default(), TOO_DEEP));
        }
        self.depth += 1;
        Ok(())
    }

    /// Comes back from a deeper level.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    // Expressions

    /// An expression whose operators bind at least as tightly as `level`.
    fn expression(&mut self, level: u8) -> Parsed<Expr> {
        self.enter()?;
        let mut left = self.operand()?;
        while let Some(op) = operator_of(self.peek()?) {
            let precedence = op.precedence();
            if precedence < level {
                break;
            }
            self.take()?;
            let right_level = if precedence == POWER { precedence } else { precedence + 1 };
            left = self.binary(op, left, right_level)?;
        }
        self.leave();
        Ok(left)
    }

    /// The rest of a binary expression; the operator is taken.
    fn binary(&mut self, op: Operator, left: Expr, right_level: u8) -> Parsed<Expr> {
        let return_bool = self.eat(Kind::Word(Word::Bool))?;
        let matching = self.matching()?;
        let right = self.expression(right_level)?;
        let span = Span { start: left.span.start, end: right.span.end };
        let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
        if has_fill && !self.features.fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return Err(self.error_at(span, message));
        }
        let below = left.height.max(right.height);
        let (left, right) = (Box::new(left), Box::new(right));
        let binary = Binary { op, left, right, return_bool, matching };
        self.node(ExprKind::Binary(binary), span, below)
    }

    fn matching(&mut self) -> Parsed<Matching> {
        let mut matching = Matching::default();
        if let Kind::Word(word @ (Word::On | Word::Ignoring)) = self.peek()?.kind {
            self.take()?;
            matching.on = word == Word::On;
            matching.labels = self.grouping_labels()?;
            if let Kind::Word(word @ (Word::GroupLeft | Word::GroupRight)) = self.peek()?.kind {
                self.take()?;
                let side = if word == Word::GroupLeft { Group::Left } else { Group::Right };
                matching.group = Some(side);
                if self.peek()?.kind == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fills(&mut matching)?;
        Ok(matching)
    }

    fn fills(&mut self, matching: &mut Matching) -> Parsed<()> {
        for round in 0..2 {
            let token = self.peek()?;
            let (left, right) = match token.kind {
                Kind::Word(Word::Fill) if round == 0 => (true, true),
                Kind::Word(Word::FillLeft) if matching.fill_left.is_none() => (true, false),
                Kind::Word(Word::FillRight) if matching.fill_right.is_none() => (false, true),
                _ => break,
            };
            self.take()?;
            self.expect(Kind::LeftParen)?;
            let Some(value) = self.signed_number()? else {
                let found = self.peek()?;
                return Err(self.unexpected(found));
            };
            self.expect(Kind::RightParen)?;
            matching.fill_left = if left { Some(value) } else { matching.fill_left };
            matching.fill_right = if right { Some(value) } else { matching.fill_right };
            if left && right {
                break;
            }
        }
        Ok(())
    }

    /// A number or a duration with an optional sign; `None`, and nothing but the sign taken, when
    /// something else stands there.
    pub(super) fn signed_number(&mut self) -> Parsed<Option<f64>> {
        let sign = match self.peek()?.kind {
            Kind::Operator(Operator::Subtract) => -1.0,
            Kind::Operator(Operator::Add) => 1.0,
            _ => 0.0,
        };
        if sign != 0.0 {
            self.take()?;
        }
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Number | Kind::Duration) {
            return Ok(None);
        }
        self.take()?;
        let value = self.number_value(token)?;
        Ok(Some(if sign < 0.0 { -value } else { value }))
    }

    /// The value of a number token, or the seconds of a duration token.
    pub(super) fn number_value(&self, token: Token) -> Parsed<f64> {
        let own = self.source(token);
        let value = if token.kind == Kind::Duration {
            number::parse_duration(own).map(|ms| ms as f64 / 1e3)
        } else {
            number::parse_number(own)
        };
        value.map_err(|message| SyntaxError { message, start: token.start, end: token.end })
    }

    /// An operand with its signs and what follows it.
    fn operand(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        let negative = match token.kind {
            Kind::Operator(Operator::Subtract) => true,
            Kind::Operator(Operator::Add) => false,
            _ => {
                let primary = self.primary()?;
                return self.followed(primary);
            }
        };
        self.take()?;
        let mut operand = self.expression(PRODUCT + 1)?;
        let span = Span { start: token.start as u32, end: operand.span.end };
        if let ExprKind::Number { value, .. } = &mut operand.kind {
            if negative {
                *value = -*value;
            }
            operand.span = span;
            return Ok(operand);
        }
        let below = operand.height;
        self.node(ExprKind::Unary { negative, operand: Box::new(operand) }, span, below)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        let span = span_of(token);
        match token.kind {
            Kind::Number | Kind::Duration => self.number(token, span),
            Kind::Text => self.text(token, span),
            Kind::LeftParen => self.parenthesised(span),
            Kind::Word(Word::Aggregate(_)) => self.aggregate_or_selector(token),
            Kind::Identifier => self.call_or_selector(token),
            Kind::Word(word) if word.may_name_function() => self.call_or_selector(token),
            Kind::Word(word) if word.may_name_metric() => self.bare_selector(),
            Kind::LeftBrace | Kind::MetricIdentifier => self.bare_selector(),
            _ => Err(self.unexpected(token)),
        }
    }

    fn number(&mut self, token: Token, span: Span) -> Parsed<Expr> {
        self.take()?;
        let value = self.number_value(token)?;
        let is_duration = token.kind == Kind::Duration;
        self.node(ExprKind::Number { value, is_duration }, span, 0)
    }

    fn text(&mut self, token: Token, span: Span) -> Parsed<Expr> {
        self.take()?;
        let text = self.unquoted(token)?;
        self.node(ExprKind::Text(text), span, 0)
    }

    fn parenthesised(&mut self, span: Span) -> Parsed<Expr> {
        self.take()?;
        let inner = self.expression(0)?;
        let close = self.expect(Kind::RightParen)?;
        let below = inner.height;
        let span = Span { start: span.start, end: close.end as u32 };
        self.node(ExprKind::Paren(Box::new(inner)), span, below)
    }

    pub(super) fn unquoted(&self, token: Token) -> Parsed<String> {
        quote::unquoted(self.source(token)).ok_or_else(|| {
            let shown = quote::quoted(self.source(token));
            let message = format!("error unquoting string {shown}: invalid syntax");
            self.error_at(span_of(token), message)
        })
    }

    fn bare_selector(&mut self) -> Parsed<Expr> {
        let (selector, span) = self.selector()?;
        self.node(ExprKind::Selector(selector), span, 0)
    }

    // Calls

    fn call_or_selector(&mut self, name: Token) -> Parsed<Expr> {
        let mut ahead = self.lexer.clone();
        if !matches!(ahead.next(), Ok(Token { kind: Kind::LeftParen, .. })) {
            return self.bare_selector();
        }
        self.take()?;
        let arguments = self.arguments()?;
        self.call_of(name, arguments)
    }

    /// The node of a call. Apart from the recursion, whose frames must stay small.
    fn call_of(&self, name: Token, arguments: Vec<Expr>) -> Parsed<Expr> {
        let own = self.source(name);
        let name_span = span_of(name);
        let Some(signature) = signature(own) else {
            let message = format!("unknown function with name {}", quote::quoted(own));
            return Err(self.error_at(name_span, message));
        };
        if signature.is_experimental && !self.features.experimental_functions {
            let message = format!("function {} is not enabled", quote::quoted(own));
            return Err(self.error_at(name_span, message));
        }
        let below = arguments.iter().map(|one| one.height).max().unwrap_or(0);
        let span = Span { start: name_span.start, end: self.closed_at as u32 };
        self.node(ExprKind::Call(Call { function: signature.name, arguments }), span, below)
    }

    /// `( … )`
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(Kind::LeftParen)?;
        let mut arguments = Vec::new();
        if self.eat(Kind::RightParen)? {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            let comma = self.peek()?;
            if comma.kind != Kind::Comma {
                break;
            }
            self.take()?;
            if !starts_expression(self.peek()?.kind) {
                let message = "trailing commas not allowed in function call args";
                return Err(self.error_at(span_of(comma), message));
            }
        }
        self.expect(Kind::RightParen)?;
        Ok(arguments)
    }

    // Aggregations

    fn aggregate_or_selector(&mut self, name: Token) -> Parsed<Expr> {
        let mut ahead = self.lexer.clone();
        let is_aggregate = matches!(
            ahead.next(),
            Ok(Token { kind: Kind::LeftParen | Kind::Word(Word::By | Word::Without), .. })
        );
        if !is_aggregate {
            return self.bare_selector();
        }
        self.take()?;
        let outer = std::mem::replace(&mut self.in_aggregation, true);
        let result = self.aggregate(name);
        self.in_aggregation = outer;
        result
    }

    fn aggregate(&mut self, name: Token) -> Parsed<Expr> {
        let Kind::Word(Word::Aggregate(op)) = name.kind else {
            return Err(self.unexpected(name));
        };
        let mut clause = self.aggregate_clause()?;
        let arguments = self.arguments()?;
        if clause.is_none() {
            clause = self.aggregate_clause()?;
        }
        let span = Span { start: name.start as u32, end: self.closed_at as u32 };
        self.aggregate_of(op, clause.unwrap_or_default(), arguments, span)
    }

    /// The node of an aggregation. Apart from the recursion, whose frames must stay small.
    fn aggregate_of(
        &self,
        op: AggregateOp,
        (grouping, without): (Vec<String>, bool),
        mut arguments: Vec<Expr>,
        span: Span,
    ) -> Parsed<Expr> {
        if arguments.is_empty() {
            let message = "no arguments for aggregate expression provided";
            return Err(self.error_at(span, message));
        }
        let wanted = if op.takes_parameter() { 2 } else { 1 };
        if op.is_experimental() && !self.features.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
                op.name()
            );
            return Err(self.error_at(span, message));
        }
        let below = arguments.iter().map(|one| one.height).max().unwrap_or(0);
        let count = arguments.len();
        let (Some(operand), true) = (arguments.pop(), count == wanted) else {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, \
                 got {count}"
            );
            return Err(self.error_at(span, message));
        };
        let parameter = arguments.pop().map(Box::new);
        let operand = Box::new(operand);
        let aggregate = Aggregate { op, parameter, operand, grouping, without };
        self.node(ExprKind::Aggregate(aggregate), span, below)
    }

    fn aggregate_clause(&mut self) -> Parsed<Option<(Vec<String>, bool)>> {
        let without = match self.peek()?.kind {
            Kind::Word(Word::By) => false,
            Kind::Word(Word::Without) => true,
            _ => return Ok(None),
        };
        self.take()?;
        Ok(Some((self.grouping_labels()?, without)))
    }
}

/// The operator between two expressions that a token is.
fn operator_of(token: Token) -> Option<Operator> {
    match token.kind {
        Kind::Operator(op) | Kind::Word(Word::Operator(op)) => Some(op),
        _ => None,
    }
}

/// True when an expression may start with such a token.
fn starts_expression(kind: Kind) -> bool {
    match kind {
        Kind::Number | Kind::Duration | Kind::Text | Kind::LeftParen | Kind::LeftBrace => true,
        Kind::Identifier | Kind::MetricIdentifier => true,
        Kind::Operator(op) => matches!(op, Operator::Add | Operator::Subtract),
        Kind::Word(word) => word.may_name_metric(),
        _ => false,
    }
}

/// The bytes of a token.
pub(super) fn span_of(token: Token) -> Span {
    Span { start: token.start as u32, end: token.end as u32 }
}
