//! The log of one node in RocksDB: a write for each batch of entries, then a sync of RocksDB's own log
//! on a thread of its own, which tells openraft when it is done. So do openraft's examples.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;

use openraft::OptionalSend;
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use rocksdb::{Direction, IteratorMode, WriteBatch};

use crate::rocks::{META, Rocks, from_json, to_json};
use crate::types::Types;

const LOGS: &str = "logs";
const VOTE: &str = "vote";
const PURGED: &str = "purged";

/// The log, and every reader of it.
#[derive(Clone)]
pub struct RocksLog(Rocks);

impl RocksLog {
    /// Opens the log in `dir`.
    pub fn open(dir: &Path) -> Result<Self, io::Error> {
        Rocks::open(dir, &[META, LOGS]).map(Self)
    }

    fn delete(&self, from: u64, to: u64) -> Result<(), io::Error> {
        let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
        let logs = self.0.family(LOGS)?;
        let deleted = self.0.db().delete_range_cf(logs, from, to);
        deleted.map_err(io::Error::other)
    }
}

impl RaftLogReader<Types> for RocksLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<EntryOf<Types>>, io::Error> {
        let first = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let first = first.to_be_bytes();
        let from = IteratorMode::From(&first, Direction::Forward);
        let mut entries = Vec::new();
        for stored in self.0.db().iterator_cf(self.0.family(LOGS)?, from) {
            let (_, bytes) = stored.map_err(io::Error::other)?;
            let entry: EntryOf<Types> = from_json(&bytes)?;
            if !range.contains(&entry.index()) {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        self.0.meta(VOTE)
    }
}

impl RaftLogStorage<Types> for RocksLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let logs = self.0.family(LOGS)?;
        let last = self.0.db().iterator_cf(logs, IteratorMode::End).next();
        let last = last.transpose().map_err(io::Error::other)?;
        let last = last.map(|(_, bytes)| from_json::<EntryOf<Types>>(&bytes));
        let last = last.transpose()?.map(|entry| entry.log_id());
        let purged = self.0.meta(PURGED)?;
        Ok(LogState {
            last_purged_log_id: purged,
            last_log_id: last.or(purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        self.0.put_meta(VOTE, vote)?;
        let rocks = self.0.clone();
        let synced = tokio::task::spawn_blocking(move || rocks.sync());
        synced.await.map_err(io::Error::other)?
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
    {
        let mut batch = WriteBatch::default();
        let logs = self.0.family(LOGS)?;
        for entry in entries {
            batch.put_cf(logs, entry.index().to_be_bytes(), to_json(&entry)?);
        }
        self.0.db().write(batch).map_err(io::Error::other)?;
        let rocks = self.0.clone();
        std::thread::spawn(move || callback.io_completed(rocks.sync()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        self.delete(last.map_or(0, |last| last.index() + 1), u64::MAX)
    }

    async fn purge(&mut self, up_to: LogIdOf<Types>) -> Result<(), io::Error> {
        self.0.put_meta(PURGED, &up_to)?;
        self.delete(0, up_to.index() + 1)
    }
}
