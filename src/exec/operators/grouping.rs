//! Which group a row belongs to.

use hashbrown::HashMap;
use model::{Labels, LabelsRef, METRIC_NAME};
use plan::semantics::Grouping;

use crate::operators::signature::ascending;
use crate::row::Identity;

/// Deals rows out to groups, numbered in order of appearance.
pub(crate) struct Groups {
    rule: Rule,
    numbers: HashMap<Vec<u8>, usize>,
    count: usize,
    key: Vec<u8>,
}

enum Rule {
    All,
    By(Vec<String>),
    Without(Vec<String>),
    Title,
    Each,
}

impl Groups {
    /// No groups yet.
    pub(crate) fn new(grouping: &Grouping) -> Self {
        let rule = match grouping {
            Grouping::By(labels) if labels.is_empty() => Rule::All,
            Grouping::By(labels) => Rule::By(ascending(labels)),
            Grouping::Without(labels) => Rule::Without(ascending(labels)),
            Grouping::Title => Rule::Title,
            Grouping::Each => Rule::Each,
        };
        Self { rule, numbers: HashMap::new(), count: 0, key: Vec::new() }
    }

    /// The row's group, and whether the row is its first one. `self.key` holds the packed labels
    /// that define a group by labels.
    pub(crate) fn of(&mut self, identity: &mut Identity<'_>) -> (usize, bool) {
        self.key.clear();
        match &self.rule {
            Rule::All => {}
            Rule::By(names) => identity.put_labels(names, &mut self.key),
            Rule::Without(names) => {
                let stays = |name: &str| name != METRIC_NAME && !model::has_name(names, name);
                identity.labels().view().put_some(&mut self.key, stays);
            }
            Rule::Title => self.key.extend_from_slice(identity.title_or_name().as_bytes()),
            Rule::Each => {
                self.count += 1;
                return (self.count - 1, true);
            }
        }
        if matches!(self.rule, Rule::All) && self.count > 0 {
            return (0, false);
        }
        if let Some(number) = self.numbers.get(self.key.as_slice()) {
            return (*number, false);
        }
        self.numbers.insert(self.key.clone(), self.count);
        self.count += 1;
        (self.count - 1, true)
    }

    /// The labels that define the group of the row that [`Groups::of`] saw last.
    pub(crate) fn labels(&self, identity: &mut Identity<'_>) -> Labels {
        match self.rule {
            Rule::All | Rule::By(_) | Rule::Without(_) => {
                LabelsRef::from_packed(&self.key).to_labels()
            }
            Rule::Title => Labels::empty(),
            Rule::Each => identity.labels().clone(),
        }
    }
}
