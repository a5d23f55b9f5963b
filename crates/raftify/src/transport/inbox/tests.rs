use super::*;

fn identity() -> Identity {
    Identity {
        cluster_id: 7,
        group_id: 0,
        node_id: 1,
        incarnation: 70,
    }
}

fn origin() -> Origin {
    Origin {
        cluster_id: 7,
        group_id: 0,
        from: 2,
        to: 1,
        incarnation: 20,
        to_incarnation: 0,
    }
}

fn frame() -> Frame {
    Frame {
        origin: origin(),
        messages: Vec::new(),
        size_bytes: 10,
    }
}

#[test]
fn frames_of_strangers_are_refused_with_the_reason() {
    let (inbox, _receiver) = NodeInbox::new(identity(), 8, 100);
    inbox.set_incarnation(2, Some(20));
    assert_eq!(inbox.deliver(frame()), Ok(()));
    let other = Origin {
        cluster_id: 8,
        ..origin()
    };
    assert_eq!(
        inbox.check(&other),
        Err(Refusal::WrongCluster { ours: 7, theirs: 8 })
    );
    let other = Origin {
        group_id: 3,
        ..origin()
    };
    assert_eq!(inbox.check(&other), Err(Refusal::WrongGroup(3)));
    let stale = Origin { to: 9, ..origin() };
    assert_eq!(
        inbox.check(&stale),
        Err(Refusal::WrongNode { ours: 1, wanted: 9 })
    );
    let wiped = Origin {
        incarnation: 21,
        ..origin()
    };
    let refusal = Refusal::WipedNode {
        id: 2,
        known: 20,
        theirs: 21,
    };
    assert_eq!(inbox.check(&wiped), Err(refusal));
    inbox.set_removed(2, true);
    assert_eq!(inbox.check(&origin()), Err(Refusal::Removed(2)));
}

#[test]
fn a_wiped_node_hears_that_it_was_known_otherwise() {
    let (inbox, _receiver) = NodeInbox::new(identity(), 8, 100);
    inbox.set_incarnation(2, Some(20));
    let known = Origin {
        to_incarnation: 70,
        ..origin()
    };
    assert_eq!(inbox.check(&known), Ok(()));
    let before = Origin {
        to_incarnation: 69,
        ..origin()
    };
    assert_eq!(
        inbox.check(&before),
        Err(Refusal::WipedHere {
            id: 1,
            known: 69,
            ours: 70
        })
    );
    assert_eq!(inbox.origin_to(2).to_incarnation, 20);
    assert_eq!(inbox.origin_to(3).to_incarnation, 0);
}

#[test]
fn the_queue_is_bounded_in_bytes_and_frames() {
    let (inbox, mut receiver) = NodeInbox::new(identity(), 2, 25);
    inbox.set_incarnation(2, Some(20));
    assert_eq!(inbox.deliver(frame()), Ok(()));
    assert_eq!(inbox.deliver(frame()), Ok(()));
    assert_eq!(
        inbox.deliver(Frame {
            size_bytes: 1,
            ..frame()
        }),
        Err(Refusal::Full)
    );
    assert!(receiver.try_recv().is_some());
    assert_eq!(inbox.deliver(frame()), Ok(()));
}

#[test]
fn a_frame_larger_than_the_queue_is_taken_alone() {
    let (inbox, mut receiver) = NodeInbox::new(identity(), 2, 25);
    inbox.set_incarnation(2, Some(20));
    let large = Frame {
        size_bytes: 30,
        ..frame()
    };
    assert_eq!(inbox.deliver(large.clone()), Ok(()));
    assert_eq!(inbox.deliver(frame()), Err(Refusal::Full));
    assert!(receiver.try_recv().is_some());
    assert_eq!(inbox.deliver(large), Ok(()));
}

#[test]
fn a_first_contact_is_noted_before_its_messages_are_taken() {
    let (inbox, mut receiver) = NodeInbox::new(identity(), 2, 25);
    assert_eq!(inbox.deliver(frame()), Err(Refusal::Full));
    assert!(matches!(
        receiver.try_recv(),
        Some(PeerEvent::Met {
            id: 2,
            incarnation: 20
        })
    ));
}
