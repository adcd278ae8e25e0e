//! Who a row is: labels, which are read when somebody asks for them, and what languages call it.

use std::sync::Arc;

use model::{Labels, LabelsRef, METRIC_NAME, ResultSeries, Selection};
use plan::RowStyle;
use plan::node::Text;
use plan::semantics::Naming;

use super::Row;

/// Where a row's labels come from.
enum Origin<'s> {
    /// A stored series whose labels nobody asked for yet.
    Stored(&'s dyn Selection, usize),
    /// Known labels.
    Known(Labels),
}

/// Who a row is. Labels of stored series are built when they are first asked for.
pub(crate) struct Identity<'s> {
    origin: Origin<'s>,
    nameless: bool,
    /// The name is taken off at the end of the query.
    pub(crate) name_pending: bool,
    /// The rows of its scan come in label order, whether that was asked for or not.
    pub(crate) in_order: bool,
    /// What the query calls the row.
    pub(crate) title: Option<Text>,
    /// Labels that the rows behind an aggregate disagree on.
    pub(crate) disagreeing: Option<Arc<[String]>>,
    /// How the row presents itself and wants its points merged.
    pub(crate) style: Option<Arc<RowStyle>>,
}

impl<'s> Identity<'s> {
    /// The series at `index` of a selection.
    pub(crate) fn stored(selection: &'s dyn Selection, index: usize) -> Self {
        let in_order = selection.is_sorted();
        Self { in_order, ..Self::from_origin(Origin::Stored(selection, index)) }
    }

    /// A row with known labels.
    pub(crate) fn known(labels: Labels) -> Self {
        Self::from_origin(Origin::Known(labels))
    }

    fn from_origin(origin: Origin<'s>) -> Self {
        Self {
            origin,
            nameless: false,
            name_pending: false,
            in_order: false,
            title: None,
            disagreeing: None,
            style: None,
        }
    }

    /// Takes the metric's name off: now or when the labels are built, or at the end of the query.
    pub(crate) fn drop_name(&mut self, naming: Naming) {
        if naming.at_end {
            self.name_pending = true;
        } else {
            self.nameless = true;
        }
    }

    /// Takes a pending name off.
    pub(crate) fn settle_name(&mut self) {
        self.nameless |= std::mem::take(&mut self.name_pending);
    }

    /// The labels of what the row came from: with a name that the row may have lost since.
    pub(crate) fn source_labels(&self) -> Labels {
        match &self.origin {
            Origin::Stored(selection, index) => selection.labels(*index),
            Origin::Known(labels) => labels.clone(),
        }
    }

    /// The labels.
    pub(crate) fn labels(&mut self) -> &Labels {
        if let Origin::Stored(selection, index) = self.origin {
            self.origin = Origin::Known(selection.labels(index));
        }
        if std::mem::take(&mut self.nameless)
            && let Origin::Known(labels) = &mut self.origin
        {
            *labels = without_name(labels);
        }
        match &self.origin {
            Origin::Known(labels) => labels,
            Origin::Stored(..) => unreachable!("replaced above"),
        }
    }

    /// Appends the packed labels whose names are among the ascending `names`.
    pub(crate) fn put_labels(&mut self, names: &[String], out: &mut Vec<u8>) {
        let is_lost = |name: &String| self.nameless && METRIC_LABELS.contains(&name.as_str());
        match self.origin {
            Origin::Stored(selection, index) if !names.iter().any(is_lost) => {
                selection.put_labels(index, names, out);
            }
            _ => self.labels().view().put_some(out, |name| model::has_name(names, name)),
        }
    }

    /// Gives the row other labels.
    pub(crate) fn set_labels(&mut self, labels: Labels) {
        self.origin = Origin::Known(labels);
        self.nameless = false;
    }

    /// The title, or for a row without one its name in Graphite's spelling.
    pub(crate) fn title_or_name(&mut self) -> Text {
        match &self.title {
            Some(title) => title.clone(),
            None => model::identity::flat_name(self.labels()).into(),
        }
    }

    /// A copy of an identity whose labels are known.
    pub(crate) fn duplicate(&self) -> Identity<'s> {
        let origin = match &self.origin {
            Origin::Stored(selection, index) => Origin::Stored(*selection, *index),
            Origin::Known(labels) => Origin::Known(labels.clone()),
        };
        self.with_origin(origin)
    }

    fn with_origin<'o>(&self, origin: Origin<'o>) -> Identity<'o> {
        Identity {
            origin,
            nameless: self.nameless,
            name_pending: self.name_pending,
            in_order: self.in_order,
            title: self.title.clone(),
            disagreeing: self.disagreeing.clone(),
            style: self.style.clone(),
        }
    }

    /// A copy for as long as `selection` lives, which is that of the row if it is a stored one.
    pub(crate) fn placed<'p>(&self, selection: &'p dyn Selection) -> Identity<'p> {
        let origin = match &self.origin {
            Origin::Stored(_, index) => Origin::Stored(selection, *index),
            Origin::Known(labels) => Origin::Known(labels.clone()),
        };
        self.with_origin(origin)
    }

    /// An owned copy.
    pub(crate) fn keep(&mut self) -> Identity<'static> {
        let labels = self.labels().clone();
        self.with_origin(Origin::Known(labels))
    }

    /// The row as a result, which may take its points away.
    pub(crate) fn result(&mut self, row: &mut Row) -> ResultSeries {
        ResultSeries {
            labels: self.labels().clone(),
            title: self.title.clone(),
            disagreeing: self.disagreeing.clone().unwrap_or_default(),
            grid: row.grid,
            points: row.take_points(),
        }
    }
}

/// What describes the metric rather than the series: gone once the value is another quantity.
pub(crate) const METRIC_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// `labels` without the metric's name, type and unit.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    if METRIC_LABELS.iter().all(|name| labels.get(name).is_none()) {
        return labels.clone();
    }
    let mut packed = Vec::with_capacity(labels.as_packed().len());
    labels.view().put_some(&mut packed, |name| !METRIC_LABELS.contains(&name));
    LabelsRef::from_packed(&packed).to_labels()
}
