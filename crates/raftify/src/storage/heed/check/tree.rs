//! Walks a tree as LMDB would, and trusts nothing.

use std::cmp::Ordering;
use std::fs::File;

use prost::Message as _;

use super::super::records::{self, FORMAT_VERSION, Format, Record};
use super::free::FreePages;
use super::meta::{Meta, NO_PAGE, TreeHead};
use super::page::{self, Kind, Node, Page, Value};
use super::{Problem, damaged};

/// LMDB's cursors go no deeper.
const DEPTH_MAX: u16 = 32;

/// How a tree's keys are ordered.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// As bytes (the records).
    Bytes,
    /// As numbers of the machine (the lists of free pages).
    Number,
}

impl Order {
    fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        let number = |key: &[u8]| key.try_into().ok().map(u64::from_ne_bytes);
        match self {
            Self::Bytes => a.cmp(b),
            Self::Number => number(a).cmp(&number(b)),
        }
    }

    fn takes(self, key: &[u8]) -> bool {
        match self {
            Self::Bytes => !key.is_empty(),
            Self::Number => key.len() == size_of::<u64>(),
        }
    }
}

/// What was counted; compared with what the tree's head says.
#[derive(Debug, Default)]
struct Counts {
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
    entries: u64,
}

/// The part of a tree that is to be visited, and what is known of it.
struct Part<'k> {
    page: u64,
    /// Levels from here down to the leaves, this one included.
    height: u16,
    /// Keys here are not below it.
    low: Option<&'k [u8]>,
    /// Keys here are below it.
    high: Option<&'k [u8]>,
}

/// What is called for each entry of a tree.
type Visit<'v> = dyn FnMut(&mut Walk<'_>, &Node<'_>) -> Result<u64, Problem> + 'v;

/// The walk over one state of the file.
pub(super) struct Walk<'f> {
    file: &'f File,
    page_bytes: u64,
    last_page: u64,
    seen: Pages,
}

impl<'f> Walk<'f> {
    pub(super) fn new(file: &'f File, meta: &Meta) -> Result<Self, Problem> {
        let file_pages = file.metadata()?.len() / meta.page_bytes;
        Ok(Self {
            file,
            page_bytes: meta.page_bytes,
            last_page: meta.last_page,
            seen: Pages::new(file_pages),
        })
    }

    pub(super) fn used_pages(&self) -> u64 {
        self.seen.count
    }

    /// Checks the tree of records.
    pub(super) fn check_main_tree(&mut self, meta: &Meta) -> Result<(), Problem> {
        self.check_tree(&meta.main, Order::Bytes, &mut |walk, node| {
            check_format(node)?;
            walk.mark_value(node)
        })
    }

    /// Checks the tree of free pages, after the other: a page that is free and in use would be
    /// overwritten. Returns how many are free.
    pub(super) fn check_free_tree(&mut self, meta: &Meta) -> Result<u64, Problem> {
        let mut lists = Vec::new();
        self.check_tree(&meta.free, Order::Number, &mut |walk, node| {
            let pages = walk.mark_value(node)?;
            lists.push((node.key.to_vec(), walk.read_value(node)?));
            Ok(pages)
        })?;
        let mut free = FreePages::new(meta.transaction, self.last_page);
        for (key, list) in &lists {
            free.add(key, list, &mut self.seen)?;
        }
        Ok(free.count())
    }

    /// Checks a tree; `visit` is called for each of its entries, in order, and returns how many
    /// pages the entry has beside its leaf.
    fn check_tree(
        &mut self,
        head: &TreeHead,
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<(), Problem> {
        let mut counts = Counts::default();
        if head.root != NO_PAGE {
            if head.depth == 0 || head.depth > DEPTH_MAX {
                return damaged(format!("a tree has the depth {}", head.depth));
            }
            let root = Part {
                page: head.root,
                height: head.depth,
                low: None,
                high: None,
            };
            self.check_part(&root, order, &mut counts, visit)?;
        }
        counts.compare(head)
    }

    /// Recursion ends with the height, which is at most [`DEPTH_MAX`].
    fn check_part(
        &mut self,
        part: &Part<'_>,
        order: Order,
        counts: &mut Counts,
        visit: &mut Visit<'_>,
    ) -> Result<(), Problem> {
        let bytes = self.read_page(part.page)?;
        let page = Page::parse(part.page, &bytes).map_err(at_page(part.page))?;
        part.check_kind(&page)
            .and_then(|()| part.check_keys(&page, order))
            .map_err(at_page(part.page))?;
        match page.kind {
            Kind::Branch => {
                counts.branch_pages += 1;
                for below in part.below(&page) {
                    self.check_part(&below, order, counts, visit)?;
                }
            }
            Kind::Leaf => {
                counts.leaf_pages += 1;
                for node in page.nodes() {
                    counts.entries += 1;
                    counts.overflow_pages += visit(self, node)?;
                }
            }
        }
        Ok(())
    }

    fn read_page(&mut self, number: u64) -> Result<Vec<u8>, Problem> {
        self.mark(number)?;
        let length = usize::try_from(self.page_bytes).unwrap_or(0);
        let mut bytes = vec![0; length];
        page::read_at(
            self.file,
            number.saturating_mul(self.page_bytes),
            &mut bytes,
        )?;
        Ok(bytes)
    }

    /// Marks the pages of a value that has pages of its own, and returns how many they are.
    fn mark_value(&mut self, node: &Node<'_>) -> Result<u64, Problem> {
        let Value::Overflow { first_page, bytes } = node.value else {
            return Ok(0);
        };
        let header = self.read_page(first_page)?;
        let count = page::overflow_pages(first_page, &header).map_err(at_page(first_page))?;
        let needed = bytes
            .saturating_add(page::HEADER_BYTES as u64)
            .div_ceil(self.page_bytes);
        if count < needed {
            return damaged(format!(
                "page {first_page}: {count} pages cannot hold {bytes} bytes"
            ));
        }
        for page in (first_page..first_page.saturating_add(count)).skip(1) {
            self.mark(page)?;
        }
        Ok(count)
    }

    /// The bytes of a value, whose pages were marked and so lie in the file.
    fn read_value(&self, node: &Node<'_>) -> Result<Vec<u8>, Problem> {
        match node.value {
            Value::Child(page) => damaged(format!("page {page} lies below a leaf")),
            Value::Inline(bytes) => Ok(bytes.to_vec()),
            Value::Overflow { first_page, bytes } => {
                let offset = first_page
                    .saturating_mul(self.page_bytes)
                    .saturating_add(page::HEADER_BYTES as u64);
                let mut value = vec![0; usize::try_from(bytes).unwrap_or(0)];
                page::read_at(self.file, offset, &mut value)?;
                Ok(value)
            }
        }
    }

    /// Notes that a page is in use. It must be none of the first two, lie in the file, and be in
    /// use only once.
    fn mark(&mut self, page: u64) -> Result<(), Problem> {
        if page < 2 || page > self.last_page || page >= self.seen.file_pages {
            return damaged(format!(
                "page {page} is in use, the last one is {} and the file has {}",
                self.last_page, self.seen.file_pages
            ));
        }
        if !self.seen.insert(page) {
            return damaged(format!("page {page} is in use twice"));
        }
        Ok(())
    }
}

impl<'k> Part<'k> {
    fn check_kind(&self, page: &Page<'_>) -> Result<(), Problem> {
        let expected = if self.height == 1 {
            Kind::Leaf
        } else {
            Kind::Branch
        };
        if page.kind != expected {
            return damaged(format!("it is a {:?}, not a {expected:?}", page.kind));
        }
        Ok(())
    }

    /// Keys ascend, and stay within what the page above promises. A branch's first key is never
    /// looked at: its place in the page above says as much.
    fn check_keys(&self, page: &Page<'_>, order: Order) -> Result<(), Problem> {
        let skipped = usize::from(page.kind == Kind::Branch);
        let mut previous = self.low;
        let mut may_equal = true;
        for node in page.nodes().iter().skip(skipped) {
            let follows = previous.is_none_or(|previous| {
                match order.compare(previous, node.key) {
                    Ordering::Less => true,
                    // Only the bound from above may come again, as a leaf's first key.
                    Ordering::Equal => may_equal && page.kind == Kind::Leaf,
                    Ordering::Greater => false,
                }
            });
            let precedes = self
                .high
                .is_none_or(|high| order.compare(node.key, high) == Ordering::Less);
            if !order.takes(node.key) || !follows || !precedes {
                return damaged("its keys are out of order");
            }
            previous = Some(node.key);
            may_equal = false;
        }
        Ok(())
    }

    /// The parts below a branch.
    fn below<'p>(&'p self, page: &'p Page<'p>) -> impl Iterator<Item = Part<'p>> {
        let nodes = page.nodes();
        let keys = nodes.iter().map(|node| node.key);
        let lows = std::iter::once(self.low).chain(keys.clone().skip(1).map(Some));
        let highs = keys.skip(1).map(Some).chain(std::iter::once(self.high));
        nodes
            .iter()
            .zip(lows.zip(highs))
            .filter_map(|(node, (low, high))| match node.value {
                Value::Child(page) => Some(Part {
                    page,
                    height: self.height.saturating_sub(1),
                    low,
                    high,
                }),
                // A branch has children only, see `Page::parse`.
                Value::Inline(_) | Value::Overflow { .. } => None,
            })
    }
}

impl Counts {
    fn compare(&self, head: &TreeHead) -> Result<(), Problem> {
        let counted = (
            self.branch_pages,
            self.leaf_pages,
            self.overflow_pages,
            self.entries,
        );
        let recorded = (
            head.branch_pages,
            head.leaf_pages,
            head.overflow_pages,
            head.entries,
        );
        if counted == recorded {
            return Ok(());
        }
        damaged(format!(
            "a tree has (branches, leaves, overflow pages, entries) {counted:?}, recorded are \
             {recorded:?}"
        ))
    }
}

/// A layout of another version is told from damage by its version, which comes first.
fn check_format(node: &Node<'_>) -> Result<(), Problem> {
    let (key, Value::Inline(value)) = (node.key, node.value) else {
        return Ok(());
    };
    if key != Record::Format.key() {
        return Ok(());
    }
    // When it cannot be read, that is told when it is read as a record.
    let format = records::unseal(key, value).map(Format::decode);
    match format {
        Ok(Ok(Format { version })) if version != FORMAT_VERSION => Err(Problem::Version(version)),
        _ => Ok(()),
    }
}

fn at_page(number: u64) -> impl FnOnce(Problem) -> Problem {
    move |problem| match problem {
        Problem::Damaged(reason) => Problem::Damaged(format!("page {number}: {reason}")),
        Problem::Io(_) | Problem::Version(_) => problem,
    }
}

/// The pages seen so far, one bit each for those in the file.
pub(super) struct Pages {
    bits: Vec<u64>,
    file_pages: u64,
    count: u64,
}

impl Pages {
    fn new(file_pages: u64) -> Self {
        let words = usize::try_from(file_pages.div_ceil(u64::BITS.into())).unwrap_or(0);
        Self {
            bits: vec![0; words],
            file_pages,
            count: 0,
        }
    }

    /// Whether `page` was not seen before. Pages past the file's end are not remembered.
    pub(super) fn insert(&mut self, page: u64) -> bool {
        let word = usize::try_from(page / u64::from(u64::BITS)).unwrap_or(usize::MAX);
        let bit = 1 << (page % u64::from(u64::BITS));
        self.count += 1;
        match self.bits.get_mut(word) {
            Some(bits) => {
                let is_new = *bits & bit == 0;
                *bits |= bit;
                is_new
            }
            None => true,
        }
    }
}
