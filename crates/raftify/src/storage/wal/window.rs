//! Reading a file from front to back through a buffer.

use std::io;

use super::super::files::StoredFile;

/// How much is read at once, unless more is asked for or the reader knows that it needs less.
pub(super) const READ_AHEAD_BYTES: usize = 1 << 20;

/// A part of a file, in memory. A request never makes it larger than the file.
pub(super) struct Window<'a, F> {
    file: &'a F,
    size_bytes: u64,
    read_ahead: usize,
    begin: u64,
    buffer: Vec<u8>,
}

impl<'a, F: StoredFile> Window<'a, F> {
    /// A window on the first `size_bytes` of `file`.
    pub(super) fn new(file: &'a F, size_bytes: u64, read_ahead: usize) -> Self {
        Self {
            file,
            size_bytes,
            read_ahead,
            begin: 0,
            buffer: Vec::new(),
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The bytes from `offset`, so many; `None` when the file does not have them.
    pub(super) fn get(&mut self, offset: u64, bytes: u64) -> io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(bytes);
        if end > self.size_bytes {
            return Ok(None);
        }
        let held_end = self.begin.saturating_add(self.buffer.len() as u64);
        if offset < self.begin || end > held_end {
            self.fill(offset, bytes)?;
        }
        let from = usize::try_from(offset.saturating_sub(self.begin)).unwrap_or(usize::MAX);
        let size = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(self.buffer.get(from..from.saturating_add(size)))
    }

    fn fill(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        let left = self.size_bytes.saturating_sub(offset);
        let wanted = bytes.max(self.read_ahead as u64).min(left);
        self.begin = offset;
        self.buffer
            .resize(usize::try_from(wanted).unwrap_or(usize::MAX), 0);
        let mut filled = 0;
        while let Some(rest) = self
            .buffer
            .get_mut(filled..)
            .filter(|rest| !rest.is_empty())
        {
            match self
                .file
                .read_at(offset.saturating_add(filled as u64), rest)
            {
                // The file became shorter; what is missing shows in the caller's `get`.
                Ok(0) => {
                    self.buffer.truncate(filled);
                    return Ok(());
                }
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::files::{Files as _, SimFiles};
    use super::*;

    #[test]
    fn a_window_shows_what_the_file_has_and_nothing_else() {
        let file = SimFiles::new(1).create("file").unwrap();
        let content: Vec<u8> = (0..200).collect();
        file.write_at(0, &content).unwrap();
        let mut window = Window::new(&file, 200, 16);
        for (offset, bytes) in [
            (0, 4),
            (10, 4),
            (14, 4),
            (100, 90),
            (3, 1),
            (199, 1),
            (200, 0),
        ] {
            let range = usize::try_from(offset).unwrap()..usize::try_from(offset + bytes).unwrap();
            let found = window.get(offset, bytes).unwrap();
            assert_eq!(found, content.get(range), "{bytes} at {offset}");
        }
        assert_eq!(window.get(199, 2).unwrap(), None);
        assert_eq!(window.get(u64::MAX, u64::MAX).unwrap(), None);
        assert!(window.buffer.capacity() < 200);
        let mut longer = Window::new(&file, 300, 16);
        assert_eq!(longer.get(190, 20).unwrap(), None);
    }
}
