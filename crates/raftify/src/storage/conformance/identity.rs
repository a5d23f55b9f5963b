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
