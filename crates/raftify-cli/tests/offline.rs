//! The offline commands, as an operator runs them, beside the node that owns the directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use raftify::raft::eraftpb::{Entry, HardState};
use raftify::storage::{
    Identity, LocalOptions, LocalStorage, StableStorage, StorageKind, WriteBatch,
};
use serde_json::Value;

const IDENTITY: Identity = Identity {
    cluster_id: 0xc0ffee,
    group_id: 0,
    node_id: 2,
    incarnation: 0xabc,
};

/// The exit code, standard output and standard error of `raftify`.
fn raftify(arguments: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_raftify"))
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn json(arguments: &[&str], dir: &Path) -> Value {
    let (code, stdout, stderr) = raftify(arguments, dir);
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

const KINDS: [StorageKind; 2] = [StorageKind::Wal, StorageKind::Lmdb];

/// The file that holds the log.
fn file_of(kind: StorageKind) -> &'static str {
    match kind {
        StorageKind::Wal => "node/wal/0000000000000001.wal",
        StorageKind::Lmdb => "node/data.mdb",
    }
}

/// A store with `count` entries, open as a node has it.
fn store(dir: &Path, kind_of_new: StorageKind, count: u64) -> LocalStorage {
    let options = LocalOptions {
        kind_of_new,
        ..LocalOptions::default()
    };
    let mut store = LocalStorage::open(dir.join("node"), options).unwrap();
    store.initialize(IDENTITY, &WriteBatch::default()).unwrap();
    let entries = (1..=count)
        .map(|index| Entry {
            index,
            term: 1 + index / 10,
            data: format!("entry-{index}").into(),
            ..Entry::default()
        })
        .collect();
    let batch = WriteBatch {
        entries,
        hard_state: Some(HardState {
            term: 9,
            vote: 3,
            commit: count / 2,
        }),
        ..WriteBatch::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(store.write(&batch)).unwrap();
    store
}

fn indexes(listing: &Value) -> Vec<u64> {
    let rows = listing.as_array().unwrap().iter();
    rows.map(|row| row["index"].as_u64().unwrap()).collect()
}

#[test]
fn entries_are_listed_beside_the_node_that_owns_them() {
    KINDS.into_iter().for_each(list_entries);
}

fn list_entries(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    let _node = store(dir.path(), kind, 250);
    let (code, stdout, stderr) = raftify(&["describe", "logs", "node"], dir.path());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("entry-1 "), "{stdout}");
    assert!(stdout.contains("100 of the entries 1 to 250"), "{stdout}");

    let logs = ["describe", "logs", "node", "--json"];
    let list = |more: &[&str]| json(&[&logs[..], more].concat(), dir.path());
    let listing = list(&["--from", "249"]);
    assert_eq!(indexes(&listing), [249, 250]);
    assert_eq!(listing[0]["content"], "entry-249");
    assert_eq!(listing[0]["term"], 25);
    assert_eq!(
        indexes(&list(&["--from", "3", "--to", "9", "--limit", "2"])),
        [3, 4]
    );
    assert_eq!(indexes(&list(&["--last", "2"])), [249, 250]);
    assert_eq!(indexes(&list(&["--limit", "0"])).len(), 250);
}

#[test]
fn metadata_names_the_owner_and_the_state() {
    KINDS.into_iter().for_each(show_metadata);
}

fn show_metadata(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    let _node = store(dir.path(), kind, 20);
    let metadata = json(&["describe", "metadata", "node", "--json"], dir.path());
    assert_eq!(metadata["storage"], kind.name());
    assert_eq!(metadata["node_id"], 2);
    assert_eq!(metadata["cluster_id"], "0000000000c0ffee");
    assert_eq!(metadata["term"], 9);
    assert_eq!(metadata["vote"], 3);
    assert_eq!(metadata["commit_index"], 10);
    assert_eq!(metadata["last_index"], 20);
    let (code, stdout, _) = raftify(&["describe", "metadata", "node"], dir.path());
    assert_eq!(code, Some(0));
    assert!(stdout.contains("0000000000c0ffee"), "{stdout}");
}

#[test]
fn looking_changes_nothing_and_works_when_no_node_runs() {
    KINDS.into_iter().for_each(look);
}

fn look(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    drop(store(dir.path(), kind, 5));
    let before = std::fs::read(dir.path().join(file_of(kind))).unwrap();
    let listing = json(&["describe", "logs", "node", "--json"], dir.path());
    assert_eq!(indexes(&listing), [1, 2, 3, 4, 5]);
    assert_eq!(
        std::fs::read(dir.path().join(file_of(kind))).unwrap(),
        before
    );
    drop(store(dir.path(), kind, 0));
}

#[test]
fn what_cannot_be_shown_is_an_error_with_exit_code_1() {
    KINDS.into_iter().for_each(show_what_cannot_be_shown);
}

fn show_what_cannot_be_shown(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    let node = store(dir.path(), kind, 5);
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for (arguments, words) in [
        (&["describe", "logs", "absent"][..], "absent"),
        (&["describe", "logs", "empty"], "empty"),
        (&["describe", "metadata", "file"], "file"),
        (
            &["describe", "logs", "node", "--from", "6"],
            "the log holds the indexes 1 to 5",
        ),
    ] {
        let (code, _, stderr) = raftify(arguments, dir.path());
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
        assert!(
            stderr.starts_with("raftify: ") && stderr.contains(words),
            "{stderr}"
        );
        assert!(!dir.path().join("absent").exists());
        assert!(
            std::fs::read_dir(dir.path().join("empty"))
                .unwrap()
                .next()
                .is_none()
        );
    }
    drop(node);
    // Bytes in the middle of the file, where entries lie.
    let file = dir.path().join(file_of(kind));
    let mut bytes = std::fs::read(&file).unwrap();
    let from = match kind {
        StorageKind::Wal => 48,
        StorageKind::Lmdb => 8192,
    };
    for byte in &mut bytes[from..] {
        *byte ^= 0x5a;
    }
    std::fs::write(&file, bytes).unwrap();
    let (code, _, stderr) = raftify(&["describe", "logs", "node"], dir.path());
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("damaged"), "{stderr}");
}

#[test]
fn a_directory_is_converted_when_no_node_runs_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = store(dir.path(), StorageKind::Lmdb, 30);
    let convert = |to| raftify(&["convert", "node", "--to", to], dir.path());
    let (code, _, stderr) = convert("wal");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("in use"), "{stderr}");
    drop(node);
    for (to, words) in [
        ("lmdb", "already"),
        ("wal", "from lmdb to wal: 30 entries"),
        ("wal", "already"),
        ("lmdb", "from wal to lmdb: 30 entries"),
    ] {
        let (code, stdout, stderr) = convert(to);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains(words), "{stdout}");
        let metadata = json(&["describe", "metadata", "node", "--json"], dir.path());
        assert_eq!(metadata["storage"], to);
        let listing = json(&["describe", "logs", "node", "--json"], dir.path());
        assert_eq!(indexes(&listing).len(), 30);
    }
}

#[test]
fn wrong_arguments_have_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["describe", "logs"][..],
        &["describe", "logs", "node", "--from", "x"],
        &["transfer-leader", "a:1", "0"],
        &["convert", "node"],
        &["convert", "node", "--to", "rocksdb"],
        &["unknown"],
    ] {
        assert_eq!(raftify(arguments, dir.path()).0, Some(2), "{arguments:?}");
    }
}
