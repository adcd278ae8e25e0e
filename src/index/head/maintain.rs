//! Keeping the head small and quick: freezing the tail, merging dictionaries, dropping series.
//!
//! All of it runs beside reads and writes; the lock is only taken for copies of bounded size and for
//! swapping in what was built aside.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{HeadIndex, STEP, State};
use crate::error::IndexError;
use crate::merge_policy::newest_to_merge;
use crate::postings::Postings;
use crate::registry::SHARDS;
use crate::terms::{FrozenTerms, TermTexts};

/// Terms of the tail that are worth a dictionary of their own. A select tests every term of the tail
/// of its label, about 30 ns each.
const FREEZE_MIN: usize = 48 * 1024;
/// Terms frozen at once: what may be copied under the lock.
const FREEZE_MAX: usize = 64 * 1024;
/// Pairs without series that are kept in the hope that they come back.
const DEAD_MIN: usize = if cfg!(test) { 16 } else { 4096 };

impl HeadIndex {
    /// Freezes what is new and merges dictionaries until there is nothing to gain; true when it did
    /// anything. To be called now and then from a background thread; without it selects are right
    /// but patterns get slower as values are added.
    pub fn maintain(&self) -> Result<bool, IndexError> {
        let _alone = self.maintenance.lock();
        let mut worked = false;
        while self.state.read().tail_len >= FREEZE_MIN {
            self.freeze()?;
            while self.merge()? {}
            worked = true;
        }
        Ok(worked)
    }

    /// Freezes the tails however short they are.
    #[cfg(test)]
    pub(crate) fn freeze_all(&self) -> Result<(), IndexError> {
        let _alone = self.maintenance.lock();
        while self.state.read().tail_len > 0 {
            self.freeze()?;
            while self.merge()? {}
        }
        Ok(())
    }

    /// Moves terms of the tails into a new dictionary.
    fn freeze(&self) -> Result<(), IndexError> {
        let mut terms = TermTexts::default();
        let mut taken = Vec::new();
        {
            let state = self.state.read();
            for (name, counts) in state.pairs.names().iter().zip(&state.names) {
                let room = FREEZE_MAX - terms.len();
                let tail = counts.tail.get(..counts.tail.len().min(room)).unwrap_or_default();
                taken.push(tail.len());
                for pair in tail {
                    terms.push(name.as_bytes(), state.pairs.value(*pair), *pair);
                }
            }
        }
        let count = terms.len();
        let frozen = Arc::new(FrozenTerms::build(&terms)?);
        let mut state = self.state.write();
        for (name, taken) in state.names.iter_mut().zip(taken) {
            name.tail.drain(..taken);
            name.tail.shrink_to_fit();
        }
        state.tail_len -= count;
        state.freezes += 1;
        state.frozen.push(frozen);
        Ok(())
    }

    /// Merges the newest dictionaries when the policy says so.
    fn merge(&self) -> Result<bool, IndexError> {
        let parts = {
            let state = self.state.read();
            let sizes: Vec<usize> = state.frozen.iter().map(|frozen| frozen.len()).collect();
            let first = sizes.len() - newest_to_merge(&sizes);
            state.frozen.get(first..).unwrap_or_default().to_vec()
        };
        if parts.is_empty() {
            return Ok(false);
        }
        let merged = Arc::new(FrozenTerms::merge(&parts, |_| false)?);
        let mut state = self.state.write();
        let rest = state.frozen.len() - parts.len();
        state.frozen.truncate(rest);
        state.frozen.push(merged);
        Ok(true)
    }

    /// Forgets the series that exist now and are not in `keep`, and gives their memory back. Call it
    /// from the thread that creates series, or with creation stopped since `keep` was made: a series
    /// created in between would be forgotten. Numbers of forgotten series are not given again; the
    /// same labels written later get a new number.
    pub fn retain(&self, keep: &RoaringBitmap) -> Result<(), IndexError> {
        let _alone = self.maintenance.lock();
        let (end, chunks) = {
            let state = self.state.read();
            if state.series.live().is_subset(keep) {
                return Ok(());
            }
            (state.series.end(), state.series.chunk_count())
        };
        for chunk in 0..chunks {
            let mut state = self.state.write();
            state.dropped = true;
            state.series.retain(chunk, keep, end);
        }
        for shard in 0..SHARDS {
            self.state.write().series.shrink(shard);
        }
        let pairs = self.state.read().pairs.end();
        // What was created since is kept, whatever `keep` says.
        let mut keep = keep.clone();
        keep.insert_range(end..);
        for start in (0..pairs).step_by(STEP) {
            self.state.write().retain_postings(start..(start + STEP).min(pairs), &keep);
        }
        let names = self.state.read().names.len();
        for name in 0..names {
            if let Some(name) = self.state.write().names.get_mut(name) {
                name.postings.retain(&keep);
            }
        }
        self.purge()
    }

    /// Frees the pairs without series when there are many.
    fn purge(&self) -> Result<(), IndexError> {
        let (dead, live, frozen) = {
            let state = self.state.read();
            let dead = state.dead_pairs();
            (dead, state.pairs.len(), state.frozen.clone())
        };
        if (dead.len() as usize) < DEAD_MIN.max(live / 4) {
            return Ok(());
        }
        let merged = Arc::new(FrozenTerms::merge(&frozen, |pair| dead.contains(pair))?);
        let mut state = self.state.write();
        state.take_out(dead);
        state.frozen = if merged.len() == 0 { Vec::new() } else { vec![merged] };
        Ok(())
    }
}

impl State {
    fn retain_postings(&mut self, pairs: std::ops::Range<usize>, keep: &RoaringBitmap) {
        for pair in pairs {
            let Some(postings) = self.postings.get_mut(pair) else { break };
            if postings.is_empty() {
                continue;
            }
            postings.retain(keep);
            let name = self.pairs.name_of(pair as u32) as usize;
            if postings.is_empty()
                && let Some(name) = self.names.get_mut(name)
            {
                name.values -= 1;
            }
        }
    }

    /// The pairs that no series has, freed ones among them.
    fn dead_pairs(&self) -> RoaringBitmap {
        let pairs = (0u32..).zip(&self.postings);
        let freed = self.pairs.freed();
        let dead = pairs.filter(|(_, postings)| postings.is_empty()).map(|(pair, _)| pair);
        dead.collect::<RoaringBitmap>() - freed
    }

    /// Frees the numbers of dead pairs. A pair that came back meanwhile stays, and returns to the
    /// tail, since the new dictionary does not know it.
    fn take_out(&mut self, mut dead: RoaringBitmap) {
        let revived: Vec<u32> =
            dead.iter().filter(|pair| !self.posting(*pair).is_empty()).collect();
        for pair in revived {
            dead.remove(pair);
            let name = self.pairs.name_of(pair) as usize;
            if let Some(name) = self.names.get_mut(name)
                && !name.tail.contains(&pair)
            {
                name.tail.push(pair);
            }
        }
        for name in &mut self.names {
            name.tail.retain(|pair| !dead.contains(*pair));
        }
        self.tail_len = self.names.iter().map(|name| name.tail.len()).sum();
        self.pairs.purge(|pair| dead.contains(pair));
        for pair in &dead {
            if let Some(postings) = self.postings.get_mut(pair as usize) {
                *postings = Postings::default();
            }
        }
        self.postings.truncate(self.pairs.end());
        self.postings.shrink_to_fit();
        self.purges += 1;
    }
}
