//! Runs the interaction scripts: whole clusters of the core, driven command by command.
//!
//! `RAFT_SCRIPTS=DIR cargo test -p raftify-raft script` runs the scripts under `DIR/interaction`
//! in place of the project's own; `RAFT_REWRITE=1` writes what was seen into the project's own.
//! The commands are listed in `tests/scripts/README.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/datadriven.rs"]
mod datadriven;

mod add_nodes;
mod arguments;
mod commands;
mod environment;
mod extra;
mod messages;
mod node;
mod output;
mod ready;
mod show;
mod storage;

use environment::Environment;

#[test]
fn every_interaction_script_prints_what_it_expects() {
    datadriven::run_folder("interaction", || {
        let mut environment = Environment::new();
        move |directive: &datadriven::Directive| environment.handle(directive)
    });
}
