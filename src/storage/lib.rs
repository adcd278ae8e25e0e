//! Layer 3: durability. Samples come in as batches, are logged, applied to the head, flushed to
//! immutable blocks and merged; a snapshot of head and blocks answers selects. The only user of
//! `object_store`; knows neither queries nor protocols.
//!
//! Read on in this order: `engine` (the face), `committer` (the life of a write), `framed` and `wal` (the log), `head`,
//! `maintenance` (what happens to samples later), `rollup` (their summaries), `block`, `manifest`, `snapshot` (reads), `archive`
//! (copies), `verify` and `repair` (damage), `sim` (the tests that try to break all of it). `wal`, `block`, `manifest`, `documents`
//! and `archive` have the bytes in a `FORMAT.md` each; what must always hold stands in `src/ARCHITECTURE.md`.

mod error;
mod layout;
mod options;

mod committer;
mod engine;
mod queue;
mod recover;
mod shared;

mod collect;
mod framed;
mod head;
mod wal;

mod block;
mod compact;
mod delete;
mod maintenance;
mod manifest;
mod object;
mod retention;
mod rollup;
mod sweep;

mod archive;

mod documents;
mod lock;
mod snapshot;
mod view;

mod inspect;
mod repair;
mod verify;

pub use archive::backup::{BackupReport, RestoreReport, backup, backups, restore};
pub use engine::{BlockStatus, Engine, EngineStatus};
pub use error::StorageError;
pub use index::HeadStatistics;
pub use inspect::{InspectReport, inspect};
pub use options::{EngineOptions, WalSync};
pub use repair::{RepairReport, repair};
pub use retention::RetentionRule;
pub use rollup::rules::RollupRule;
pub use verify::{Finding, VerifyReport, verify};
pub use wal::file::{DiskFiles, FileBytes, LogFile, LogFiles};

#[cfg(test)]
mod sim;
