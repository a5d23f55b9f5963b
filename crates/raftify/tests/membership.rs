//! Nodes that come, go and change their part, over gRPC with real stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use raftify::membership::{ConfChangeRequest, NodeChange};
use raftify::transport::NodeHandler;
use raftify::{ClusterJoinTicket, Config, InitialRole, MembershipError};
use support::cluster::{Cluster, Node, bind, quick_config, rebind};
use support::until;

const PATIENCE: Duration = Duration::from_secs(20);

async fn ticket(through: &Node, addr: &str) -> ClusterJoinTicket {
    NodeHandler::reserve_id(through, addr.to_owned(), PATIENCE, false)
        .await
        .unwrap()
}

/// Makes a node and joins it; the id it got.
async fn join(cluster: &mut Cluster, through: u64) -> u64 {
    let (listener, addr) = bind();
    let ticket = ticket(&cluster.node(through), &addr).await;
    let id = ticket.reserved_id;
    let joiner = cluster.start_joiner(&ticket, listener);
    joiner.join_cluster(vec![ticket]).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_from_one_and_a_new_node_has_everything() {
    let config = Config {
        snapshot_after_entries: 20,
        log_tail_entries: 2,
        ..quick_config()
    };
    let mut cluster = Cluster::alone(config);
    for number in 0..50 {
        cluster
            .node(1)
            .propose(format!("line {number}"))
            .await
            .unwrap();
    }
    assert_eq!(join(&mut cluster, 1).await, 2);
    // The third asks the follower.
    assert_eq!(join(&mut cluster, 2).await, 3);
    cluster
        .node(3)
        .propose("through the third".into())
        .await
        .unwrap();
    cluster.all_have(51).await;
    let status = cluster.node(1).status().await.unwrap();
    assert_eq!(status.voters, [1, 2, 3]);
    assert_eq!(status.peers.len(), 3);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_again_with_its_own_directory_keeps_its_vote() {
    let mut cluster = Cluster::alone(quick_config());
    cluster.leader().await;
    let (listener, addr) = bind();
    let ticket = ticket(&cluster.node(1), &addr).await;
    let joiner = cluster.start_joiner(&ticket, listener);
    joiner.join_cluster(vec![ticket.clone()]).await.unwrap();
    let before = cluster.node(1).status().await.unwrap();
    let incarnation = joiner.status().await.unwrap().incarnation;
    // What a node sends that was restarted and has not read its own log yet.
    let again = ConfChangeRequest {
        changes: vec![NodeChange::AddLearner {
            id: ticket.reserved_id,
            addr,
            incarnation,
            promote: true,
        }],
        ..ConfChangeRequest::default()
    };
    // The joiner may know that it votes before the leader has applied it.
    let mut reply = cluster.node(1).change_config(again.clone()).await;
    while let Err(MembershipError::Pending) = reply {
        reply = cluster.node(1).change_config(again.clone()).await;
    }
    assert_eq!(reply.unwrap().conf_state.voters, [1, 2]);
    let after = cluster.node(1).status().await.unwrap();
    assert_eq!(after.voters, [1, 2]);
    assert_eq!(after.last_index, before.last_index, "nothing was proposed");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_joiners_at_the_same_moment_get_two_ids_and_both_join() {
    let mut cluster = Cluster::alone(quick_config());
    cluster.leader().await;
    let ((listener_a, addr_a), (listener_b, addr_b)) = (bind(), bind());
    let node = cluster.node(1);
    let (a, b) = tokio::join!(ticket(&node, &addr_a), ticket(&node, &addr_b));
    assert_ne!(a.reserved_id, b.reserved_id);
    let joiner_a = cluster.start_joiner(&a, listener_a);
    let joiner_b = cluster.start_joiner(&b, listener_b);
    let (joined_a, joined_b) = tokio::join!(
        joiner_a.join_cluster(vec![a]),
        joiner_b.join_cluster(vec![b])
    );
    joined_a.unwrap();
    joined_b.unwrap();
    cluster.node(1).propose("all three".into()).await.unwrap();
    cluster.all_have(1).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_and_then_the_leader_leave_and_the_rest_goes_on() {
    let mut cluster = Cluster::start(4, quick_config());
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    cluster.node(follower).leave().await.unwrap();
    let gone = cluster.members.remove(&follower).unwrap();
    gone.ended.await.unwrap().unwrap();

    cluster.node(leader).leave().await.unwrap();
    let gone = cluster.members.remove(&leader).unwrap();
    gone.ended.await.unwrap().unwrap();

    let next = cluster.leader().await;
    cluster
        .node(next)
        .propose("two are left".into())
        .await
        .unwrap();
    let status = cluster.node(next).status().await.unwrap();
    assert_eq!(status.voters.len(), 2);
    assert!(!status.voters.contains(&leader) && !status.voters.contains(&follower));
    cluster.all_have(1).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adding_and_removing_in_one_change_goes_through_joint_consensus() {
    let mut cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    let removed = cluster.other_than(leader);
    let (listener, addr) = bind();
    let ticket = ticket(&cluster.node(leader), &addr).await;
    let id = ticket.reserved_id;
    cluster.start_joiner(&ticket, listener);
    let request = ConfChangeRequest {
        changes: vec![
            NodeChange::AddVoter { id, addr },
            NodeChange::Remove { id: removed },
        ],
        ..ConfChangeRequest::default()
    };
    cluster.node(leader).change_config(request).await.unwrap();
    until("the joint configuration is left", || async {
        let status = cluster.node(leader).status().await.unwrap();
        status.voters_outgoing.is_empty() && status.voters.contains(&id)
    })
    .await;
    let gone = cluster.members.remove(&removed).unwrap();
    gone.ended.await.unwrap().unwrap();
    cluster
        .node(leader)
        .propose("changed".into())
        .await
        .unwrap();
    cluster.all_have(1).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_and_members_survive_the_restart_of_all() {
    let mut cluster = Cluster::alone(quick_config());
    cluster.leader().await;
    join(&mut cluster, 1).await;
    join(&mut cluster, 1).await;
    cluster.node(2).propose("before".into()).await.unwrap();
    cluster.all_have(1).await;
    let mut addresses = Vec::new();
    for id in 1..=3 {
        addresses.push((id, cluster.stop(id).await));
    }
    // Nobody is told any address again.
    assert!(cluster.config.initial_peers.is_none());
    for (id, addr) in addresses {
        cluster.restart(id, &addr).await;
    }
    cluster.leader().await;
    cluster.node(3).propose("after".into()).await.unwrap();
    cluster.all_have(2).await;
    assert_eq!(cluster.node(2).peers().await.unwrap().len(), 3);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_is_refused_until_it_is_removed_and_joins_again() {
    let mut cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    cluster.node(leader).propose("one".into()).await.unwrap();
    cluster.all_have(1).await;
    let wiped = cluster.other_than(leader);
    let addr = cluster.stop(wiped).await;
    std::fs::remove_dir_all(cluster.dir_of(wiped)).unwrap();
    cluster.restart(wiped, &addr).await;
    // The two others do not count it: with one of them gone nothing commits.
    let bystander = *cluster
        .members
        .keys()
        .find(|id| **id != leader && **id != wiped)
        .unwrap();
    for number in 0..20 {
        cluster
            .node(leader)
            .propose(format!("more {number}"))
            .await
            .unwrap();
    }
    assert_eq!(
        cluster.members[&wiped].journal.lines().len(),
        0,
        "it was let in"
    );
    let matched = cluster.node(leader).status().await.unwrap();
    let progress = matched.peers.iter().find(|peer| peer.id == wiped).unwrap();
    assert!(progress.matched < matched.last_index);

    cluster.stop(wiped).await;
    let remove = ConfChangeRequest {
        changes: vec![NodeChange::Remove { id: wiped }],
        ..ConfChangeRequest::default()
    };
    cluster.node(bystander).change_config(remove).await.unwrap();
    std::fs::remove_dir_all(cluster.dir_of(wiped)).unwrap();
    let listener = rebind(&addr).await;
    let ticket = ticket(&cluster.node(bystander), &addr).await;
    assert!(ticket.reserved_id > 3, "ids are not used twice");
    let joiner = cluster.start_joiner(&ticket, listener);
    joiner.join_cluster(vec![ticket]).await.unwrap();
    cluster.all_have(21).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_do_not_apply_are_refused_and_change_nothing() {
    let cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    let node = cluster.node(leader);
    let taken = cluster.members[&cluster.other_than(leader)].addr.clone();
    let change = |changes| ConfChangeRequest {
        changes,
        ..ConfChangeRequest::default()
    };
    let cases = [
        change(vec![NodeChange::Remove { id: 77 }]),
        change(vec![NodeChange::AddVoter {
            id: 0,
            addr: "127.0.0.1:1".into(),
        }]),
        change(vec![NodeChange::AddVoter {
            id: 9,
            addr: "nonsense".into(),
        }]),
        change(vec![NodeChange::AddVoter { id: 9, addr: taken }]),
        change(vec![NodeChange::AddVoter {
            id: leader,
            addr: "127.0.0.1:1".into(),
        }]),
        change(vec![
            NodeChange::Remove { id: 1 },
            NodeChange::Remove { id: 1 },
        ]),
        change((1..=3).map(|id| NodeChange::Remove { id }).collect()),
        change(vec![]),
    ];
    for request in cases {
        let error = node.change_config(request.clone()).await.unwrap_err();
        let refused = matches!(
            error,
            MembershipError::Invalid(_) | MembershipError::NotApplicable(_)
        );
        assert!(refused, "{request:?}: {error}");
    }
    let transfer = node.transfer_leader(55).await.unwrap_err();
    assert!(
        matches!(transfer, MembershipError::NotApplicable(_)),
        "{transfer}"
    );
    assert_eq!(node.status().await.unwrap().voters, [1, 2, 3]);
    let roles: Vec<_> = node
        .peers()
        .await
        .unwrap()
        .iter()
        .map(|(_, peer)| peer.role)
        .collect();
    assert_eq!(roles, [InitialRole::Voter; 3]);
    node.propose("still well".into()).await.unwrap();
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explicit_joint_configuration_is_left_on_request_of_any_node() {
    let mut cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    let (listener, addr) = bind();
    let ticket = ticket(&cluster.node(leader), &addr).await;
    let id = ticket.reserved_id;
    cluster.start_joiner(&ticket, listener);
    let request = ConfChangeRequest {
        changes: vec![NodeChange::AddVoter { id, addr }],
        transition: raft::eraftpb::ConfChangeTransition::Explicit,
    };
    let reply = cluster.node(leader).change_config(request).await.unwrap();
    assert_eq!(reply.conf_state.voters_outgoing, [1, 2, 3]);
    let other = cluster.other_than(leader);
    let add = ConfChangeRequest {
        changes: vec![NodeChange::Remove { id: other }],
        ..ConfChangeRequest::default()
    };
    let error = cluster.node(leader).change_config(add).await.unwrap_err();
    assert!(matches!(error, MembershipError::Pending), "{error}");
    cluster.node(other).leave_joint().await.unwrap();
    let status = cluster.node(leader).status().await.unwrap();
    assert!(status.voters_outgoing.is_empty());
    assert_eq!(status.voters, [1, 2, 3, id]);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_follows_a_leader_that_joined_meanwhile() {
    let mut cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    let away = cluster.other_than(leader);
    let addr = cluster.stop(away).await;
    let joined = join(&mut cluster, leader).await;
    // Its first campaign may fail: it meets the other founder with the answer to its request.
    while !cluster.node(joined).is_leader().await {
        let patience = Duration::from_secs(1);
        let leader = cluster.node(cluster.leader().await);
        let moved = leader.transfer_leader(joined);
        tokio::time::timeout(patience, moved).await.ok();
    }
    cluster.node(joined).propose("line".into()).await.unwrap();
    // It has the new leader's address nowhere: not in its log, not in its directory.
    cluster.restart(away, &addr).await;
    cluster.all_have(1).await;
    assert_eq!(cluster.leader().await, joined);
    cluster.stop_all().await;
}
