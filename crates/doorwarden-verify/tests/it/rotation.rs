//! Key rotation.

use crate::service::Service;
use doorwarden::core::keys::state::KeyState;
use doorwarden_testkit::{drill, no_effects, wait_until};
use doorwarden_verify::Refused;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const REFRESH_INTERVAL: Duration = Duration::from_millis(50);

async fn signing(service: &Service) -> String {
    let keys = service.auth.keys().list().await.unwrap();
    keys.into_iter().find(|(_, state)| *state == KeyState::Signing).unwrap().0.kid
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_drill_refuses_no_valid_token() {
    let service = Service::start_with(|settings| settings.keys.cache = Duration::from_millis(200)).await;
    let user = service.register("ada").await;
    let service = Arc::new(service);
    let verifier = service.builder().refresh_interval(REFRESH_INTERVAL).build().unwrap();
    verifier.ready().await.unwrap();
    let (is_over, verified) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (service, is_over, verified) =
            (Arc::clone(&service), Arc::clone(&is_over), Arc::clone(&verified));
        async move {
            let mut before = service.pair(user).await.access;
            while !is_over.load(Ordering::Relaxed) {
                let token = service.pair(user).await.access;
                for token in [&token, &before] {
                    assert_eq!(verifier.verify(token).await.err(), None);
                    verified.fetch_add(1, Ordering::Relaxed);
                }
                before = token;
            }
        }
    });
    for _ in 0..drill().rounds(2, 10) {
        // Not rotate(), which keeps the next key announced for five minutes; but for longer than the refresh
        // interval: a verifier asks for unknown keys once in that time.
        tokio::time::sleep(2 * REFRESH_INTERVAL).await;
        let list = service.auth.keys().list().await.unwrap();
        let next = list.into_iter().find(|(_, state)| *state == KeyState::Announced).unwrap().0;
        let context = service.auth.context();
        assert!(context.store.schedule_signing_key(&next, context.now(), None, no_effects()).await.unwrap());
        service.auth.keys().maintain().await.unwrap();
        let next = next.kid;
        while signing(&service).await != next {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let so_far = verified.load(Ordering::Relaxed);
        let goes_on = || verified.load(Ordering::Relaxed) > so_far + 50;
        assert!(wait_until(Duration::from_secs(10), goes_on).await);
    }
    is_over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert!(verified.load(Ordering::Relaxed) > 100, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_within_a_second_and_its_successor_known() {
    let service = Service::start().await;
    let user = service.register("ada").await;
    let verifier = service.verifier().await;
    let stolen = service.pair(user).await.access;
    assert!(verifier.verify(&stolen).await.is_ok());
    assert!(service.auth.keys().revoke(&signing(&service).await).await.unwrap());
    assert!(wait_until(Duration::from_secs(1), || verifier.check(&stolen).is_err()).await);
    assert_eq!(verifier.check(&stolen), Err(Refused::KeyRevoked));
    let fresh = service.pair(user).await.access;
    assert!(verifier.verify(&fresh).await.is_ok());
}
