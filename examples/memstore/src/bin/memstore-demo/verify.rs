//! Reading every acknowledged key back.

use std::sync::Arc;
use std::time::Duration;

use memstore::http_client::{HttpClient, path_segment};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::error::DemoError;
use crate::load::{Acknowledged, Expected};
use crate::progress::Progress;

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one read is tried before it is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The wait before another attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// What one node answered.
#[derive(Debug, Default)]
pub(crate) struct VerifyReport {
    /// Keys whose value is the expected one.
    pub(crate) right: u64,
    /// Keys that are lost or wrong, with what was read.
    pub(crate) lost: Vec<(String, String)>,
    /// Keys that could not be read, with the reason.
    pub(crate) unread: Vec<(String, String)>,
    pub(crate) elapsed: Duration,
}

enum Read {
    Right,
    Wrong(String),
    Failed(String),
}

/// Reads every key through the node at `addr`, linearizably.
pub(crate) async fn run(
    addr: &str,
    readers: u32,
    acknowledged: &Arc<Acknowledged>,
    progress: &Arc<Progress>,
) -> Result<VerifyReport, DemoError> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    let readers = readers.max(1) as usize;
    for number in 0..readers {
        let client = HttpClient::new(addr, ATTEMPT_TIMEOUT);
        let acknowledged = Arc::clone(acknowledged);
        let progress = Arc::clone(progress);
        tasks.spawn(async move { reader(client, &acknowledged, number, readers, &progress).await });
    }
    let mut report = VerifyReport::default();
    while let Some(part) = tasks.join_next().await {
        let part = part?;
        report.right += part.right;
        report.lost.extend(part.lost);
        report.unread.extend(part.unread);
    }
    report.elapsed = start.elapsed();
    progress.finish();
    Ok(report)
}

async fn reader(
    mut client: HttpClient,
    acknowledged: &Acknowledged,
    number: usize,
    readers: usize,
    progress: &Progress,
) -> VerifyReport {
    let mut report = VerifyReport::default();
    for (key, expected) in acknowledged.iter().skip(number).step_by(readers) {
        match read(&mut client, key, expected).await {
            Read::Right => report.right += 1,
            Read::Wrong(found) => report.lost.push((key.clone(), found)),
            Read::Failed(reason) => report.unread.push((key.clone(), reason)),
        }
        progress.step();
    }
    report
}

async fn read(client: &mut HttpClient, key: &str, expected: &Expected) -> Read {
    let path = format!("/store/{}", path_segment(key));
    let deadline = Instant::now() + READ_TIMEOUT;
    loop {
        let reason = match client.get(&path).await {
            Ok(answer) if answer.status == 200 => {
                let found = answer.text();
                let right = found == expected.value || expected.late.contains(&found);
                return if right {
                    Read::Right
                } else {
                    Read::Wrong(found)
                };
            }
            Ok(answer) if answer.status == 404 => return Read::Wrong("absent".into()),
            Ok(answer) => answer.text(),
            Err(error) => error.to_string(),
        };
        if Instant::now() + PAUSE > deadline {
            return Read::Failed(reason);
        }
        sleep(PAUSE).await;
    }
}
