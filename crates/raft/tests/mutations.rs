//! The deliberate faults in `tests/mutations/` still fit the code.
//!
//! `tests/mutations/run` puts each of them into a copy of the crate and shows which suite notices;
//! that takes minutes. Here only their texts are compared with the files that they change, so that
//! whoever changes such a place hears of it at once and adapts the patch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// The least number of faults that the project keeps.
const FAULTS_MIN: usize = 20;
/// A fault is one or two lines; a patch that takes out or puts in more is an alteration.
const CHANGED_LINES_MAX: usize = 2;

/// One hunk of a patch.
#[derive(Default)]
struct Hunk {
    /// The lines that must be there: context, and what is taken out.
    before: Vec<String>,
    removed: usize,
    added: usize,
}

/// A patch of one file in the form that `diff -u` writes, with a comment as its first line.
struct Patch {
    what_and_why: String,
    file: String,
    hunks: Vec<Hunk>,
}

impl Patch {
    fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let what_and_why = first
            .strip_prefix("# ")
            .ok_or("the first line must be a comment that says what and why")?;
        let file = lines
            .next()
            .and_then(|line| line.strip_prefix("--- a/"))
            .ok_or("the second line must be \"--- a/FILE\"")?;
        if lines.next() != Some(&format!("+++ b/{file}")) {
            return Err(format!("the third line must be \"+++ b/{file}\""));
        }
        let mut hunks: Vec<Hunk> = Vec::new();
        for line in lines {
            if line.starts_with("@@ ") {
                hunks.push(Hunk::default());
                continue;
            }
            hunks
                .last_mut()
                .ok_or("a line before the first hunk")?
                .take(line)?;
        }
        Ok(Self {
            what_and_why: what_and_why.to_owned(),
            file: file.to_owned(),
            hunks,
        })
    }
}

impl Hunk {
    fn take(&mut self, line: &str) -> Result<(), String> {
        // Editors like to cut off the blank that stands before an empty line.
        let (mark, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
        match mark {
            " " => self.before.push(rest.to_owned()),
            "-" => {
                self.before.push(rest.to_owned());
                self.removed += 1;
            }
            "+" => self.added += 1,
            _ => return Err(format!("no line of a patch: {line}")),
        }
        Ok(())
    }

    /// How often the lines that must be there stand in a text.
    fn places(&self, text: &[&str]) -> usize {
        let equal = |window: &&[&str]| window.iter().zip(&self.before).all(|(a, b)| a == b);
        text.windows(self.before.len()).filter(equal).count()
    }
}

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn patch_paths() -> Vec<PathBuf> {
    let folder = crate_folder().join("tests/mutations");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "patch"))
        .collect();
    paths.sort();
    paths
}

fn check(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let patch = Patch::read(&text)?;
    if patch.what_and_why.split_whitespace().count() < 5 {
        return Err(format!("\"{}\" says too little", patch.what_and_why));
    }
    let removed: usize = patch.hunks.iter().map(|hunk| hunk.removed).sum();
    let added: usize = patch.hunks.iter().map(|hunk| hunk.added).sum();
    if removed.max(added) > CHANGED_LINES_MAX || removed + added == 0 {
        return Err(format!("takes out {removed} lines and puts in {added}"));
    }
    let changed = std::fs::read_to_string(crate_folder().join(&patch.file))
        .map_err(|error| format!("{}: {error}", patch.file))?;
    let lines: Vec<&str> = changed.lines().collect();
    for (number, hunk) in (1..).zip(&patch.hunks) {
        let places = hunk.places(&lines);
        if places != 1 {
            return Err(format!(
                "hunk {number} fits {} in {places} places; adapt it to the code as it is now",
                patch.file
            ));
        }
    }
    Ok(())
}

#[test]
fn every_deliberate_fault_still_fits_the_code_in_exactly_one_place() {
    let paths = patch_paths();
    assert!(paths.len() >= FAULTS_MIN, "only {} faults", paths.len());
    let misfits: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            check(path).err().map(|error| format!("{name}: {error}"))
        })
        .collect();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}

#[test]
fn a_patch_that_does_not_fit_or_says_nothing_is_found() {
    assert!(Patch::read("--- a/src/lib.rs\n+++ b/src/lib.rs\n").is_err());
    let patch = Patch::read("# What.\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n")
        .ok()
        .unwrap();
    let hunk = &patch.hunks[0];
    assert_eq!((hunk.removed, hunk.added), (1, 1));
    assert_eq!(hunk.places(&["zero", "one", "two", "three"]), 1);
    assert_eq!(hunk.places(&["one", "two", "four"]), 0);
    assert_eq!(hunk.places(&["one"]), 0);
}
