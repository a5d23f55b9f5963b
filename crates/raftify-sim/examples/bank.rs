//! A bank's accounts in simulated clusters, right and wrong.
//!
//!     cargo run --release -p raftify-sim --example bank           the right one passes
//!     cargo run --release -p raftify-sim --example bank -- wrong  the wrong one is caught
//!
//! The wrong one pays interest in the order of a `HashMap`, with what is left of a pot: whoever
//! comes first gets more, and the order is another one in each process.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use bytes::Bytes;
use raftify::state_machine::{ApplyError, SnapshotReader};
use raftify::{AbstractLogEntry, AbstractStateMachine, BoxError, CodecError};
use raftify_sim::rng::Rng;
use raftify_sim::users::{Operation, Options, simulate};
use serde::{Deserialize, Serialize};

/// How many accounts there are.
const ACCOUNTS: u64 = 6;

/// What is replicated.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Order {
    Deposit { account: u64, amount: u64 },
    Transfer { from: u64, to: u64, amount: u64 },
    Interest { pot: u64 },
}

impl AbstractLogEntry for Order {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(self).map_err(CodecError::new)
    }
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        serde_json::from_slice(bytes).map_err(CodecError::new)
    }
}

/// The accounts.
#[derive(Default)]
struct Bank {
    balances: BTreeMap<u64, u64>,
    is_wrong: bool,
}

impl Bank {
    /// Each account gets a tenth of what it has, as far as the pot goes.
    fn pay_interest(&mut self, pot: u64) {
        let mut left = pot;
        let mut pay = |balance: &mut u64| {
            let paid = (*balance / 10).min(left);
            left -= paid;
            *balance += paid;
        };
        if self.is_wrong {
            let mut accounts: HashMap<u64, &mut u64> = HashMap::new();
            accounts.extend(self.balances.iter_mut().map(|(id, balance)| (*id, balance)));
            accounts.into_values().for_each(&mut pay);
        } else {
            self.balances.values_mut().for_each(&mut pay);
        }
    }
}

impl AbstractStateMachine for Bank {
    type LogEntry = Order;
    type Response = u64;
    type Snapshot = Vec<u8>;

    async fn apply(&mut self, order: Order) -> Result<u64, ApplyError> {
        match order {
            Order::Deposit { account, amount } => {
                let balance = self.balances.entry(account).or_default();
                *balance += amount;
                Ok(*balance)
            }
            Order::Transfer { from, to, amount } => {
                let balance = self.balances.entry(from).or_default();
                let left = balance.checked_sub(amount);
                *balance =
                    left.ok_or_else(|| ApplyError::Reject(format!("{from} has too little")))?;
                *self.balances.entry(to).or_default() += amount;
                Ok(amount)
            }
            Order::Interest { pot } => {
                self.pay_interest(pot);
                Ok(pot)
            }
        }
    }

    async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(&self.balances)?)
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        self.balances = serde_json::from_reader(snapshot)?;
        Ok(())
    }

    async fn query(&mut self, request: Bytes) -> Result<Bytes, BoxError> {
        let account: u64 = serde_json::from_slice(&request)?;
        Ok(serde_json::to_vec(&self.balances.get(&account))?.into())
    }
}

/// What a client does next.
fn draw(chance: &mut Rng) -> Operation<Order> {
    let (account, amount) = (chance.below(ACCOUNTS), chance.between(1, 100));
    match chance.below(10) {
        0..=3 => Order::Deposit { account, amount }.into(),
        4..=5 => {
            let to = chance.below(ACCOUNTS);
            let from = account;
            Order::Transfer { from, to, amount }.into()
        }
        6 => Order::Interest { pot: 30 }.into(),
        _ => Operation::Read(account.to_string().into()),
    }
}

fn main() -> ExitCode {
    let is_wrong = std::env::args().nth(1).is_some_and(|word| word == "wrong");
    let bank = move |_node| Bank {
        is_wrong,
        ..Bank::default()
    };
    match simulate(bank, draw, Options::default()) {
        Ok(passed) => {
            println!("{passed:?}");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("{failed}");
            ExitCode::FAILURE
        }
    }
}
