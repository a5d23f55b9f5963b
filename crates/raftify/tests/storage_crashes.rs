//! The WAL's real format on files that lose power, by the thousand: what is found afterwards is what
//! was acknowledged, with the batch in flight whole or not at all; and what rots is found out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use raftify::raft::eraftpb::{Entry, HardState};
use raftify::snapshot::SnapshotDescriptor;
use raftify::storage::files::{Files as _, SimFiles};
use raftify::storage::wal::WalReadOnly;
use raftify::storage::{
    Identity, LogReader, MemoryStorage, StableStorage, StorageError, StoredState, WalOptions,
    WalStorage, WriteBatch,
};

/// Small, so that the logs of a few batches have several segments, and segments are used again.
const OPTIONS: WalOptions = WalOptions {
    segment_bytes_initial: 4 << 10,
    segment_bytes_max: 8 << 10,
};

/// Numbers that a seed decides (SplitMix64).
struct Rng(u64);

impl Rng {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low + 1)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.draw().is_multiple_of(times)
    }
}

type Contents = (Option<Identity>, StoredState, Vec<Entry>);

fn contents(identity: Option<Identity>, reader: &impl LogReader) -> Contents {
    let state = reader.state().unwrap();
    let entries = reader.entries(state.first_index(), state.last_index + 1, u64::MAX);
    (identity, state, entries.unwrap())
}

fn write(storage: &mut impl StableStorage, batch: &WriteBatch) -> Result<(), StorageError> {
    storage.write(batch).now_or_never().unwrap()
}

/// A log, and beside it what it must hold.
struct Run {
    rng: Rng,
    files: SimFiles,
    storage: Option<WalStorage<SimFiles>>,
    model: MemoryStorage,
    batches: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let files = SimFiles::new(seed);
        let mut run = Self {
            rng: Rng(seed),
            storage: None,
            files,
            model: MemoryStorage::new(),
            batches: 0,
        };
        run.open();
        run
    }

    fn open(&mut self) {
        self.storage = None;
        self.files = self.files.reopen();
        self.storage = Some(WalStorage::open_on(self.files.clone(), OPTIONS).unwrap());
    }

    fn model(&self) -> Contents {
        contents(self.model.identity(), &self.model.reader())
    }

    /// A batch that fits the log.
    fn batch(&mut self) -> WriteBatch {
        let state = self.model.reader().state().unwrap();
        let rng = &mut self.rng;
        let term = state.hard_state.term.max(state.start_term) + u64::from(rng.one_in(4));
        let newest = state.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let mut batch = WriteBatch::default();
        let (mut start, mut last, mut newest) = (state.start_index, state.last_index, newest);
        if rng.one_in(25) {
            start = newest.max(last.saturating_sub(3)) + rng.between(0, 5);
            (last, newest) = (start, start);
            batch.install = Some(descriptor(start, term));
        }
        if !rng.one_in(4) {
            let back = if rng.one_in(4) { rng.between(0, 6) } else { 0 };
            let first = (last + 1).saturating_sub(back).max(start + 1);
            let count = rng.between(1, 6);
            batch.entries = (first..first + count)
                .map(|index| Entry {
                    term,
                    index,
                    data: payload(rng).into(),
                    ..Entry::default()
                })
                .collect();
            last = first + count - 1;
        }
        if rng.one_in(2) || batch == WriteBatch::default() {
            batch.hard_state = Some(HardState {
                term,
                vote: rng.between(0, 3),
                commit: rng.between(0, last),
            });
        }
        if rng.one_in(5) && newest.max(start) <= last {
            newest = rng.between(newest.max(start), last);
            batch.snapshot = Some(descriptor(newest, term));
        }
        if rng.one_in(5) {
            batch.compact_to = Some(rng.between(0, newest.min(last)));
        }
        if rng.one_in(10) {
            batch.system = Some(payload(rng).into());
        }
        batch
    }

    /// Writes a batch to both; takes images of the disk before every change that this makes of
    /// it.
    fn step(&mut self, images: &Arc<Mutex<Vec<SimFiles>>>) -> (Contents, Contents) {
        let before = self.model();
        let batch = self.batch();
        if write(&mut self.model, &batch).is_err() {
            return (before.clone(), before);
        }
        self.batches += 1;
        let (files, into, seed) = (self.files.clone(), Arc::clone(images), self.rng.draw());
        self.files.set_hook(Some(Arc::new(move |_| {
            let mut into = into.lock().unwrap();
            let number = into.len() as u64;
            into.push(files.crash_image(seed.wrapping_add(number)));
            Ok(())
        })));
        write(self.storage.as_mut().unwrap(), &batch).unwrap();
        self.files.set_hook(None);
        (before, self.model())
    }
}

fn descriptor(index: u64, term: u64) -> SnapshotDescriptor {
    SnapshotDescriptor {
        index,
        term,
        has_data: true,
        system: vec![7; 20].into(),
        ..SnapshotDescriptor::default()
    }
}

fn payload(rng: &mut Rng) -> Vec<u8> {
    let size = match rng.between(0, 9) {
        0 => 0,
        1 => rng.between(1_000, 3_000),
        _ => rng.between(1, 200),
    };
    let byte = rng.draw().to_le_bytes();
    byte.into_iter().cycle().take(size as usize).collect()
}

/// What a node finds on `files`, and that a tool finds the same.
fn found(files: &SimFiles) -> Result<Contents, StorageError> {
    let tool = WalReadOnly::open_on(files.clone());
    let storage = WalStorage::open_on(files.clone(), OPTIONS)?;
    let found = contents(storage.identity(), &storage.reader());
    // A directory in which nothing was ever finished is new for the node, and nothing for a tool.
    match tool {
        Ok(tool) => {
            tool.verify().unwrap();
            assert_eq!(contents(tool.identity().unwrap(), &tool.reader()), found);
        }
        Err(StorageError::Io { .. }) => assert_eq!(found.1, StoredState::default()),
        Err(error) => panic!("{error}"),
    }
    Ok(found)
}

#[test]
fn every_crash_leaves_what_was_acknowledged_and_the_batch_in_flight_whole_or_not() {
    let (mut opened, mut with, mut without, mut resumed) = (0_u64, 0_u64, 0_u64, 0_u64);
    for seed in 0..20 {
        let mut run = Run::new(seed);
        while run.batches < 60 {
            let images = Arc::default();
            let (before, after) = run.step(&images);
            let mut next = None;
            for image in images.lock().unwrap().drain(..) {
                let found = found(&image).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                let is_whole = found == after;
                assert!(
                    is_whole || found == before,
                    "seed {seed}, batch {}: {:?} is neither {:?} nor {:?}",
                    run.batches,
                    found.1,
                    before.1,
                    after.1
                );
                opened += 1;
                with += u64::from(is_whole);
                without += u64::from(!is_whole);
                if run.rng.one_in(40) {
                    next = Some((image, is_whole));
                }
            }
            assert_eq!(found(&run.files.crash_image(seed)).unwrap(), after);
            opened += 1;
            // Life goes on after a crash, on what that left.
            if let Some((image, is_whole)) = next
                && is_whole
            {
                resumed += 1;
                run.storage = None;
                run.files = image;
                run.open();
            }
        }
    }
    assert!(opened > 3_000, "{opened} images");
    assert!(
        with > 300 && without > 1_000,
        "{with} with, {without} without"
    );
    assert!(resumed > 10, "{resumed} runs went on");
}

#[test]
fn a_log_goes_on_after_any_number_of_crashes_in_the_middle_of_a_write() {
    let (mut crashes, mut kept) = (0_u64, 0_u64);
    for seed in 0..100 {
        let mut run = Run::new(seed);
        for _ in 0..60 {
            let batch = run.batch();
            let cut = run.rng.one_in(3);
            if cut {
                let changes = run.rng.between(0, 8);
                run.files.cut_power_after(changes);
            }
            let written = write(run.storage.as_mut().unwrap(), &batch);
            if !cut && matches!(written, Err(StorageError::BadBatch(_))) {
                continue;
            }
            if written.is_ok() {
                write(&mut run.model, &batch).unwrap();
            }
            if !cut {
                written.unwrap();
                continue;
            }
            crashes += 1;
            run.files.lose_power();
            run.open();
            let storage = run.storage.as_ref().unwrap();
            let found = contents(storage.identity(), &storage.reader());
            if found != run.model() {
                assert!(
                    written.is_err(),
                    "seed {seed}: an acknowledged batch is lost"
                );
                kept += 1;
                write(&mut run.model, &batch).unwrap();
                assert_eq!(found, run.model(), "seed {seed}");
            }
        }
    }
    assert!(
        crashes > 1_000 && kept > 100,
        "{crashes} crashes, {kept} kept"
    );
}

#[test]
fn a_killed_process_or_a_failed_sync_leaves_nothing_that_a_later_power_loss_takes() {
    use raftify::storage::files::sim::FileFault;
    let mut seen = 0_u64;
    for seed in 0..300 {
        let mut run = Run::new(seed);
        for _ in 0..run.rng.between(1, 20) {
            run.step(&Arc::default());
        }
        let batch = run.batch();
        if write(&mut run.model.reopen(), &WriteBatch::default()).is_err() || batch.is_empty() {
            continue;
        }
        let fault = match run.rng.between(0, 2) {
            0 => FileFault::Sync,
            1 => FileFault::SyncDir,
            _ => FileFault::Write,
        };
        run.files.fail_next(fault);
        let failed = write(run.storage.as_mut().unwrap(), &batch);
        run.files.heal();
        run.open();
        let storage = run.storage.as_ref().unwrap();
        let first = contents(storage.identity(), &storage.reader());
        seen += u64::from(failed.is_err() && first != run.model());
        run.files.lose_power();
        assert_eq!(found(&run.files.reopen()).unwrap(), first, "seed {seed}");
    }
    assert!(
        seen > 20,
        "{seen} batches were there after their sync failed"
    );
}

/// A log with its contents before and after its last batch.
fn rotten_log(seed: u64) -> (SimFiles, Contents, Contents) {
    let mut run = Run::new(seed);
    let owner = Identity {
        cluster_id: 1,
        group_id: 0,
        node_id: 2,
        incarnation: 3,
    };
    let first = WriteBatch::default();
    run.storage
        .as_mut()
        .unwrap()
        .initialize(owner, &first)
        .unwrap();
    run.model.initialize(owner, &first).unwrap();
    let mut states = (run.model(), run.model());
    while run.batches < 25 {
        states = run.step(&Arc::default());
    }
    run.storage = None;
    (run.files, states.0, states.1)
}

#[test]
fn a_flipped_bit_is_damage_that_is_named_or_costs_the_last_batch_and_never_lies() {
    let mut outcomes = BTreeMap::<&str, u64>::new();
    for seed in 0..40 {
        let (files, before, after) = rotten_log(seed);
        let mut rng = Rng(seed);
        let names = files.reopen().list().unwrap();
        for name in names {
            let bits = files.contents(&name).unwrap().len() as u64 * 8;
            // The header and the state after it, and anywhere.
            let anywhere: Vec<u64> = (0..60).map(|_| rng.between(0, bits - 1)).collect();
            let heads: Vec<u64> = (0..30).map(|_| rng.between(0, 150 * 8)).collect();
            for bit in anywhere.into_iter().chain(heads) {
                let rotten = files.crash_image(bit);
                rotten.flip_bit(&name, bit);
                let outcome = match found_rotten(&rotten) {
                    Ok(found) if found == after => "harmless",
                    Ok(found) => {
                        assert_eq!(found, before, "seed {seed}, {name}, bit {bit}");
                        "cut"
                    }
                    Err(StorageError::Damaged { path, reason }) => {
                        assert!(path.to_string_lossy().ends_with(".wal"), "{path:?}");
                        assert!(reason.starts_with("at offset "), "{reason}");
                        "damaged"
                    }
                    Err(error) => panic!("seed {seed}, {name}, bit {bit}: {error}"),
                };
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
    }
    assert!(outcomes["damaged"] > 2_000, "{outcomes:?}");
    assert!(
        outcomes["cut"] > 50 && outcomes["harmless"] > 500,
        "{outcomes:?}"
    );
}

fn found_rotten(files: &SimFiles) -> Result<Contents, StorageError> {
    let storage = WalStorage::open_on(files.clone(), OPTIONS)?;
    Ok(contents(storage.identity(), &storage.reader()))
}

#[test]
fn a_file_that_is_missing_short_or_in_anothers_place_is_damage() {
    let mut damaged = 0_u64;
    for seed in 0..40 {
        let (files, _, after) = rotten_log(seed);
        let mut rng = Rng(seed);
        let files = files.reopen();
        let names: Vec<String> = files.list().unwrap();
        let names: Vec<_> = names.iter().filter(|name| name.ends_with(".wal")).collect();
        for name in &names {
            let other = names[rng.between(0, names.len() as u64 - 1) as usize];
            let missing = files.crash_image(1);
            missing.remove(name).unwrap();
            let swapped = files.crash_image(1);
            if other != *name {
                swapped.rename(name, "between").unwrap();
                swapped.rename(other, name).unwrap();
                swapped.rename("between", other).unwrap();
            }
            let short = files.crash_image(1);
            let bytes = short.contents(name).unwrap();
            let kept = rng.between(0, bytes.len() as u64 - 1) as usize;
            let file = short.create(name).unwrap();
            raftify::storage::files::StoredFile::write_at(&file, 0, &bytes[..kept]).unwrap();
            for (what, rotten) in [("missing", missing), ("swapped", swapped), ("short", short)] {
                match found_rotten(&rotten) {
                    // Of a log of one file nothing is left that could miss it.
                    Ok(found) => assert!(
                        found == after || (what == "missing" && names.len() == 1),
                        "seed {seed}: {name} is {what}"
                    ),
                    Err(StorageError::Damaged { .. }) => damaged += 1,
                    Err(error) => panic!("seed {seed}: {name} is {what}: {error}"),
                }
            }
        }
    }
    assert!(damaged > 100, "{damaged}");
}
