//! Behind a PgBouncer as it comes.

use crate::support::{Database, Ear, Heard, database, now, session, user};
use doorwarden_core::store::{Change, Rotation, SessionStore, Store, StoreError, UserStore};
use doorwarden_postgres::{PostgresOptions, PostgresStore};
use doorwarden_testkit::{TempDir, no_effects, presented, skip, sqlite_path, wait_until};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio_postgres::config::Host;

/// A pool in front of a database, ended when it is dropped.
struct PgBouncer {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl PgBouncer {
    /// `None`, noted as skipped, if the program is not there.
    async fn start(database: &Database, mode: &str) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
        let Some(program) = program.into_iter().find(|path| std::path::Path::new(path).exists()) else {
            let test = std::thread::current().name().unwrap_or("a test behind PgBouncer").to_owned();
            skip(&test, "pgbouncer was not found");
            return None;
        };
        let config: tokio_postgres::Config = database.url().parse().unwrap();
        let [Host::Tcp(host)] = config.get_hosts() else { panic!("one host, over TCP") };
        let (server, user) = (format!("{host}:{}", config.get_ports()[0]), config.get_user().unwrap());
        let password = String::from_utf8(config.get_password().unwrap().to_vec()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (folder, _) = sqlite_path();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            path
        };
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let users = file("users", format!("\"{user}\" \"{password}\"\n"));
        let settings = format!(
            "[databases]\n* = host={host} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n",
            config.get_ports()[0],
            users.display()
        );
        let settings = file("pgbouncer.ini", settings);
        let mut command = Command::new(program);
        // It refuses to work as root.
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        if is_root {
            command.args(["-u", "nobody"]);
        }
        let child =
            command.arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let url = database.url().replace(&server, &format!("127.0.0.1:{port}"));
        let bouncer = Self { child: child.unwrap(), url, _folder: folder };
        let up =
            wait_until(Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        assert!(up, "PgBouncer does not come up");
        Some(bouncer)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an instance does, from its first start on.
async fn works(store: &PostgresStore, database: &Database) {
    store.migrate().await.unwrap();
    store.ready().await.unwrap();
    let anna = user(store, "anna").await;
    assert_eq!(store.user(anna.id).await.unwrap().as_ref(), Some(&anna));
    assert_eq!(store.count_users().await.unwrap(), 1);
    let mut ear = Ear::connected(store).await;
    database.sql().await.batch_execute("UPDATE users SET is_staff = true").await.unwrap();
    ear.until(Heard::Change(Change::User(anna.id))).await;
    let of_anna = session(store, &anna, Some(0)).await;
    let rotated = store.rotate_refresh(presented(of_anna.id, 0, now()), no_effects()).await.unwrap();
    assert!(matches!(rotated, Rotation::Rotated(_)), "{rotated:?}");

    let lock = database.sql().await;
    lock.batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    assert!(matches!(store.user(anna.id).await, Err(StoreError::Unavailable(_))));
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                   (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut left = 1;
    for _ in 0..20 {
        left = lock.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0);
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left, 0, "the server has given up, too");
    lock.batch_execute("COMMIT").await.unwrap();
    assert!(store.user(anna.id).await.unwrap().is_some());
    store.close().await;
}

#[tokio::test]
async fn in_session_mode_nothing_needs_to_be_set() {
    let Some(database) = database().await else { return };
    let Some(bouncer) = PgBouncer::start(&database, "session").await else { return };
    works(&PostgresStore::connect(&PostgresOptions::new(&bouncer.url)).unwrap(), &database).await;
    // As an import reads.
    let client = PostgresOptions::new(&bouncer.url).client().await.unwrap();
    let limit = client.query_one("SHOW statement_timeout", &[]).await.unwrap();
    assert_eq!(limit.get::<_, &str>(0), "1500ms");
}

#[tokio::test]
async fn in_transaction_mode_it_works_if_the_url_says_so() {
    let Some(database) = database().await else { return };
    let Some(bouncer) = PgBouncer::start(&database, "transaction").await else { return };
    let url = format!("{}?pgbouncer=true", bouncer.url);
    works(&PostgresStore::connect(&PostgresOptions::new(url)).unwrap(), &database).await;
}
