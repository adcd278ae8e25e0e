//! The contract for small durable records beside the samples: annotations, numbers of names,
//! definitions. They are kept in named tables, ordered by key, apart for each tenant.
//!
//! Invariant: a write is seen whole or not at all, by readers and after a crash.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use base::error::{Classify, ErrorKind};
use parking_lot::RwLock;

use crate::time::TenantId;

/// Bytes of a table's name.
pub const TABLE_BYTES_MAX: usize = 255;

/// Small durable records beside the samples, in named tables, ordered by key.
pub trait Documents: Debug + Send + Sync {
    /// The value at `key`.
    fn get(&self, tenant: TenantId, table: &str, key: &[u8]) -> Option<Arc<[u8]>>;

    /// Ascending by key, from `from` (included) while the key starts with `prefix`, at most `limit`.
    fn scan(
        &self,
        tenant: TenantId,
        table: &str,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Vec<(Vec<u8>, Arc<[u8]>)>;

    /// All changes or none; on `Ok` they are synced to disk. Of several changes of one key the last
    /// counts. Blocks: call it from a thread that may.
    fn write(&self, tenant: TenantId, changes: &[DocumentChange]) -> Result<(), DocumentError>;
}

/// One change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentChange {
    /// Name of the table, at most [`TABLE_BYTES_MAX`] bytes.
    pub table: String,
    /// The key inside the table.
    pub key: Vec<u8>,
    /// The new value; `None` removes the document.
    pub value: Option<Vec<u8>>,
}

impl DocumentChange {
    /// Sets a document.
    pub fn put(
        table: impl Into<String>,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Self {
        Self { table: table.into(), key: key.into(), value: Some(value.into()) }
    }

    /// Removes a document; that there is none is fine.
    pub fn remove(table: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self { table: table.into(), key: key.into(), value: None }
    }
}

/// Why nothing of a write was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The changes are too many or too large for one write.
    #[error("cannot write {bytes} bytes of documents at once: the limit is {max}")]
    TooLarge {
        /// Bytes of the write.
        bytes: usize,
        /// The most there may be.
        max: usize,
    },
    /// The documents would take more room than is set aside for them.
    #[error("cannot write documents: they would take {bytes} bytes, the limit is {max}")]
    Full {
        /// Bytes after the write.
        bytes: u64,
        /// `limits.document_bytes_max` of the configuration.
        max: u64,
    },
    /// The disk is full, read-only or failing.
    #[error("cannot write documents: {reason}")]
    Unavailable {
        /// What the disk said.
        reason: String,
    },
}

impl Classify for DocumentError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. } | Self::Full { .. } => ErrorKind::TooLarge,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }
}

type Table = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// The tables of all tenants in memory: what a durable store answers from.
#[derive(Clone, Debug, Default)]
pub struct DocumentTables {
    tables: HashMap<TenantId, BTreeMap<String, Table>>,
    bytes: u64,
}

/// What a document costs beside its bytes: a place in a tree that is half full since keys mostly ascend,
/// two allocations rounded up, and a count of references. Measured: 112 bytes.
const OVERHEAD_BYTES: u64 = 112;

fn cost(key: &[u8], value: &[u8]) -> u64 {
    key.len() as u64 + value.len() as u64 + OVERHEAD_BYTES
}

impl DocumentTables {
    fn table(&self, tenant: TenantId, table: &str) -> Option<&Table> {
        self.tables.get(&tenant)?.get(table)
    }

    /// See [`Documents::get`].
    pub fn get(&self, tenant: TenantId, table: &str, key: &[u8]) -> Option<Arc<[u8]>> {
        self.table(tenant, table)?.get(key).cloned()
    }

    /// See [`Documents::scan`].
    pub fn scan(
        &self,
        tenant: TenantId,
        table: &str,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Vec<(Vec<u8>, Arc<[u8]>)> {
        let Some(table) = self.table(tenant, table) else {
            return Vec::new();
        };
        let start = from.max(prefix).to_vec();
        let found = table.range(start..).take_while(|(key, _)| key.starts_with(prefix));
        found.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Estimated bytes of memory of all documents.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// [`DocumentTables::bytes`] as they would be at most after `changes`.
    pub fn bytes_after(&self, tenant: TenantId, changes: &[DocumentChange]) -> u64 {
        let mut bytes = self.bytes;
        for change in changes {
            let old = self.table(tenant, &change.table).and_then(|table| table.get(&change.key));
            let new = change.value.as_ref().map_or(0, |value| cost(&change.key, value));
            bytes = bytes + new - old.map_or(0, |value| cost(&change.key, value)).min(bytes);
        }
        bytes
    }

    /// Does one change.
    pub fn apply(&mut self, tenant: TenantId, change: DocumentChange) {
        let tables = self.tables.entry(tenant).or_default();
        let table = tables.entry(change.table).or_default();
        let old = match change.value {
            Some(value) => {
                self.bytes += cost(&change.key, &value);
                let key = change.key.clone();
                table.insert(key, value.into())
            }
            None => table.remove(&change.key),
        };
        self.bytes -= old.map_or(0, |value| cost(&change.key, &value));
    }

    /// Calls `visit` for every document, tenant by tenant, table by table, in key order.
    pub fn for_each<E>(
        &self,
        mut visit: impl FnMut(TenantId, &str, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (tenant, tables) in &self.tables {
            for (name, table) in tables {
                for (key, value) in table {
                    visit(*tenant, name, key, value)?;
                }
            }
        }
        Ok(())
    }
}

/// Documents that end with the process: for tests, and for servers over a store in memory.
#[derive(Debug, Default)]
pub struct MemoryDocuments(RwLock<DocumentTables>);

impl Documents for MemoryDocuments {
    fn get(&self, tenant: TenantId, table: &str, key: &[u8]) -> Option<Arc<[u8]>> {
        self.0.read().get(tenant, table, key)
    }

    fn scan(
        &self,
        tenant: TenantId,
        table: &str,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Vec<(Vec<u8>, Arc<[u8]>)> {
        self.0.read().scan(tenant, table, prefix, from, limit)
    }

    fn write(&self, tenant: TenantId, changes: &[DocumentChange]) -> Result<(), DocumentError> {
        let mut tables = self.0.write();
        changes.iter().cloned().for_each(|change| tables.apply(tenant, change));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TenantId = TenantId::DEFAULT;

    #[test]
    fn scans_keep_to_prefix_start_limit_table_and_tenant() {
        let documents = MemoryDocuments::default();
        let changes: Vec<DocumentChange> =
            ["a", "b1", "b2", "b3", "c"].map(|key| DocumentChange::put("t", key, key)).to_vec();
        documents.write(T, &changes).unwrap();
        let scan = |table: &str, prefix: &str, from: &str, limit| -> Vec<String> {
            let found = documents.scan(T, table, prefix.as_bytes(), from.as_bytes(), limit);
            found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
        };
        assert_eq!(scan("t", "b", "", 9), ["b1", "b2", "b3"]);
        assert_eq!(scan("t", "b", "b2", 9), ["b2", "b3"]);
        assert_eq!(scan("t", "b", "b2", 1), ["b2"]);
        assert_eq!(scan("t", "b", "c", 9), [""; 0]);
        assert_eq!(scan("u", "", "", 9), [""; 0]);
        assert!(documents.scan(TenantId(7), "t", b"", b"", 9).is_empty());
        assert_eq!(documents.get(T, "t", b"a").as_deref(), Some(&b"a"[..]));
    }

    #[test]
    fn bytes_follow_every_change() {
        let mut tables = DocumentTables::default();
        let put = |value: &str| DocumentChange::put("t", "key", value);
        for change in [put("12345"), put("1"), DocumentChange::remove("t", "key")] {
            let after = tables.bytes_after(T, std::slice::from_ref(&change));
            tables.apply(T, change);
            assert_eq!(tables.bytes(), after);
        }
        assert_eq!(tables.bytes(), 0);
    }
}
