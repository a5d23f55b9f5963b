//! The two pages at the beginning, of which transactions write one in turn.

use std::fs::File;

use super::page::{self, Reader};
use super::{Problem, damaged};

const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
const META_FLAG: u16 = 0x08;
/// LMDB takes no others.
const PAGE_BYTES_MIN: u64 = 256;
const PAGE_BYTES_MAX: u64 = 32 << 10;
/// Keys of the list of free pages are numbers of the machine.
const FREE_TREE_FLAGS: u16 = 0x08;
const MAIN_TREE_FLAGS: u16 = 0;
/// Page header and everything that LMDB writes behind it.
const META_BYTES: usize = page::HEADER_BYTES + 136;
const TREE_BYTES: usize = 48;

/// The file may be shorter than its last page tells, when the last ones are free and were never
/// written. One transaction does that, and none is near as large as this; a number beyond it is
/// damage, and would ask for address space that nobody has.
const UNWRITTEN_BYTES_MAX: u64 = 1 << 30;

/// Which page stands for no page.
pub(super) const NO_PAGE: u64 = u64::MAX;

/// The root of one state of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_bytes: u64,
    pub(super) map_bytes: u64,
    pub(super) free: TreeHead,
    pub(super) main: TreeHead,
    pub(super) last_page: u64,
    pub(super) transaction: u64,
}

/// What is recorded of a tree. All of it is counted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TreeHead {
    pub(super) flags: u16,
    pub(super) depth: u16,
    pub(super) branch_pages: u64,
    pub(super) leaf_pages: u64,
    pub(super) overflow_pages: u64,
    pub(super) entries: u64,
    pub(super) root: u64,
}

/// Both pages, each of which looks like one.
pub(super) fn read(file: &File) -> Result<[Meta; 2], Problem> {
    let first = read_one(file, 0, 0)?;
    let second = read_one(file, first.page_bytes, 1)?;
    if first.page_bytes != second.page_bytes {
        return damaged("the two first pages tell different page sizes");
    }
    Ok([first, second])
}

/// As [`read`], beside a writer: a page that is being written can look damaged for a moment.
pub(super) fn read_beside_writer(file: &File) -> Result<[Meta; 2], Problem> {
    const TRIES: u32 = 3;
    let mut tries = 1..TRIES;
    loop {
        match read(file) {
            Err(Problem::Damaged(_)) if tries.next().is_some() => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// The one that counts in a file at rest.
///
/// Transaction `n` writes page `n % 2`, so two neighbours are found, each in its place. Anything
/// else would silently be an older state, or none.
pub(super) fn newest([even, odd]: [Meta; 2]) -> Result<Meta, Problem> {
    let (a, b) = (even.transaction, odd.transaction);
    if !a.is_multiple_of(2) || b.is_multiple_of(2) || a.abs_diff(b) != 1 {
        return damaged(format!(
            "the two first pages are of the transactions {a} and {b}, which cannot be"
        ));
    }
    Ok(if a > b { even } else { odd })
}

fn read_one(file: &File, offset: u64, number: u64) -> Result<Meta, Problem> {
    let mut bytes = [0; META_BYTES];
    page::read_at(file, offset, &mut bytes)?;
    let file_bytes = file.metadata()?.len();
    parse(&bytes, number)
        .ok_or_else(|| {
            Problem::Damaged(format!("page {number} is not the beginning of a database"))
        })?
        .validated(number, file_bytes)
}

/// `None` when it is something else.
fn parse(bytes: &[u8], number: u64) -> Option<Meta> {
    let mut fields = Reader::new(bytes);
    let page_number = fields.u64()?;
    fields.skip(2)?;
    let page_flags = fields.u16()?;
    fields.skip(4)?;
    let (magic, version) = (fields.u32()?, fields.u32()?);
    if (page_number, page_flags, magic, version) != (number, META_FLAG, MAGIC, DATA_VERSION) {
        return None;
    }
    // The address of a fixed mapping, which is never used.
    fields.skip(8)?;
    let map_bytes = fields.u64()?;
    // The free tree's first field has the page size instead of what it has elsewhere.
    let page_bytes = Reader::new(fields.rest()).u32()?;
    let free = parse_tree(fields.take(TREE_BYTES)?)?;
    let main = parse_tree(fields.take(TREE_BYTES)?)?;
    Some(Meta {
        page_bytes: page_bytes.into(),
        map_bytes,
        free,
        main,
        last_page: fields.u64()?,
        transaction: fields.u64()?,
    })
}

fn parse_tree(bytes: &[u8]) -> Option<TreeHead> {
    let mut fields = Reader::new(bytes);
    fields.skip(4)?;
    Some(TreeHead {
        flags: fields.u16()?,
        depth: fields.u16()?,
        branch_pages: fields.u64()?,
        leaf_pages: fields.u64()?,
        overflow_pages: fields.u64()?,
        entries: fields.u64()?,
        root: fields.u64()?,
    })
}

impl Meta {
    /// Bytes up to the last page that was ever used.
    pub(super) fn used_bytes(&self) -> u64 {
        self.last_page
            .saturating_add(1)
            .saturating_mul(self.page_bytes)
    }

    fn validated(self, number: u64, file_bytes: u64) -> Result<Self, Problem> {
        let page_bytes = self.page_bytes;
        if !page_bytes.is_power_of_two() || !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes)
        {
            return damaged(format!("page {number} tells a page size of {page_bytes}"));
        }
        let used_bytes = self.used_bytes();
        let used_bytes_max = file_bytes.saturating_add(UNWRITTEN_BYTES_MAX);
        if used_bytes > self.map_bytes.min(used_bytes_max) {
            return damaged(format!(
                "page {number} tells {used_bytes} used bytes of a map of {} and a file of \
                 {file_bytes}",
                self.map_bytes
            ));
        }
        if (self.free.flags, self.main.flags) != (FREE_TREE_FLAGS, MAIN_TREE_FLAGS) {
            return damaged(format!("page {number} tells trees of unknown kinds"));
        }
        Ok(self)
    }
}
