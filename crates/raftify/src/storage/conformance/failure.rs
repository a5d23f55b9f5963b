//! Rules about failed writes.

use super::super::{Identity, StableStorage as _, StorageError, WriteBatch};
use super::support::{self, ensure, ensure_error};
use super::{Disk, Verdict};

pub(super) async fn failed_write_poisons<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    support::write(&mut storage, support::appended(support::entries(1, 5, 1))).await?;
    if !disk.fail_next_write(&mut storage) {
        return Ok(());
    }
    let batch = WriteBatch {
        hard_state: Some(support::hard_state(2, 0, 0)),
        ..support::appended(support::entries(4, 9, 2))
    };
    let answer = storage.write(&batch).await;
    ensure!(
        matches!(&answer, Err(error) if !matches!(error, StorageError::BadBatch(_))),
        "a write on a broken disk was answered with {answer:?}"
    );
    for _ in 0..2 {
        let answer = storage.write(&batch).await;
        ensure_error!(answer, StorageError::Poisoned(_));
    }
    drop(storage);
    let mut storage = support::open(disk)?;
    // Nobody knows which of the two; that it is one of them is atomicity.
    let mut after = support::entries(1, 3, 1);
    after.extend(support::entries(4, 9, 2));
    let whole = support::ensure_log(&storage, (0, 0), &after).is_ok();
    if !whole {
        support::ensure_log(&storage, (0, 0), &support::entries(1, 5, 1))?;
    }
    let term = support::state(&storage)?.hard_state.term;
    ensure!(
        whole == (term == 2),
        "the log is whole: {whole}, yet the term is {term}"
    );
    support::write(&mut storage, batch).await?;
    support::ensure_log(&storage, (0, 0), &after)
}

pub(super) async fn failed_claim_is_whole<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    if !disk.fail_next_write(&mut storage) {
        return Ok(());
    }
    let identity = Identity {
        cluster_id: 1,
        group_id: 0,
        node_id: 2,
        incarnation: 3,
    };
    let first = support::appended(support::entries(1, 3, 1));
    let answer = storage.initialize(identity, &first);
    ensure!(answer.is_err(), "a broken disk was claimed");
    ensure_error!(storage.write(&first).await, StorageError::Poisoned(_));
    drop(storage);
    let mut storage = support::open(disk)?;
    let last_index = support::state(&storage)?.last_index;
    ensure!(
        matches!((storage.identity(), last_index), (None, 0) | (Some(_), 3)),
        "it belongs to {:?} and ends at {last_index}",
        storage.identity()
    );
    let answer = storage.initialize(identity, &first);
    ensure!(answer.is_ok(), "opened again, it got {answer:?}");
    support::ensure_log(&storage, (0, 0), &support::entries(1, 3, 1))
}
