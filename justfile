# `just` lists the recipes; each is a command that also works by itself.

# List the recipes.
default:
    @just --list

# All that a change must pass; edits no file.
ci *STEPS:
    .ci/run {{STEPS}}

# The main job: three durable nodes, a killed leader, no lost key.
demo *ARGS:
    cargo run --release --bin memstore-demo -- {{ARGS}}

# Real nodes, killed, stopped, cut off, on full and hung disks, while clients use them.
torture *ARGS:
    cargo run --release --bin memstore-torture -- {{ARGS}}

# Format everything.
fmt:
    cargo fmt --all

# Warnings are errors, in both combinations of features.
lint:
    .ci/run clippy clippy-slog

# All tests of the default members.
test *ARGS:
    cargo test {{ARGS}}

# The core's scripts; with a folder, those in it: just scripts ../shared/datadriven
scripts DIR="":
    {{ if DIR == "" { "" } else { "RAFT_SCRIPTS=" + DIR } }} cargo test -p raftify-raft script

# All that proves the core, but for what takes long.
core:
    .ci/run core

# All that proves the core: an hour or two.
core-everything:
    .ci/run core-everything

# The core beside raft 0.7.0: lock-step, mixed clusters, faults.
lockstep:
    .ci/run lockstep

# What an entry costs the core, beside raft 0.7.0.
cost *ARGS:
    cd crates/raft-lockstep && cargo run --locked --release --bin cost -- {{ARGS}}

# What logs and idle cores hold in memory, beside raft 0.7.0.
memory:
    cd crates/raft-lockstep && cargo run --locked --release --bin memory

# Write what the core prints into its own scripts; read the difference as you read code.
scripts-rewrite:
    RAFT_REWRITE=1 cargo test -p raftify-raft script
    git diff --stat -- crates/raft/tests/scripts

# Every history of a small cluster, so many actions deeper than in the tests.
explore DEEPER="2":
    RAFT_EXPLORE_DEEPER={{DEEPER}} cargo test --release -p raftify-raft --test explore

# Deliberate faults in the core, and which suite notices each.
mutations *NAMES:
    crates/raft/tests/mutations/run {{NAMES}}

# Everything measured, raftify's and its peers', into benchmarks/results/NAME.*; see benchmarks/README.md.
bench NAME *ARGS:
    benchmarks/run {{NAME}} {{ARGS}}

# The documentation, without warnings.
doc:
    .ci/run doc

# Licences, advisories, duplicates and sources of all dependencies (needs cargo-deny).
deny:
    cargo deny check
