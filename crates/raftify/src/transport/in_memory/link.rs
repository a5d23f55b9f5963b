//! Frames on their way: delivered at once, held back, or later in order.

use std::collections::{BTreeMap, VecDeque};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::faults::{Fate, Way};
use super::{InMemoryNetwork, Registered};
use crate::transport::Frame;

/// What is on its way on each link.
#[derive(Default)]
pub(super) struct Links {
    links: BTreeMap<(u64, u64), Link>,
}

#[derive(Default)]
struct Link {
    /// Frames with a delay, in the order in which they arrive.
    delayed: VecDeque<(Instant, Frame)>,
    /// Whether a task delivers `delayed`.
    is_served: bool,
    /// A frame that the next one overtakes.
    held: Option<Frame>,
    /// The sender was told that the receiver is unreachable, and nothing arrived since.
    told_unreachable: bool,
}

impl Links {
    fn link(&mut self, from: u64, to: u64) -> &mut Link {
        self.links.entry((from, to)).or_default()
    }

    pub(super) fn known(&self) -> Vec<(u64, u64)> {
        self.links.keys().copied().collect()
    }

    /// Loses what is on its way from and to a node.
    pub(super) fn forget(&mut self, id: u64) {
        for ((from, to), link) in &mut self.links {
            if *from == id || *to == id {
                link.delayed.clear();
                link.held = None;
            }
        }
    }

    /// Whether the sender has yet to be told that the receiver is unreachable.
    fn note_unreachable(&mut self, from: u64, to: u64) -> bool {
        !std::mem::replace(&mut self.link(from, to).told_unreachable, true)
    }
}

impl InMemoryNetwork {
    /// Sends a frame with the faults of its link.
    pub(super) fn dispatch(&self, frame: Frame) {
        let (from, to) = (frame.origin.from, frame.origin.to);
        let fate = self.shared.faults().fate(from, to);
        match fate {
            Fate::Cut => self.unreachable(from, to),
            Fate::Lost => {}
            Fate::Arrives(_) if !self.shared.nodes().contains_key(&to) => {
                self.unreachable(from, to)
            }
            Fate::Arrives(way) => self.arrive(frame, way),
        }
    }

    fn arrive(&self, frame: Frame, way: Way) {
        let (from, to) = (frame.origin.from, frame.origin.to);
        if way.twice {
            self.pass(frame.clone(), way);
        }
        if way.overtaken {
            let before = self.shared.links().link(from, to).held.replace(frame);
            if let Some(before) = before {
                self.pass(before, way);
            }
            return;
        }
        self.pass(frame, way);
        self.release_held(from, to);
    }

    /// Delivers the frame that was to be overtaken, if there is one.
    pub(super) fn release_held(&self, from: u64, to: u64) {
        let held = self.shared.links().link(from, to).held.take();
        if let Some(frame) = held {
            self.deliver(frame);
        }
    }

    fn pass(&self, frame: Frame, way: Way) {
        let (from, to) = (frame.origin.from, frame.origin.to);
        let mut links = self.shared.links();
        let link = links.link(from, to);
        if way.delay.is_zero() && link.delayed.is_empty() {
            drop(links);
            self.deliver(frame);
            return;
        }
        // A later frame never arrives before an earlier one: only `overtaken` reorders.
        let earliest = Instant::now() + way.delay;
        let at = link
            .delayed
            .back()
            .map_or(earliest, |(last, _)| earliest.max(*last));
        link.delayed.push_back((at, frame));
        let serve = !std::mem::replace(&mut link.is_served, true);
        drop(links);
        if serve {
            self.serve(from, to);
        }
    }

    /// Delivers the delayed frames of a link when their time comes.
    fn serve(&self, from: u64, to: u64) {
        let network = self.clone();
        let Ok(runtime) = Handle::try_current() else {
            // Without a runtime there is no clock either: they arrive now.
            while let Some(frame) = network.next_delayed(from, to, None) {
                network.deliver(frame);
            }
            return;
        };
        runtime.spawn(async move {
            while let Some(at) = network.next_arrival(from, to) {
                tokio::time::sleep_until(at).await;
                while let Some(frame) = network.next_delayed(from, to, Some(Instant::now())) {
                    network.deliver(frame);
                }
            }
        });
    }

    /// When the next delayed frame arrives; without one the link is not served any more.
    fn next_arrival(&self, from: u64, to: u64) -> Option<Instant> {
        let mut links = self.shared.links();
        let link = links.link(from, to);
        let at = link.delayed.front().map(|(at, _)| *at);
        link.is_served = at.is_some();
        at
    }

    fn next_delayed(&self, from: u64, to: u64, now: Option<Instant>) -> Option<Frame> {
        let mut links = self.shared.links();
        let link = links.link(from, to);
        let is_due = link
            .delayed
            .front()
            .is_some_and(|(at, _)| now.is_none_or(|now| *at <= now));
        if !is_due {
            link.is_served &= now.is_some();
            return None;
        }
        link.delayed.pop_front().map(|(_, frame)| frame)
    }

    /// The end of the way. What was on a link when it was cut is lost.
    fn deliver(&self, frame: Frame) {
        let (from, to) = (frame.origin.from, frame.origin.to);
        let is_cut = self.shared.faults().is_cut(from, to);
        let arrives = !is_cut && self.hand_over(from, to, frame);
        if !arrives {
            self.unreachable(from, to);
        }
    }

    /// Gives a frame to its receiver, if that is there.
    fn hand_over(&self, from: u64, to: u64, frame: Frame) -> bool {
        let nodes = self.shared.nodes();
        let Some(Registered { inbox, .. }) = nodes.get(&to) else {
            return false;
        };
        self.shared.links().link(from, to).told_unreachable = false;
        // A refusal is a loss here, as it is on the wire: Raft sends again.
        let taken = inbox.deliver(frame).is_ok();
        if let Some(sender) = nodes.get(&from).filter(|_| taken) {
            inbox.heard_from(from, sender.inbox.addr());
        }
        true
    }

    /// Tells the sender once, until something arrives again.
    pub(super) fn unreachable(&self, from: u64, to: u64) {
        let tell = self.shared.links().note_unreachable(from, to);
        if let Some(inbox) = self.shared.inbox(from).filter(|_| tell) {
            inbox.report_unreachable(to);
        }
    }
}
