//! Runs or rewrites every script of a folder.

use std::path::{Path, PathBuf};

use super::{Directive, Script};

/// The variable that names a folder of scripts to run in place of the project's own.
const SCRIPTS_VARIABLE: &str = "RAFT_SCRIPTS";
/// The variable that makes the runner write what it saw into the project's own scripts.
const REWRITE_VARIABLE: &str = "RAFT_REWRITE";

/// The folder of scripts to run: a sub-folder of what `RAFT_SCRIPTS` names (which may be missing),
/// or of the project's own.
fn folder(kind: &str) -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    foreign_root().unwrap_or_else(own).join(kind)
}

/// What `RAFT_SCRIPTS` names. Tests run in the folder of their package, the command that starts
/// them usually at the root of the workspace: a relative path may mean either.
fn foreign_root() -> Option<PathBuf> {
    let root = PathBuf::from(std::env::var_os(SCRIPTS_VARIABLE)?);
    let from_workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(&root);
    Some(if !root.is_dir() && from_workspace.is_dir() {
        from_workspace
    } else {
        root
    })
}

fn script_paths(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let describe = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(describe)? {
        let path = entry.map_err(describe)?.path();
        if path.is_dir() {
            paths.extend(script_paths(&path)?);
        } else if path.extension().is_none_or(|extension| extension == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Runs every script of the folder of this kind, each with a fresh handler, or rewrites the
/// project's own ones when `RAFT_REWRITE=1` is set.
///
/// # Panics
///
/// With the first difference of every script that differs. Also when `RAFT_SCRIPTS` names no
/// folder, or the project has no script of this kind: nothing that was asked for is skipped.
pub(crate) fn run_folder<H>(kind: &str, mut new_handler: impl FnMut() -> H)
where
    H: FnMut(&Directive) -> String,
{
    let folder = folder(kind);
    let foreign = std::env::var_os(SCRIPTS_VARIABLE);
    if let Some(root) = &foreign {
        assert!(
            foreign_root().is_some_and(|root| root.is_dir()),
            "{SCRIPTS_VARIABLE}: no folder {}",
            root.display()
        );
        if !folder.is_dir() {
            println!("{}: no such folder, nothing to run", folder.display());
            return;
        }
    }
    let paths = script_paths(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(!paths.is_empty(), "{}: no scripts", folder.display());
    let rewrite = foreign.is_none() && std::env::var_os(REWRITE_VARIABLE).is_some_and(|v| v == "1");
    let mut failures = Vec::new();
    for path in &paths {
        let mut handler = new_handler();
        let result = Script::read(path).and_then(|script| {
            if rewrite {
                let text = script.rewritten(&mut handler);
                std::fs::write(path, text)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                return Ok(0);
            }
            script.run(&mut handler)
        });
        match result {
            Ok(count) => println!("{}: {count} commands", path.display()),
            Err(failure) => failures.push(failure),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} scripts differ\n\n{}",
        failures.len(),
        paths.len(),
        failures.join("\n\n")
    );
}
