//! How often, and from where, the key set is fetched.

use crate::issuer::{Fault, Issuer};
use doorwarden_token::access;
use doorwarden_verify::{Refusal, Refused, Verifier};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch_for_each_interval() {
    let issuer = Issuer::start(Fault::None).await;
    let interval = Duration::from_millis(400);
    let verifier = issuer.builder().refresh_interval(interval).build().unwrap();
    verifier.ready().await.unwrap();
    let unknown = access::sign(&issuer.other, &issuer.claims()).unwrap();
    let (before, begin) = (issuer.jwks_requests.load(Ordering::SeqCst), std::time::Instant::now());
    while begin.elapsed() < 2 * interval {
        let flood: Vec<_> = (0..50)
            .map(|_| {
                let (verifier, unknown) = (verifier.clone(), unknown.clone());
                tokio::spawn(async move { verifier.verify(&unknown).await })
            })
            .collect();
        for refused in flood {
            assert_eq!(refused.await.unwrap(), Err(Refusal::UnknownKey.into()));
        }
    }
    let intervals = begin.elapsed().as_millis() / interval.as_millis() + 1;
    let fetched = issuer.jwks_requests.load(Ordering::SeqCst) - before;
    assert!((1..=intervals).contains(&(fetched as u128)), "{fetched} fetches in {intervals} intervals");
}

#[tokio::test]
async fn the_first_token_waits_for_the_keys() {
    let issuer = Issuer::start(Fault::None).await;
    let verifier = issuer.builder().policy(doorwarden_verify::WhenStale::Accept).build().unwrap();
    assert!(verifier.verify(&issuer.token()).await.is_ok());
}

#[tokio::test]
async fn without_an_issuer_no_token_is_accepted_and_none_is_called_invalid() {
    let issuer = Issuer::start(Fault::None).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let verifier = Verifier::builder(&issuer.url).address(nobody).build().unwrap();
    assert_eq!(verifier.verify(&issuer.token()).await, Err(Refused::NoKeys));
    assert!(!Refused::NoKeys.is_fault_of_token());
}

#[tokio::test]
async fn the_issuer_may_be_reached_at_another_address() {
    let issuer = Issuer::start(Fault::None).await;
    let address = issuer.url.replace("127.0.0.1", "localhost");
    let verifier = issuer.builder().address(address).build().unwrap();
    verifier.ready().await.unwrap();
    assert!(verifier.verify(&issuer.token()).await.is_ok());
}
