//! The committed service code is what the `.proto` file generates.
//!
//! `RAFT_REGENERATE=1 cargo test -p raftify --test generated` rewrites it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

#[test]
fn committed_code_is_what_the_proto_file_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("proto/raft_service.proto");
    let committed = root.join("src/transport/grpc/proto/generated.rs");
    let includes = [root.join("proto"), root.join("../raft/proto")];
    let descriptors = protox::compile([&proto], includes).expect("the proto parses");
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .bytes(".")
        .extern_path(".eraftpb", "::raft::eraftpb")
        .codec_path("crate::transport::grpc::codec::FrameCodec")
        .compile_fds(descriptors)
        .unwrap();
    let generated = std::fs::read_to_string(out.path().join("raftify.v1.rs")).unwrap();
    if std::env::var_os("RAFT_REGENERATE").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        found == generated,
        "src/transport/grpc/proto/generated.rs is stale: run with RAFT_REGENERATE=1 and commit \
         the result"
    );
}
