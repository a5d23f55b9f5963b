//! One page: its header, and the nodes in it.
//!
//! LMDB writes numbers as the machine has them, so a file is read on the kind of machine that wrote
//! it. Page numbers have eight bytes there; where they have four, nothing is checked (see `tree`).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::{Problem, damaged};

pub(super) const HEADER_BYTES: usize = 16;
const NODE_HEADER_BYTES: usize = 8;
/// The longest key that LMDB takes.
const KEY_BYTES_MAX: usize = 511;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
/// A leaf's value lies on pages of its own.
const BIG_DATA: u16 = 0x01;

/// Reads numbers one after the other; `None` at the end.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_ne_bytes)
    }
}

/// Fills `buf` from `offset` of `file`; a file that ends before is damaged.
pub(super) fn read_at(mut file: &File, offset: u64, buf: &mut [u8]) -> Result<(), Problem> {
    file.seek(SeekFrom::Start(offset))?;
    match file.read_exact(buf) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged(format!(
            "it ends before byte {}",
            offset.saturating_add(buf.len() as u64)
        )),
        result => Ok(result?),
    }
}

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Leaf,
}

/// A page of a tree, whose nodes lie within it and cover its used part exactly.
pub(super) struct Page<'a> {
    pub(super) kind: Kind,
    nodes: Vec<Node<'a>>,
}

/// One node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Value<'a>,
}

/// What a node's key leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// A page below (branches).
    Child(u64),
    /// The bytes themselves (leaves).
    Inline(&'a [u8]),
    /// So many bytes on pages of their own (leaves).
    Overflow { first_page: u64, bytes: u64 },
}

impl<'a> Page<'a> {
    /// The page `number` in `bytes`.
    pub(super) fn parse(number: u64, bytes: &'a [u8]) -> Result<Self, Problem> {
        let header = Header::parse(bytes)?;
        if header.number != number {
            return damaged(format!("page {} lies at its place", header.number));
        }
        let kind = match header.flags {
            BRANCH => Kind::Branch,
            LEAF => Kind::Leaf,
            other => return damaged(format!("it is no page of a tree (kind {other:#x})")),
        };
        let nodes = header.parse_nodes(kind, bytes)?;
        if nodes.is_empty() || (kind == Kind::Branch && nodes.len() < 2) {
            return damaged(format!("it has {} nodes", nodes.len()));
        }
        Ok(Self { kind, nodes })
    }

    pub(super) fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }
}

/// How many pages the value has that begins on page `number`, whose header is in `bytes`.
pub(super) fn overflow_pages(number: u64, bytes: &[u8]) -> Result<u64, Problem> {
    let header = Header::parse(bytes)?;
    if header.number != number || header.flags != OVERFLOW {
        return damaged(format!(
            "page {} of kind {:#x} is not the beginning of a long value",
            header.number, header.flags
        ));
    }
    Ok(u64::from(header.lower) | (u64::from(header.upper) << 16))
}

struct Header {
    number: u64,
    flags: u16,
    /// The end of the table of nodes, for a tree's page.
    lower: u16,
    /// The beginning of the nodes, for a tree's page.
    upper: u16,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let mut fields = Reader::new(bytes);
        let mut parse = || {
            let number = fields.u64()?;
            fields.skip(2)?;
            Some(Self {
                number,
                flags: fields.u16()?,
                lower: fields.u16()?,
                upper: fields.u16()?,
            })
        };
        parse().map_or_else(|| damaged("it has no header"), Ok)
    }

    fn parse_nodes<'a>(&self, kind: Kind, bytes: &'a [u8]) -> Result<Vec<Node<'a>>, Problem> {
        let (lower, upper) = (usize::from(self.lower), usize::from(self.upper));
        let in_order = HEADER_BYTES <= lower && lower <= upper && upper <= bytes.len();
        if !in_order || !lower.is_multiple_of(2) {
            return damaged(format!("its free part is from {lower} to {upper}"));
        }
        let mut table = Reader::new(bytes.get(HEADER_BYTES..lower).unwrap_or_default());
        let mut nodes = Vec::with_capacity((lower - HEADER_BYTES) / 2);
        let mut extents = Vec::with_capacity(nodes.capacity());
        while let Some(offset) = table.u16() {
            let offset = usize::from(offset);
            let parsed = parse_node(kind, bytes.get(offset..).unwrap_or_default());
            let Some((node, length)) = parsed else {
                return damaged(format!("its node at {offset} passes its end"));
            };
            nodes.push(node);
            extents.push((offset, length));
        }
        check_cover(extents, upper, bytes.len())?;
        Ok(nodes)
    }
}

/// The node at the beginning of `bytes` and its length; `None` when it does not fit.
fn parse_node(kind: Kind, bytes: &[u8]) -> Option<(Node<'_>, usize)> {
    let mut fields = Reader::new(bytes);
    let (low, high, flags) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let key_bytes = usize::from(fields.u16()?);
    let key = fields
        .take(key_bytes)
        .filter(|key| key.len() <= KEY_BYTES_MAX)?;
    let number = u64::from(low) | (u64::from(high) << 16);
    let (value, value_bytes) = match (kind, flags) {
        // A branch has the page's number in all three fields.
        (Kind::Branch, top) => (Value::Child(number | (u64::from(top) << 32)), 0),
        (Kind::Leaf, 0) => {
            let length = usize::try_from(number).ok()?;
            (Value::Inline(fields.take(length)?), length)
        }
        (Kind::Leaf, BIG_DATA) => {
            let first_page = fields.u64()?;
            let bytes = number;
            (Value::Overflow { first_page, bytes }, 8)
        }
        (Kind::Leaf, _) => return None,
    };
    let length = NODE_HEADER_BYTES + key_bytes + value_bytes;
    Some((Node { key, value }, length.next_multiple_of(2)))
}

/// LMDB moves nodes by their lengths: they must lie side by side from `start` to `end`.
fn check_cover(mut extents: Vec<(usize, usize)>, start: usize, end: usize) -> Result<(), Problem> {
    extents.sort_unstable();
    let mut expected = start;
    for (offset, length) in extents {
        if offset != expected {
            return damaged(format!("a node is at {offset}, not at {expected}"));
        }
        expected = offset + length;
    }
    if expected != end {
        return damaged(format!("its nodes end at {expected}, not at {end}"));
    }
    Ok(())
}
