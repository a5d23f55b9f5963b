//! Damaged files are found: never a crash, never other entries than were written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use raftify::raft::eraftpb::{Entry, HardState};
use raftify::snapshot::SnapshotDescriptor;
use raftify::storage::{
    HeedOptions, HeedStorage, Identity, LogReader, StableStorage, StorageError, StoredState,
    WriteBatch,
};

const OPTIONS: HeedOptions = HeedOptions {
    map_bytes_initial: 1 << 20,
};

/// A store with everything in it, and what it holds.
struct Original {
    file: Vec<u8>,
    state: StoredState,
    entries: Vec<Entry>,
}

/// Long values, short values, free pages, garbage that is not trimmed yet, every record.
fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = HeedStorage::open(dir.path(), OPTIONS).unwrap();
        let owner = Identity {
            cluster_id: 1,
            group_id: 0,
            node_id: 1,
            incarnation: 1,
        };
        storage.initialize(owner, &WriteBatch::default()).unwrap();
        for batch in batches() {
            storage.write(&batch).now_or_never().unwrap().unwrap();
        }
        let (state, entries) = contents(&storage).unwrap();
        drop(storage);
        Original {
            file: fs::read(dir.path().join("data.mdb")).unwrap(),
            state,
            entries,
        }
    })
}

fn batches() -> Vec<WriteBatch> {
    let mut batches: Vec<_> = (0..40).map(|round| append(round * 100 + 1, 100)).collect();
    batches.push(WriteBatch {
        hard_state: Some(HardState {
            term: 9,
            vote: 1,
            commit: 3_900,
        }),
        snapshot: Some(SnapshotDescriptor {
            index: 3_900,
            term: 1,
            has_data: true,
            ..SnapshotDescriptor::default()
        }),
        compact_to: Some(2_500),
        system: Some(vec![7; 10_000].into()),
        ..WriteBatch::default()
    });
    batches.extend([append(3_950, 20), append(3_970, 20)]);
    batches
}

fn append(first: u64, count: u64) -> WriteBatch {
    let entries = (first..first + count).map(|index| Entry {
        index,
        term: 1 + index / 1_000,
        data: vec![index as u8; if index % 50 == 0 { 9_000 } else { 30 }].into(),
        ..Entry::default()
    });
    WriteBatch {
        entries: entries.collect(),
        ..WriteBatch::default()
    }
}

fn contents(storage: &HeedStorage) -> Result<(StoredState, Vec<Entry>), StorageError> {
    let reader = storage.reader();
    let state = reader.state()?;
    let entries = reader.entries(state.first_index(), state.last_index + 1, u64::MAX)?;
    Ok((state, entries))
}

/// What happens to the file.
#[derive(Debug, Clone)]
enum Damage {
    /// Bits of one byte are turned over.
    Flip { at: usize, bits: u8 },
    /// A sector is overwritten.
    Fill { sector: usize, byte: u8 },
    /// One page lies where another should.
    Copy { from: usize, to: usize },
    /// The file ends early.
    Truncate { length: usize },
}

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;
/// What LMDB writes of its two first pages.
const META_BYTES: usize = 160;

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        match *self {
            Self::Flip { at, bits } => file[at] ^= bits,
            Self::Fill { sector, byte } => {
                file[sector * SECTOR_BYTES..][..SECTOR_BYTES].fill(byte);
            }
            Self::Copy { from, to } => {
                file.copy_within(from * PAGE_BYTES..(from + 1) * PAGE_BYTES, to * PAGE_BYTES)
            }
            Self::Truncate { length } => file.truncate(length),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let length = original().file.len();
    let pages = length / PAGE_BYTES;
    let header = (0..pages, 0..PAGE_BYTES / 64).prop_map(|(page, at)| page * PAGE_BYTES + at);
    let meta = (0..2_usize, 0..META_BYTES).prop_map(|(page, at)| page * PAGE_BYTES + at);
    let flip = |at: BoxedStrategy<usize>| {
        (at, 1..=255_u8).prop_map(|(at, bits)| Damage::Flip { at, bits })
    };
    prop_oneof![
        3 => flip((0..length).boxed()),
        3 => flip(header.boxed()),
        3 => flip(meta.boxed()),
        1 => (0..length / SECTOR_BYTES, any::<u8>())
            .prop_map(|(sector, byte)| Damage::Fill { sector, byte }),
        1 => (0..pages, 0..pages).prop_map(|(from, to)| Damage::Copy { from, to }),
        1 => (0..length).prop_map(|length| Damage::Truncate { length }),
    ]
}

fn write_file(dir: &Path, damages: &[Damage]) {
    let mut file = original().file.clone();
    let mut last = false;
    for damage in damages {
        // After a truncation there is nothing left to aim at.
        if !std::mem::replace(&mut last, matches!(damage, Damage::Truncate { .. })) {
            damage.apply(&mut file);
        }
    }
    fs::write(dir.join("data.mdb"), file).unwrap();
}

/// Right or refused; nothing else.
fn check_contents(storage: &HeedStorage) -> Result<(), TestCaseError> {
    let original = original();
    let reader = storage.reader();
    match reader.state() {
        Ok(state) => prop_assert_eq!(&state, &original.state),
        Err(error) => return check_error(&error),
    }
    let first = original.state.first_index();
    for (index, expected) in (first..).zip(&original.entries) {
        match reader.entries(index, index + 1, u64::MAX) {
            Ok(found) => prop_assert_eq!(&found[..], std::slice::from_ref(expected)),
            Err(error) => check_error(&error)?,
        }
        match reader.term(index) {
            Ok(term) => prop_assert_eq!(term, expected.term),
            Err(error) => check_error(&error)?,
        }
    }
    Ok(())
}

fn check_error(error: &StorageError) -> Result<(), TestCaseError> {
    prop_assert!(
        matches!(
            error,
            StorageError::Damaged { .. } | StorageError::FormatVersion { .. }
        ),
        "{}",
        error
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damage_anywhere_is_an_error_or_changes_nothing(
        damages in prop::collection::vec(damage(), 1..3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write_file(dir.path(), &damages);
        if let Err(error) = HeedStorage::open_read_only(dir.path()) {
            check_error(&error)?;
        }
        let mut storage = match HeedStorage::open(dir.path(), OPTIONS) {
            Ok(storage) => storage,
            Err(error) => return check_error(&error),
        };
        check_contents(&storage)?;
        // Writing goes through LMDB's list of free pages and rewrites pages that were read.
        let last = original().state.last_index;
        for round in 0..3 {
            let batch = WriteBatch {
                compact_to: Some(3_000 + round),
                ..append(last + 1 + round * 100, 100)
            };
            match storage.write(&batch).now_or_never().unwrap() {
                Ok(()) => {}
                Err(error) => return check_error(&error),
            }
        }
        prop_assert_eq!(storage.reader().state().unwrap().last_index, last + 300);
        let written = storage.reader().entries(last + 1, last + 301, u64::MAX).unwrap();
        let expected: Vec<_> = (0..3).flat_map(|round| append(last + 1 + round * 100, 100).entries).collect();
        prop_assert_eq!(written, expected);
    }
}

#[test]
fn an_undamaged_copy_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    write_file(dir.path(), &[]);
    let tool = HeedStorage::open_read_only(dir.path()).unwrap();
    tool.verify().unwrap();
    drop(tool);
    let storage = HeedStorage::open(dir.path(), OPTIONS).unwrap();
    let (state, entries) = contents(&storage).unwrap();
    assert_eq!((&state, &entries), (&original().state, &original().entries));
}

#[test]
fn a_damaged_entry_is_named() {
    let mut file = original().file.clone();
    // The payload of entry 3,900 is a run of its own byte, on pages of its own.
    let run = vec![3_900_u64 as u8; 9_000];
    let at = file.windows(run.len()).position(|w| w == run).unwrap();
    file[at + 4_500] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data.mdb"), file).unwrap();
    let storage = HeedStorage::open(dir.path(), OPTIONS).unwrap();
    let error = storage
        .reader()
        .entries(3_890, 3_910, u64::MAX)
        .unwrap_err();
    assert!(error.to_string().contains("entry 3900"), "{error}");
    assert_eq!(
        storage
            .reader()
            .entries(3_901, 3_910, u64::MAX)
            .unwrap()
            .len(),
        9
    );
    drop(storage);
    let tool = HeedStorage::open_read_only(dir.path()).unwrap();
    let error = tool.verify().unwrap_err();
    assert!(error.to_string().contains("entry 3900"), "{error}");
}
