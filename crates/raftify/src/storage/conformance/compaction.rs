//! Rules about compaction, and about the order of a batch's fields.

use super::super::WriteBatch;
use super::support::{self, ensure};
use super::{Disk, Verdict};

/// Entries 1 to 9, of which each has its index as term, and a snapshot of 7.
async fn filled<D: Disk>(disk: &mut D) -> Result<D::Storage, String> {
    let mut storage = support::open(disk)?;
    let batch = WriteBatch {
        snapshot: Some(support::descriptor(7, 7)),
        ..support::appended(
            (1..=9)
                .map(|index| support::entry(index, index, "x"))
                .collect(),
        )
    };
    support::write(&mut storage, batch).await?;
    Ok(storage)
}

pub(super) async fn start_moves<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = filled(disk).await?;
    for index in [1, 4, 7] {
        let before = support::state(&storage)?;
        support::write(&mut storage, support::compacted(index)).await?;
        drop(storage);
        storage = support::open(disk)?;
        let kept: Vec<_> = (index + 1..=9).map(|i| support::entry(i, i, "x")).collect();
        support::ensure_log(&storage, (index, index), &kept)?;
        let after = support::state(&storage)?;
        ensure!(
            (after.hard_state, &after.snapshot) == (before.hard_state, &before.snapshot),
            "{before:?} became {after:?}"
        );
    }
    Ok(())
}

pub(super) async fn before_start_does_nothing<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = filled(disk).await?;
    support::write(&mut storage, support::compacted(5)).await?;
    let before = support::contents(&storage)?;
    for index in [0, 4, 5] {
        support::write(&mut storage, support::compacted(index)).await?;
        let after = support::contents(&storage)?;
        ensure!(before == after, "to {index}: {before:?} became {after:?}");
    }
    Ok(())
}

pub(super) async fn past_snapshot_is_bad<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = filled(disk).await?;
    for index in [8, 9, 10, u64::MAX] {
        let batch = WriteBatch {
            hard_state: Some(support::hard_state(99, 99, 99)),
            ..support::compacted(index)
        };
        support::refuse(&mut storage, batch).await?;
    }
    support::write(&mut storage, support::compacted(7)).await
}

pub(super) async fn long_logs_go_on<D: Disk>(disk: &mut D) -> Verdict {
    const ENTRIES: u64 = 10_000;
    let mut storage = support::open(disk)?;
    support::write(
        &mut storage,
        support::appended(support::entries(1, ENTRIES, 1)),
    )
    .await?;
    let batch = WriteBatch {
        snapshot: Some(support::descriptor(ENTRIES - 10, 1)),
        ..support::compacted(ENTRIES - 10)
    };
    support::write(&mut storage, batch).await?;
    let mut expected = support::entries(ENTRIES - 9, ENTRIES, 1);
    for index in ENTRIES + 1..=ENTRIES + 20 {
        support::ensure_log(&storage, (ENTRIES - 10, 1), &expected)?;
        support::write(
            &mut storage,
            support::appended(support::entries(index, index, 1)),
        )
        .await?;
        expected.extend(support::entries(index, index, 1));
    }
    drop(storage);
    support::ensure_log(&support::open(disk)?, (ENTRIES - 10, 1), &expected)
}

pub(super) async fn fields_apply_in_order<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = filled(disk).await?;
    let batch = WriteBatch {
        entries: support::entries(21, 30, 3),
        hard_state: Some(support::hard_state(3, 1, 28)),
        snapshot: Some(support::descriptor(28, 3)),
        compact_to: Some(25),
        system: Some("new".into()),
        ..support::installed(20, 2)
    };
    support::write(&mut storage, batch).await?;
    for _ in 0..2 {
        support::ensure_log(&storage, (25, 3), &support::entries(26, 30, 3))?;
        let state = support::state(&storage)?;
        let index = state.snapshot.map(|snapshot| snapshot.index);
        ensure!(
            index == Some(28),
            "the newest snapshot is {index:?}, not 28"
        );
        drop(storage);
        storage = support::open(disk)?;
    }
    Ok(())
}
