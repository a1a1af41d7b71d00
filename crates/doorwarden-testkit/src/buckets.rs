//! What buckets that instances share must do, wherever they are: by the clock of their store.

#![expect(clippy::unwrap_used, reason = "these are tests: what must not fail ends the test with its line")]

use doorwarden_core::limit::{Bucket, Quota, SharedBuckets, Verdict};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Every behaviour, with buckets that nobody has used before.
pub async fn every_behaviour(buckets: &Arc<dyn SharedBuckets>) {
    a_bucket_has_room_for_its_quota_and_says_how_long_to_wait(buckets).await;
    looking_counts_nothing(buckets).await;
    of_many_at_once_no_more_are_allowed_than_there_is_room_for(buckets).await;
    room_comes_back_one_by_one(buckets).await;
}

fn bucket(name: u8, count: u32, window: Duration) -> Bucket {
    Bucket { key: [name; 16], quota: Quota::new(count, window) }
}

fn is_allowed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Allowed(_))
}

async fn a_bucket_has_room_for_its_quota_and_says_how_long_to_wait(buckets: &Arc<dyn SharedBuckets>) {
    let (hour, one, other) = (Duration::from_hours(1), 1, 2);
    for _ in 0..7 {
        assert!(is_allowed(buckets.take(bucket(one, 7, hour)).await.unwrap()));
    }
    // Refusals are not counted: however many there are, the wait is as long.
    for _ in 0..20 {
        let Verdict::Denied(wait) = buckets.take(bucket(one, 7, hour)).await.unwrap() else {
            panic!("more than there is room for")
        };
        assert!(wait <= hour / 7 && wait + Duration::from_mins(1) > hour / 7, "{wait:?}");
    }
    assert!(is_allowed(buckets.take(bucket(other, 7, hour)).await.unwrap()), "another bucket");
}

async fn looking_counts_nothing(buckets: &Arc<dyn SharedBuckets>) {
    let one = bucket(3, 2, Duration::from_hours(1));
    for _ in 0..10 {
        assert!(is_allowed(buckets.look(one).await.unwrap()));
    }
    for _ in 0..2 {
        assert!(is_allowed(buckets.take(one).await.unwrap()));
    }
    let Verdict::Denied(wait) = buckets.look(one).await.unwrap() else { panic!("it is full") };
    assert!(wait <= Duration::from_mins(30) && wait > Duration::from_mins(29), "{wait:?}");
}

async fn of_many_at_once_no_more_are_allowed_than_there_is_room_for(buckets: &Arc<dyn SharedBuckets>) {
    let one = bucket(4, 50, Duration::from_hours(10));
    let mut takers = JoinSet::new();
    for _ in 0..200 {
        let buckets = Arc::clone(buckets);
        takers.spawn(async move { is_allowed(buckets.take(one).await.unwrap()) });
    }
    let allowed = takers.join_all().await.into_iter().filter(|is_allowed| *is_allowed).count();
    assert_eq!(allowed, 50);
}

async fn room_comes_back_one_by_one(buckets: &Arc<dyn SharedBuckets>) {
    let one = bucket(5, 2, Duration::from_secs(2));
    assert!(is_allowed(buckets.take(one).await.unwrap()));
    assert!(is_allowed(buckets.take(one).await.unwrap()));
    let Verdict::Denied(wait) = buckets.take(one).await.unwrap() else { panic!("it is full") };
    sleep(wait + Duration::from_millis(5)).await;
    assert!(is_allowed(buckets.take(one).await.unwrap()));
    assert!(!is_allowed(buckets.take(one).await.unwrap()));
}
