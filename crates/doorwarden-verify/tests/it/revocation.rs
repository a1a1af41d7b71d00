//! What the issuer revokes is refused here within a second.

use crate::service::{PASSWORD, Service};
use doorwarden::core::user::UserChange;
use doorwarden_testkit::{drill, wait_until};
use doorwarden_verify::{Refused, Verifier};
use serde_json::json;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

async fn refused_within_a_second(verifier: &Verifier, token: &str, reason: Refused) {
    let refused = wait_until(SECOND, || verifier.check(token).is_err()).await;
    assert!(refused, "still accepted after a second");
    assert_eq!(verifier.check(token), Err(reason));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_verified_and_a_logout_received() {
    let service = Service::start().await;
    let user = service.register("ada").await;
    let verifier = service.verifier().await;
    let pair = service.log_in("ada").await;
    let access = pair["access"].as_str().unwrap();

    let claims = verifier.verify(access).await.unwrap();
    assert_eq!((claims.id, claims.sub.as_str()), (Some(user.0), user.0.to_string().as_str()));
    assert_eq!(claims.iss, service.url);

    service.log_out(pair["refresh"].as_str().unwrap()).await;
    refused_within_a_second(&verifier, access, Refused::SessionEnded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_ends_the_other_sessions_only() {
    let service = Service::start().await;
    service.register("ada").await;
    let verifier = service.verifier().await;
    let (here, there) = (service.log_in("ada").await, service.log_in("ada").await);
    let (here, there) = (here["access"].as_str().unwrap(), there["access"].as_str().unwrap());
    let change = json!({"current_password": PASSWORD, "new_password": "another horse battery"});
    service.call("POST", "/password/change", Some(here), Some(change)).await;
    refused_within_a_second(&verifier, there, Refused::SessionEnded).await;
    assert!(verifier.verify(here).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_user_is_refused_everywhere() {
    let service = Service::start().await;
    let user = service.register("ada").await;
    let verifier = service.verifier().await;
    let pair = service.pair(user).await;
    assert!(verifier.verify(&pair.access).await.is_ok());
    let change = UserChange { is_active: Some(false), ..UserChange::default() };
    service.auth.users().update(user, change).await.unwrap();
    assert!(wait_until(SECOND, || verifier.check(&pair.access).is_err()).await);
}

/// How long after the response to a logout the token is still accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_drill() {
    let service = Service::start().await;
    let user = service.register("ada").await;
    let verifier = service.verifier().await;
    let mut delays = Vec::new();
    for _ in 0..drill().rounds(20, 1000) {
        let pair = service.pair(user).await;
        assert!(verifier.verify(&pair.access).await.is_ok());
        service.log_out(&pair.refresh).await;
        let answered = Instant::now();
        assert!(
            wait_until(SECOND, || verifier.check(&pair.access).is_err()).await,
            "after {} rounds",
            delays.len()
        );
        delays.push(answered.elapsed());
    }
    delays.sort_unstable();
    let at = |percent: usize| delays[(delays.len() * percent / 100).min(delays.len() - 1)];
    eprintln!(
        "{} logouts were received after {:?} (median), {:?} (p99), {:?} (most)",
        delays.len(),
        at(50),
        at(99),
        at(100)
    );
}
