//! A formula over the rows of several inputs at once.
//!
//! Where a [`crate::Join`] pairs the rows of two sides on one grid, a formula brings together any
//! number of inputs by the labels of their rows, on the union of all their instants, and says what
//! stands for a point or a whole row that one of them does not have.

use crate::node::{Node, Number};
use crate::semantics::BinaryOp;

/// One expression computed for every tuple of rows with equal keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    /// What the expression's operands are.
    pub inputs: Vec<Operand>,
    /// Which rows meet.
    pub meeting: Meeting,
    /// What is computed of them.
    pub expression: Expression,
}

/// The rows of one operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// The rows.
    pub node: Node,
    /// The labels that a row's key is made of; `None` takes all but the name.
    pub keys: Option<Vec<String>>,
    /// Stands where a row has no point, and for a point that is NaN.
    pub fill: Number,
}

/// Which rows of the operands meet. Of two rows of one operand with equal keys the later one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// A key of any operand makes a tuple, and a missing row reads as 0; else only a key of all does,
    /// and it is an error if there is none.
    pub union: bool,
    /// The names of labels on which the rows behind a row disagree are part of its key.
    pub disagreeing: bool,
}

/// A computation on numbers. Comparisons and logic answer 1 or 0, with NaN below all numbers and equal
/// to itself; what is neither 0 nor NaN is true; dividing by 0 gives 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// The value of the operand with this index.
    Operand(usize),
    /// A number.
    Constant(Number),
    /// Two values; no set operators.
    Binary(BinaryOp, Box<Expression>, Box<Expression>),
    /// `-value`
    Negate(Box<Expression>),
    /// 1 if the value is not true.
    Not(Box<Expression>),
    /// 1 if both values are true.
    Both(Box<Expression>, Box<Expression>),
    /// 1 if one of the values is true.
    Either(Box<Expression>, Box<Expression>),
    /// The second value if the first is true, else the third.
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
}
