//! The storage contract, kept by each implementation of this crate and broken by a bad one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use raftify::storage::conformance::{self, Disk};
use raftify::storage::files::SimFiles;
use raftify::storage::files::sim::FileFault;
use raftify::storage::{
    HeedOptions, HeedStorage, Identity, MemoryReader, MemoryStorage, StableStorage, StorageError,
    WalOptions, WalStorage, WriteBatch,
};
use tempfile::TempDir;

struct HeedDisk {
    dir: TempDir,
    options: HeedOptions,
}

impl Disk for HeedDisk {
    type Storage = HeedStorage;

    fn open(&mut self) -> Result<HeedStorage, StorageError> {
        HeedStorage::open(self.dir.path(), self.options)
    }
}

struct WalDisk {
    dir: TempDir,
    options: WalOptions,
}

impl Disk for WalDisk {
    type Storage = WalStorage;

    fn open(&mut self) -> Result<WalStorage, StorageError> {
        WalStorage::open(self.dir.path(), self.options)
    }
}

/// A WAL on simulated files, of which the named operation fails when a write is to fail.
struct SimDisk {
    files: SimFiles,
    fault: FileFault,
    options: WalOptions,
}

impl Disk for SimDisk {
    type Storage = WalStorage<SimFiles>;

    fn open(&mut self) -> Result<WalStorage<SimFiles>, StorageError> {
        self.files = self.files.reopen();
        WalStorage::open_on(self.files.clone(), self.options)
    }

    fn fail_next_write(&mut self, _: &mut WalStorage<SimFiles>) -> bool {
        self.files.fail_next(self.fault);
        true
    }
}

struct MemoryDisk(MemoryStorage);

impl Disk for MemoryDisk {
    type Storage = MemoryStorage;

    fn open(&mut self) -> Result<MemoryStorage, StorageError> {
        Ok(self.0.reopen())
    }

    fn fail_next_write(&mut self, storage: &mut MemoryStorage) -> bool {
        storage.fail_next_write("the disk is broken");
        true
    }
}

#[tokio::test]
async fn lmdb_keeps_the_contract() {
    let options = HeedOptions::default();
    let disk = || HeedDisk {
        dir: tempfile::tempdir().unwrap(),
        options,
    };
    conformance::run(disk).await.unwrap();
}

#[tokio::test]
async fn lmdb_keeps_the_contract_when_its_map_starts_tiny() {
    let options = HeedOptions {
        map_bytes_initial: 1,
    };
    let disk = || HeedDisk {
        dir: tempfile::tempdir().unwrap(),
        options,
    };
    conformance::run(disk).await.unwrap();
}

/// So small that every rule meets several segments.
const TINY: WalOptions = WalOptions {
    segment_bytes_initial: 0,
    segment_bytes_max: 0,
};

#[tokio::test]
async fn the_wal_keeps_the_contract() {
    for options in [WalOptions::default(), TINY] {
        let disk = || WalDisk {
            dir: tempfile::tempdir().unwrap(),
            options,
        };
        conformance::run(disk).await.unwrap();
    }
}

#[tokio::test]
async fn the_wal_keeps_the_contract_on_a_disk_that_fails() {
    for fault in [FileFault::Write, FileFault::Full, FileFault::Sync] {
        for (seed, options) in [(1, WalOptions::default()), (2, TINY)] {
            let disk = || SimDisk {
                files: SimFiles::new(seed),
                fault,
                options,
            };
            conformance::run(disk).await.unwrap();
        }
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    conformance::run(|| MemoryDisk(MemoryStorage::new()))
        .await
        .unwrap();
}

/// A storage that changes batches on their way.
struct Bad {
    inner: MemoryStorage,
    change: fn(&mut WriteBatch),
}

impl StableStorage for Bad {
    type Reader = MemoryReader;

    fn identity(&self) -> Option<Identity> {
        self.inner.identity()
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.inner.initialize(identity, first)
    }

    fn reader(&self) -> MemoryReader {
        self.inner.reader()
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        let mut batch = batch.clone();
        (self.change)(&mut batch);
        self.inner.write(&batch).await
    }
}

struct BadDisk(MemoryStorage, fn(&mut WriteBatch));

impl Disk for BadDisk {
    type Storage = Bad;

    fn open(&mut self) -> Result<Bad, StorageError> {
        Ok(Bad {
            inner: self.0.reopen(),
            change: self.1,
        })
    }
}

/// How an implementation alters what it is given.
type Change = fn(&mut WriteBatch);

#[tokio::test]
async fn the_suite_names_the_rule_that_an_implementation_breaks() {
    let faults: [(Change, &str); 5] = [
        (|batch| batch.hard_state = None, "every field of a batch"),
        (|batch| batch.system = None, "every field of a batch"),
        (|batch| batch.compact_to = None, "every field of a batch"),
        (
            |batch| batch.install = None,
            "an installed snapshot replaces",
        ),
        (
            |batch| {
                batch.entries.dedup_by_key(|entry| entry.index);
            },
            "a batch with a gap",
        ),
    ];
    for (fault, rule) in faults {
        let broken = conformance::run(|| BadDisk(MemoryStorage::new(), fault))
            .await
            .unwrap_err();
        assert!(broken.rule.starts_with(rule), "{broken}");
    }
}
