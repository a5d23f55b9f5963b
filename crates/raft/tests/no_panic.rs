//! The lints that keep panics out of the core are on, and nothing in it is exempt from them.
//!
//! The lints themselves run with `.ci/run clippy`, where a warning is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// Denied for the whole workspace, in its Cargo.toml.
const OF_THE_WORKSPACE: [&str; 5] = [
    "unwrap_used",
    "expect_used",
    "panic",
    "todo",
    "unimplemented",
];
/// Denied for the core in its lib.rs.
const OF_THE_CORE: [&str; 4] = [
    "indexing_slicing",
    "unreachable",
    "string_slice",
    "get_unwrap",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files that are no tests, with the parts before their unit tests, without comments.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name.ends_with("tests") || name.ends_with("_model") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = read(&path);
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            sources.push((path, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(sources.len() > 40, "{}", sources.len());
    sources
}

#[test]
fn the_lints_against_panics_are_on_and_unsafe_code_is_forbidden() {
    let lib = read(&root().join("src/lib.rs"));
    assert!(lib.contains("#![forbid(unsafe_code)]"));
    for lint in OF_THE_CORE {
        assert!(lib.contains(&format!("clippy::{lint}")), "{lint}");
    }
    let manifest = read(&root().join("Cargo.toml"));
    assert!(manifest.contains("[lints]\nworkspace = true"));
    // The copy of the crate that the deliberate faults are put into has the same one.
    let workspace = read(&root().join("../../Cargo.toml"));
    for lint in OF_THE_WORKSPACE {
        assert!(
            workspace.contains(&format!("\n{lint} = \"deny\"")),
            "{lint}"
        );
    }
}

#[test]
fn nothing_in_the_core_is_exempt_from_the_lints_against_panics() {
    for (path, code) in sources() {
        for lint in OF_THE_WORKSPACE.iter().chain(&OF_THE_CORE) {
            for exemption in ["allow", "expect", "warn"] {
                let exempt = code.contains(&format!("{exemption}(clippy::{lint}"));
                assert!(!exempt, "{}: {exemption} {lint}", path.display());
            }
        }
        // Macros that panic and that no lint finds.
        for panicking in ["assert!(", "assert_eq!(", "assert_ne!("] {
            assert!(!code.contains(panicking), "{}: {panicking}", path.display());
        }
    }
}

#[test]
fn every_broken_invariant_is_reported_with_its_values() {
    let mut reports = 0;
    for (path, code) in sources() {
        for report in code.split("Error::fatal(").skip(1) {
            let text = report.split(';').next().unwrap_or_default();
            assert!(
                text.starts_with("format!") && text.contains('{'),
                "{}: {text}",
                path.display()
            );
            reports += 1;
        }
    }
    assert!(reports > 30, "{reports}");
}
