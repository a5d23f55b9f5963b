//! The open environment as the writer and all readers share it.

use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

use super::super::StorageError;
use super::super::lock::DirLock;
use super::env::{self, Access, Opened, from_heed};
use super::view::View;

/// The open environment. Its map is replaced by a larger one under the write side of a lock that
/// every transaction holds the read side of, so no transaction ever sees its map go.
pub(super) struct Shared {
    dir: PathBuf,
    slot: RwLock<Slot>,
    /// Why an earlier write failed.
    poison: OnceLock<String>,
}

struct Slot {
    /// `None` once closed, or when a larger map could not be opened.
    opened: Option<Opened>,
    access: Access,
    /// Dropped after the environment is.
    lock: Option<DirLock>,
}

/// How often a tool follows a map that the node replaces under its hands before it gives up.
const REOPENS_MAX: u32 = 16;

impl Shared {
    pub(super) fn open(
        dir: &Path,
        access: Access,
        lock: Option<DirLock>,
    ) -> Result<Self, StorageError> {
        let opened = env::open(dir, access)?;
        Ok(Self {
            dir: dir.to_owned(),
            slot: RwLock::new(Slot {
                opened: Some(opened),
                access,
                lock,
            }),
            poison: OnceLock::new(),
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Closes the environment and gives the directory free. Readers that are left get
    /// [`StorageError::Closed`].
    pub(super) fn close(&self) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        slot.opened = None;
        slot.lock = None;
    }

    /// # Errors
    /// [`StorageError::Poisoned`] when an earlier write failed.
    pub(super) fn check_poison(&self) -> Result<(), StorageError> {
        match self.poison.get() {
            Some(reason) => Err(StorageError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    /// Ends all use of the store after `error`. The first reason is kept.
    pub(super) fn poison(&self, error: &StorageError) {
        self.poison.get_or_init(|| error.to_string());
    }

    /// Calls `read` with a view of the newest batch.
    pub(super) fn read<T>(
        &self,
        read: impl Fn(View<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.check_poison()?;
        let mut reopens = 0;
        loop {
            match self.try_read(&read) {
                Ok(result) => return result,
                Err(heed::Error::Mdb(heed::MdbError::MapResized)) if reopens < REOPENS_MAX => {
                    reopens += 1;
                    self.reopen()?;
                }
                Err(error) => return Err(from_heed(&self.dir, error)),
            }
        }
    }

    fn try_read<T>(
        &self,
        read: impl Fn(View<'_>) -> Result<T, StorageError>,
    ) -> heed::Result<Result<T, StorageError>> {
        let slot = self.read_slot();
        let Some(opened) = &slot.opened else {
            return Ok(Err(self.closed()));
        };
        let txn = opened.env.read_txn()?;
        Ok(read(View::new(&self.dir, opened, &txn)))
    }

    /// Calls `work` with the environment, whose map stays as it is meanwhile.
    pub(super) fn with<T, E: From<StorageError>>(
        &self,
        work: impl FnOnce(&Opened) -> Result<T, E>,
    ) -> Result<T, E> {
        let slot = self.read_slot();
        match &slot.opened {
            Some(opened) => work(opened),
            None => Err(self.closed().into()),
        }
    }

    /// Forgets readers whose processes ended without a word: while they are remembered, no page that
    /// they could see is used again and the file grows.
    pub(super) fn clear_stale_readers(&self) -> Result<(), StorageError> {
        self.with(|opened| {
            opened
                .env
                .clear_stale_readers()
                .map(drop)
                .map_err(|error| from_heed(&self.dir, error))
        })
    }

    /// Replaces the map by one of at least `map_bytes`.
    pub(super) fn grow(&self, map_bytes: u64) -> Result<(), StorageError> {
        let map_bytes = env::round_map_bytes(map_bytes);
        self.clear_stale_readers()?;
        self.replace(|access| match access {
            Access::Write { map_bytes: old } => Access::Write {
                map_bytes: map_bytes.max(old),
            },
            Access::Read => Access::Read,
        })
    }

    /// Opens the environment again with the map size that its writer last gave it.
    fn reopen(&self) -> Result<(), StorageError> {
        self.replace(|access| access)
    }

    /// Closing and opening is safer than LMDB's resize: when that fails, the environment is left
    /// without a map and the next transaction would crash.
    fn replace(&self, access: impl FnOnce(Access) -> Access) -> Result<(), StorageError> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.opened.take().is_none() {
            return Err(self.closed());
        }
        slot.access = access(slot.access);
        slot.opened = Some(env::open(&self.dir, slot.access)?);
        Ok(())
    }

    fn read_slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> StorageError {
        StorageError::Closed {
            path: self.dir.clone(),
        }
    }
}
