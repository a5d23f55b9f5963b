//! Checks the database's file before LMDB trusts it.
//!
//! LMDB maps its file into memory and follows what it reads there: a damaged page number or length
//! would crash the process or overwrite a good page. So every page that the newest transaction can
//! reach is read here first, with ordinary reads, and compared with everything that LMDB takes for
//! granted. What is not covered is what LMDB does not follow: the contents of records, which have
//! checksums of their own.

mod free;
mod meta;
mod page;
mod tree;

use std::fs::File;
use std::io;
use std::path::Path;

use self::meta::Meta;
use self::tree::Walk;
use super::super::StorageError;
use super::records::FORMAT_VERSION;

/// What the check found out on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    /// The size of a page.
    pub(super) page_bytes: u64,
    /// Pages that can be reached.
    pub(super) used_pages: u64,
    /// Pages that are free for use again.
    pub(super) free_pages: u64,
}

/// Why the file is not to be opened.
#[derive(Debug)]
enum Problem {
    Io(io::Error),
    Version(u32),
    Damaged(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Damaged(reason.into()))
}

/// Checks the newest state in the file at `path`, which nobody has open for writing.
pub(super) fn check_newest(path: &Path) -> Result<Checked, StorageError> {
    run(path, |file| meta::newest(meta::read(file)?))
}

/// Checks the beginning of the file at `path`, beside its writer: enough for opening it. Returns
/// how many bytes of it were ever used.
pub(super) fn check_beginning(path: &Path) -> Result<u64, StorageError> {
    File::open(path)
        .map_err(Problem::from)
        .and_then(|file| meta::read_beside_writer(&file))
        .map(|[even, odd]| even.used_bytes().max(odd.used_bytes()))
        .map_err(|problem| to_storage_error(path, problem))
}

/// Checks the state of transaction `id` in the file at `path`, beside its writer. The caller holds
/// a read transaction of that number, so its pages are not used again meanwhile. `None` when newer
/// transactions have replaced the state's first page: begin a new transaction then.
pub(super) fn check_transaction(path: &Path, id: u64) -> Result<Option<Checked>, StorageError> {
    let file = File::open(path).map_err(|error| to_storage_error(path, error.into()))?;
    let metas =
        meta::read_beside_writer(&file).map_err(|problem| to_storage_error(path, problem))?;
    match metas.into_iter().find(|meta| meta.transaction == id) {
        Some(meta) => run(path, |_| Ok(meta)).map(Some),
        None => Ok(None),
    }
}

fn run(
    path: &Path,
    choose: impl FnOnce(&File) -> Result<Meta, Problem>,
) -> Result<Checked, StorageError> {
    walk(path, choose).map_err(|problem| to_storage_error(path, problem))
}

fn walk(
    path: &Path,
    choose: impl FnOnce(&File) -> Result<Meta, Problem>,
) -> Result<Checked, Problem> {
    let file = File::open(path)?;
    let meta = choose(&file)?;
    let mut walk = Walk::new(&file, &meta)?;
    walk.check_main_tree(&meta)?;
    let used_pages = walk.used_pages();
    let free_pages = walk.check_free_tree(&meta)?;
    Ok(Checked {
        page_bytes: meta.page_bytes,
        used_pages,
        free_pages,
    })
}

fn to_storage_error(path: &Path, problem: Problem) -> StorageError {
    let path = path.to_owned();
    match problem {
        Problem::Io(source) => StorageError::Io { path, source },
        Problem::Damaged(reason) => StorageError::Damaged { path, reason },
        Problem::Version(found) => StorageError::FormatVersion {
            path,
            found,
            supported: FORMAT_VERSION,
        },
    }
}
