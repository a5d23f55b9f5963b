//! Rules about the records beside the log.

use super::super::{LogReader as _, StableStorage as _, StorageError, StoredState, WriteBatch};
use super::support::{self, ensure, ensure_error};
use super::{Disk, Verdict};

pub(super) async fn new_store_is_empty<D: Disk>(disk: &mut D) -> Verdict {
    for _ in 0..2 {
        let storage = support::open(disk)?;
        let (state, reader) = (support::state(&storage)?, storage.reader());
        ensure!(state == StoredState::default(), "it has {state:?}");
        ensure!(
            storage.identity().is_none(),
            "it belongs to {:?}",
            storage.identity()
        );
        ensure!(matches!(reader.term(0), Ok(0)), "{:?}", reader.term(0));
        ensure_error!(
            reader.entries(1, 2, 9),
            StorageError::Unavailable {
                index: 1,
                last_index: 0
            }
        );
    }
    Ok(())
}

fn full_batch() -> WriteBatch {
    WriteBatch {
        entries: support::entries(1, 5, 2),
        hard_state: Some(support::hard_state(3, 7, 4)),
        snapshot: Some(support::descriptor(4, 2)),
        compact_to: Some(2),
        system: Some("who is where".into()),
        install: None,
    }
}

pub(super) async fn every_field_is_kept<D: Disk>(disk: &mut D) -> Verdict {
    let batch = full_batch();
    let expected = StoredState {
        hard_state: support::hard_state(3, 7, 4),
        snapshot: batch.snapshot.clone(),
        start_index: 2,
        start_term: 2,
        last_index: 5,
        system: batch.system.clone(),
    };
    let mut storage = support::open(disk)?;
    support::write(&mut storage, batch).await?;
    for moment in ["after the write", "opened again"] {
        let state = support::state(&storage)?;
        ensure!(state == expected, "{moment}: {state:?}, not {expected:?}");
        support::ensure_log(&storage, (2, 2), &support::entries(3, 5, 2))?;
        drop(storage);
        storage = support::open(disk)?;
    }
    Ok(())
}

pub(super) async fn absent_fields_stay<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    support::write(&mut storage, full_batch()).await?;
    let mut expected = support::state(&storage)?;
    let alone = [
        WriteBatch {
            hard_state: Some(support::hard_state(9, 0, 0)),
            ..WriteBatch::default()
        },
        WriteBatch {
            system: Some(bytes::Bytes::new()),
            ..WriteBatch::default()
        },
        support::appended(support::entries(6, 6, 9)),
    ];
    for batch in alone {
        expected.hard_state = batch.hard_state.unwrap_or(expected.hard_state);
        expected.system = batch.system.clone().or(expected.system);
        expected.last_index += batch.entries.len() as u64;
        support::write(&mut storage, batch).await?;
        drop(storage);
        storage = support::open(disk)?;
        let state = support::state(&storage)?;
        ensure!(state == expected, "{state:?}, not {expected:?}");
    }
    Ok(())
}

pub(super) async fn empty_batch_does_nothing<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    support::write(&mut storage, full_batch()).await?;
    let before = support::contents(&storage)?;
    support::write(&mut storage, WriteBatch::default()).await?;
    let after = support::contents(&storage)?;
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}
