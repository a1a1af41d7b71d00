//! Against the server itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use doorwarden_core::limit::{Bucket, Quota, SharedBuckets, Verdict};
use doorwarden_redis::{RedisBuckets, RedisUrl};
use doorwarden_testkit::RedisServer;
use doorwarden_testkit::buckets::every_behaviour;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn buckets(server: &RedisServer) -> RedisBuckets {
    RedisBuckets::new(&server.url().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_count_together() {
    let Some(server) = RedisServer::start() else { return };
    let one: Arc<dyn SharedBuckets> = Arc::new(buckets(&server));
    every_behaviour(&one).await;
    let (other, full) =
        (buckets(&server), Bucket { key: [4; 16], quota: Quota::new(50, Duration::from_hours(10)) });
    assert!(
        matches!(other.take(full).await.unwrap(), Verdict::Denied(_)),
        "what another instance has counted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_a_key_that_expires_when_it_is_empty() {
    let Some(server) = RedisServer::start() else { return };
    let bucket = Bucket { key: [9; 16], quota: Quota::new(10, Duration::from_secs(100)) };
    buckets(&server).take(bucket).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys, ["doorwarden:limit:09090909090909090909090909090909"]);
    let left: u64 = redis::cmd("PTTL").arg(&keys[0]).query_async(&mut connection).await.unwrap();
    assert!((9_000..=10_000).contains(&left), "one of ten in 100 s: {left} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_gone_is_used_again_when_it_is_back() {
    let Some(mut server) = RedisServer::start() else { return };
    let buckets = buckets(&server);
    let bucket = Bucket { key: [9; 16], quota: Quota::new(1, Duration::from_hours(1)) };
    buckets.take(bucket).await.unwrap();
    server.stop();
    let began = Instant::now();
    buckets.take(bucket).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    server.run();
    let began = Instant::now();
    while buckets.take(bucket).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not connect again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The scripts of the server are gone, too.
    assert!(matches!(buckets.take(bucket).await.unwrap(), Verdict::Denied(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let Some(server) = RedisServer::start() else { return };
    let url: RedisUrl = server.url().replace("a-password", "another-password").parse().unwrap();
    let buckets = RedisBuckets::new(&url);
    let error = buckets.ping().await.unwrap_err().to_string();
    assert!(error.contains("uthentication") || error.contains("WRONGPASS"), "{error}");
    for shown in [error, format!("{url:?}"), format!("{buckets:?}")] {
        assert!(!shown.contains("another-password"), "{shown}");
    }
    assert!("https://example.org".parse::<RedisUrl>().is_err());
}
