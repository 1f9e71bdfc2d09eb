//! Runs a program beside a server on an empty directory, in which this crate's event store has written two wallets and a
//! transfer: `with_server PROGRAM ARGUMENT…`. The program finds the server in `WITNESS_URL`; its exit code is ours.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use wallex_contracts::ledger::Ledger;
use wallex_core::effect::{Append, Completion, Effect, Input};
use wallex_core::id::EffectId;
use wallex_kurrentdb::client::ConnectionString;
use wallex_kurrentdb::server::{self, Server};
use wallex_kurrentdb::store::{EventStore, Options};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("with_server PROGRAM ARGUMENT…")?;
    let directory = tempfile::tempdir()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let server = Server::start(listener, directory.path(), server::Options::default()).await?;
    let url = format!("kurrentdb://127.0.0.1:{}?tls=false", server.address().port());
    write_wallets(&url).await?;
    let mut command = std::process::Command::new(program);
    command.args(arguments).env("WITNESS_URL", url).env("WITNESS_WALLETS", "1");
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    server.stop().await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn write_wallets(url: &str) -> Result<(), Box<dyn Error>> {
    let store = EventStore::connect(&ConnectionString::parse(url)?, Options::default()).await?;
    let mut ledger = Ledger::default();
    let commands: [fn(&Ledger) -> Append; 3] =
        [|ledger| ledger.create("a"), |ledger| ledger.create("b"), |ledger| ledger.transfer("a", "b", "9.99")];
    for command in commands {
        let append = command(&ledger);
        let input = store.perform(Effect::Append(EffectId(1), Arc::new(append.clone()))).await;
        if input != Some(Input::Appended(EffectId(1), Completion::Done(()))) {
            return Err(format!("an append ended with {input:?}").into());
        }
        ledger.accept(&append);
    }
    Ok(())
}
