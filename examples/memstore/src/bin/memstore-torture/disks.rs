//! A small file system for each node, which can be filled up and frozen.
//!
//! Preferred is ext4 in a file on a loop device. Where that is not permitted it is a tmpfs of limited
//! size, which can be filled but not frozen. A frozen file system (`fsfreeze`) lets every write and
//! sync wait, as a disk does that hangs; one that is frozen most of the time stands for a slow disk,
//! since delays of a block device would need the device mapper.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::faults::{DiskNeed, Kind};
use crate::room::Room;
use crate::shell;

/// The size of each: the log's map fits in, and little else.
const DISK_BYTES: u64 = 160 << 20;
/// What fills a disk up.
const FILLER: &str = "filler";
/// How a slow disk alternates, in seconds.
const SLOW_FROZEN: &str = "0.25";
const SLOW_THAWED: &str = "0.05";
/// Freezes again and again until the time is over. The one who freezes also thaws, whatever happens
/// to this program meanwhile.
const FREEZE_ONCE: &str = r#"fsfreeze -f "$1" && sleep "$2"; fsfreeze -u "$1""#;
const FREEZE_OFTEN: &str = r#"end=$(($(date +%s%N) + $2)); while [ $(date +%s%N) -lt "$end" ]; do
    fsfreeze -f "$1" && sleep "$3"; fsfreeze -u "$1"; sleep "$4"; done"#;

/// What the nodes' data lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disks {
    /// ext4 on loop devices.
    Loop,
    /// tmpfs, since loop devices are not permitted.
    Memory {
        /// The reason.
        reason: String,
    },
    /// The file system that is there.
    Plain {
        /// Why there is no other.
        reason: String,
    },
}

/// A disk that is frozen, until the process that thaws it has ended.
pub(crate) struct Frozen(Child);

impl Frozen {
    /// Waits until the disk works again.
    pub(crate) async fn thawed(mut self) {
        // The process ends by itself; how does not matter, the disk is looked at by its node.
        let _ = self.0.wait().await;
    }
}

impl Disks {
    /// Mounts a file system at each of `mounts`, as good as it is permitted.
    pub(crate) async fn mount(room: &Room, mounts: &[PathBuf]) -> Self {
        if let Some(reason) = &room.no_mounts {
            return Self::Plain {
                reason: format!("mounting is not permitted: {reason}"),
            };
        }
        let reason = match mount_all(mounts, mount_loop).await {
            Ok(()) => return Self::Loop,
            Err(reason) => reason,
        };
        match mount_all(mounts, mount_memory).await {
            Ok(()) => Self::Memory { reason },
            Err(second) => Self::Plain {
                reason: format!("{reason}; {second}"),
            },
        }
    }

    /// What they are, for people.
    pub(crate) fn description(&self) -> String {
        let mib = DISK_BYTES >> 20;
        match self {
            Self::Loop => format!("a disk of {mib} MiB each (ext4 on a loop device)"),
            Self::Memory { .. } => format!("a disk of {mib} MiB each (tmpfs)"),
            Self::Plain { .. } => "the directory's own disk".into(),
        }
    }

    /// Why a fault of this kind is not possible.
    pub(crate) fn refusal(&self, kind: Kind) -> Option<String> {
        match (self, kind.disk_need()) {
            (Self::Loop, DiskNeed::Any | DiskNeed::Small | DiskNeed::Freezable)
            | (Self::Memory { .. }, DiskNeed::Any | DiskNeed::Small)
            | (Self::Plain { .. }, DiskNeed::Any) => None,
            (Self::Memory { reason }, DiskNeed::Freezable)
            | (Self::Plain { reason }, DiskNeed::Small | DiskNeed::Freezable) => {
                Some(reason.clone())
            }
        }
    }
}

async fn mount_all<F: Future<Output = Result<(), String>>>(
    mounts: &[PathBuf],
    mount: impl Fn(PathBuf) -> F,
) -> Result<(), String> {
    for (done, path) in mounts.iter().enumerate() {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        if let Err(reason) = mount(path.clone()).await {
            for path in mounts.iter().take(done) {
                shell::run(&["umount", &path.display().to_string()]).await?;
            }
            return Err(reason);
        }
    }
    Ok(())
}

async fn mount_loop(mount: PathBuf) -> Result<(), String> {
    let image = mount.with_extension("image");
    let failed = |error| format!("{}: {error}", image.display());
    if !image.exists() {
        let file = fs::File::create_new(&image).map_err(failed)?;
        file.set_len(DISK_BYTES).map_err(failed)?;
        let path = image.display().to_string();
        // No reserve for root, or the disk would not be full for root.
        shell::run(&["mkfs.ext4", "-q", "-m", "0", &path]).await?;
    }
    let (image, mount) = (image.display().to_string(), mount.display().to_string());
    shell::run(&["mount", "-o", "loop", &image, &mount]).await?;
    // What cannot be frozen is as good as none.
    shell::run(&["fsfreeze", "-f", &mount]).await?;
    shell::run(&["fsfreeze", "-u", &mount]).await?;
    Ok(())
}

async fn mount_memory(mount: PathBuf) -> Result<(), String> {
    let options = format!("size={DISK_BYTES}");
    let mount = mount.display().to_string();
    shell::run(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", &mount]).await?;
    Ok(())
}

/// Takes every free block of the disk at `mount`.
pub(crate) async fn fill(mount: &Path) -> Result<(), String> {
    let filler = mount.join(FILLER).display().to_string();
    let mut step_bytes = DISK_BYTES;
    let mut offset_bytes = 0;
    // Halves what does not fit until not even a block does.
    while step_bytes >= 4096 {
        let (offset, length) = (offset_bytes.to_string(), step_bytes.to_string());
        match shell::run(&["fallocate", "-o", &offset, "-l", &length, &filler]).await {
            Ok(_) => offset_bytes += step_bytes,
            Err(reason) if reason.contains("No space left") => step_bytes /= 2,
            Err(reason) => return Err(reason),
        }
    }
    Ok(())
}

/// Gives the blocks back.
pub(crate) fn free(mount: &Path) -> Result<(), String> {
    let filler = mount.join(FILLER);
    match fs::remove_file(&filler) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", filler.display()))
        }
        _ => Ok(()),
    }
}

/// Freezes the disk at `mount` for so long.
pub(crate) fn hang(mount: &Path, length: Duration) -> Result<Frozen, String> {
    let seconds = format!("{:.3}", length.as_secs_f64());
    freeze(FREEZE_ONCE, mount, &[&seconds])
}

/// Freezes the disk at `mount` again and again for so long.
pub(crate) fn slow(mount: &Path, length: Duration) -> Result<Frozen, String> {
    let nanos = length.as_nanos().to_string();
    freeze(FREEZE_OFTEN, mount, &[&nanos, SLOW_FROZEN, SLOW_THAWED])
}

fn freeze(script: &str, mount: &Path, arguments: &[&str]) -> Result<Frozen, String> {
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(mount)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    // Not ended by Ctrl-C with this program: it must thaw what it froze.
    #[cfg(unix)]
    command.process_group(0);
    command
        .spawn()
        .map(Frozen)
        .map_err(|error| format!("fsfreeze: {error}"))
}
