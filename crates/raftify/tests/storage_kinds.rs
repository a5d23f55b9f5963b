//! Directories of both kinds: which one is opened, and the way from one to the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use futures_util::FutureExt as _;
use raftify::raft::eraftpb::{Entry, HardState};
use raftify::snapshot::SnapshotDescriptor;
use raftify::storage::{
    Conversion, HeedOptions, HeedStorage, Identity, LocalOptions, LocalStorage, LogReader,
    StableStorage, StorageError, StorageKind, StoredState, WalOptions, WalStorage, WriteBatch,
    convert,
};

const KINDS: [StorageKind; 2] = [StorageKind::Wal, StorageKind::Lmdb];

const OWNER: Identity = Identity {
    cluster_id: 7,
    group_id: 0,
    node_id: 3,
    incarnation: 9,
};

fn other(kind: StorageKind) -> StorageKind {
    match kind {
        StorageKind::Wal => StorageKind::Lmdb,
        StorageKind::Lmdb => StorageKind::Wal,
    }
}

fn open(dir: &Path, kind_of_new: StorageKind) -> LocalStorage {
    let options = LocalOptions {
        kind_of_new,
        ..LocalOptions::default()
    };
    LocalStorage::open(dir, options).unwrap()
}

fn write(storage: &mut LocalStorage, batch: &WriteBatch) {
    storage.write(batch).now_or_never().unwrap().unwrap();
}

fn entry(index: u64) -> Entry {
    Entry {
        index,
        term: 1 + index / 100,
        data: vec![index as u8; index as usize % 700].into(),
        ..Entry::default()
    }
}

fn descriptor(index: u64) -> SnapshotDescriptor {
    SnapshotDescriptor {
        index,
        term: 1 + index / 100,
        system: "addresses".into(),
        has_data: true,
        ..SnapshotDescriptor::default()
    }
}

/// A log that was compacted, with a snapshot after its start.
fn fill(storage: &mut LocalStorage) {
    storage.initialize(OWNER, &WriteBatch::default()).unwrap();
    for first in (1..2_000).step_by(100) {
        let batch = WriteBatch {
            entries: (first..first + 100).map(entry).collect(),
            ..WriteBatch::default()
        };
        write(storage, &batch);
    }
    let batch = WriteBatch {
        hard_state: Some(HardState {
            term: 33,
            vote: 3,
            commit: 1_990,
        }),
        snapshot: Some(descriptor(1_500)),
        compact_to: Some(1_234),
        system: Some("a note".into()),
        ..WriteBatch::default()
    };
    write(storage, &batch);
}

type Contents = (Option<Identity>, StoredState, Vec<Entry>);

fn contents(identity: Option<Identity>, reader: &impl LogReader) -> Contents {
    let state = reader.state().unwrap();
    let entries = reader.entries(state.first_index(), state.last_index + 1, u64::MAX);
    (identity, state, entries.unwrap())
}

fn contents_of(dir: &Path) -> Contents {
    // A directory that exists is opened as what it is, whatever a new one would be.
    let kind = StorageKind::of_dir(dir).unwrap().unwrap();
    let storage = open(dir, other(kind));
    assert_eq!(storage.kind(), kind);
    contents(storage.identity(), &storage.reader())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !matches!(name.as_str(), "LOCK" | "lock.mdb"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_directory_becomes_what_was_asked_for_and_stays_that() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = open(dir.path(), kind);
        assert_eq!(storage.kind(), kind);
        fill(&mut storage);
        let before = contents(storage.identity(), &storage.reader());
        drop(storage);
        assert_eq!(contents_of(dir.path()), before);
        let tool = LocalStorage::open_read_only(dir.path()).unwrap();
        assert_eq!(tool.kind(), kind);
        tool.verify().unwrap();
        assert_eq!(contents(tool.identity().unwrap(), &tool.reader()), before);
        let usage = tool.usage().unwrap();
        assert!(usage.used_bytes > 200_000, "{usage:?}");
        assert!(usage.reserved_bytes >= usage.used_bytes, "{usage:?}");
    }
}

#[test]
fn a_store_is_not_opened_as_the_other_kind() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), kind));
        let before = names(dir.path());
        let refused = match kind {
            StorageKind::Lmdb => WalStorage::open(dir.path(), WalOptions::default()).err(),
            StorageKind::Wal => HeedStorage::open(dir.path(), HeedOptions::default()).err(),
        };
        assert!(
            matches!(
                refused,
                Some(StorageError::WrongKind { found, .. }) if found == kind
            ),
            "{refused:?}"
        );
        assert_eq!(names(dir.path()), before);
    }
}

#[test]
fn a_conversion_keeps_everything_and_leaves_one_store() {
    for from in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = open(dir.path(), from);
        fill(&mut storage);
        let before = contents(storage.identity(), &storage.reader());
        let in_use = convert(dir.path(), other(from)).unwrap_err();
        assert!(matches!(in_use, StorageError::InUse { .. }), "{in_use}");
        drop(storage);
        let same = convert(dir.path(), from).unwrap();
        assert_eq!((same.from, same.to, same.entries), (from, from, 0));
        for to in [other(from), from] {
            let expected = Conversion {
                from: other(to),
                to,
                entries: 2_000 - 1_234,
            };
            assert_eq!(convert(dir.path(), to).unwrap(), expected);
            let file = match to {
                StorageKind::Wal => "wal",
                StorageKind::Lmdb => "data.mdb",
            };
            assert_eq!(names(dir.path()), [file]);
            assert_eq!(contents_of(dir.path()), before);
        }
        // The log goes on where it was.
        let mut storage = open(dir.path(), from);
        let next = WriteBatch {
            entries: vec![entry(2_001)],
            compact_to: Some(1_500),
            ..WriteBatch::default()
        };
        write(&mut storage, &next);
        assert_eq!(storage.reader().state().unwrap().last_index, 2_001);
    }
}

#[test]
fn stores_of_every_state_are_converted() {
    let claimed = |storage: &mut LocalStorage| {
        storage.initialize(OWNER, &WriteBatch::default()).unwrap();
    };
    let installed = |storage: &mut LocalStorage| {
        let batch = WriteBatch {
            install: Some(descriptor(50)),
            ..WriteBatch::default()
        };
        write(storage, &batch);
    };
    let fills: [fn(&mut LocalStorage); 3] = [|_| {}, claimed, installed];
    for from in KINDS {
        for fill in fills {
            let dir = tempfile::tempdir().unwrap();
            let mut storage = open(dir.path(), from);
            fill(&mut storage);
            let before = contents(storage.identity(), &storage.reader());
            drop(storage);
            convert(dir.path(), other(from)).unwrap();
            assert_eq!(contents_of(dir.path()), before);
        }
    }
}

#[test]
fn nothing_is_converted_where_there_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = convert(path, StorageKind::Wal).unwrap_err();
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
    }
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

/// Two directories with the same content, one of each kind.
fn pair() -> (tempfile::TempDir, tempfile::TempDir, Contents) {
    let (wal, lmdb) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(&mut open(wal.path(), StorageKind::Wal));
    fill(&mut open(lmdb.path(), StorageKind::Lmdb));
    let before = contents_of(wal.path());
    assert_eq!(contents_of(lmdb.path()), before);
    (wal, lmdb, before)
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn an_interrupted_conversion_leaves_the_old_store_or_the_new_one() {
    // Made, but not in its place: the old one, of either kind.
    let (wal, lmdb, before) = pair();
    copy_dir(lmdb.path(), &wal.path().join("converting"));
    copy_dir(&wal.path().join("wal"), &lmdb.path().join("converting"));
    for (dir, kind) in [(&wal, StorageKind::Wal), (&lmdb, StorageKind::Lmdb)] {
        assert_eq!(StorageKind::of_dir(dir.path()).unwrap(), Some(kind));
        assert_eq!(contents_of(dir.path()), before);
        assert_eq!(names(dir.path()).len(), 1);
    }
    // The WAL is in its place and the LMDB store not removed: on the way to a WAL that is the new
    // one, on the way back the old one.
    let (wal, lmdb, before) = pair();
    fs::copy(lmdb.path().join("data.mdb"), wal.path().join("data.mdb")).unwrap();
    fs::create_dir(wal.path().join("converting")).unwrap();
    assert_eq!(contents_of(wal.path()), before);
    assert_eq!(names(wal.path()), ["wal"]);
    // The WAL has lost its place and is not removed.
    let (wal, lmdb, before) = pair();
    copy_dir(&wal.path().join("wal"), &lmdb.path().join("wal.converted"));
    assert_eq!(contents_of(lmdb.path()), before);
    assert_eq!(names(lmdb.path()), ["data.mdb"]);
}

#[test]
fn what_is_damaged_is_not_converted() {
    let (wal, _, _) = pair();
    let file = wal.path().join("wal/0000000000000001.wal");
    let mut bytes = fs::read(&file).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = convert(wal.path(), StorageKind::Lmdb).unwrap_err();
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("0001.wal"), "{error}");
    assert_eq!(names(wal.path()), ["wal"]);
}
