//! An application that issues its own tokens, with the library and the cryptographic backend of its choice.

use crate::site::Site;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

/// The claims of a link in a newsletter.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unsubscribe {
    id: i64,
    exp: u64,
}

const KEY: &[u8] = b"the newsletter's own key, as long as it should be";

#[tokio::test]
async fn the_applications_own_tokens_and_doorwardens_do_not_disturb_each_other() {
    let site = Site::new().await;
    let session = site.reader("jane", "Jane Doe").await;
    let unsubscribe = Unsubscribe { id: 1, exp: 4_102_444_800 };
    let own = encode(&Header::default(), &unsubscribe, &EncodingKey::from_secret(KEY)).unwrap();

    let read = |token: &str| {
        decode::<Unsubscribe>(token, &DecodingKey::from_secret(KEY), &Validation::new(Algorithm::HS256))
    };
    assert_eq!(read(&own).unwrap().claims, unsubscribe);
    assert!(read(&session).is_err(), "a session token is not valid in a link");
    assert_eq!(site.get("/profile", &session).await.0, 200);
    assert_eq!(site.get("/profile", &own).await.0, 401, "a token of a link is not a session token");
}
