//! What the records of a batch say, and their bodies.
//!
//! | kind | body |
//! |---|---|
//! | state | [`WalState`], the first record of each segment and a batch of its own |
//! | owner | `Owner` |
//! | install, snapshot | `SnapshotDescriptor` |
//! | entry | `eraftpb.Entry` |
//! | hard state | `eraftpb.HardState` |
//! | compaction | [`Compaction`] |
//! | system | the framework's own bytes |
//! | seal | the sequence number of the segment that follows, 8 bytes little endian |

use bytes::Bytes;
use prost::Message;
use raft::eraftpb::{Entry, HardState};

use super::super::owner::Owner;
use super::super::{Identity, StoredState, WriteBatch};
use super::encode::Encoder;
use super::record::Kind;
use crate::snapshot::SnapshotDescriptor;

/// Everything but the entries, as of the beginning of a segment.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WalState {
    #[prost(message, optional, tag = "1")]
    owner: Option<Owner>,
    #[prost(uint64, tag = "2")]
    start_index: u64,
    #[prost(uint64, tag = "3")]
    start_term: u64,
    #[prost(uint64, tag = "4")]
    last_index: u64,
    #[prost(message, optional, tag = "5")]
    hard_state: Option<HardState>,
    #[prost(message, optional, tag = "6")]
    snapshot: Option<SnapshotDescriptor>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    system: Option<Bytes>,
}

/// The log begins after `index`, which is of `term`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Compaction {
    #[prost(uint64, tag = "1")]
    pub(super) index: u64,
    #[prost(uint64, tag = "2")]
    pub(super) term: u64,
}

/// What is needed of an entry to find it again; the payload is passed over, not copied.
#[derive(Clone, PartialEq, Message)]
struct EntryHead {
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(uint64, tag = "3")]
    index: u64,
}

/// What a record does to the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// At the beginning of a segment: all but the entries.
    State(Option<Identity>, Box<StoredState>),
    Owner(Identity),
    Install(SnapshotDescriptor),
    Entry {
        index: u64,
        term: u64,
        offset: u32,
    },
    HardState(HardState),
    Snapshot(SnapshotDescriptor),
    Compaction(Compaction),
    System(Bytes),
    /// The log goes on in another segment.
    Seal(u64),
}

impl Change {
    /// What a record at `offset` says.
    ///
    /// # Errors
    /// Why it says nothing.
    pub(super) fn decode(kind: Kind, offset: u64, body: &[u8]) -> Result<Self, String> {
        let decoded = match kind {
            Kind::State => WalState::decode(body).map(|state| state.change()),
            Kind::Owner => Owner::decode(body).map(|owner| Self::Owner(owner.into())),
            Kind::Install => SnapshotDescriptor::decode(body).map(Self::Install),
            Kind::Entry => return entry(offset, body),
            Kind::HardState => HardState::decode(body).map(Self::HardState),
            Kind::Snapshot => SnapshotDescriptor::decode(body).map(Self::Snapshot),
            Kind::Compaction => Compaction::decode(body).map(Self::Compaction),
            Kind::System => Ok(Self::System(Bytes::copy_from_slice(body))),
            Kind::Seal => {
                let next = body.try_into().map(u64::from_le_bytes);
                return next.map(Self::Seal).map_err(|error| error.to_string());
            }
        };
        decoded.map_err(|error| error.to_string())
    }
}

fn entry(offset: u64, body: &[u8]) -> Result<Change, String> {
    let head = EntryHead::decode(body).map_err(|error| error.to_string())?;
    let offset = u32::try_from(offset).map_err(|error| error.to_string())?;
    Ok(Change::Entry {
        index: head.index,
        term: head.term,
        offset,
    })
}

impl WalState {
    fn change(self) -> Change {
        let state = StoredState {
            hard_state: self.hard_state.unwrap_or_default(),
            snapshot: self.snapshot,
            start_index: self.start_index,
            start_term: self.start_term,
            last_index: self.last_index,
            system: self.system,
        };
        Change::State(self.owner.map(Identity::from), Box::new(state))
    }
}

/// Adds the state with which a segment begins.
pub(super) fn encode_state(encoder: &mut Encoder, identity: Option<Identity>, state: &StoredState) {
    let content = WalState {
        owner: identity.map(Owner::from),
        start_index: state.start_index,
        start_term: state.start_term,
        last_index: state.last_index,
        hard_state: Some(state.hard_state),
        snapshot: state.snapshot.clone(),
        system: state.system.clone(),
    };
    message(encoder, Kind::State, &content);
}

/// Adds the record that ends a segment before the one with the sequence number `next`.
pub(super) fn encode_seal(encoder: &mut Encoder, next: u64) {
    encoder.record(Kind::Seal, |body| {
        body.extend_from_slice(&next.to_le_bytes());
    });
}

/// Adds the records of `batch`, and notes in `changes` what they do. `takes_snapshot`: whether its
/// snapshot becomes the newest one.
pub(super) fn encode_batch(
    encoder: &mut Encoder,
    changes: &mut Vec<Change>,
    owner: Option<Identity>,
    batch: &WriteBatch,
    takes_snapshot: bool,
    compaction: Option<Compaction>,
) {
    changes.clear();
    if let Some(identity) = owner {
        message(encoder, Kind::Owner, &Owner::from(identity));
        changes.push(Change::Owner(identity));
    }
    if let Some(installed) = &batch.install {
        message(encoder, Kind::Install, installed);
        changes.push(Change::Install(installed.clone()));
    }
    encode_entries(encoder, changes, &batch.entries);
    if let Some(hard_state) = batch.hard_state {
        message(encoder, Kind::HardState, &hard_state);
        changes.push(Change::HardState(hard_state));
    }
    if let Some(made) = batch.snapshot.as_ref().filter(|_| takes_snapshot) {
        message(encoder, Kind::Snapshot, made);
        changes.push(Change::Snapshot(made.clone()));
    }
    if let Some(compaction) = compaction {
        message(encoder, Kind::Compaction, &compaction);
        changes.push(Change::Compaction(compaction));
    }
    if let Some(system) = &batch.system {
        encoder.record(Kind::System, |body| body.extend_from_slice(system));
        changes.push(Change::System(system.clone()));
    }
}

fn encode_entries(encoder: &mut Encoder, changes: &mut Vec<Change>, entries: &[Entry]) {
    for entry in entries {
        let offset = message(encoder, Kind::Entry, entry);
        changes.push(Change::Entry {
            index: entry.index,
            term: entry.term,
            // A segment that would reach beyond is refused before this is used.
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
        });
    }
}

fn message(encoder: &mut Encoder, kind: Kind, content: &impl Message) -> u64 {
    encoder.record(kind, |body| {
        // A vector grows as needed, so there is always room.
        let _ = content.encode(body);
    })
}
