//! A sub-plan once for every group of rows.
//!
//! The inputs are collected, since a group may gather rows from anywhere in them; the bodies of the
//! groups run one after the other, so only one group's results are alive at a time.

use std::sync::Arc;

use hashbrown::HashMap;
use plan::node::Text;
use plan::semantics::TitleRule;
use plan::{Deal, Each, EvalError};

use crate::budget::Held;
use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::title;
use crate::row::{Identity, Row, Rows};

/// The rows of one group, by input.
pub(crate) type Group = Vec<Vec<(Identity<'static>, Row)>>;

/// The body's rows of all groups.
pub(crate) fn stream(
    executor: &Executor<'_>,
    each: &Each,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let inputs = each.inputs.iter().map(|input| executor.collect(input));
    let inputs: Vec<Rows<'_>> = inputs.collect::<Result<_, _>>()?;
    let groups = match &each.deal {
        Deal::Position { mismatch } => by_place(&inputs, mismatch)?,
        Deal::Title(rule) => by_title(&inputs, rule)?,
    };
    for (name, members) in groups {
        executor.check()?;
        let mut held = executor.budget.hold();
        let group = group(&inputs, &members, each.last_only, &mut held)?;
        if each.complete && group.iter().any(Vec::is_empty) {
            continue;
        }
        executor.bind(each.id, Some(Arc::new(group)));
        let mut emitted = false;
        let outcome = executor.stream(&each.body, &mut |identity, row| {
            if each.titled {
                if std::mem::replace(&mut emitted, true) {
                    return Ok(());
                }
                identity.title = Some(name.clone());
            }
            sink(identity, row)
        });
        executor.bind(each.id, None);
        outcome?;
    }
    Ok(())
}

/// The rows that are bound to the current group.
pub(crate) fn given(
    executor: &Executor<'_>,
    each: usize,
    input: usize,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let group = executor.bound(each);
    let rows = group.as_ref().and_then(|group| group.get(input));
    let Some(rows) = rows else {
        return Err(ExecError::Internal(format!("no group #{each} with input {input}")));
    };
    let mut scratch = Row::default();
    rows.iter().try_for_each(|(identity, row)| {
        scratch.copy_from(row);
        sink(&mut identity.duplicate(), &mut scratch)
    })
}

/// The name of a group, and its rows as (input, place).
type Members = (Text, Vec<(usize, usize)>);

fn by_place(inputs: &[Rows<'_>], mismatch: &str) -> Result<Vec<Members>, ExecError> {
    let count = inputs.first().map_or(0, Rows::len);
    if inputs.iter().any(|rows| rows.len() != count) {
        return Err(EvalError::BadArgument(mismatch.to_owned()).into());
    }
    let places = 0..count;
    Ok(places
        .map(|place| (Text::from(""), (0..inputs.len()).map(|input| (input, place)).collect()))
        .collect())
}

fn by_title(inputs: &[Rows<'_>], rule: &TitleRule) -> Result<Vec<Members>, ExecError> {
    let mut groups: Vec<Members> = Vec::new();
    let mut known: HashMap<Text, usize> = HashMap::new();
    for (input, rows) in inputs.iter().enumerate() {
        let rule = title::with_common_name(rule, rows);
        let rule = title::Compiled::new(&rule)?;
        for (place, (identity, _)) in rows.iter().enumerate() {
            let mut identity = identity.duplicate();
            rule.apply(&mut identity);
            let name = identity.title_or_name();
            let number = *known.entry(name.clone()).or_insert_with(|| {
                groups.push((name, Vec::new()));
                groups.len() - 1
            });
            groups[number].1.push((input, place));
        }
    }
    Ok(groups)
}

fn group(
    inputs: &[Rows<'_>],
    members: &[(usize, usize)],
    last_only: bool,
    held: &mut Held<'_>,
) -> Result<Group, ExecError> {
    let mut group: Group = inputs.iter().map(|_| Vec::new()).collect();
    for (input, place) in members {
        let Some((identity, row)) = inputs[*input].iter().nth(*place) else { continue };
        if last_only {
            group[*input].clear();
        }
        held.add_row(row.weight(), row.samples.integers.len())?;
        group[*input].push((identity.duplicate(), row.clone()));
    }
    Ok(group)
}
