//! What is written: lines of a file, or made-up keys.

use std::io::{BufRead, BufReader};
use std::path::Path;

use memstore::state_machine::LogEntry;

use crate::error::DemoError;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// The lines of a file that can be loaded, and what is wrong with the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) pairs: Vec<Pair>,
    /// Lines that were left out.
    pub(crate) skipped: u64,
    /// Why the first of them was.
    pub(crate) first_skipped: Option<String>,
}

impl Input {
    fn skip(&mut self, line_number: u64, reason: &str) {
        self.skipped += 1;
        self.first_skipped
            .get_or_insert_with(|| format!("line {line_number}: {reason}"));
    }

    fn take(&mut self, line_number: u64, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else {
            return self.skip(line_number, "it is not UTF-8");
        };
        let line = line.trim_end_matches(['\n', '\r']);
        let (key, value) = match line.split_once('\t') {
            Some((key, value)) => (key, value.to_owned()),
            None => (line, line_number.to_string()),
        };
        let key = key.to_owned();
        // The same limits as the nodes', told here with the line's number.
        match LogEntry::insert(key.clone(), value.clone()) {
            Ok(_) => self.pairs.push(Pair { key, value }),
            Err(error) => self.skip(line_number, &error.to_string()),
        }
    }
}

/// Reads `path`, one pair a line.
pub(crate) fn read(path: &Path) -> Result<Input, DemoError> {
    let failed = |source| DemoError::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let input = read_lines(BufReader::new(file)).map_err(failed)?;
    if input.pairs.is_empty() {
        return Err(DemoError::Input {
            path: path.to_owned(),
            reason: input.first_skipped.unwrap_or_else(|| "it is empty".into()),
        });
    }
    Ok(input)
}

fn read_lines(mut source: impl BufRead) -> std::io::Result<Input> {
    let mut input = Input::default();
    let mut line = Vec::new();
    for line_number in 1.. {
        line.clear();
        if source.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        input.take(line_number, &line);
    }
    Ok(input)
}

/// `count` made-up pairs whose keys begin with `prefix`.
pub(crate) fn made_up(prefix: &str, count: u32) -> Vec<Pair> {
    let run = std::process::id();
    (0..count)
        .map(|number| Pair {
            key: format!("{prefix}-{number:08}"),
            value: format!("value {number} of {prefix}, run {run}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use memstore::state_machine::KEY_BYTES_MAX;

    use super::*;

    fn pair(key: &str, value: &str) -> Pair {
        Pair {
            key: key.into(),
            value: value.into(),
        }
    }

    #[test]
    fn a_line_is_a_key_and_a_value_or_a_key_alone() {
        let input = read_lines(&b"a\t1\nword\r\nb\t2\t3\nlast"[..]).unwrap();
        assert_eq!(
            input.pairs,
            [
                pair("a", "1"),
                pair("word", "2"),
                pair("b", "2\t3"),
                pair("last", "4")
            ]
        );
        assert_eq!(input.skipped, 0);
    }

    #[test]
    fn lines_that_no_node_would_take_are_counted_and_the_first_is_named() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let text = [b"good\n\n\xff\xfe\n", long.as_bytes()].concat();
        let input = read_lines(text.as_slice()).unwrap();
        assert_eq!(input.pairs, [pair("good", "1")]);
        assert_eq!(input.skipped, 3);
        assert_eq!(input.first_skipped.unwrap(), "line 2: the key is empty");
    }

    #[test]
    fn a_file_without_a_usable_line_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        std::fs::write(&path, "").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("it is empty"));
        assert!(read(&dir.path().join("absent")).is_err());
    }
}
