//! The WAL: its segments, what it asks of the disk, and what it says of a damaged one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use raftify::raft::eraftpb::{Entry, HardState};
use raftify::snapshot::SnapshotDescriptor;
use raftify::storage::files::sim::FileOperation;
use raftify::storage::files::{FileAccess, Files as _, SimFiles, StoredFile as _};
use raftify::storage::wal::WalReadOnly;
use raftify::storage::{
    LogReader as _, StableStorage as _, StorageError, WalOptions, WalStorage, WriteBatch,
};

const TINY: WalOptions = WalOptions {
    segment_bytes_initial: 4 << 10,
    segment_bytes_max: 4 << 10,
};

type SimWal = WalStorage<SimFiles>;

fn open(files: &SimFiles) -> Result<SimWal, StorageError> {
    WalStorage::open_on(files.reopen(), TINY)
}

fn write(storage: &mut SimWal, batch: &WriteBatch) -> Result<(), StorageError> {
    storage.write(batch).now_or_never().unwrap()
}

fn append(first: u64, last: u64, payload_bytes: usize) -> WriteBatch {
    let entries = (first..=last).map(|index| Entry {
        index,
        term: 1,
        data: vec![index as u8; payload_bytes].into(),
        ..Entry::default()
    });
    WriteBatch {
        entries: entries.collect(),
        ..WriteBatch::default()
    }
}

/// Compaction to `index`, with the snapshot that allows it.
fn compact(index: u64) -> WriteBatch {
    WriteBatch {
        snapshot: Some(SnapshotDescriptor {
            index,
            term: 1,
            ..SnapshotDescriptor::default()
        }),
        compact_to: Some(index),
        ..WriteBatch::default()
    }
}

fn segments(files: &SimFiles) -> Vec<String> {
    let mut names = files.reopen().list().unwrap();
    names.retain(|name| name.ends_with(".wal"));
    names.sort();
    names
}

/// A log of entries 1 to `count` of 500 bytes, one batch each: six or seven to a segment.
fn filled(count: u64) -> SimFiles {
    let files = SimFiles::new(count);
    let mut storage = open(&files).unwrap();
    for index in 1..=count {
        write(&mut storage, &append(index, index, 500)).unwrap();
    }
    files
}

fn damage(files: &SimFiles) -> String {
    let error = open(files).map(|_| ()).unwrap_err();
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let files = SimFiles::new(1);
    let mut storage = WalStorage::open_on(files.clone(), WalOptions::default()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    files.set_hook(Some(Arc::new(move |operation| {
        log.lock().unwrap().push(operation);
        Ok(())
    })));
    for batch in [append(1, 1, 64), append(2, 257, 64), compact(100)] {
        write(&mut storage, &batch).unwrap();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(
            matches!(seen[..], [FileOperation::Write { .. }, FileOperation::Sync]),
            "{seen:?}"
        );
    }
    // What would change nothing is not written.
    let before_start = WriteBatch {
        compact_to: Some(50),
        ..WriteBatch::default()
    };
    write(&mut storage, &before_start).unwrap();
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn segments_grow_to_their_limit_and_a_larger_batch_has_one_of_its_own() {
    let files = SimFiles::new(1);
    let options = WalOptions {
        segment_bytes_initial: 4 << 10,
        segment_bytes_max: 16 << 10,
    };
    let mut storage = WalStorage::open_on(files.clone(), options).unwrap();
    for index in 1..=80 {
        write(&mut storage, &append(index, index, 500)).unwrap();
    }
    write(&mut storage, &append(81, 90, 5_000)).unwrap();
    write(&mut storage, &append(91, 91, 10)).unwrap();
    drop(storage);
    let sizes: Vec<_> = segments(&files)
        .iter()
        .map(|name| files.contents(name).unwrap().len() >> 10)
        .collect();
    assert_eq!(&sizes[..5], [4, 4, 8, 16, 16]);
    assert!(sizes.iter().any(|size| *size >= 49), "{sizes:?}");
    let storage = WalStorage::open_on(files.reopen(), options).unwrap();
    assert_eq!(storage.reader().entries(1, 92, u64::MAX).unwrap().len(), 91);
}

#[test]
fn compaction_gives_whole_segments_back_and_uses_one_again() {
    let files = SimFiles::new(1);
    let mut storage = WalStorage::open_on(files.clone(), TINY).unwrap();
    for index in 1..=300 {
        let batch = WriteBatch {
            compact_to: (index > 10).then(|| index - 10),
            snapshot: (index > 10).then(|| SnapshotDescriptor {
                index: index - 10,
                term: 1,
                ..SnapshotDescriptor::default()
            }),
            ..append(index, index, 500)
        };
        write(&mut storage, &batch).unwrap();
        let names = files.list().unwrap();
        assert!(names.len() <= 9, "{names:?}");
    }
    drop(storage);
    let names = segments(&files);
    assert!(names[0].as_str() > "000000000000001e.wal", "{names:?}");
    let storage = open(&files).unwrap();
    let reader = storage.reader();
    assert_eq!(reader.entries(291, 301, u64::MAX).unwrap().len(), 10);
    assert_eq!(reader.term(290).unwrap(), 1);
}

#[test]
fn what_a_reader_reads_is_not_used_again_under_it() {
    let files = filled(40);
    let mut storage = open(&files).unwrap();
    let reader = storage.reader();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let reading = std::thread::spawn(move || {
        let mut read = 0_u64;
        while !stopped.load(Ordering::Acquire) {
            let state = reader.state().unwrap();
            match reader.entries(state.first_index(), state.last_index + 1, u64::MAX) {
                Ok(entries) => {
                    let first = entries.first().map_or(0, |entry| entry.index);
                    for (index, entry) in (first..).zip(entries) {
                        assert_eq!((entry.index, entry.data[0]), (index, index as u8));
                        read += 1;
                    }
                }
                Err(StorageError::Compacted { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        read
    });
    for index in 41..=1_000 {
        write(&mut storage, &append(index, index, 500)).unwrap();
        write(&mut storage, &compact(index - 30)).unwrap();
    }
    stop.store(true, Ordering::Release);
    assert!(reading.join().unwrap() > 0);
}

#[test]
fn a_torn_last_batch_is_cut_and_the_log_goes_on() {
    let files = filled(20);
    let last = segments(&files).pop().unwrap();
    let bytes = files.contents(&last).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    files.flip_bit(&last, (end as u64 - 100) * 8);
    let mut storage = open(&files).unwrap();
    assert_eq!(storage.reader().state().unwrap().last_index, 19);
    write(&mut storage, &append(20, 22, 90)).unwrap();
    drop(storage);
    let storage = open(&files).unwrap();
    let entries = storage.reader().entries(20, 23, u64::MAX).unwrap();
    assert!(entries.iter().all(|entry| entry.data.len() == 90));
}

#[test]
fn damage_before_the_last_batch_names_its_segment_and_its_offset() {
    let files = filled(20);
    let names = segments(&files);
    assert!(names.len() >= 3, "{names:?}");
    for name in &names {
        let image = files.crash_image(1);
        // In the first entry of the segment: others follow it.
        image.flip_bit(name, 300 * 8);
        let error = damage(&image);
        assert!(error.contains(name.as_str()), "{error}");
        assert!(error.contains("at offset "), "{error}");
    }
    let last = names.last().unwrap();
    let image = files.crash_image(1);
    image.flip_bit(last, 300 * 8);
    assert!(damage(&image).contains("a later batch lies at"));
    let image = files.crash_image(1);
    image.flip_bit(last, 20 * 8);
    assert!(damage(&image).contains("at offset 0: the header"));
}

#[test]
fn a_missing_segment_is_noticed_wherever_it_was() {
    let files = filled(30);
    let names = segments(&files);
    for (position, name) in names.iter().enumerate() {
        let image = files.crash_image(1).reopen();
        image.remove(name).unwrap();
        let error = damage(&image);
        let expected = if position + 1 == names.len() {
            format!("{name} should follow and is missing")
        } else {
            "of the entries 1 to 30, only those from".into()
        };
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_newer_format_is_not_touched() {
    let files = filled(3);
    let name = segments(&files).pop().unwrap();
    let files = files.reopen();
    let mut header = files.contents(&name).unwrap()[..48].to_vec();
    header[8] = 2;
    let crc = crc32c::crc32c(&header[..44]);
    header[44..].copy_from_slice(&crc.to_le_bytes());
    let file = files.open(&name, FileAccess::Write).unwrap();
    file.write_at(0, &header).unwrap();
    let error = open(&files).map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            StorageError::FormatVersion {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_size_on_disk_is_never_trusted_with_memory() {
    // Lengths are covered by a checksum of their own; this is one that is right, and absurd.
    let files = filled(3).reopen();
    let name = segments(&files).pop().unwrap();
    let files = files.reopen();
    let file = files.open(&name, FileAccess::Write).unwrap();
    let bytes = files.contents(&name).unwrap();
    let salt = &bytes[24..32];
    let mut head = bytes[48..64].to_vec();
    head[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut checked = salt.to_vec();
    checked.extend_from_slice(&48_u64.to_le_bytes());
    checked.extend_from_slice(&head[..12]);
    head[12..].copy_from_slice(&crc32c::crc32c(&checked).to_le_bytes());
    file.write_at(48, &head).unwrap();
    let error = damage(&files);
    assert!(error.contains("passes the segment's end"), "{error}");
}

#[test]
fn one_process_owns_the_files_and_tools_read_beside_it() {
    let files = SimFiles::new(5);
    let nothing = WalReadOnly::open_on(files.clone()).unwrap_err();
    assert!(matches!(nothing, StorageError::Io { .. }), "{nothing}");
    let mut storage = WalStorage::open_on(files.clone(), TINY).unwrap();
    let second = WalStorage::open_on(files.clone(), TINY).unwrap_err();
    assert!(matches!(second, StorageError::InUse { .. }), "{second}");
    let tool = WalReadOnly::open_on(files.clone()).unwrap();
    let reader = tool.reader();
    for index in 1..=200 {
        write(&mut storage, &append(index, index, 500)).unwrap();
        assert_eq!(reader.state().unwrap().last_index, index);
        let newest = reader.entries(index, index + 1, u64::MAX).unwrap();
        assert_eq!(newest[0].data[0], index as u8);
        if index % 40 == 0 {
            write(&mut storage, &compact(index - 7)).unwrap();
            assert_eq!(reader.state().unwrap().start_index, index - 7);
            assert_eq!(reader.term(index - 7).unwrap(), 1);
        }
    }
    tool.verify().unwrap();
    let usage = tool.usage().unwrap();
    assert_eq!(usage.reserved_bytes, usage.used_bytes + usage.free_bytes);
    drop(storage);
    assert_eq!(tool.reader().state().unwrap().last_index, 200);
    let storage = open(&files).unwrap();
    let reader = storage.reader();
    drop(storage);
    let closed = reader.state();
    assert!(
        matches!(closed, Err(StorageError::Closed { .. })),
        "{closed:?}"
    );
}

#[test]
fn readers_see_a_batch_when_its_sync_has_ended_and_not_before() {
    let files = SimFiles::new(5);
    let mut storage = WalStorage::open_on(files.clone(), TINY).unwrap();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    files.set_sync_gate(Some(Arc::new(move || {
        let gate = Arc::clone(&gate);
        Box::pin(std::future::poll_fn(move |_| {
            if gate.load(Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    })));
    let reader = storage.reader();
    let batch = append(1, 3, 10);
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut writing = pin!(storage.write(&batch));
        assert!(writing.as_mut().poll(&mut context).is_pending());
        assert_eq!(reader.state().unwrap().last_index, 0);
        open.store(true, Ordering::Release);
        assert!(writing.as_mut().poll(&mut context).is_ready());
        assert_eq!(reader.state().unwrap().last_index, 3);
    }
    // Of a write that nobody waits for, nobody knows what became.
    open.store(false, Ordering::Release);
    let batch = append(4, 5, 10);
    assert!(pin!(storage.write(&batch)).poll(&mut context).is_pending());
    let refused = write(&mut storage, &batch).unwrap_err();
    assert!(matches!(refused, StorageError::Poisoned(_)), "{refused}");
}

#[test]
fn a_full_disk_is_an_error_and_the_log_goes_on_when_there_is_room() {
    let files = SimFiles::new(9);
    let mut storage = WalStorage::open_on(files.clone(), TINY).unwrap();
    files.set_capacity(Some(20_000));
    let mut written = 0;
    let error = loop {
        match write(&mut storage, &append(written + 1, written + 1, 500)) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, StorageError::Io { source, .. }
            if source.kind() == std::io::ErrorKind::StorageFull),
        "{error}"
    );
    assert!(written > 15, "{written}");
    drop(storage);
    let mut storage = open(&files).unwrap();
    assert_eq!(storage.reader().state().unwrap().last_index, written);
    files.set_capacity(None);
    for index in written + 1..written + 50 {
        write(&mut storage, &append(index, index, 500)).unwrap();
    }
    drop(storage);
    let storage = open(&files).unwrap();
    assert_eq!(storage.reader().state().unwrap().last_index, written + 49);
}

#[test]
fn hard_states_alone_fill_segments_too() {
    let files = SimFiles::new(9);
    let mut storage = WalStorage::open_on(files.clone(), TINY).unwrap();
    write(&mut storage, &append(1, 5, 10)).unwrap();
    for term in 1..=1_000 {
        let batch = WriteBatch {
            hard_state: Some(HardState {
                term,
                vote: 2,
                commit: 5,
            }),
            ..WriteBatch::default()
        };
        write(&mut storage, &batch).unwrap();
    }
    drop(storage);
    let storage = open(&files).unwrap();
    assert_eq!(storage.reader().state().unwrap().hard_state.term, 1_000);
    assert_eq!(storage.reader().entries(1, 6, u64::MAX).unwrap().len(), 5);
}
