//! Nodes that come back: after their removal, before they joined, without a quorum.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Instant;

use raftify::membership::{ConfChangeRequest, NodeChange, SystemState};
use raftify::storage::{LogReader as _, StableStorage as _};
use raftify::transport::{Consistency, NodeHandler, Refusal};
use raftify::{Config, InitialRole, MembershipError, Peer};
use support::until;
use support::world::{World, addr_of, members, world_config};

fn one(change: NodeChange) -> ConfChangeRequest {
    ConfChangeRequest {
        changes: vec![change],
        ..ConfChangeRequest::default()
    }
}

#[tokio::test]
async fn a_node_that_was_removed_comes_back_under_its_id_in_the_same_term() {
    let mut world = World::start(3, world_config());
    let leader = world.leader().await;
    world.propose_lines(leader, "before", 5).await;
    world.all_have(5).await;
    let term = world.node(leader).status().await.unwrap().term;
    let id = world.others(leader)[0];
    for round in 0..3 {
        world
            .node(leader)
            .change_config(one(NodeChange::Remove { id }))
            .await
            .unwrap();
        world.wait_for_end(id).await.unwrap();
        world
            .propose_lines(leader, &format!("without {round}"), 5)
            .await;
        let add = one(NodeChange::AddVoter {
            id,
            addr: addr_of(id),
        });
        world.node(leader).change_config(add).await.unwrap();
        world.start_node(id);
        world
            .propose_lines(leader, &format!("with {round}"), 5)
            .await;
        world.all_have(5 + 10 * (round + 1)).await;
    }
    let status = world.node(leader).status().await.unwrap();
    assert_eq!(status.term, term, "the point was to stay in one term");
    assert_eq!(status.voters, [1, 2, 3]);
    // Its vote and its acknowledgements count again.
    let third = *world.others(leader).iter().find(|o| **o != id).unwrap();
    world.kill(third).await;
    world
        .node(leader)
        .propose("two of three".into())
        .await
        .unwrap();
    world.stop_all().await;
}

#[tokio::test]
async fn a_node_that_was_removed_stays_when_a_snapshot_says_that_it_is_a_member_again() {
    let mut world = World::start(
        3,
        Config {
            log_tail_entries: 0,
            ..world_config()
        },
    );
    let leader = world.leader().await;
    world.propose_lines(leader, "before", 5).await;
    world.all_have(5).await;
    let id = world.others(leader)[0];
    let node = world.node(leader);
    node.change_config(one(NodeChange::Remove { id }))
        .await
        .unwrap();
    world.wait_for_end(id).await.unwrap();
    world.propose_lines(leader, "without", 5).await;
    let add = one(NodeChange::AddVoter {
        id,
        addr: addr_of(id),
    });
    node.change_config(add).await.unwrap();
    let index = node.create_snapshot().await.unwrap();
    until("the leader has cut its log", || async {
        node.status().await.unwrap().first_index > index
    })
    .await;
    // Its own log says that it was removed, and nothing else.
    world.start_node(id);
    let begun = Instant::now();
    let mut lines = 10;
    while begun.elapsed() < world.config.election_timeout * 5 {
        world.propose_lines(leader, "again", 1).await;
        lines += 1;
        world.all_have(lines).await;
    }
    world.stop_all().await;
}

#[tokio::test]
async fn a_joiner_that_is_restarted_before_it_joined_founds_no_cluster_of_its_own() {
    let mut world = World::start(1, world_config());
    world.leader().await;
    world.propose_lines(1, "before", 3).await;
    let ticket = NodeHandler::reserve_id(
        &world.node(1),
        addr_of(2),
        world.config.change_timeout,
        false,
    )
    .await
    .unwrap();
    assert_eq!(ticket.reserved_id, 2);
    let joiner = Config {
        initial_peers: Some(ticket.peers.clone()),
        ..world.config.clone()
    };
    world.start_with(2, joiner);
    world.node(2).status().await.unwrap();
    world.kill(2).await;

    // Started again, nobody tells it of peers: it must still wait to be let in.
    let alone = Config {
        initial_peers: None,
        ..world.config.clone()
    };
    world.start_with(2, alone);
    let status = world.node(2).status().await.unwrap();
    assert_eq!((status.voters.len(), status.last_index), (0, 0));
    let refused = world.node(2).campaign().await.unwrap_err();
    assert!(refused.to_string().contains("not a voter"), "{refused}");

    world.node(2).join_cluster(vec![ticket]).await.unwrap();
    world.node(2).propose("joined".into()).await.unwrap();
    world.all_have(4).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_wiped_founder_is_refused_by_a_member_that_never_met_it() {
    let mut world = World::new(Config {
        initial_peers: Some(members(3)),
        ..world_config()
    });
    world.network.cut_both(2, 3);
    for id in 1..=3 {
        world.start_node(id);
    }
    until("the one that both others hear leads", || async {
        world.node(1).campaign().await.ok();
        world.node(1).is_leader().await
    })
    .await;
    world.propose_lines(1, "line", 5).await;
    world.all_have(5).await;
    let known = world.hosts[&2].inbox.identity().incarnation;
    until("the disk of node 3 tells the directory of node 2", || {
        let note = world.disk(3).log.reader().state().unwrap().system.unwrap();
        let note = SystemState::decode(&note).unwrap();
        std::future::ready(note.peers.get(2).unwrap().incarnation == known)
    })
    .await;
    world.kill(1).await;
    world.kill(2).await;
    world.wipe(2);
    world.network.heal();
    world.start_node(2);
    let origin = world.hosts[&2].inbox.origin_to(3);
    let refusal = world.hosts[&3].inbox.check(&origin).unwrap_err();
    assert!(
        matches!(refusal, Refusal::WipedNode { id: 2, .. }),
        "{refusal}"
    );
    world.kill(3).await;
    world.start_node(3);
    world.node(3).status().await.unwrap();
    let refusal = world.hosts[&3].inbox.check(&origin).unwrap_err();
    assert!(
        matches!(refusal, Refusal::WipedNode { id: 2, .. }),
        "{refusal}"
    );
    world.stop_all().await;
}

#[tokio::test]
async fn a_wiped_founder_that_was_removed_is_taken_again_under_its_id() {
    let mut world = World::start(3, world_config());
    let leader = world.leader().await;
    world.propose_lines(leader, "before", 5).await;
    world.all_have(5).await;
    let id = world.others(leader)[0];
    world.kill(id).await;
    world.wipe(id);
    let remove = one(NodeChange::Remove { id });
    world.node(leader).change_config(remove).await.unwrap();
    let add = one(NodeChange::AddVoter {
        id,
        addr: addr_of(id),
    });
    world.node(leader).change_config(add).await.unwrap();
    world.start_node(id);
    world.propose_lines(leader, "after", 5).await;
    world.all_have(10).await;
    // Its new directory is named as the first one was, on every node.
    let incarnation = world.hosts[&id].inbox.identity().incarnation;
    until("the log names its new directory", || async {
        let mut named = true;
        for host in world.hosts.values() {
            let peers = host.node.peers().await.unwrap();
            named &= peers.get(id).unwrap().incarnation == incarnation;
        }
        named
    })
    .await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_joiner_that_shall_lead_wins_its_first_election() {
    let mut world = World::start(3, world_config());
    let leader = world.leader().await;
    let ticket = NodeHandler::reserve_id(
        &world.node(leader),
        addr_of(4),
        world.config.change_timeout,
        false,
    )
    .await
    .unwrap();
    let joiner = Config {
        initial_peers: Some(ticket.peers.clone()),
        ..world.config.clone()
    };
    world.start_with(4, joiner);
    world.node(4).join_cluster(vec![ticket]).await.unwrap();
    let term = world.node(leader).status().await.unwrap().term;
    world.node(leader).transfer_leader(4).await.unwrap();
    assert_eq!(world.leader().await, 4);
    let status = world.node(4).status().await.unwrap();
    assert_eq!(status.term, term + 1, "an election was lost before");
    world.stop_all().await;
}

#[tokio::test]
async fn a_ticket_of_another_cluster_or_node_is_refused() {
    let mut world = World::start(1, world_config());
    world.leader().await;
    let ticket = NodeHandler::reserve_id(
        &world.node(1),
        addr_of(2),
        world.config.change_timeout,
        false,
    )
    .await
    .unwrap();
    let joiner = Config {
        initial_peers: Some(ticket.peers.clone()),
        ..world.config.clone()
    };
    world.start_with(2, joiner);
    let mut foreign = ticket.clone();
    foreign.cluster_id ^= 1;
    let error = world.node(2).join_cluster(vec![foreign]).await.unwrap_err();
    assert!(
        matches!(error, MembershipError::WrongCluster { .. }),
        "{error}"
    );
    let mut anothers = ticket.clone();
    anothers.reserved_id = 9;
    let error = world
        .node(2)
        .join_cluster(vec![anothers])
        .await
        .unwrap_err();
    assert!(matches!(error, MembershipError::Invalid(_)), "{error}");
    world.node(2).join_cluster(vec![ticket]).await.unwrap();
    world.stop_all().await;
}

#[tokio::test]
async fn nobody_leads_without_the_votes_of_a_majority_also_after_a_restart() {
    // Node 1 is the one that shall lead at first, and terms move without pre-votes.
    let mut peers = members(3);
    peers.insert(1, Peer::new(addr_of(1), InitialRole::Leader));
    let mut world = World::new(Config {
        initial_peers: Some(peers),
        pre_vote: false,
        ..world_config()
    });
    let mut term = 0;
    for _ in 0..3 {
        world.start_node(1);
        term += 3;
        until("it has asked for votes again and again", || async {
            let status = world.node(1).status().await.unwrap();
            assert_ne!(status.role, "Leader", "it leads without votes");
            status.term >= term
        })
        .await;
        assert_eq!(world.node(1).metrics().elections_won_total, 0);
        world.stop(1).await.unwrap();
    }
    world.start_node(1);
    world.start_node(3);
    world.leader().await;
    world.node(1).propose("elected".into()).await.unwrap();
    world.stop_all().await;
}

#[tokio::test]
async fn nodes_that_start_without_a_quorum_have_what_was_committed_and_wait() {
    let mut world = World::start(3, world_config());
    let leader = world.leader().await;
    world.propose_lines(leader, "line", 20).await;
    world.all_have(20).await;
    let committed = world.node(leader).status().await.unwrap().commit_index;
    for id in 1..=3 {
        // Also when no entry follows that could carry it.
        until("the commit index is on the disk", || {
            let stored = world.disk(id).log.reader().state().unwrap();
            std::future::ready(stored.hard_state.commit >= committed)
        })
        .await;
        world.kill(id).await;
    }
    world.start_node(2);
    until("the committed lines are applied again", || {
        std::future::ready(world.lines(2).len() == 20)
    })
    .await;
    assert_eq!(world.node(2).leader_id().await, 0);
    let stale = world.node(2).query("19".into(), Consistency::Stale).await;
    assert_eq!(stale.unwrap(), "line 19");
    world.start_node(3);
    let next = world.leader().await;
    world.propose_lines(next, "more", 5).await;
    world.start_node(1);
    world.all_have(25).await;
    world.stop_all().await;
}

#[tokio::test]
async fn all_nodes_killed_at_once_under_load_lose_no_acknowledged_write() {
    let mut world = World::start(3, world_config());
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        world.leader().await;
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let node = world.node(writer % 3 + 1);
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for number in 0.. {
                        let line = format!("{round}/{writer}/{number}");
                        if node.propose(line.clone()).await.is_err() {
                            break;
                        }
                        done.push(line);
                    }
                    done
                })
            })
            .collect();
        until("the load runs", || {
            std::future::ready(world.lines(1).len() > acknowledged.len() + 50)
        })
        .await;
        for id in 1..=3 {
            world.kill(id).await;
        }
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        for id in 1..=3 {
            world.start_node(id);
        }
        let leader = world.leader().await;
        world.node(leader).read_index().await.unwrap();
        let lines = world.lines(leader);
        let present: std::collections::BTreeSet<_> = lines.iter().collect();
        assert_eq!(present.len(), lines.len(), "a line was applied twice");
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|line| !present.contains(line))
            .collect();
        assert!(lost.is_empty(), "lost {lost:?}");
    }
    world.stop_all().await;
}
