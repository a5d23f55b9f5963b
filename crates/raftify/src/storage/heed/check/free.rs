//! The lists of pages that LMDB will use again.

use super::page::Reader;
use super::tree::Pages;
use super::{Problem, damaged};

/// What was found in the lists so far.
pub(super) struct FreePages {
    transaction: u64,
    last_page: u64,
    count: u64,
}

impl FreePages {
    pub(super) fn new(transaction: u64, last_page: u64) -> Self {
        Self {
            transaction,
            last_page,
            count: 0,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Checks one list: the transaction that freed the pages as key, then a count and the page
    /// numbers, descending. No page is in `used`, which gets them.
    pub(super) fn add(&mut self, key: &[u8], list: &[u8], used: &mut Pages) -> Result<(), Problem> {
        let transaction = Reader::new(key).u64().unwrap_or(0);
        if transaction == 0 || transaction > self.transaction {
            return damaged(format!(
                "a list of free pages is of transaction {transaction}, the newest is {}",
                self.transaction
            ));
        }
        let mut fields = Reader::new(list);
        let length = fields.u64().unwrap_or(u64::MAX);
        let mut previous = self.last_page.saturating_add(1);
        for _ in 0..length {
            let Some(page) = fields.u64() else {
                return damaged(format!(
                    "a list of {length} free pages has {} bytes",
                    list.len()
                ));
            };
            if page < 2 || page >= previous {
                return damaged(format!("free page {page} follows {previous} in its list"));
            }
            if !used.insert(page) {
                return damaged(format!("page {page} is free and in use, or free twice"));
            }
            previous = page;
            self.count += 1;
        }
        Ok(())
    }
}
