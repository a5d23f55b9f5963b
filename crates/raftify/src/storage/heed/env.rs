//! Opening the LMDB environment: the one place with `unsafe`.

use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, WithoutTls};

use super::super::StorageError;
use super::create::DATA_FILE;
use super::{check, reader_table};

/// Read transactions that may be open at once, over all processes. A read is short, so this is
/// far beyond what a node's tasks and tools reach.
const READERS_MAX: u32 = 512;

/// How the environment is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// By the node, which owns the directory. The map has so many bytes.
    Write { map_bytes: usize },
    /// By a tool, beside the node. The map has room for what the node used up to now; when that is
    /// outgrown, LMDB says so and the environment is opened again.
    Read,
}

/// An open environment and its one tree.
pub(super) struct Opened {
    pub(super) env: Env<WithoutTls>,
    pub(super) tree: Database<'static, Bytes, Bytes>,
}

/// Opens the environment in `dir`; makes it when there is none and access is for writing.
pub(super) fn open(dir: &Path, access: Access) -> Result<Opened, StorageError> {
    let map_bytes = match access {
        Access::Write { map_bytes } => map_bytes,
        // Not the size that the file tells: nothing vouches for that number.
        Access::Read => {
            let used_bytes = check::check_beginning(&dir.join(DATA_FILE))?;
            round_map_bytes(used_bytes.saturating_mul(2))
        }
    };
    reader_table::reserve(dir, access)?;
    let env = open_env(dir, access, map_bytes).map_err(|error| from_heed(dir, error))?;
    let tree = open_tree(&env, access).map_err(|error| from_heed(dir, error))?;
    tree.map(|tree| Opened { env, tree })
        .ok_or_else(|| StorageError::Damaged {
            path: dir.to_owned(),
            reason: "it has no tree".into(),
        })
}

#[allow(unsafe_code)]
fn open_env(dir: &Path, access: Access, map_bytes: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_readers(READERS_MAX);
    options.map_size(map_bytes);
    let flags = match access {
        Access::Write { .. } => EnvFlags::empty(),
        Access::Read => EnvFlags::READ_ONLY,
    };
    // SAFETY: LMDB maps the file and trusts it. Three things are asked of us. (1) Nobody but LMDB
    // writes the file meanwhile: a node holds the directory's lock file (see `lock`), and what was
    // damaged before is found by `check`, which walks every page before LMDB does. (2) The file
    // is opened once in a process: heed keeps a table of open paths and refuses a second one.
    // (3) The flags keep LMDB's locking and syncing on: READ_ONLY is the only one ever set.
    unsafe { options.flags(flags).open(dir) }
}

type Tree = Database<'static, Bytes, Bytes>;

fn open_tree(env: &Env<WithoutTls>, access: Access) -> heed::Result<Option<Tree>> {
    match access {
        Access::Write { .. } => {
            let outcome = env.create_databases_and_commit(env.write_txn()?, |opener, txn| {
                opener
                    .create_database(txn, None)
                    .map(CommitOrAbort::<_, ()>::Commit)
            })?;
            Ok(outcome.commit())
        }
        Access::Read => {
            let outcome = env.open_databases_and_commit(env.read_txn()?, |opener, txn| {
                opener
                    .open_database(txn, None)
                    .map(CommitOrAbort::<_, ()>::Commit)
            })?;
            Ok(outcome.commit().flatten())
        }
    }
}

/// The size of a page of memory, which map sizes are multiples of.
const MAP_UNIT_BYTES: usize = 64 << 10;

/// `bytes` rounded up to what LMDB takes; 64 KiB is a multiple of every page size in use.
pub(super) fn round_map_bytes(bytes: u64) -> usize {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX / 2);
    bytes.max(1).next_multiple_of(MAP_UNIT_BYTES)
}

/// Our error for one of heed's, about the environment in `dir`.
pub(super) fn from_heed(dir: &Path, error: heed::Error) -> StorageError {
    use heed::MdbError as Mdb;
    let path = dir.to_owned();
    match error {
        heed::Error::Io(source) => StorageError::Io { path, source },
        heed::Error::EnvAlreadyOpened => StorageError::InUse { path },
        heed::Error::Encoding(error) | heed::Error::Decoding(error) => StorageError::Damaged {
            path,
            reason: error.to_string(),
        },
        heed::Error::Mdb(
            error @ (Mdb::PageNotFound
            | Mdb::Corrupted
            | Mdb::VersionMismatch
            | Mdb::Invalid
            | Mdb::Incompatible
            | Mdb::KeyExist
            | Mdb::NotFound),
        ) => StorageError::Damaged {
            path,
            reason: format!("LMDB: {error}"),
        },
        heed::Error::Mdb(error) => StorageError::Io {
            path,
            source: std::io::Error::other(error),
        },
    }
}
