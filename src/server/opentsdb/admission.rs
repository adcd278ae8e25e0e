//! Which series a request or connection may write to, and what is done once for each new one.
//!
//! A series that was admitted is recognised by its spelling from then on and costs nothing here. One
//! that was not has its names looked up; those without a number get one before the points are stored.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use lang::opentsdb::validate::Name;
use model::{LabelsRef, TenantId};
use parking_lot::{RwLock, RwLockReadGuard};
use wire::known_keys::{Cursor, KnownKeys};
use wire::opentsdb::gate::{Gate, UnknownName};

use super::names;
use super::uids::{UidKind, UidSpace};
use crate::state::State;

/// The gate of one round of decoding.
pub(super) struct Admission<'s> {
    state: &'s State,
    keys: &'s RwLock<KnownKeys>,
    known: RwLockReadGuard<'s, KnownKeys>,
    cursor: Cursor,
    space: Arc<UidSpace>,
    extra_tag: Option<(String, String)>,
    fresh: Fresh,
}

/// What a round met for the first time.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    /// Names without a number, in the order of their first use.
    names: Vec<(UidKind, String)>,
    seen: HashSet<(UidKind, String)>,
    /// Spellings and the series that they mean.
    learned: Vec<(u128, u128)>,
}

impl<'s> Admission<'s> {
    /// A gate that recognises the spellings in `keys`. With an extra tag spellings say too little.
    pub(super) fn new(
        state: &'s State,
        keys: &'s RwLock<KnownKeys>,
        extra_tag: Option<(String, String)>,
    ) -> Self {
        let space = state.uids.of(TenantId::DEFAULT);
        let (known, cursor, fresh) = (keys.read(), Cursor::default(), Fresh::default());
        Self { state, keys, known, cursor, space, extra_tag, fresh }
    }

    /// What was new.
    pub(super) fn finish(self) -> Fresh {
        let Self { keys, known, space, mut fresh, .. } = self;
        drop(known);
        if fresh.names.is_empty() && !fresh.learned.is_empty() {
            // Known series in a new spelling: nothing to wait for.
            keys.write().learn(&std::mem::take(&mut fresh.learned));
        }
        drop(space);
        fresh
    }

    fn may_create(&self, kind: UidKind, name: &str) -> bool {
        if self.state.settings.opentsdb.auto_create(kind) {
            return true;
        }
        // What another protocol wrote is known as well.
        let name = match kind {
            UidKind::Metric => Name::Metric(name.to_owned()),
            UidKind::Key => Name::Key(name.to_owned()),
            UidKind::Value => Name::Value { key: String::new(), value: name.to_owned() },
        };
        names::exists(&*self.state.source, &name).unwrap_or(false)
    }
}

impl Gate for Admission<'_> {
    #[inline]
    fn recognise(&mut self, spelling: u128) -> Option<u128> {
        if self.extra_tag.is_some() { None } else { self.known.get(spelling, &mut self.cursor) }
    }

    fn admit(
        &mut self,
        spelling: Option<u128>,
        hash: u128,
        labels: LabelsRef<'_>,
        keys: &[&str],
    ) -> Result<(), UnknownName> {
        let missing = self.space.missing(labels, keys);
        for (kind, name) in &missing {
            if !self.may_create(*kind, name) {
                return Err(UnknownName { kind: kind.plural(), name: (*name).to_owned() });
            }
        }
        for (kind, name) in missing {
            let name = (kind, name.to_owned());
            if self.fresh.seen.insert(name.clone()) {
                self.fresh.names.push(name);
            }
        }
        if let Some(spelling) = spelling.filter(|_| self.extra_tag.is_none()) {
            self.fresh.learned.push((spelling, hash));
        }
        Ok(())
    }

    fn extra_tag(&self) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
        let (key, value) = self.extra_tag.as_ref()?;
        Some((Cow::Borrowed(key), Cow::Borrowed(value)))
    }
}

impl Fresh {
    /// Gives the new names their numbers and remembers the spellings. Where the numbers cannot be
    /// kept the points are stored all the same: names get their numbers when they are asked for.
    pub(super) async fn settle(self, state: &State, keys: &RwLock<KnownKeys>) {
        let Self { names, learned, .. } = self;
        if !names.is_empty() {
            let space = state.uids.of(TenantId::DEFAULT);
            match tokio::task::spawn_blocking(move || space.assign(&names)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return tracing::warn!(%error, "names get no numbers"),
                Err(error) => return tracing::warn!(%error, "names get no numbers"),
            }
        }
        if !learned.is_empty() {
            keys.write().learn(&learned);
        }
    }
}
