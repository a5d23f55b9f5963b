//! What is special about the log in LMDB: its directory, its map, its versions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::error::Error as _;
use std::fs;
use std::path::Path;

use raftify::raft::eraftpb::{Entry, HardState};
use raftify::snapshot::SnapshotDescriptor;
use raftify::storage::{
    HeedOptions, HeedStorage, Identity, LogReader, StableStorage, StorageError, WriteBatch,
};

const TINY: HeedOptions = HeedOptions {
    map_bytes_initial: 1,
};

fn open(dir: &Path) -> Result<HeedStorage, StorageError> {
    HeedStorage::open(dir, HeedOptions::default())
}

fn entries(first: u64, count: u64, bytes: usize) -> Vec<Entry> {
    (first..first + count)
        .map(|index| Entry {
            index,
            term: 1,
            data: vec![index as u8; bytes].into(),
            ..Entry::default()
        })
        .collect()
}

fn append(first: u64, count: u64, bytes: usize) -> WriteBatch {
    WriteBatch {
        entries: entries(first, count, bytes),
        ..WriteBatch::default()
    }
}

fn owner(node_id: u64) -> Identity {
    Identity {
        cluster_id: 7,
        group_id: 0,
        node_id,
        incarnation: 99,
    }
}

#[tokio::test]
async fn a_directory_that_is_open_is_in_use_under_every_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node");
    let storage = open(&path).unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [path.clone(), link, dir.path().join("node/../node")] {
        let second = open(&name);
        assert!(
            matches!(second, Err(StorageError::InUse { .. })),
            "{second:?}"
        );
        let tool = HeedStorage::open_read_only(&name);
        assert!(matches!(tool, Err(StorageError::InUse { .. })), "{tool:?}");
    }
    drop(storage);
    open(&path).unwrap();
}

#[test]
fn of_many_that_open_at_once_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let barrier = std::sync::Barrier::new(8);
    let winners: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let result = open(dir.path());
                    barrier.wait();
                    match result {
                        Ok(_) => 1,
                        Err(StorageError::InUse { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_reader_that_outlives_its_store_is_told_and_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path()).unwrap();
    let reader = storage.reader();
    drop(storage);
    assert!(matches!(reader.state(), Err(StorageError::Closed { .. })));
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn the_map_grows_under_load_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = HeedStorage::open(dir.path(), TINY).unwrap();
    let reader = storage.reader();
    let mut next = 1;
    // Small ones, ones with pages of their own, and one far larger than the map.
    for (count, bytes) in [(2_000, 100), (300, 10_000), (1, 40 << 20), (50, 0)] {
        storage.write(&append(next, count, bytes)).await.unwrap();
        let found = reader.entries(next, next + count, u64::MAX).unwrap();
        assert_eq!(found, entries(next, count, bytes));
        next += count;
    }
    drop(storage);
    let storage = HeedStorage::open(dir.path(), TINY).unwrap();
    assert_eq!(storage.reader().state().unwrap().last_index, next - 1);
    let found = storage.reader().entries(1, 2_001, u64::MAX).unwrap();
    assert_eq!(found, entries(1, 2_000, 100));
}

#[tokio::test]
async fn the_file_stays_small_when_a_log_is_written_and_compacted_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path()).unwrap();
    let mut last = 0;
    for round in 0..200_u64 {
        let mut batch = append(last + 1, 100, 1_000);
        last += 100;
        if round % 10 == 9 {
            batch.snapshot = Some(SnapshotDescriptor {
                index: last,
                term: 1,
                ..SnapshotDescriptor::default()
            });
            batch.compact_to = Some(last - 100);
        }
        storage.write(&batch).await.unwrap();
    }
    let bytes = fs::metadata(dir.path().join("data.mdb")).unwrap().len();
    // 20,000 entries went through; about 1,100 are held at most, of about 1.4 KiB each.
    assert!(bytes < 6 << 20, "{bytes}");
}

#[tokio::test]
async fn a_directory_of_another_format_version_is_refused() {
    for version in [0, 2, 127] {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()).unwrap());
        set_format_version(&dir.path().join("data.mdb"), version);
        for error in [
            open(dir.path()).unwrap_err(),
            HeedStorage::open_read_only(dir.path()).unwrap_err(),
        ] {
            assert!(
                matches!(error, StorageError::FormatVersion { found, supported: 1, .. } if found == version),
                "{error}"
            );
        }
    }
}

/// Replaces the format record in the file: checksum of key and content, then the message
/// {1: version}, whose versions below 128 have one length.
fn set_format_version(file: &Path, version: u32) {
    let sealed = |version: u32| {
        let content = [0x08, u8::try_from(version).unwrap()];
        let crc = crc32c::crc32c_append(crc32c::crc32c(b"a"), &content);
        [crc.to_le_bytes().as_slice(), &content].concat()
    };
    let mut bytes = fs::read(file).unwrap();
    let old = sealed(1);
    let places: Vec<_> = bytes
        .windows(old.len())
        .enumerate()
        .filter_map(|(at, window)| (window == old).then_some(at))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + old.len()].copy_from_slice(&sealed(version));
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_is_no_directory_of_ours_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
        assert!(error.to_string().contains("file"), "{error}");
        assert!(error.source().is_some());
    }
    let missing = HeedStorage::open_read_only(dir.path()).unwrap_err();
    assert!(matches!(missing, StorageError::Io { .. }), "{missing}");
    assert!(
        fs::read_dir(dir.path()).unwrap().count() == 1,
        "a tool made files"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_says_so() {
    // Nobody can make files here, not even root.
    for path in ["/proc/raftify", "/sys/kernel"] {
        let error = open(Path::new(path)).unwrap_err();
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[tokio::test]
async fn garbage_in_the_place_of_the_file_is_damage() {
    let mut zeros = vec![0; 1 << 20];
    let kinds: [&[u8]; 4] = [b"", b"text", &zeros.clone(), {
        zeros.fill(0xff);
        &zeros
    }];
    for bytes in kinds {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data.mdb"), bytes).unwrap();
        for error in [
            open(dir.path()).unwrap_err(),
            HeedStorage::open_read_only(dir.path()).unwrap_err(),
        ] {
            assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("data.mdb"), "{error}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data.mdb")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
}

#[tokio::test]
async fn what_an_interrupted_creation_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("creating")).unwrap();
    fs::write(dir.path().join("creating/data.mdb"), "half").unwrap();
    let mut storage = open(dir.path()).unwrap();
    storage
        .initialize(owner(1), &WriteBatch::default())
        .unwrap();
    assert!(!dir.path().join("creating").exists());
}

#[tokio::test]
async fn garbage_in_the_lock_files_hurts_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path()).unwrap();
    storage.write(&append(1, 3, 10)).await.unwrap();
    drop(storage);
    for (name, bytes) in [("LOCK", 5), ("lock.mdb", 9), ("lock.mdb", 100_000)] {
        fs::write(dir.path().join(name), vec![0xff; bytes]).unwrap();
        let storage = open(dir.path()).unwrap();
        assert_eq!(storage.reader().entries(1, 4, 99).unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_closed_directory_is_read_by_tools() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path()).unwrap();
    storage
        .initialize(owner(3), &WriteBatch::default())
        .unwrap();
    let batch = WriteBatch {
        hard_state: Some(HardState {
            term: 5,
            vote: 3,
            commit: 2,
        }),
        ..append(1, 500, 300)
    };
    storage.write(&batch).await.unwrap();
    drop(storage);
    let tool = HeedStorage::open_read_only(dir.path()).unwrap();
    assert_eq!(tool.identity(), Some(owner(3)));
    assert_eq!(tool.reader().state().unwrap().hard_state.term, 5);
    tool.verify().unwrap();
    let usage = tool.usage().unwrap();
    assert!(usage.used_bytes > 500 * 300, "{usage:?}");
    assert!(
        usage.reserved_bytes >= usage.used_bytes + usage.free_bytes,
        "{usage:?}"
    );
}
