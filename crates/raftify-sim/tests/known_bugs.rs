//! The known bugs in `known-bugs/` still fit the code.
//!
//! `known-bugs/run` puts each of them into a copy of the crates and shows with which seed it is
//! found; that takes long. Here only their texts are compared with the files that they change, so
//! that whoever changes such a place hears of it at once and adapts the patch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use raftify_sim::reduction::Reduction;

/// The least number of bugs that the simulator must find.
const BUGS_MIN: usize = 15;
/// A bug is a slip, not a redesign.
const CHANGED_LINES_MAX: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("known-bugs")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names with the number of seeds within which each must be found, and what these seeds have.
fn list() -> Vec<(String, u64, Reduction)> {
    let text = fs::read_to_string(folder().join("within")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let name = words.next().expect("a name").to_owned();
            let seeds = words.next().and_then(|seeds| seeds.parse().ok());
            let options = words.next().unwrap_or_default().parse();
            (name, seeds.expect("a number of seeds"), options.unwrap())
        })
        .collect()
}

/// Checks a patch of one file, with a comment as its first line and one hunk.
fn check(text: &str) -> Result<(), String> {
    let mut lines = text.lines();
    let what = lines.next().and_then(|line| line.strip_prefix("# "));
    if what.is_none_or(|what| what.split_whitespace().count() < 5) {
        return Err("the first line must say what and why".into());
    }
    let file = lines
        .next()
        .and_then(|line| line.strip_prefix("--- a/"))
        .ok_or("the second line must be \"--- a/FILE\"")?;
    let body: Vec<&str> = lines
        .skip_while(|line| !line.starts_with("@@ "))
        .skip(1)
        .collect();
    let marked = |mark: char| body.iter().filter(|line| line.starts_with(mark)).count();
    let changed = marked('-').max(marked('+'));
    if changed == 0 || changed > CHANGED_LINES_MAX {
        return Err(format!("{changed} lines change"));
    }
    let before: Vec<&str> = body
        .iter()
        .filter(|line| !line.starts_with('+'))
        .map(|line| line.get(1..).unwrap_or_default())
        .collect();
    let code = fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))?;
    let code: Vec<&str> = code.lines().collect();
    match code
        .windows(before.len())
        .filter(|at| *at == before)
        .count()
    {
        1 => Ok(()),
        places => Err(format!(
            "it fits {file} in {places} places; adapt it to the code as it is now"
        )),
    }
}

#[test]
fn every_known_bug_still_fits_the_code_in_exactly_one_place() {
    let mut misfits = Vec::new();
    let mut own = BTreeSet::new();
    for (name, seeds, with) in list() {
        assert!(seeds > 0, "{name}");
        let nothing_else = Reduction {
            with: with.with.clone(),
            ..Reduction::default()
        };
        assert_eq!(with, nothing_else, "{name}: only more faults");
        if let Some(of_the_core) = name.strip_prefix("raft/") {
            // Its own test holds it against the code.
            let path = format!("crates/raft/tests/mutations/{of_the_core}.patch");
            assert!(root().join(path).exists(), "{name}");
            continue;
        }
        let text = fs::read_to_string(folder().join(format!("{name}.patch"))).unwrap();
        misfits.extend(check(&text).err().map(|error| format!("{name}: {error}")));
        own.insert(format!("{name}.patch"));
    }
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
    assert!(list().len() >= BUGS_MIN, "only {} bugs", list().len());
    let there: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".patch"))
        .collect();
    assert_eq!(there, own, "patches, and names in the list");
}

#[test]
fn a_patch_that_does_not_fit_or_says_nothing_is_found() {
    assert!(check("--- a/Cargo.toml\n").is_err());
    let patch = |line: &str| {
        format!(
            "# What it does and why.\n--- a/Cargo.toml\n+++ b/Cargo.toml\n@@ -1 +1 @@\n-{line}\n+x\n"
        )
    };
    assert_eq!(check(&patch("[workspace]")), Ok(()));
    assert!(check(&patch("[no such line]")).is_err());
    assert!(check(&patch("")).is_err());
}
