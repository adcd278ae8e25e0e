//! Rows with labels of other rows that describe them.
//!
//! At every instant the newest describing row of each name counts, so the labels of a row may change
//! along time: it then becomes several rows.

use hashbrown::{HashMap, HashSet};
use model::{LabelBuilder, Labels, METRIC_NAME, StepGrid};
use plan::{EvalError, Inform};

use crate::budget::Held;
use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::distinct;
use crate::row::{Identity, Row, Rows, is_absent};

/// The described rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    inform: &Inform,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut rows = executor.collect(&inform.input)?;
    let mut held = executor.budget.hold();
    let describing = Describing::read(executor, inform, &mut rows, &mut held)?;
    describing.check(&rows)?;
    let produce = |sink: &mut Sink<'_>| {
        for (identity, row) in rows.as_mut() {
            executor.check()?;
            describing.describe(identity, row, sink)?;
        }
        Ok(())
    };
    distinct::stream(executor, produce, sink)
}

/// A describing row: its labels and the time of its newest sample at every step, in seconds.
struct Info {
    labels: Labels,
    times: Vec<f64>,
}

/// The describing rows that some row may match.
struct Describing<'p> {
    inform: &'p Inform,
    infos: Vec<Info>,
    /// Describing rows by name and then by packed identifying labels.
    names: Vec<(String, HashMap<Vec<u8>, Vec<usize>>)>,
}

impl<'p> Describing<'p> {
    fn read(
        executor: &Executor<'_>,
        inform: &'p Inform,
        rows: &mut Rows<'_>,
        held: &mut Held<'_>,
    ) -> Result<Self, ExecError> {
        let mut out = Self { inform, infos: Vec::new(), names: Vec::new() };
        let mut values: Vec<HashSet<String>> = vec![HashSet::new(); inform.identifying.len()];
        for (identity, _) in rows.as_mut() {
            let labels = identity.labels();
            if out.is_info(labels) {
                continue;
            }
            for (name, values) in inform.identifying.iter().zip(&mut values) {
                if let Some(value) = labels.get(name) {
                    values.insert(value.to_owned());
                }
            }
        }
        if values.iter().all(HashSet::is_empty) {
            return Ok(out);
        }
        executor.stream(&inform.info, &mut |identity, row| {
            let labels = identity.labels();
            let known = |(name, values): (&String, &HashSet<String>)| {
                values.is_empty() || labels.get(name).is_some_and(|value| values.contains(value))
            };
            if inform.identifying.iter().zip(&values).all(known) {
                held.add(1, row.values().len())?;
                out.add(labels.clone(), row.values().to_vec());
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn add(&mut self, labels: Labels, times: Vec<f64>) {
        let name = labels.metric_name().unwrap_or_default();
        let place = match self.names.iter().position(|(known, _)| known == name) {
            Some(place) => place,
            None => {
                self.names.push((name.to_owned(), HashMap::new()));
                self.names.len() - 1
            }
        };
        let key = self.key(&labels);
        self.names[place].1.entry(key).or_default().push(self.infos.len());
        self.infos.push(Info { labels, times });
    }

    fn key(&self, labels: &Labels) -> Vec<u8> {
        let mut key = Vec::new();
        let identifying = &self.inform.identifying;
        labels.view().put_some(&mut key, |name| identifying.iter().any(|known| known == name));
        key
    }

    /// True for a row that itself describes others: it stays as it is.
    fn is_info(&self, labels: &Labels) -> bool {
        let name = labels.metric_name().unwrap_or_default();
        self.inform.names.iter().all(|matcher| matcher.matches(name))
    }

    /// Two describing rows of one name and identity must not be equally new at an instant at which
    /// there is anything to describe.
    fn check(&self, rows: &Rows<'_>) -> Result<(), ExecError> {
        let is_described = |step: usize| {
            rows.iter().any(|(_, row)| step < row.values().len() && !row.is_absent_at(step))
        };
        let groups = self.names.iter().flat_map(|(_, by_key)| by_key.values());
        for group in groups.filter(|group| group.len() > 1) {
            for step in 0..self.infos[group[0]].times.len() {
                let mut newest: Option<usize> = None;
                for info in group.iter().copied() {
                    let time = self.infos[info].times[step];
                    let known = newest.map(|known| self.infos[known].times[step]);
                    if is_absent(time) || known.is_some_and(|known| known > time) {
                        continue;
                    }
                    if known == Some(time) && is_described(step) {
                        return Err(self.duplicate(newest.unwrap_or(info), info, step));
                    }
                    newest = Some(info);
                }
            }
        }
        Ok(())
    }

    fn duplicate(&self, known: usize, other: usize, step: usize) -> ExecError {
        let ms = |info: usize| (self.infos[info].times[step] * 1e3).round() as i64;
        let text = format!(
            "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
            self.infos[known].labels,
            ms(known),
            self.infos[other].labels,
            ms(other)
        );
        EvalError::BadArgument(text).into()
    }

    fn describe(
        &self,
        identity: &mut Identity<'_>,
        row: &mut Row,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let labels = identity.labels().clone();
        identity.name_pending = false;
        let Some(grid) = row.grid.filter(|_| !self.is_info(&labels)) else {
            return sink(identity, row);
        };
        let key = self.key(&labels);
        let candidates: Vec<&[usize]> = self
            .names
            .iter()
            .map(|(_, by_key)| by_key.get(&key).map_or(&[][..], Vec::as_slice))
            .collect();
        let mut known: Vec<(Vec<Option<usize>>, Option<usize>)> = Vec::new();
        let mut outs: Vec<(Labels, Row)> = Vec::new();
        for step in (0..row.values().len()).filter(|step| !row.is_absent_at(*step)) {
            let chosen: Vec<Option<usize>> =
                candidates.iter().map(|infos| self.newest(infos, step)).collect();
            let place = match known.iter().find(|(combination, _)| *combination == chosen) {
                Some((_, place)) => *place,
                None => {
                    let described = self.described(&labels, &chosen)?;
                    let place = described.map(|labels| place_of(&mut outs, labels, grid, row));
                    known.push((chosen, place));
                    place
                }
            };
            if let Some(place) = place {
                outs[place].1.set_point(step, row.point(step));
            }
        }
        for (labels, mut out) in outs {
            identity.set_labels(labels);
            sink(identity, &mut out)?;
        }
        Ok(())
    }

    /// The newest of describing rows at a step.
    fn newest(&self, infos: &[usize], step: usize) -> Option<usize> {
        let present =
            infos.iter().copied().filter(|info| !is_absent(self.infos[*info].times[step]));
        present.max_by(|a, b| self.infos[*a].times[step].total_cmp(&self.infos[*b].times[step]))
    }

    /// The labels of a row that these rows describe; `None` where one was wanted and none is there.
    fn described(
        &self,
        labels: &Labels,
        chosen: &[Option<usize>],
    ) -> Result<Option<Labels>, ExecError> {
        let wanted = &self.inform.wanted;
        if chosen.iter().all(Option::is_none) && wanted.iter().any(|one| !one.matches("")) {
            return Ok(None);
        }
        let mut added = LabelBuilder::default();
        for info in chosen.iter().flatten() {
            for (name, value) in self.infos[*info].labels.iter() {
                let asked = wanted.is_empty() || wanted.iter().any(|one| one.name == name);
                if name == METRIC_NAME || !asked {
                    continue;
                }
                if added.get(name).is_some_and(|known| known != value) {
                    let text = format!("conflicting label: {name}");
                    return Err(EvalError::BadArgument(text).into());
                }
                if labels.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        let mut builder = LabelBuilder::from_labels(labels.view());
        for (name, value) in added.build().iter() {
            builder.set(name, value);
        }
        Ok(Some(builder.build()))
    }
}

/// The place of the row with these labels.
fn place_of(outs: &mut Vec<(Labels, Row)>, labels: Labels, grid: StepGrid, like: &Row) -> usize {
    if let Some(place) = outs.iter().position(|(known, _)| *known == labels) {
        return place;
    }
    let mut out = Row::default();
    out.reset_to_grid(grid, like.values().len());
    outs.push((labels, out));
    outs.len() - 1
}
