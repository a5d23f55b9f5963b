use super::*;

/// What any directory does while nothing fails.
pub(crate) fn names_and_contents<F: Files>(files: &F) {
    assert_eq!(files.list().unwrap(), Vec::<String>::new());
    let missing = files.open("a", FileAccess::Read).err().unwrap();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    for answer in [files.rename("a", "b"), files.remove("a")] {
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    let file = files.create("a").unwrap();
    file.write_at(3, b"text").unwrap();
    file.write_at(0, b"abcd").unwrap();
    file.sync_data().unwrap();
    files.sync_dir().unwrap();
    assert_eq!(file.size_bytes().unwrap(), 7);
    let mut bytes = [9; 10];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 7);
    assert_eq!(&bytes[..8], b"abcdext\x09");
    assert_eq!(file.read_at(7, &mut bytes).unwrap(), 0);
    assert_eq!(file.read_at(99, &mut bytes).unwrap(), 0);
    files.create("b").unwrap().write_at(0, b"b").unwrap();
    files.rename("a", "b").unwrap();
    assert_eq!(files.list().unwrap(), ["b"]);
    let reader = files.open("b", FileAccess::Read).unwrap();
    files.remove("b").unwrap();
    assert_eq!(reader.size_bytes().unwrap(), 7);
    let owner = files.lock().ok().unwrap();
    let second = files.lock().err().unwrap();
    assert!(matches!(second, StorageError::InUse { .. }));
    drop(owner);
    assert!(files.lock().is_ok());
    let (sender, receiver) = std::sync::mpsc::channel();
    let job = move || sender.send(files_ran()).unwrap();
    files.spawn(Box::new(job)).unwrap();
    assert!(receiver.recv().unwrap());
    assert_ne!(files.salt(), files.salt());
}

fn files_ran() -> bool {
    true
}

#[test]
fn a_simulated_directory_does_what_the_trait_says() {
    names_and_contents(&SimFiles::new(1));
}

fn written(files: &SimFiles) -> SimFile {
    let file = files.create("log").unwrap();
    file.write_at(0, &[1; 10_000]).unwrap();
    file.sync_data().unwrap();
    files.sync_dir().unwrap();
    file
}

#[test]
fn power_loss_keeps_what_was_synced_and_some_of_the_rest() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let files = SimFiles::new(seed);
        let file = written(&files);
        file.write_at(5_000, &[2; 10_000]).unwrap();
        file.write_at(9_000, &[3; 100]).unwrap();
        files.lose_power();
        assert!(file.size_bytes().is_err());
        let left = files.reopen().contents("log").unwrap();
        assert!(left.len() >= 10_000);
        assert!(left[..5_000].iter().all(|byte| *byte == 1));
        for sector in left.chunks(512).skip(10) {
            let kinds: std::collections::BTreeSet<_> = sector.iter().collect();
            assert!(kinds.len() <= 3, "{kinds:?}");
        }
        seen.insert(left);
    }
    assert!(seen.len() > 50, "{} images", seen.len());
}

#[test]
fn names_are_durable_after_the_sync_of_their_directory() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let files = SimFiles::new(seed);
        written(&files);
        files.rename("log", "old").unwrap();
        files.create("new").unwrap();
        let image = files.crash_image(seed);
        ends.insert(image.list().unwrap().join(" "));
        files.sync_dir().unwrap();
        files.lose_power_as(PowerLoss::Nothing);
        assert_eq!(files.reopen().list().unwrap(), ["new", "old"]);
    }
    let all = ["log", "log new", "new log", "new old", "old"];
    assert!(ends.iter().all(|end| all.contains(&end.as_str())));
    assert_eq!(ends.len(), 4, "{ends:?}");
}

#[test]
fn a_failed_sync_loses_what_a_second_one_does_not_bring_back() {
    let lost = (0..100).any(|seed| {
        let files = SimFiles::new(seed);
        let file = written(&files);
        file.write_at(0, &[2; 10_000]).unwrap();
        files.fail_next(FileFault::Sync);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(files.contents("log").unwrap(), [2; 10_000]);
        files.lose_power_as(PowerLoss::Everything);
        files.reopen().contents("log").unwrap() != [2; 10_000]
    });
    assert!(lost);
}

#[test]
fn power_is_cut_in_the_middle_of_the_change_that_was_named() {
    let files = SimFiles::new(3);
    let file = written(&files);
    files.cut_power_after(1);
    file.write_at(0, &[2; 512]).unwrap();
    assert!(file.write_at(512, &[3; 512]).is_err());
    assert!(file.sync_data().is_err() && files.list().is_err());
    files.lose_power_as(PowerLoss::Everything);
    let left = files.reopen().contents("log").unwrap();
    assert_eq!((left[0], left[600], left[1_024]), (2, 3, 1));
}

#[test]
fn a_full_disk_takes_what_fits_and_no_more() {
    let files = SimFiles::new(3);
    let file = written(&files);
    files.set_capacity(Some(12_000));
    file.write_at(9_000, &[2; 3_000]).unwrap();
    let error = file.write_at(9_000, &[2; 3_001]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.size_bytes().unwrap(), 12_000);
    files.set_capacity(None);
    file.write_at(9_000, &[2; 3_001]).unwrap();
    files.fail_next(FileFault::Write);
    assert!(file.write_at(0, b"x").is_err());
    file.write_at(0, b"x").unwrap();
}

#[test]
fn hooks_see_each_change_and_can_refuse_it() {
    let files = SimFiles::new(3);
    let file = written(&files);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    files.set_hook(Some(Arc::new(move |operation| {
        lock(&log).push(operation);
        match operation {
            FileOperation::Sync => Err(io::Error::other("no")),
            _ => Ok(()),
        }
    })));
    file.write_at(0, b"abc").unwrap();
    assert!(file.sync_data().is_err());
    let expected = [FileOperation::Write { bytes: 3 }, FileOperation::Sync];
    assert_eq!(*lock(&seen), expected);
}

#[test]
fn a_dead_process_changes_nothing_and_gives_up_its_lock() {
    let files = SimFiles::new(3);
    let file = written(&files);
    let _owner = files.lock().unwrap();
    file.write_at(0, b"seen").unwrap();
    let next = files.reopen();
    assert!(file.write_at(0, b"dead").is_err() && files.list().is_err());
    assert_eq!(&next.contents("log").unwrap()[..4], b"seen");
    assert!(next.lock().is_ok());
    next.flip_bit("log", 3);
    assert_eq!(next.contents("log").unwrap()[0], b's' ^ 8);
}

#[test]
fn a_bit_that_flips_before_a_sync_is_flipped_after_it() {
    let files = SimFiles::new(1);
    let file = written(&files);
    file.write_at(1, &[4; 2]).unwrap();
    files.flip_bit("log", 8);
    file.sync_data().unwrap();
    files.lose_power();
    let mut bytes = [0; 4];
    let file = files.reopen().open("log", FileAccess::Read).unwrap();
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 4);
    assert_eq!(bytes, [1, 5, 4, 1]);
}
