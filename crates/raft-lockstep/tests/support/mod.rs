//! Seeds, and what is said when one fails.
#![allow(dead_code)]

use std::ops::Range;

/// The usual seeds, or those of `LOCKSTEP_SEEDS=FROM..TO`.
pub(crate) fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("LOCKSTEP_SEEDS") else {
        return usual;
    };
    let (from, to) = text.split_once("..").expect("LOCKSTEP_SEEDS=FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// Says how to run a seed again, if the test ends in a panic while it lives.
pub(crate) struct Replay {
    file: &'static str,
    test: String,
    seed: u64,
}

impl Replay {
    /// While this lives, `seed` runs.
    pub(crate) fn new(file: &'static str, test: &str, seed: u64) -> Self {
        Self {
            file,
            test: test.to_owned(),
            seed,
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { file, test, seed } = self;
            eprintln!(
                "seed {seed} failed; again: LOCKSTEP_SEEDS={seed}..{} cargo test --test {file} {test}",
                *seed + 1
            );
        }
    }
}
