//! A connection that is kept for requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::dialer::{Connection, Dialer, NotConnected};

/// After a failed connection, requests fail at once for this long instead of each waiting for a
/// connection of its own.
const REFUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A connection that is made when it is first needed, kept, and made anew after it broke.
pub(crate) struct KeptConnection {
    addr: String,
    dialer: Dialer,
    state: Mutex<State>,
    /// Held by the one who connects; the others wait for the result.
    connecting: tokio::sync::Mutex<()>,
}

enum State {
    Idle,
    Failed {
        until: Instant,
        reason: NotConnected,
    },
    Open(Arc<Connection>),
}

/// A connection to use.
pub(crate) struct Lease {
    pub(crate) connection: Arc<Connection>,
    /// It was made for this request: what fails on it would fail on another one too.
    pub(crate) is_new: bool,
}

impl KeptConnection {
    pub(crate) fn new(addr: String, dialer: Dialer) -> Self {
        Self {
            addr,
            dialer,
            state: Mutex::new(State::Idle),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// The open connection, or a new one.
    pub(crate) async fn lease(&self) -> Result<Lease, NotConnected> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.connecting.lock().await;
        // Somebody else may have connected, or failed to, while this one waited.
        if let Some(known) = self.known() {
            return known;
        }
        match self.dialer.connect(&self.addr).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *self.state() = State::Open(Arc::clone(&connection));
                Ok(Lease {
                    connection,
                    is_new: true,
                })
            }
            Err(reason) => {
                *self.state() = State::Failed {
                    until: Instant::now() + REFUSE_AFTER_FAILURE,
                    reason: reason.clone(),
                };
                Err(reason)
            }
        }
    }

    fn known(&self) -> Option<Result<Lease, NotConnected>> {
        match &*self.state() {
            State::Open(connection) if !connection.is_closed() => Some(Ok(Lease {
                connection: Arc::clone(connection),
                is_new: false,
            })),
            State::Failed { until, reason } if Instant::now() < *until => Some(Err(reason.clone())),
            State::Idle | State::Open(_) | State::Failed { .. } => None,
        }
    }

    /// Forgets the connection of `lease`, which broke; a newer one stays. What else is in
    /// progress on it goes on until it fails too.
    pub(crate) fn broke(&self, lease: &Lease) {
        let mut state = self.state();
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(open, &lease.connection)) {
            *state = State::Idle;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
