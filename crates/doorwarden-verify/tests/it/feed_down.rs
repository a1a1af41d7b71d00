//! A verifier whose feed is silent reports it, and follows the policy of the application.

use crate::issuer::{Fault, Issuer};
use doorwarden_testkit::wait_until;
use doorwarden_verify::{Refused, Status, WhenStale};
use std::sync::atomic::Ordering;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn after_the_limit_it_refuses_until_a_statement_is_received() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().stale_limit(Duration::from_secs(10)).build().unwrap();
    verifier.ready().await.unwrap();
    let token = issuer.token();
    issuer.set_fault(Fault::NoFeed);
    issuer.advance(10);
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(verifier.status(), Status { has_keys: true, silence_secs: Some(10), is_stale: false });

    issuer.advance(1);
    assert_eq!(verifier.verify(&token).await, Err(Refused::Stale));
    assert_eq!(verifier.status(), Status { has_keys: true, silence_secs: Some(11), is_stale: true });
    issuer.set_fault(Fault::None);
    assert!(wait_until(SOON, || verifier.check(&token).is_ok()).await);
}

#[tokio::test]
async fn with_the_other_policy_it_accepts_and_still_reports_it() {
    let issuer = Issuer::start(Fault::NoFeed).await;
    let builder = issuer.builder().stale_limit(Duration::from_secs(10)).policy(WhenStale::Accept);
    let verifier = builder.build().unwrap();
    let token = issuer.token();
    assert!(wait_until(SOON, || verifier.check(&token).is_ok()).await);
    assert_eq!(verifier.status(), Status { has_keys: true, silence_secs: None, is_stale: true });
}

#[tokio::test]
async fn without_a_stream_it_polls() {
    let issuer = Issuer::start(Fault::NoStream).await;
    let verifier = issuer.builder().build().unwrap();
    verifier.ready().await.unwrap();
    issuer.advance(7);
    assert_eq!(verifier.status().silence_secs, Some(7));
    assert!(wait_until(SOON, || verifier.status().silence_secs == Some(0)).await);
}

#[tokio::test]
async fn statements_of_other_issuers_and_after_redirects_are_not_accepted() {
    for fault in [Fault::Forged, Fault::Redirect] {
        let issuer = Issuer::start(fault).await;
        let verifier = issuer.builder().build().unwrap();
        let received =
            wait_until(Duration::from_millis(700), || verifier.status().silence_secs.is_some()).await;
        assert!(!received, "{fault:?}");
        assert_eq!(verifier.verify(&issuer.token()).await, Err(Refused::Stale), "{fault:?}");
        assert_eq!(issuer.strayed.load(Ordering::SeqCst), 0, "{fault:?}");
    }
}
