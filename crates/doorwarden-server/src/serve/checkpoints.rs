//! Signed checkpoints of the audit log, logged and written to files.

use doorwarden::Doorwarden;
use doorwarden::core::flow::verify_audit::CheckpointError;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked whether a checkpoint is due, after the first start has not sealed anything yet.
const FIRST: Duration = Duration::from_secs(5);

/// Signs the state of the log now and then until the service stops, if there were new events.
pub(super) async fn run(
    auth: Doorwarden,
    every: Duration,
    directory: Option<PathBuf>,
    mut stopped: watch::Receiver<bool>,
) {
    let (mut wait, mut last) = (FIRST.min(every), 0);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = every;
        match auth.audit().checkpoint().await {
            Ok((point, _)) if point.seal == last => {}
            Ok((point, signed)) => {
                last = point.seal;
                tracing::info!(
                    seal = point.seal,
                    events = point.records,
                    checkpoint = signed,
                    "audit log checkpoint"
                );
                let Some(directory) = directory.clone() else { continue };
                let written =
                    tokio::task::spawn_blocking(move || write(&directory, point.seal, &signed)).await;
                if let Ok(Err(error)) = written {
                    tracing::error!(%error, "a checkpoint of the audit log could not be written to `audit.checkpoint_dir`");
                    last = 0;
                }
            }
            Err(CheckpointError::Empty) => wait = FIRST.min(every),
            Err(error) => tracing::error!(%error, "no checkpoint of the audit log could be signed"),
        }
    }
}

/// Writes a checkpoint to a file of its own. One that is there already stays as it is.
fn write(directory: &Path, seal: i64, signed: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let name = directory.join(format!("audit-{seal:012}.jws"));
    if name.exists() {
        return Ok(());
    }
    // A file is whole or not there.
    let draft = directory.join(format!(".audit-{seal:012}-{}", std::process::id()));
    let mut file = std::fs::File::create(&draft)?;
    writeln!(file, "{signed}")?;
    file.sync_all()?;
    std::fs::rename(draft, name)
}
