//! Connections beside the pool.

use crate::failure::Failure;
use crate::options::{Access, PostgresOptions};
use crate::server::{Line, Role};
use doorwarden_core::store::StoreError;
use std::time::Duration;
use tokio_postgres::Client;

/// How long reaching the database may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long bulk data may wait for a server that is busy.
pub(crate) const PEER_TIMEOUT: Duration = Duration::from_mins(1);

impl PostgresOptions {
    /// A connection of its own for SQL that is not the store's, as the URL says it. The server's limits on
    /// the time of a statement are the store's: `SET LOCAL statement_timeout` for what takes longer. It is
    /// closed when the client is dropped.
    ///
    /// # Errors
    /// If the URL cannot be read or the server cannot be reached.
    pub async fn client(&self) -> Result<Client, StoreError> {
        let access = self.read_with(PEER_TIMEOUT).map_err(StoreError::failed)?;
        Ok(open(&access, Role::Any).await?)
    }
}

pub(crate) async fn open(access: &Access, role: Role) -> Result<Client, Failure> {
    let Line { client, connection, .. } = access.servers.connect(role, CONNECT_LIMIT).await?;
    // The task ends when the client is dropped; errors are returned to the client.
    tokio::spawn(connection);
    Ok(client)
}
