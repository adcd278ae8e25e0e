//! What a decoder of points asks about their series: whether it has met the spelling before, and
//! whether a series that it has not may come in.

use std::borrow::Cow;

use model::LabelsRef;

/// A name that may not be used: it has no number, and none is given on writing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("No such name for '{kind}': '{name}'")]
pub struct UnknownName {
    /// `metrics`, `tagk` or `tagv`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
}

/// Knows the series that came before.
pub trait Gate {
    /// The hash of the label set with this spelling, when it was admitted before.
    fn recognise(&mut self, spelling: u128) -> Option<u128>;

    /// Says whether a series that was not recognised may be written. `hash` is that of `labels`;
    /// `keys` are those of its tags, in the sender's order, which is that of the numbers of new names.
    fn admit(
        &mut self,
        spelling: Option<u128>,
        hash: u128,
        labels: LabelsRef<'_>,
        keys: &[&str],
    ) -> Result<(), UnknownName>;

    /// A tag that every point gets beside its own.
    fn extra_tag(&self) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
        None
    }
}

/// Recognises nothing and admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

impl Gate for OpenGate {
    fn recognise(&mut self, _spelling: u128) -> Option<u128> {
        None
    }

    fn admit(
        &mut self,
        _: Option<u128>,
        _: u128,
        _: LabelsRef<'_>,
        _: &[&str],
    ) -> Result<(), UnknownName> {
        Ok(())
    }
}
