//! The two forms in which a change is proposed.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message as _;

use super::ConfChangeError;
use crate::eraftpb::{ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeV2, EntryType};

/// A configuration change in either form.
pub trait ConfChangeI {
    /// The change in the form that can hold any change.
    fn as_v2(&self) -> Cow<'_, ConfChangeV2>;

    /// The change in the form of the first generation, if it was made in that form.
    fn as_v1(&self) -> Option<&ConfChange>;

    /// The change in the form that can hold any change, without a copy when it has that form.
    fn into_v2(self) -> ConfChangeV2
    where
        Self: Sized,
    {
        self.as_v2().into_owned()
    }
}

impl ConfChangeI for ConfChange {
    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Owned(ConfChangeV2 {
            transition: ConfChangeTransition::Auto.into(),
            changes: vec![ConfChangeSingle {
                change_type: self.change_type,
                node_id: self.node_id,
            }],
            context: self.context.clone(),
        })
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        Some(self)
    }
}

impl ConfChangeI for ConfChangeV2 {
    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Borrowed(self)
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        None
    }

    fn into_v2(self) -> ConfChangeV2 {
        self
    }
}

impl ConfChangeV2 {
    /// Whether the change goes through a joint configuration, and then whether it leaves it by
    /// itself: `None` for a simple change.
    ///
    /// More than one change is taken as joint even where a simple step would do, since whether it
    /// would do depends on the configuration it meets.
    ///
    /// # Errors
    ///
    /// [`ConfChangeError::UnknownTransition`] when the change is of a newer version or damaged.
    pub fn enter_joint(&self) -> Result<Option<bool>, ConfChangeError> {
        match ConfChangeTransition::try_from(self.transition) {
            Ok(ConfChangeTransition::Auto) if self.changes.len() <= 1 => Ok(None),
            Ok(ConfChangeTransition::Auto | ConfChangeTransition::Implicit) => Ok(Some(true)),
            Ok(ConfChangeTransition::Explicit) => Ok(Some(false)),
            Err(_) => Err(ConfChangeError::UnknownTransition(self.transition)),
        }
    }

    /// Whether the change leaves the joint configuration: it is empty but for its context.
    pub fn leave_joint(&self) -> bool {
        self.transition == i32::from(ConfChangeTransition::Auto) && self.changes.is_empty()
    }
}

/// The type and the payload of the entry that carries a change. Leaving a joint configuration
/// without a context takes no byte, so no quota on payloads can refuse it.
pub fn encode(change: &impl ConfChangeI) -> (EntryType, Bytes) {
    match change.as_v1() {
        Some(v1) => (EntryType::EntryConfChange, v1.encode_to_vec().into()),
        None => (
            EntryType::EntryConfChangeV2,
            change.as_v2().encode_to_vec().into(),
        ),
    }
}
