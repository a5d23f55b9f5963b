//! What the program of a peer is told, and what it says: one line of JSON for each row.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::closed_loop::{Client, Window, announce, closed_loop};
use crate::figures::Figures;
use crate::usage::Meter;

/// The command line of a peer's program.
#[derive(Debug, Clone, clap::Parser)]
pub struct PeerArgs {
    /// Callers at a time; one row for each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256, 1024])]
    pub clients: Vec<usize>,
    /// Bytes of an entry; one row for each.
    #[arg(long, value_delimiter = ',', default_values_t = [64])]
    pub bytes: Vec<usize>,
    /// How long one row is measured, in seconds.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// How long the load runs before that, in seconds.
    #[arg(long, default_value_t = 0.5)]
    pub warm_up_seconds: f64,
    /// The directory of the logs.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub dir: PathBuf,
}

impl PeerArgs {
    /// How long rows are measured.
    pub fn window(&self) -> Window {
        let seconds = |given| Duration::try_from_secs_f64(given).unwrap_or_default();
        Window {
            warm_up: seconds(self.warm_up_seconds),
            measured: seconds(self.seconds).max(Duration::from_millis(10)),
        }
    }
}

/// One row of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerRow {
    /// Its name and version.
    pub peer: String,
    /// How it is set up: processes, storage, network.
    pub setting: String,
    /// What is on disk when an operation is answered.
    pub durability: String,
    /// What one operation is.
    pub operation: String,
    /// Callers at a time.
    pub clients: usize,
    /// Bytes of an entry.
    pub bytes: usize,
    /// What was measured.
    pub figures: Figures,
}

impl PeerRow {
    /// Writes the row as a line on standard output, and for people on standard error.
    pub fn print(&self) -> Result<(), String> {
        let name = format!(
            "{}/{}/{}x{}",
            self.peer, self.operation, self.clients, self.bytes
        );
        announce(&name, &self.figures);
        let line = serde_json::to_string(self).map_err(|error| error.to_string())?;
        writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
    }
}

/// A peer that is set up and can be measured.
#[derive(Debug)]
pub struct Peer<'a> {
    /// Its name and version.
    pub name: String,
    /// How it is set up: processes, storage, network.
    pub setting: &'a str,
    /// What is on disk when an operation is answered.
    pub durability: &'a str,
    /// What it was told.
    pub args: &'a PeerArgs,
    /// The processes that count.
    pub meter: Meter,
}

impl Peer<'_> {
    /// Measures one operation with entries of each size in `sizes` and each number of callers;
    /// `caller` makes the caller of a number, from 0, for entries of so many bytes. Prints the rows.
    ///
    /// # Errors
    /// When a caller's task ended by a panic, or standard output is closed.
    pub async fn rows<C: Client>(
        &self,
        operation: &str,
        sizes: &[usize],
        caller: impl Fn(usize, usize) -> C,
    ) -> Result<(), String> {
        for bytes in sizes {
            for clients in &self.args.clients {
                let callers = (0..*clients).map(|number| caller(number, *bytes)).collect();
                let figures = closed_loop(callers, self.args.window(), &self.meter).await?;
                self.row(operation, *clients, *bytes, figures).print()?;
            }
        }
        Ok(())
    }

    fn row(&self, operation: &str, clients: usize, bytes: usize, figures: Figures) -> PeerRow {
        PeerRow {
            peer: self.name.clone(),
            setting: self.setting.to_owned(),
            durability: self.durability.to_owned(),
            operation: operation.to_owned(),
            clients,
            bytes,
            figures,
        }
    }
}

/// The size of the entries that reads find.
pub const READ_BYTES: usize = 64;

/// Ends a peer's process with what came of its measurement. What the peer left running ends with
/// it: not every peer has nodes that can be stopped.
#[allow(clippy::exit)]
pub fn exit(outcome: Result<(), String>) -> ! {
    if let Err(reason) = &outcome {
        eprintln!("error: {reason}");
    }
    std::process::exit(i32::from(outcome.is_err()))
}
