//! The committed protobuf code is what the `.proto` file generates.
//!
//! `RAFT_REGENERATE=1 cargo test -p raftify-raft --test generated` rewrites it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

#[test]
fn committed_code_is_what_the_proto_file_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("proto/eraftpb.proto");
    let committed = root.join("src/eraftpb/generated.rs");
    let descriptors = protox::compile([&proto], [root.join("proto")]).expect("the proto parses");
    let out = std::env::temp_dir().join(format!("eraftpb-{}", std::process::id()));
    std::fs::create_dir_all(&out).unwrap();
    prost_build::Config::new()
        .out_dir(&out)
        .bytes(["."])
        .boxed(".eraftpb.Message.snapshot")
        .compile_fds(descriptors)
        .unwrap();
    let generated = std::fs::read_to_string(out.join("eraftpb.rs")).unwrap();
    std::fs::remove_dir_all(&out).ok();
    if std::env::var_os("RAFT_REGENERATE").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        found == generated,
        "src/eraftpb/generated.rs is stale: run with RAFT_REGENERATE=1 and commit the result"
    );
}
