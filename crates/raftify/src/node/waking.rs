//! What the loop waits for.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::RaftNodeCore;
use super::log_fetch::Fetched;
use super::log_writer::LogEvent;
use super::request::{LocalRequestMsg, ServerRequestMsg};
use crate::apply::{Applied, ApplyEvent};
use crate::state_machine::AbstractStateMachine;
use crate::storage::{LogReader, StorageError};
use crate::transport::PeerEvent;

/// What woke the loop.
pub(super) enum Woken<L, F: AbstractStateMachine> {
    Stop,
    /// The log writer failed, or ended without a reason.
    LogEnded(Option<StorageError>),
    Log(Option<LogEvent>),
    Apply(Option<ApplyEvent>),
    Applied(Option<Applied>),
    Fetched(Option<Fetched>),
    Peer(Option<PeerEvent>),
    Proposals,
    Local(Option<LocalRequestMsg<L, F>>),
    Server(Option<ServerRequestMsg<L, F>>),
    Tick,
}

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Waits for the first piece of news. What else there is the turn takes without waiting.
    pub(super) async fn wake(&mut self) -> Woken<L, F> {
        let (awaits_log, awaits_applied) = (self.awaits_log(), self.awaits_applied());
        poll_fn(|context| {
            if let Poll::Ready(woken) = self.poll_seldom(context) {
                return Poll::Ready(woken);
            }
            if awaits_log && let Poll::Ready(event) = self.log_events.poll_recv(context) {
                return Poll::Ready(Woken::Log(event));
            }
            if awaits_applied && let Poll::Ready(applied) = self.applied.poll_recv(context) {
                return Poll::Ready(Woken::Applied(applied));
            }
            if let Poll::Ready(event) = self.frames.poll_recv(context) {
                return Poll::Ready(Woken::Peer(event));
            }
            self.intake.poll_filled(context).map(|()| Woken::Proposals)
        })
        .await
    }

    /// Asks the sources that seldom have news, if one of them has rung.
    fn poll_seldom(&mut self, context: &mut Context<'_>) -> Poll<Woken<L, F>> {
        let alarm_at = self.commit_notice.due_at();
        if !self.seldom.poll_rung(context) && !self.clock.must_be_asked(alarm_at) {
            return Poll::Pending;
        }
        self.seldom.silence();
        let waker = self.seldom.waker();
        let woken = self.poll_all_seldom(&mut Context::from_waker(&waker));
        if woken.is_ready() {
            self.seldom.ring();
        }
        woken
    }

    fn poll_all_seldom(&mut self, context: &mut Context<'_>) -> Poll<Woken<L, F>> {
        if self.seldom.stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(Woken::Stop);
        }
        if let Poll::Ready(ended) = Pin::new(&mut self.log_ended).poll(context) {
            return Poll::Ready(Woken::LogEnded(ended.ok()));
        }
        if let Poll::Ready(event) = self.apply_events.poll_recv(context) {
            return Poll::Ready(Woken::Apply(event));
        }
        if let Poll::Ready(fetched) = self.fetched.poll_recv(context) {
            return Poll::Ready(Woken::Fetched(fetched));
        }
        if !self.rx_local.is_closed()
            && let Poll::Ready(request) = self.rx_local.poll_recv(context)
        {
            return Poll::Ready(Woken::Local(request));
        }
        if !self.rx_server.is_closed()
            && let Poll::Ready(request) = self.rx_server.poll_recv(context)
        {
            return Poll::Ready(Woken::Server(request));
        }
        let alarm_at = self.commit_notice.due_at();
        self.clock.poll_due(context, alarm_at).map(|()| Woken::Tick)
    }
}
