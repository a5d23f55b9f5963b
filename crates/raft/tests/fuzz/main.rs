//! The fuzz targets on the stable toolchain: the saved corpus, and some thousand inputs that chance
//! makes of it, the same in every run.
//!
//! `RAFT_FUZZ_INPUTS=1000000 cargo test --release -p raftify-raft --test fuzz` makes more of them. An
//! input that fails is written into the folder of `CARGO_TARGET_TMPDIR`; put it into
//! `crates/raft/fuzz/corpus/TARGET/` together with the fix.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../random_histories/rng.rs"]
mod rng;
mod targets;

use std::panic::catch_unwind;
use std::path::Path;

use rng::Rng;

/// Inputs that chance makes in every run.
const INPUTS_USUAL: usize = 4_000;
/// The longest input that chance makes from nothing.
const BYTES_MAX: usize = 400;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no corpus for {target}");
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// A new input: from nothing, or from one of the corpus with some bytes changed, cut or repeated.
fn input(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    if rng.chance(30) {
        let count = rng.below(BYTES_MAX);
        return (0..count).map(|_| rng.next() as u8).collect();
    }
    let mut bytes = corpus[rng.below(corpus.len())].clone();
    for _ in 0..=rng.below(6) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len());
        match rng.below(5) {
            0 => bytes[at] = rng.next() as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.next() as u8),
            _ => {
                let repeated = bytes[at..].to_vec();
                bytes.extend(repeated);
            }
        }
    }
    bytes
}

fn run(target: &str, function: fn(&[u8])) {
    let corpus = corpus(target);
    for bytes in &corpus {
        function(bytes);
    }
    let count =
        std::env::var("RAFT_FUZZ_INPUTS").map_or(INPUTS_USUAL, |text| text.parse().unwrap());
    let mut rng = Rng::new(7);
    for number in 0..count {
        let bytes = input(&mut rng, &corpus);
        if let Err(failure) = catch_unwind(|| function(&bytes)) {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-{number}"));
            std::fs::write(&path, &bytes).unwrap();
            eprintln!("input {number} fails; it is in {}", path.display());
            std::panic::resume_unwind(failure);
        }
    }
}

#[test]
fn no_bytes_break_the_decoding_of_messages() {
    run("decode_messages", targets::decode_messages);
}

#[test]
fn no_sequence_of_calls_and_messages_panics_or_breaks_what_a_node_promises() {
    run("drive_a_node", targets::drive_a_node);
}

#[test]
fn no_sequence_of_changes_leaves_a_configuration_that_contradicts_itself() {
    run("change_configurations", targets::change_configurations);
}

#[test]
fn no_text_breaks_the_reader_of_scripts() {
    run("parse_scripts", targets::parse_scripts);
}
