//! The files of snapshots: made, received, read, sent, kept and deleted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use raftify::snapshot::{SnapshotDescriptor, SnapshotFileError, SnapshotStore};

fn position(index: u64, term: u64) -> SnapshotDescriptor {
    SnapshotDescriptor {
        index,
        term,
        system: "who is where".into(),
        ..SnapshotDescriptor::default()
    }
}

fn create(store: &SnapshotStore, index: u64, term: u64, bytes: &[u8]) -> SnapshotDescriptor {
    let mut sink = store.create(&position(index, term)).unwrap();
    for part in bytes.chunks(1_000) {
        sink.write_all(part).unwrap();
    }
    sink.finish().unwrap()
}

fn read(store: &SnapshotStore, descriptor: &SnapshotDescriptor) -> Vec<u8> {
    store.reader(descriptor).unwrap().into_vec().unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Both back ends; the directory lives as long as the guard.
fn stores() -> [(SnapshotStore, Option<tempfile::TempDir>); 2] {
    let dir = tempfile::tempdir().unwrap();
    [
        (SnapshotStore::open(dir.path()).unwrap(), Some(dir)),
        (SnapshotStore::in_memory(), None),
    ]
}

#[test]
fn what_was_made_is_read_sent_received_and_read_again() {
    for (store, _guard) in stores() {
        for (index, length) in [(1, 0), (2, 1), (3, 1 << 20), (4, 3_000_001)] {
            let bytes = pattern(length);
            let made = create(&store, index, 7, &bytes);
            assert_eq!(made.size_bytes, length as u64);
            assert_eq!(made.crc32c, crc32c::crc32c(&bytes));
            assert!(made.has_data && store.contains(&made));
            assert_eq!(read(&store, &made), bytes);

            let other = SnapshotStore::in_memory();
            let mut receiver = other.receive(&made).unwrap();
            for chunk in store.chunks(&made, 65_536).unwrap() {
                let chunk = chunk.unwrap();
                assert_eq!(receiver.offset(), chunk.offset);
                receiver.write(chunk.offset, &chunk.data).unwrap();
                assert_eq!(chunk.is_last, receiver.offset() == made.size_bytes);
            }
            receiver.finish().unwrap();
            assert_eq!(read(&other, &made), bytes);
        }
        let listed = store.list().unwrap();
        let indexes: Vec<_> = listed
            .iter()
            .map(|stored| stored.descriptor.as_ref().unwrap().index)
            .collect();
        assert_eq!(indexes, [1, 2, 3, 4]);
    }
}

#[test]
fn snapshots_are_there_after_a_restart_and_leftovers_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    let made = create(&store, 5, 2, b"state");
    // What a crash leaves: a temporary that nobody removed.
    let mut unfinished = store.create(&position(6, 2)).unwrap();
    unfinished.write_all(b"half").unwrap();
    std::mem::forget(unfinished);
    assert_eq!(files(dir.path()).len(), 2);
    let store = SnapshotStore::open(dir.path()).unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(read(&store, &made), b"state");
}

#[test]
fn what_is_dropped_unfinished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    let mut sink = store.create(&position(1, 1)).unwrap();
    sink.write_all(b"half").unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    drop(sink);
    let announced = SnapshotDescriptor {
        size_bytes: 9,
        has_data: true,
        ..position(1, 1)
    };
    drop(store.receive(&announced).unwrap());
    assert!(files(dir.path()).is_empty());
    assert!(!store.contains(&announced));
}

#[test]
fn a_receiver_takes_what_was_announced_and_nothing_else() {
    for (store, guard) in stores() {
        let announced = SnapshotDescriptor {
            size_bytes: 6,
            crc32c: crc32c::crc32c(b"abcdef"),
            has_data: true,
            ..position(3, 1)
        };
        let mut receiver = store.receive(&announced).unwrap();
        receiver.write(0, b"abc").unwrap();
        for offset in [0, 2, 4, u64::MAX] {
            assert!(matches!(
                receiver.write(offset, b"x"),
                Err(SnapshotFileError::OutOfOrder { expected: 3, .. })
            ));
        }
        assert!(matches!(
            receiver.write(3, b"defg"),
            Err(SnapshotFileError::TooLong {
                received: 7,
                announced: 6
            })
        ));
        receiver.write(3, b"def").unwrap();
        receiver.finish().unwrap();
        assert_eq!(read(&store, &announced), b"abcdef");

        let later = SnapshotDescriptor {
            index: 4,
            ..announced.clone()
        };
        for bytes in [b"abcde".as_slice(), b"abcdeX"] {
            let mut receiver = store.receive(&later).unwrap();
            receiver.write(0, bytes).unwrap();
            let error = receiver.finish().unwrap_err();
            assert!(
                matches!(error, SnapshotFileError::Mismatch { .. }),
                "{error}"
            );
        }
        assert!(!store.contains(&later));
        if let Some(dir) = guard {
            assert_eq!(files(dir.path()).len(), 1);
        }
    }
}

#[test]
fn a_made_and_a_received_snapshot_of_one_position_do_not_clash() {
    for (store, _guard) in stores() {
        let made = create(&store, 9, 3, b"in this order");
        let received = SnapshotDescriptor {
            size_bytes: 13,
            crc32c: crc32c::crc32c(b"in that order"),
            ..made.clone()
        };
        let mut receiver = store.receive(&received).unwrap();
        receiver.write(0, b"in that order").unwrap();
        receiver.finish().unwrap();
        assert_eq!(read(&store, &made), b"in this order");
        assert_eq!(read(&store, &received), b"in that order");
        store.retain(std::slice::from_ref(&received)).unwrap();
        assert!(!store.contains(&made) && store.contains(&received));
        // The very same twice is one.
        assert_eq!(create(&store, 9, 3, b"in that order"), received);
        assert_eq!(store.list().unwrap().len(), 1);
    }
}

#[test]
fn older_snapshots_are_deleted_but_not_under_their_readers() {
    for (store, _guard) in stores() {
        let all: Vec<_> = (1..=5)
            .map(|index| create(&store, index, 1, &pattern(100_000)))
            .collect();
        let mut chunks = store.chunks(&all[0], 1_000).unwrap();
        chunks.next().unwrap().unwrap();
        let mut reader = store.reader(&all[1]).unwrap();
        let mut second = store.reader(&all[1]).unwrap();
        store.retain(&all[2..4]).unwrap();
        let there =
            |store: &SnapshotStore| all.iter().map(|d| store.contains(d)).collect::<Vec<_>>();
        // 3 and 4 are kept, 5 is newer than what is kept.
        assert_eq!(there(&store), [true, true, true, true, true]);
        assert!(chunks.all(|chunk| chunk.is_ok()));
        drop(chunks);
        assert_eq!(there(&store), [false, true, true, true, true]);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        drop(reader);
        assert!(store.contains(&all[1]));
        second.read_to_end(&mut bytes).unwrap();
        drop(second);
        assert_eq!(there(&store), [false, false, true, true, true]);
        store.retain(&[]).unwrap();
        assert_eq!(store.list().unwrap().len(), 3);
        store.retain(&all[4..]).unwrap();
        assert_eq!(there(&store), [false, false, false, false, true]);
    }
}

#[test]
fn a_snapshot_that_is_wanted_again_survives_its_readers() {
    let store = SnapshotStore::in_memory();
    let (old, new) = (create(&store, 1, 1, b"old"), create(&store, 2, 1, b"new"));
    let reader = store.reader(&old).unwrap();
    store.retain(std::slice::from_ref(&new)).unwrap();
    store.retain(&[old.clone(), new]).unwrap();
    drop(reader);
    assert!(store.contains(&old));
}

#[test]
fn a_missing_snapshot_is_an_error_with_its_position() {
    for (store, _guard) in stores() {
        let missing = position(77, 5);
        assert!(!store.contains(&missing));
        for error in [
            store.reader(&missing).unwrap_err(),
            store.chunks(&missing, 10).unwrap_err(),
        ] {
            assert!(
                matches!(
                    error,
                    SnapshotFileError::Missing {
                        index: 77,
                        term: 5,
                        ..
                    }
                ),
                "{error}"
            );
        }
    }
}

#[test]
fn tools_look_at_a_store_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tool = SnapshotStore::open_read_only(dir.path());
    assert!(tool.list().unwrap().is_empty());
    assert!(!dir.path().join("snapshots").exists());
    let store = SnapshotStore::open(dir.path()).unwrap();
    let (old, new) = (create(&store, 1, 1, b"old"), create(&store, 2, 1, b"new"));
    let _unfinished = store.create(&position(3, 1)).unwrap();
    assert_eq!(tool.list().unwrap().len(), 2);
    assert_eq!(read(&tool, &old), b"old");
    for error in [
        tool.create(&old).unwrap_err(),
        tool.receive(&old).unwrap_err(),
        tool.retain(&[new]).unwrap_err(),
    ] {
        assert!(
            matches!(error, SnapshotFileError::ReadOnly { .. }),
            "{error}"
        );
    }
    assert_eq!(files(dir.path()).len(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_says_so() {
    let error = SnapshotStore::open("/proc/raftify").unwrap_err();
    assert!(matches!(error, SnapshotFileError::Io { .. }), "{error}");
    assert!(error.to_string().contains("/proc/raftify"), "{error}");
}

#[test]
fn a_damaged_file_is_listed_as_such_and_deleted_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(dir.path()).unwrap();
    create(&store, 1, 1, b"old");
    let new = create(&store, 2, 1, b"new");
    fs::write(&files(dir.path())[0], "garbage").unwrap();
    let listed = store.list().unwrap();
    assert!(listed[0].descriptor.is_err() && listed[1].descriptor.is_ok());
    store.retain(&[new]).unwrap();
    assert_eq!(files(dir.path()).len(), 1);
}

/// Reads in every way, and returns what came before an error.
fn read_damaged(dir: &Path, made: &SnapshotDescriptor) -> [Result<Vec<u8>, SnapshotFileError>; 2] {
    let store = SnapshotStore::open(dir).unwrap();
    let whole = store.reader(made).map(|reader| reader.into_vec().unwrap());
    let sent = store.chunks(made, 1_000).and_then(|chunks| {
        chunks
            .map(|chunk| chunk.map(|chunk| chunk.data.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map(|chunks| chunks.concat())
    });
    [whole, sent]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damage_anywhere_in_a_file_is_an_error_that_names_it(
        at in any::<prop::sample::Index>(),
        bits in 1..=255_u8,
        truncate in prop::bool::weighted(0.2),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let bytes = pattern(5_000);
        let made = create(&SnapshotStore::open(dir.path()).unwrap(), 3, 2, &bytes);
        let path = files(dir.path()).remove(0);
        let mut file = fs::read(&path).unwrap();
        let at = at.index(file.len());
        if truncate {
            file.truncate(at);
        } else {
            file[at] ^= bits;
        }
        fs::write(&path, &file).unwrap();
        for result in read_damaged(dir.path(), &made) {
            match result {
                // Only the zeros between header and bytes hold nothing.
                Ok(found) => prop_assert!(found == bytes && !truncate, "byte {}", at),
                Err(error) => {
                    prop_assert!(
                        matches!(error, SnapshotFileError::Damaged { .. } | SnapshotFileError::FormatVersion { .. }),
                        "{}",
                        error
                    );
                    let name = path.file_name().unwrap().to_str().unwrap();
                    prop_assert!(error.to_string().contains(name), "{}", error);
                }
            }
        }
    }
}
