//! The syntax tree of a target.

use std::ops::Range;

/// An expression with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Bytes of the target.
    pub span: Range<usize>,
}

/// The kinds of expressions. Literals occur as arguments only.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A path, its escapes resolved.
    Path(String),
    /// A call; of a piped one the left side is the first argument.
    Call(Call),
    /// `template(expression, values…)`.
    Template {
        /// What the values are put into.
        body: Box<Expr>,
        /// Values of `$1`, `$2` ….
        values: Vec<Expr>,
        /// Values by name.
        named: Vec<(String, Expr)>,
    },
    /// A whole number.
    Integer(i64),
    /// A number with a point or an exponent, and how it was spelled.
    Float(f64, String),
    /// `true` or `false`.
    Boolean(bool),
    /// `none`.
    None,
    /// `inf`.
    Infinity,
    /// A text between quotes, as it stands there.
    Text(String),
    /// Series that are known already, by number; never written.
    Given(usize),
}

/// A function with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function's name.
    pub name: String,
    /// Arguments by place.
    pub arguments: Vec<Expr>,
    /// Arguments by name.
    pub keywords: Vec<(String, Expr)>,
    /// Written behind a `|`.
    pub piped: bool,
}
