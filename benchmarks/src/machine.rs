//! The machine in words: a figure without its machine says nothing.

use std::fs;
use std::path::Path;

/// What is known of this machine, and of the disk that holds `dir`.
pub(crate) fn facts(dir: &Path) -> Vec<(&'static str, String)> {
    vec![
        (
            "kernel",
            format!("{} {}", word("ostype"), word("osrelease")),
        ),
        ("processor", processor()),
        ("memory", memory()),
        ("disk", disk(dir)),
        ("build", build().to_owned()),
        ("load of the machine when it began", load()),
    ]
}

/// The machine in one line.
pub(crate) fn line(facts: &[(&'static str, String)]) -> String {
    let wanted = ["processor", "memory", "disk"];
    let values: Vec<&str> = facts
        .iter()
        .filter(|(name, _)| wanted.contains(name))
        .map(|(_, value)| value.as_str())
        .collect();
    values.join("; ")
}

fn word(name: &str) -> String {
    let path = format!("/proc/sys/kernel/{name}");
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "debug: figures of no use"
    } else {
        "release"
    }
}

/// Other work takes its share: figures of a machine that is not idle are compared within one run.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minutes: Vec<&str> = text.split_whitespace().take(2).collect();
    format!("{} (1 and 5 minutes)", minutes.join(", "))
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value_of(&info, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} x {model}")
}

fn memory() -> String {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = value_of(&info, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    format!("{:.1} GiB", kib as f64 / f64::from(1 << 20))
}

fn value_of(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_once(':')
        .map(|(_, value)| value.trim().to_owned())
}

/// The file system of the innermost mount that holds `dir`, and what the kernel says of its disk.
fn disk(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .filter(|(_, place, _)| dir.starts_with(place))
        .max_by_key(|(_, place, _)| place.len());
    let Some((device, _, kind)) = mount else {
        return "unknown".to_owned();
    };
    let name = device.rsplit('/').next().unwrap_or(device);
    format!("{kind} on {device}{}", hardware(name))
}

fn hardware(device: &str) -> String {
    let read = |file: &str| {
        let path = format!("/sys/class/block/{device}/{file}");
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let model = read("device/model").map_or(String::new(), |model| format!(", {model}"));
    let cache = read("queue/write_cache").map_or(String::new(), |cache| format!(", {cache} cache"));
    let spins = match read("queue/rotational").as_deref() {
        Some("0") => ", solid state",
        Some("1") => ", as the kernel says rotating",
        _ => "",
    };
    format!("{model}{cache}{spins}")
}
