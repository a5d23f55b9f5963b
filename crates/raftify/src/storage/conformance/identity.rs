//! Rules about whose store it is.

use super::super::{Identity, LogReader as _, StableStorage as _, StorageError, WriteBatch};
use super::support::{self, ensure};
use super::{Disk, Verdict};

const OWNER: Identity = Identity {
    cluster_id: 0xfeed,
    group_id: 0,
    node_id: 3,
    incarnation: u64::MAX,
};

pub(super) async fn owner_is_for_good<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let first = WriteBatch {
        system: Some(bytes::Bytes::from_static(b"first content")),
        ..WriteBatch::default()
    };
    for moment in ["first", "again", "opened again"] {
        let answer = storage.initialize(OWNER, &first);
        ensure!(answer.is_ok(), "{moment}: its owner got {answer:?}");
        for other in others() {
            let answer = storage.initialize(other, &WriteBatch::default());
            ensure!(
                matches!(
                    &answer,
                    Err(StorageError::WrongOwner { found, wanted, .. })
                        if (*found, *wanted) == (OWNER, other)
                ),
                "{moment}: {other:?} got {answer:?}"
            );
        }
        let identity = storage.identity();
        ensure!(
            identity == Some(OWNER),
            "{moment}: it belongs to {identity:?}"
        );
        let content = storage.reader().state().map(|state| state.system);
        ensure!(
            matches!(&content, Ok(system) if *system == first.system),
            "{moment}: its first content is {content:?}"
        );
        if moment != "first" {
            drop(storage);
            storage = support::open(disk)?;
        }
    }
    support::write(&mut storage, support::appended(support::entries(1, 1, 1))).await
}

pub(super) async fn bad_first_content_claims_nothing<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let first = WriteBatch {
        hard_state: Some(support::hard_state(9, 9, 9)),
        ..support::appended(support::entries(5, 6, 1))
    };
    let answer = storage.initialize(OWNER, &first);
    ensure!(
        matches!(answer, Err(StorageError::BadBatch(_))),
        "a first content with a gap got {answer:?}"
    );
    for _ in 0..2 {
        let identity = storage.identity();
        ensure!(identity.is_none(), "it belongs to {identity:?}");
        support::ensure_log(&storage, (0, 0), &[])?;
        drop(storage);
        storage = support::open(disk)?;
    }
    let fits = WriteBatch {
        entries: support::entries(6, 7, 2),
        ..support::installed(5, 1)
    };
    let answer = storage.initialize(OWNER, &fits);
    ensure!(answer.is_ok(), "a first content that fits got {answer:?}");
    support::ensure_log(&storage, (5, 1), &support::entries(6, 7, 2))
}

fn others() -> [Identity; 4] {
    [
        Identity {
            cluster_id: 1,
            ..OWNER
        },
        Identity {
            group_id: 1,
            ..OWNER
        },
        Identity {
            node_id: 1,
            ..OWNER
        },
        Identity {
            incarnation: 1,
            ..OWNER
        },
    ]
}
