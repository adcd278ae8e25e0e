//! The engine as a whole: what is acknowledged is answered, whatever happens in between.
//!
//! Method: real files in a directory of the test's own, background work done by hand, time by a
//! manual clock; a crash is a copy of the directory taken while the engine runs, or a drop without
//! close. Every random test prints its seed.
//! `crash` goes further: there the disk is one in memory, which loses and tears what it may.

mod approach;
mod archive;
mod crash;
mod damage;
mod deletes;
pub(crate) mod disk;
mod durability;
mod expected;
mod faults;
mod limits;
mod objects;
mod oracle;
mod rollups;
pub(crate) mod support;
