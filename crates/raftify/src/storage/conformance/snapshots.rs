//! Rules about snapshots, received and made.

use super::super::WriteBatch;
use super::support::{self, ensure};
use super::{Disk, Verdict};

pub(super) async fn install_replaces_the_log<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let mut last = 0;
    // Ahead of the log, in its middle (what follows goes too), at its end, again, and far ahead.
    for (index, term) in [(10, 2), (13, 3), (18, 3), (18, 3), (1 << 40, 4)] {
        let follow = support::entries(last + 1, last + 5, term.max(2));
        support::write(&mut storage, support::appended(follow)).await?;
        support::write(&mut storage, support::installed(index, term)).await?;
        drop(storage);
        storage = support::open(disk)?;
        support::ensure_log(&storage, (index, term), &[])?;
        let snapshot = support::state(&storage)?.snapshot;
        let expected = Some(support::descriptor(index, term));
        ensure!(snapshot == expected, "{snapshot:?}, not {expected:?}");
        last = index;
    }
    let more = support::entries(last + 1, last + 3, 5);
    support::write(&mut storage, support::appended(more.clone())).await?;
    support::ensure_log(&storage, (last, 4), &more)
}

pub(super) async fn entries_follow_installed<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    support::write(&mut storage, support::appended(support::entries(1, 9, 1))).await?;
    for first in [5, 7] {
        let batch = WriteBatch {
            entries: support::entries(first, 8, 2),
            ..support::installed(5, 2)
        };
        support::refuse(&mut storage, batch).await?;
    }
    let batch = WriteBatch {
        entries: support::entries(6, 7, 2),
        hard_state: Some(support::hard_state(2, 0, 5)),
        ..support::installed(5, 2)
    };
    support::write(&mut storage, batch).await?;
    drop(storage);
    support::ensure_log(&support::open(disk)?, (5, 2), &support::entries(6, 7, 2))
}

pub(super) async fn older_install_changes_nothing<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let batch = WriteBatch {
        entries: support::entries(11, 20, 2),
        snapshot: Some(support::descriptor(15, 2)),
        compact_to: Some(12),
        ..support::installed(10, 1)
    };
    support::write(&mut storage, batch).await?;
    for index in [0, 9, 11, 14] {
        let batch = WriteBatch {
            hard_state: Some(support::hard_state(99, 99, 99)),
            ..support::installed(index, 1)
        };
        support::refuse(&mut storage, batch).await?;
    }
    support::ensure_log(&storage, (12, 2), &support::entries(13, 20, 2))
}

pub(super) async fn own_snapshot_leaves_the_log<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    support::write(&mut storage, support::appended(support::entries(1, 9, 1))).await?;
    for index in [3, 9] {
        support::write(&mut storage, support::snapshotted(index, 1)).await?;
        drop(storage);
        storage = support::open(disk)?;
        let snapshot = support::state(&storage)?.snapshot;
        let expected = Some(support::descriptor(index, 1));
        ensure!(snapshot == expected, "{snapshot:?}, not {expected:?}");
        support::ensure_log(&storage, (0, 0), &support::entries(1, 9, 1))?;
    }
    Ok(())
}

pub(super) async fn own_snapshots_in_order<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    support::write(&mut storage, support::appended(support::entries(1, 9, 1))).await?;
    support::refuse(&mut storage, support::snapshotted(10, 1)).await?;
    support::write(&mut storage, support::snapshotted(7, 1)).await?;
    let before = support::contents(&storage)?;
    support::write(&mut storage, support::snapshotted(6, 1)).await?;
    let after = support::contents(&storage)?;
    ensure!(
        before == after,
        "an older one changed {before:?} to {after:?}"
    );
    // The batch's own entries count.
    let batch = WriteBatch {
        snapshot: Some(support::descriptor(11, 2)),
        ..support::appended(support::entries(10, 11, 2))
    };
    support::write(&mut storage, batch).await?;
    let index = support::state(&storage)?
        .snapshot
        .map(|snapshot| snapshot.index);
    ensure!(index == Some(11), "the newest is {index:?}, not 11");
    Ok(())
}
