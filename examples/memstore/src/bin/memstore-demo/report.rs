//! What the demo prints.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::input::Input;
use crate::load::LoadReport;
use crate::verify::VerifyReport;

/// How many bad keys are named.
const EXAMPLES: usize = 5;

pub(crate) fn cluster(cluster: &Cluster, leader: u64) {
    println!(
        "three nodes run, their data is in {}",
        cluster.dir().display()
    );
    for node in cluster.nodes() {
        let spec = &node.spec;
        let pid = node.pid().map_or_else(|| "-".into(), |pid| pid.to_string());
        let role = if spec.id == leader {
            "leader"
        } else {
            "follower"
        };
        println!(
            "  node {}  pid {pid:>7}  raft {}  http://{}  {role}",
            spec.id, spec.raft_addr, spec.http_addr
        );
    }
}

pub(crate) fn input(input: &Input) {
    if let Some(first) = &input.first_skipped {
        println!(
            "  {} lines cannot be keys and are left out; {first}",
            input.skipped
        );
    }
}

pub(crate) fn load(report: &LoadReport) {
    let seconds = report.elapsed.as_secs_f64();
    let rate = report.acknowledged_writes as f64 / seconds.max(f64::EPSILON);
    let percentile = |p| report.latency_micros.value_at_percentile(p) as f64 / 1000.0;
    println!(
        "  {} writes acknowledged in {seconds:.2} s: {rate:.0} writes/s, p50 {:.2} ms, p99 {:.2} ms, \
         longest {:.2} ms",
        report.acknowledged_writes,
        percentile(50.0),
        percentile(99.0),
        report.latency_micros.max() as f64 / 1000.0,
    );
    if report.refused_attempts + report.unknown_attempts > 0 {
        println!(
            "  repeated: {} attempts were refused, {} had an unknown outcome",
            report.refused_attempts, report.unknown_attempts
        );
    }
    examples("not written", &report.failed);
}

pub(crate) fn outage(killed: u64, new_leader: u64, refused_for: Duration) {
    println!(
        "  node {killed} was killed, node {new_leader} leads; writes were refused for {:.0} ms",
        refused_for.as_secs_f64() * 1000.0
    );
}

pub(crate) fn verified(id: u64, report: &VerifyReport) {
    println!(
        "  node {id}: {} keys right, {} lost, {} could not be read ({:.2} s)",
        report.right,
        report.lost.len(),
        report.unread.len(),
        report.elapsed.as_secs_f64()
    );
    examples("lost", &report.lost);
    examples("not read", &report.unread);
}

fn examples(what: &str, keys: &[(String, String)]) {
    for (key, reason) in keys.iter().take(EXAMPLES) {
        println!("    {what}: {key:?}: {reason}");
    }
    if keys.len() > EXAMPLES {
        println!("    and {} more", keys.len() - EXAMPLES);
    }
}

pub(crate) fn hints(cluster: &Cluster) {
    let addresses = cluster.http_addresses();
    let addr = |at: usize| addresses.get(at).map_or("", String::as_str);
    println!("the cluster stays up until Ctrl-C; try:");
    println!("  curl -X PUT http://{}/store/colour/blue", addr(0));
    println!("  curl http://{}/store/colour", addr(1));
    println!("  curl http://{}/leader_id", addr(2));
    println!("  curl http://{}/debug", addr(0));
    println!("  curl http://{}/metrics", addr(0));
    println!("  curl -X POST http://{}/snapshot", addr(0));
}
