//! `banger op`: what the daemon runs now.

use banger::Error;
use banger::daemon::{Client, OpCancel, OpList, OpListed};
use clap::Subcommand;

use super::progress::Display;
use super::source::here;
use super::table::table;
use super::{Global, interrupt, report};

/// List and cancel what the daemon is doing
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the operations that run or wait
    #[command(visible_alias = "ls")]
    List,
    /// Cancel operations
    ///
    /// What they have half-made is removed; their own callers are told that they were interrupted.
    Cancel {
        /// IDs of the operations, as `banger op list` shows them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let socket = match &global.socket {
            Some(socket) => socket.clone(),
            None => here()?.places.socket,
        };
        // Nothing of it takes long.
        let display = Display::new(global.progress, true, false);
        match self.command {
            Command::List => {
                let listed: OpListed = interrupt::run(display, async |_| {
                    Client::connect(&socket).await?.ask(&OpList {}).await
                })?;
                if listed.operations.is_empty() {
                    report::note(global, "no operations");
                }
                let ids = listed.operations.iter().map(|one| &one.op_id);
                report::reply(global, &listed, &[], ids, || text(&listed))
            }
            Command::Cancel { ids } => {
                interrupt::run(display, async |_| {
                    let mut client = Client::connect(&socket).await?;
                    for id in &ids {
                        let op_id = id.clone();
                        client.ask(&OpCancel { op_id }).await?;
                    }
                    Ok(())
                })?;
                let reply = serde_json::json!({ "cancelled": ids });
                report::reply(global, &reply, &[], &ids, || report::lines(&ids))
            }
        }
    }
}

fn text(listed: &OpListed) -> String {
    let rows = listed.operations.iter().map(|one| {
        [
            one.op_id.clone(),
            one.method.clone(),
            one.state.to_string(),
            one.started.clone(),
        ]
    });
    table(
        ["ID", "METHOD", "STATE", "STARTED"],
        &rows.collect::<Vec<_>>(),
    )
}
