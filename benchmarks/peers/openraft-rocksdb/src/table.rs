//! The state machine of one node: values by key in RocksDB, with what was applied, in one batch that is
//! not synced, since the log is.

use std::io;
use std::path::Path;

use futures_util::{Stream, TryStreamExt as _};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use rocksdb::WriteBatch;

use crate::rocks::{META, Rocks, to_json};
use crate::types::Types;

const DATA: &str = "data";
const APPLIED: &str = "applied";
const MEMBERSHIP: &str = "membership";

/// The table, shared with those who read it.
#[derive(Clone)]
pub struct RocksTable(Rocks);

impl RocksTable {
    /// Opens the table in `dir`.
    pub fn open(dir: &Path) -> Result<Self, io::Error> {
        Rocks::open(dir, &[META, DATA]).map(Self)
    }

    /// The value of a key, as it is stored.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, io::Error> {
        let value = self.0.db().get_cf(self.0.family(DATA)?, key);
        value.map_err(io::Error::other)
    }
}

fn nothing_is_compacted() -> io::Error {
    io::Error::other("nothing is compacted while it is measured")
}

impl RaftStateMachine<Types> for RocksTable {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let membership = self.0.meta(MEMBERSHIP)?;
        Ok((self.0.meta(APPLIED)?, membership.unwrap_or_default()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let (mut batch, mut answers) = (WriteBatch::default(), Vec::new());
        while let Some((entry, responder)) = entries.try_next().await? {
            batch.put_cf(self.0.family(META)?, APPLIED, to_json(&entry.log_id)?);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(put) => batch.put_cf(self.0.family(DATA)?, put.key, put.value),
                EntryPayload::Membership(membership) => {
                    let stored = StoredMembershipOf::<Types>::new(Some(entry.log_id), membership);
                    batch.put_cf(self.0.family(META)?, MEMBERSHIP, to_json(&stored)?);
                }
            }
            answers.extend(responder.map(|responder| (responder, entry.log_id.index)));
        }
        self.0.db().write(batch).map_err(io::Error::other)?;
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<Types>,
        _snapshot: Self::SnapshotData,
    ) -> Result<(), io::Error> {
        Err(nothing_is_compacted())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Types, Self::SnapshotData>>, io::Error> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for RocksTable {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, Vec<u8>>, io::Error> {
        Err(nothing_is_compacted())
    }
}
