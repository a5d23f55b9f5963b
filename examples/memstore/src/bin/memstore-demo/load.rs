//! Many clients that write at the same time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memstore::processes::OutageClock;
use tokio::task::JoinSet;

use crate::error::DemoError;
use crate::input::Pair;
use crate::progress::Progress;
use crate::write::Writer;

/// The longest latency that is told from longer ones: more than a write is tried.
const LATENCY_MICROS_MAX: u64 = 120_000_000;
/// Digits of a latency that are kept.
const LATENCY_DIGITS: u8 = 3;

/// What a key may hold after the loads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    /// The last value that was acknowledged.
    pub(crate) value: String,
    /// Earlier values of which an attempt has an unknown outcome: it may still take effect late,
    /// which is not a loss.
    pub(crate) late: Vec<String>,
}

/// Every acknowledged key.
pub(crate) type Acknowledged = BTreeMap<String, Expected>;

/// What a load came to.
pub(crate) struct LoadReport {
    pub(crate) acknowledged_writes: u64,
    pub(crate) refused_attempts: u64,
    pub(crate) unknown_attempts: u64,
    /// Keys that were given up, with the reason.
    pub(crate) failed: Vec<(String, String)>,
    pub(crate) elapsed: Duration,
    /// From the first attempt to the acknowledgement, in microseconds.
    pub(crate) latency_micros: Histogram<u64>,
}

#[derive(Default)]
struct ClientReport {
    acknowledged: Vec<(Pair, bool)>,
    refused: u64,
    unknown: u64,
    failed: Vec<(String, String)>,
    latencies_micros: Vec<u64>,
}

/// Writes `pairs` with `clients` clients and notes what was acknowledged.
pub(crate) async fn run(
    addresses: &[String],
    clients: u32,
    pairs: Vec<Pair>,
    progress: Arc<Progress>,
    outage: Arc<OutageClock>,
    acknowledged: &mut Acknowledged,
) -> Result<LoadReport, DemoError> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, share) in shares(pairs, clients).into_iter().enumerate() {
        let writer = Writer::new(addresses, number);
        let (progress, outage) = (Arc::clone(&progress), Arc::clone(&outage));
        tasks.spawn(client(writer, share, progress, outage));
    }
    let mut report = LoadReport {
        acknowledged_writes: 0,
        refused_attempts: 0,
        unknown_attempts: 0,
        failed: Vec::new(),
        elapsed: Duration::ZERO,
        latency_micros: latencies()?,
    };
    while let Some(client) = tasks.join_next().await {
        merge(&mut report, client?, acknowledged);
    }
    report.elapsed = start.elapsed();
    progress.finish();
    Ok(report)
}

fn latencies() -> Result<Histogram<u64>, DemoError> {
    Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, LATENCY_DIGITS).map_err(DemoError::Histogram)
}

/// Deals the pairs to the clients. All pairs of a key go to one client, so that the order of the
/// file is the order of the writes and its last line wins.
fn shares(pairs: Vec<Pair>, clients: u32) -> Vec<Vec<Pair>> {
    let mut shares = vec![Vec::new(); clients.max(1) as usize];
    let count = shares.len() as u64;
    for pair in pairs {
        let mut hasher = DefaultHasher::new();
        pair.key.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % count).unwrap_or(0);
        if let Some(share) = shares.get_mut(number) {
            share.push(pair);
        }
    }
    shares
}

async fn client(
    mut writer: Writer,
    share: Vec<Pair>,
    progress: Arc<Progress>,
    outage: Arc<OutageClock>,
) -> ClientReport {
    let mut report = ClientReport::default();
    for pair in share {
        let begin = Instant::now();
        let outcome = writer.write(&pair).await;
        report.refused += outcome.refused;
        report.unknown += outcome.unknown;
        match outcome.failure {
            Some(reason) => report.failed.push((pair.key, reason)),
            None => {
                let now = Instant::now();
                outage.acknowledged(now);
                let micros = now.duration_since(begin).as_micros();
                report
                    .latencies_micros
                    .push(u64::try_from(micros).unwrap_or(u64::MAX));
                report.acknowledged.push((pair, outcome.unknown > 0));
            }
        }
        progress.step();
    }
    report
}

fn merge(report: &mut LoadReport, client: ClientReport, acknowledged: &mut Acknowledged) {
    report.acknowledged_writes += client.acknowledged.len() as u64;
    report.refused_attempts += client.refused;
    report.unknown_attempts += client.unknown;
    report.failed.extend(client.failed);
    for micros in client.latencies_micros {
        report.latency_micros.saturating_record(micros);
    }
    for (pair, unknown) in client.acknowledged {
        let expected = acknowledged.entry(pair.key).or_default();
        if unknown {
            expected.late.push(pair.value.clone());
        }
        expected.value = pair.value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> Pair {
        Pair {
            key: key.into(),
            value: value.into(),
        }
    }

    #[test]
    fn all_writes_of_a_key_are_one_clients_in_order() {
        let pairs: Vec<_> = (0..100)
            .map(|n| pair(&format!("k{}", n % 7), &n.to_string()))
            .collect();
        let shares = shares(pairs.clone(), 5);
        assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 100);
        for key in 0..7 {
            let key = format!("k{key}");
            let of_key = |list: &[Pair]| -> Vec<_> {
                list.iter().filter(|p| p.key == key).cloned().collect()
            };
            let owners: Vec<_> = shares.iter().filter(|s| !of_key(s).is_empty()).collect();
            assert_eq!(owners.len(), 1);
            assert_eq!(of_key(owners[0]), of_key(&pairs));
        }
    }

    #[test]
    fn the_last_acknowledged_value_is_expected_and_late_ones_are_known() {
        let mut acknowledged = Acknowledged::new();
        let mut report = LoadReport {
            acknowledged_writes: 0,
            refused_attempts: 0,
            unknown_attempts: 0,
            failed: Vec::new(),
            elapsed: Duration::ZERO,
            latency_micros: latencies().unwrap(),
        };
        let client = ClientReport {
            acknowledged: vec![(pair("a", "1"), true), (pair("a", "2"), false)],
            latencies_micros: vec![10, 20],
            ..ClientReport::default()
        };
        merge(&mut report, client, &mut acknowledged);
        assert_eq!(report.acknowledged_writes, 2);
        assert_eq!(report.latency_micros.max(), 20);
        let expected = &acknowledged["a"];
        assert_eq!((expected.value.as_str(), expected.late.len()), ("2", 1));
    }
}
