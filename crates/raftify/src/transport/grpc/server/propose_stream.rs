//! Proposals on one stream.

use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use super::Shared;
use super::exchange::{ANSWER_OVERHEAD_BYTES, Exchange, MESSAGE_OVERHEAD_BYTES};
use crate::error::{ProposeError, UnknownCause};
use crate::transport::grpc::convert::timeout_from;
use crate::transport::grpc::proto::{Proposal, ProposeAnswer, ProposeAnswers, ProposeBatch};
use crate::transport::grpc::wire_error::WireError as _;

/// The exchange of proposals for the state machine's answers.
pub(super) enum Proposing {}

impl Exchange for Proposing {
    type Batch = ProposeBatch;
    type Request = Proposal;
    type Answer = ProposeAnswer;
    type Answers = ProposeAnswers;

    fn requests(batch: ProposeBatch) -> Vec<Proposal> {
        batch.proposals
    }

    async fn perform(shared: Arc<Shared>, proposal: Proposal) -> ProposeAnswer {
        let options = &shared.options;
        let timeout = timeout_from(
            proposal.timeout_ms,
            options.propose_timeout,
            options.request_timeout_max,
        );
        let result = shared
            .handler
            .propose(proposal.entry, timeout, proposal.forwarded)
            .await;
        // It was applied. A message that is too large would take the stream with it.
        let fits = |answer: &Bytes| {
            answer.len().saturating_add(MESSAGE_OVERHEAD_BYTES) <= options.message_bytes_max
        };
        match result {
            Ok(answer) if !fits(&answer) => answer_of(
                proposal.id,
                Err(ProposeError::Unknown(UnknownCause::Answer)),
            ),
            result => answer_of(proposal.id, result),
        }
    }

    fn refused(proposal: Proposal) -> ProposeAnswer {
        answer_of(proposal.id, Err(ProposeError::Stopped))
    }

    fn answer_bytes(answer: &ProposeAnswer) -> usize {
        answer.answer.len().saturating_add(ANSWER_OVERHEAD_BYTES)
    }

    fn answers(answers: Vec<ProposeAnswer>) -> ProposeAnswers {
        ProposeAnswers { answers }
    }

    fn stopped() -> Status {
        ProposeError::Stopped.to_status()
    }
}

fn answer_of(id: u64, result: Result<Bytes, ProposeError>) -> ProposeAnswer {
    match result {
        Ok(answer) => ProposeAnswer {
            id,
            answer,
            error: None,
        },
        Err(error) => ProposeAnswer {
            id,
            answer: Bytes::new(),
            error: Some(error.to_detail()),
        },
    }
}
