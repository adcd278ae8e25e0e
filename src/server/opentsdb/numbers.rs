//! The order that numbers of names give to series, for queries.
//!
//! Names that have no number yet come behind those that have one, by their text: an order must not
//! depend on who asked first.

use std::sync::Arc;

use exec::Numbers;
use model::{Labels, METRIC_NAME, TenantId};

use super::uids::{UidKind, UidSpace, Uids};

#[derive(Debug)]
struct Order(Arc<UidSpace>);

impl Uids {
    /// The order of a tenant's series.
    pub fn numbers(&self, tenant: TenantId) -> Arc<dyn Numbers> {
        Arc::new(Order(self.of(tenant)))
    }
}

impl Order {
    fn part(&self, kind: UidKind, name: &str) -> Vec<u8> {
        match self.0.uid(kind, name) {
            Some(uid) => uid.0.to_be_bytes().to_vec(),
            None => {
                let mut part = u64::MAX.to_be_bytes().to_vec();
                part.extend_from_slice(name.as_bytes());
                part.push(0);
                part
            }
        }
    }
}

impl Numbers for Order {
    fn key(&self, labels: &Labels) -> Vec<u8> {
        let tags = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let mut parts: Vec<(Vec<u8>, Vec<u8>)> = tags
            .map(|(key, value)| (self.part(UidKind::Key, key), self.part(UidKind::Value, value)))
            .collect();
        parts.sort_unstable();
        parts.into_iter().flat_map(|(key, value)| [key, value]).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use model::MemoryDocuments;

    use super::*;

    #[test]
    fn series_sort_by_number_and_strangers_come_last() {
        let uids = Uids::new(Arc::new(MemoryDocuments::default()), 3);
        let space = uids.of(TenantId::DEFAULT);
        let names = [(UidKind::Key, "z"), (UidKind::Key, "a"), (UidKind::Value, "2")];
        space.assign(&names).unwrap();
        space.assign(&[(UidKind::Value, "1")]).unwrap();
        let order = uids.numbers(TenantId::DEFAULT);
        let key = |pairs: &[(&str, &str)]| order.key(&Labels::from_pairs(pairs.iter().copied()));
        let sorted = [
            key(&[("z", "2")]),
            key(&[("z", "2"), ("a", "1")]),
            key(&[("z", "1")]),
            key(&[("a", "2"), ("__name__", "m")]),
            key(&[("unknown", "2")]),
        ];
        assert!(sorted.is_sorted());
    }
}
