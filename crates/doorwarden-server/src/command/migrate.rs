use crate::config::Config;
use crate::failure::Failure;
use crate::output;

/// Brings the schema up to date, or with `check` says what there would be to do.
pub(super) async fn run(config: &Config, check: bool) -> Result<(), Failure> {
    let accounts = config.builder()?.migrate(false).build().await?;
    let store = &accounts.context().store;
    let pending = store.pending_migrations().await?;
    for name in &pending {
        output::line(name);
    }
    if check {
        return match pending.len() {
            0 => Ok(()),
            n => Err(Failure::no(format!("{n} migrations are to be run. hint: doorwarden migrate"))),
        };
    }
    store.migrate().await?;
    accounts.close().await;
    Ok(())
}
