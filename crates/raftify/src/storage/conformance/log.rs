//! Rules about entries.

use raft::eraftpb::{Entry, EntryType};

use super::super::{LogReader as _, StableStorage as _, StorageError, WriteBatch};
use super::support::{self, ensure, ensure_error};
use super::{Disk, Verdict};

pub(super) async fn entries_come_back<D: Disk>(disk: &mut D) -> Verdict {
    let change = Entry {
        entry_type: EntryType::EntryConfChangeV2.into(),
        context: "an address".into(),
        ..support::entry(3, 2, "a change")
    };
    let entries = [
        support::entry(1, 1, ""),
        support::entry(2, 1, vec![0; 1 << 20]),
        change,
        support::entry(4, u64::MAX, vec![0xff; 100]),
    ];
    let mut storage = support::open(disk)?;
    for entry in entries.clone() {
        support::write(&mut storage, support::appended(vec![entry])).await?;
    }
    support::ensure_log(&storage, (0, 0), &entries)?;
    drop(storage);
    support::ensure_log(&support::open(disk)?, (0, 0), &entries)
}

pub(super) async fn bytes_limit_entries<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let hundred = |index| Entry {
        context: vec![0; 40].into(),
        ..support::entry(index, 1, vec![0; 60])
    };
    support::write(
        &mut storage,
        support::appended((1..=9).map(hundred).collect()),
    )
    .await?;
    let reader = storage.reader();
    let cases = [
        (1, 10, u64::MAX, 9),
        (1, 10, 900, 9),
        (1, 10, 899, 8),
        (2, 5, 250, 2),
        (2, 5, 300, 3),
        (2, 5, 1, 1),
        (9, 10, 0, 1),
        (5, 5, 900, 0),
    ];
    for (low, high, bytes_max, count) in cases {
        let found = reader.entries(low, high, bytes_max);
        let indexes = found.map(|entries| entries.iter().map(|e| e.index).collect::<Vec<_>>());
        ensure!(
            matches!(&indexes, Ok(indexes) if indexes.iter().copied().eq(low..low + count)),
            "{bytes_max} bytes of [{low}, {high}) are {indexes:?}, not {count} entries"
        );
    }
    Ok(())
}

pub(super) async fn ranges_not_held<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let batch = WriteBatch {
        entries: support::entries(1, 9, 1),
        snapshot: Some(support::descriptor(5, 1)),
        compact_to: Some(4),
        ..WriteBatch::default()
    };
    support::write(&mut storage, batch).await?;
    let reader = storage.reader();
    ensure_error!(
        reader.entries(4, 6, 9),
        StorageError::Compacted {
            index: 4,
            first_index: 5
        }
    );
    ensure_error!(
        reader.entries(0, 6, 9),
        StorageError::Compacted { first_index: 5, .. }
    );
    ensure_error!(
        reader.entries(9, 11, 9),
        StorageError::Unavailable { last_index: 9, .. }
    );
    ensure_error!(
        reader.entries(10, 11, 9),
        StorageError::Unavailable {
            index: 10,
            last_index: 9
        }
    );
    ensure_error!(
        reader.term(3),
        StorageError::Compacted {
            index: 3,
            first_index: 5
        }
    );
    ensure_error!(
        reader.term(10),
        StorageError::Unavailable {
            index: 10,
            last_index: 9
        }
    );
    ensure!(matches!(reader.term(4), Ok(1)), "{:?}", reader.term(4));
    Ok(())
}

pub(super) async fn conflicting_suffix_is_deleted<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    support::write(&mut storage, support::appended(support::entries(1, 9, 1))).await?;
    let mut expected = support::entries(1, 9, 1);
    for (first, last, term) in [(5, 6, 2), (6, 6, 3), (7, 8, 3), (1, 1, 4), (2, 3, 4)] {
        expected.truncate(usize::try_from(first - 1).unwrap_or(0));
        expected.extend(support::entries(first, last, term));
        support::write(
            &mut storage,
            support::appended(support::entries(first, last, term)),
        )
        .await?;
        support::ensure_log(&storage, (0, 0), &expected)?;
        drop(storage);
        storage = support::open(disk)?;
        support::ensure_log(&storage, (0, 0), &expected)?;
    }
    Ok(())
}

pub(super) async fn bad_entries_change_nothing<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let batch = WriteBatch {
        entries: support::entries(1, 9, 1),
        snapshot: Some(support::descriptor(5, 1)),
        compact_to: Some(4),
        ..WriteBatch::default()
    };
    support::write(&mut storage, batch).await?;
    let mut torn = support::entries(10, 14, 2);
    torn.remove(2);
    let mut repeated = support::entries(10, 11, 2);
    repeated.extend(support::entries(11, 12, 2));
    let bad = [
        support::entries(11, 12, 2),
        support::entries(4, 9, 2),
        support::entries(0, 0, 2),
        torn,
        repeated,
        vec![support::entry(10, 2, ""), support::entry(9, 2, "")],
    ];
    for entries in bad {
        let batch = WriteBatch {
            hard_state: Some(support::hard_state(99, 99, 99)),
            system: Some("not to be seen".into()),
            ..support::appended(entries)
        };
        support::refuse(&mut storage, batch).await?;
    }
    // A refused batch is no failure: the store goes on.
    support::write(&mut storage, support::appended(support::entries(10, 10, 2))).await
}
