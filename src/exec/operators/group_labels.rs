//! How the row of a group is called.

use std::sync::Arc;

use model::{LabelBuilder, Labels, METRIC_NAME};
use plan::node::Text;
use plan::semantics::{Arithmetic, CallTitle, Called, GroupLabels, Reducer};
use plan::{Drawing, RowStyle};

use crate::row::Identity;

/// Gathers from the rows of one group what its row needs.
pub(crate) struct GroupIdentity {
    /// The labels that define the group.
    group: Labels,
    /// Labels that all rows so far agree on.
    agreed: Vec<(String, String)>,
    disagreeing: Vec<String>,
    title: Option<Text>,
    expressions: Vec<Text>,
    titles: Vec<Text>,
    /// Some row's name is to be taken off at the end of the query.
    name_pending: bool,
}

impl GroupIdentity {
    /// A group whose rows are still to come.
    pub(crate) fn new(group: Labels, title: Option<Text>) -> Self {
        Self {
            group,
            agreed: Vec::new(),
            disagreeing: Vec::new(),
            title,
            expressions: Vec::new(),
            titles: Vec::new(),
            name_pending: false,
        }
    }

    /// Notes a row; `first` for the group's first one.
    pub(crate) fn add(&mut self, rule: &GroupLabels, identity: &mut Identity<'_>, first: bool) {
        self.name_pending |= identity.name_pending;
        match rule {
            GroupLabels::Group => {}
            GroupLabels::Agreeing => self.agree(identity.labels()),
            GroupLabels::Titled { .. } => self.intersect(identity.labels(), first),
            GroupLabels::Called(called) => {
                self.intersect(identity.labels(), first);
                if called.title == CallTitle::Titles {
                    self.titles.push(identity.title_or_name());
                }
                let expression = match &identity.style {
                    Some(style) => style.expression.clone(),
                    None => identity.title_or_name(),
                };
                if !self.expressions.contains(&expression) {
                    self.expressions.push(expression);
                }
            }
        }
    }

    /// A label stays while the rows that carry it agree.
    fn agree(&mut self, labels: &Labels) {
        for (name, value) in labels.iter() {
            if self.disagreeing.iter().any(|known| known == name) {
                continue;
            }
            match self.agreed.iter().position(|(known, _)| known == name) {
                None => self.agreed.push((name.to_owned(), value.to_owned())),
                Some(place) if self.agreed[place].1 != value => {
                    self.agreed.remove(place);
                    self.disagreeing.push(name.to_owned());
                }
                Some(_) => {}
            }
        }
    }

    /// A label stays while all rows carry it with one value.
    fn intersect(&mut self, labels: &Labels, first: bool) {
        if first {
            let pairs = labels.iter();
            self.agreed = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        } else {
            self.agreed.retain(|(name, value)| labels.get(name) == Some(value.as_str()));
        }
    }

    /// The identity of the group's row.
    pub(crate) fn finish(mut self, rule: &GroupLabels) -> Identity<'static> {
        let mut builder = LabelBuilder::default();
        for (name, value) in &self.agreed {
            builder.set(name, value);
        }
        match rule {
            GroupLabels::Group => {
                let mut identity = Identity::known(self.group);
                identity.title = self.title;
                identity.name_pending = self.name_pending;
                identity
            }
            GroupLabels::Agreeing => {
                let mut identity = Identity::known(builder.build());
                self.disagreeing.sort_unstable();
                identity.disagreeing = Some(self.disagreeing.into());
                identity
            }
            GroupLabels::Titled { title, mark } => {
                mark_with(&mut builder, mark.as_ref());
                let mut identity = Identity::known(builder.build());
                identity.title = title.as_deref().map(Text::from).or(self.title);
                identity
            }
            GroupLabels::Called(called) => {
                let Called { function, suffix, title, mark, present_min } = &**called;
                if *title == CallTitle::FirstExpression {
                    self.expressions.truncate(1);
                }
                let call = |names: &[Text]| -> Text {
                    format!("{function}({}{suffix})", names.join(",")).into()
                };
                let expression = call(&self.expressions);
                if !self.agreed.iter().any(|(name, _)| name == METRIC_NAME) {
                    builder.set(METRIC_NAME, &expression);
                }
                mark_with(&mut builder, mark.as_ref());
                let mut identity = Identity::known(builder.build());
                identity.title = match title {
                    CallTitle::Titles => Some(call(&self.titles)),
                    CallTitle::Group => self.title,
                    CallTitle::Expressions | CallTitle::FirstExpression => None,
                };
                identity.title.get_or_insert_with(|| expression.clone());
                identity.style = Some(Arc::new(RowStyle {
                    expression,
                    consolidation: Reducer::Average(Arithmetic::Plain),
                    present_min: *present_min,
                    drawing: Drawing::default(),
                }));
                identity
            }
        }
    }
}

fn mark_with(builder: &mut LabelBuilder, mark: Option<&(String, String)>) {
    if let Some((name, value)) = mark {
        builder.set(name, value);
    }
}
