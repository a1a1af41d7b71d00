use crate::suite::races::successes;
use crate::{NOON, TestStore, new_user, no_effects, seconds};
use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::event::{Event, LoginFailure};
use doorwarden_core::store::DeliveryFailure;
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use doorwarden_core::webhook::{Delivery, DeliveryState, EventTypes, Webhook, WebhookName, WebhookState};
use serde_json::json;

fn name(name: &str) -> WebhookName {
    name.parse().unwrap()
}

fn webhook(called: &str, types: &[&str]) -> Webhook {
    let mut webhook = Webhook::new(name(called), format!("https://{called}.example"), vec![7; 60], NOON);
    webhook.events = EventTypes::of_types(types.iter().copied()).unwrap();
    webhook
}

async fn add(t: &TestStore, called: &str, types: &[&str]) {
    assert!(t.store.add_webhook(webhook(called, types), no_effects()).await.unwrap());
}

/// An event of the account of this user, or of none.
async fn happen(t: &TestStore, user: Option<i64>) {
    let event = Event::LoginFailed { user: user.map(UserId), reason: LoginFailure::WrongPassword };
    t.store.record(Effects::new(NOON, &Actor::System.into(), [event])).await.unwrap();
}

async fn claim(t: &TestStore, called: &str, at: Timestamp, limit: u32) -> Vec<Delivery> {
    let until = at.after(seconds(60));
    t.store.claim_deliveries(&name(called), at, until, limit).await.unwrap().deliveries
}

fn users(claimed: &[Delivery]) -> Vec<i64> {
    claimed.iter().map(|delivery| delivery.user.map_or(0, |user| user.0)).collect()
}

fn failure(at: Timestamp, retry_at: Option<Timestamp>) -> DeliveryFailure {
    DeliveryFailure { at, status: Some(500), reason: "the response was 500".to_owned(), retry_at }
}

pub async fn an_event_has_a_delivery_for_each_endpoint_that_gets_it(t: &TestStore) {
    t.user("before").await;
    add(t, "all", &[]).await;
    add(t, "deleted", &["user.deleted"]).await;
    add(t, "created", &["user.created", "user.logged_in"]).await;
    add(t, "off", &[]).await;
    t.store.switch_webhook(&name("off"), WebhookState::Disabled, None, NOON, no_effects()).await.unwrap();
    let effects = Effects::new(NOON, &Actor::Operator.into(), [Event::UserCreated { user: UserId::NEW }]);
    let ada = t.store.create_user(new_user("ada"), effects).await.unwrap();
    let all = claim(t, "all", NOON, 9).await;
    let created = claim(t, "created", NOON, 9).await;
    assert_eq!((all.len(), created.len()), (1, 1));
    assert!(claim(t, "deleted", NOON, 9).await.is_empty() && claim(t, "off", NOON, 9).await.is_empty());
    let delivery = &all[0];
    assert_eq!(delivery.message, created[0].message, "the message is the same for all");
    assert_eq!((delivery.kind.as_str(), delivery.user), ("user_created", Some(ada.id)));
    assert_eq!((delivery.at, &delivery.actor, delivery.attempts), (NOON, &Actor::Operator, 1));
    let failed = Event::LoginFailed { user: Some(ada.id), reason: LoginFailure::WrongPassword };
    t.store.record(Effects::new(NOON, &Actor::Anonymous.into(), [failed])).await.unwrap();
    t.store.delivered(delivery.id, 1, 204, NOON).await.unwrap();
    let next = claim(t, "all", NOON, 9).await.remove(0);
    assert_ne!(next.message, delivery.message);
    assert_eq!((next.kind.as_str(), &next.data["reason"]), ("login_failed", &json!("wrong_password")));
    assert_eq!(next.outcome.as_str(), "failure");
}

pub async fn a_change_that_does_not_happen_is_not_delivered(t: &TestStore) {
    add(t, "all", &[]).await;
    let created = || Effects::new(NOON, &Actor::System.into(), [Event::UserCreated { user: UserId::NEW }]);
    t.store.create_user(new_user("ada"), created()).await.unwrap();
    assert!(t.store.create_user(new_user("ada"), created()).await.is_err());
    let deleted = Effects::new(NOON, &Actor::System.into(), [Event::UserDeleted { user: UserId(99) }]);
    assert!(!t.store.delete_user(UserId(99), deleted).await.unwrap());
    assert_eq!(t.store.deliveries(&name("all"), None, None, 9).await.unwrap().len(), 1);
}

pub async fn a_failing_delivery_holds_back_only_later_ones_of_its_account_and_endpoint(t: &TestStore) {
    add(t, "one", &[]).await;
    add(t, "two", &[]).await;
    for user in [Some(1), Some(1), Some(2), None, None, Some(1)] {
        happen(t, user).await;
    }
    let first = claim(t, "one", NOON, 9).await;
    assert_eq!(users(&first), [1, 2, 0, 0]);
    assert!(claim(t, "one", NOON, 9).await.is_empty());
    let retry = NOON.after(seconds(300));
    t.store.delivery_failed(first[0].id, 1, failure(NOON, Some(retry))).await.unwrap();
    t.store.delivered(first[1].id, 1, 200, NOON).await.unwrap();
    happen(t, Some(2)).await;
    assert_eq!(
        users(&claim(t, "one", NOON.after(seconds(299)), 9).await),
        [0, 0, 2],
        "what was not finished, and the next"
    );
    assert_eq!(users(&claim(t, "two", NOON, 9).await), [1, 2, 0, 0], "another endpoint");
    // The first one comes back alone, then the second, and when that is given up the third.
    let again = claim(t, "one", retry, 1).await;
    assert_eq!((again[0].id, again[0].attempts), (first[0].id, 2));
    t.store.delivered(again[0].id, 2, 200, retry).await.unwrap();
    let second = claim(t, "one", retry, 9).await;
    assert_eq!(users(&second), [1]);
    t.store.delivery_failed(second[0].id, 1, failure(retry, None)).await.unwrap();
    let third = claim(t, "one", retry, 9).await;
    assert!(users(&third) == [1] && third[0].id > second[0].id && second[0].id > first[0].id);
}

pub async fn events_of_an_account_are_taken_one_by_one_in_their_order(t: &TestStore) {
    add(t, "one", &[]).await;
    for _ in 0..250 {
        happen(t, Some(1)).await;
    }
    happen(t, Some(2)).await;
    let mut order = Vec::new();
    for n in 0..300 {
        let at = NOON.after(seconds(n * 61));
        for delivery in claim(t, "one", at, 8).await {
            if delivery.user == Some(UserId(1)) {
                order.push(delivery.id);
            }
            t.store.delivered(delivery.id, delivery.attempts, 200, at).await.unwrap();
        }
    }
    assert_eq!(order.len(), 250);
    assert!(order.is_sorted(), "{order:?}");
    let queue = t.store.delivery_queue(&name("one")).await.unwrap();
    assert_eq!((queue.queued, queue.failed, queue.oldest), (0, 0, None));
}

pub async fn a_delivery_is_claimed_by_one_and_again_when_the_lease_is_over(t: &TestStore) {
    add(t, "one", &[]).await;
    for user in 1..=20 {
        happen(t, Some(user)).await;
    }
    let calls = (0..40).map(|_| {
        let store = t.store.clone();
        async move {
            let claimed =
                store.claim_deliveries(&name("one"), NOON, NOON.after(seconds(60)), 1).await.unwrap();
            !claimed.deliveries.is_empty()
        }
    });
    assert!(successes(calls).await <= 20);
    while !claim(t, "one", NOON, 9).await.is_empty() {}
    let all = t.store.deliveries(&name("one"), None, None, 99).await.unwrap();
    assert!(all.len() == 20 && all.iter().all(|delivery| delivery.attempts == 1), "{all:?}");
    assert!(claim(t, "one", NOON.after(seconds(59)), 99).await.is_empty());
    let again = claim(t, "one", NOON.after(seconds(60)), 99).await;
    assert_eq!(again.len(), 20);
    // Whoever comes back after the lease changes nothing.
    t.store.delivered(again[0].id, 1, 200, NOON).await.unwrap();
    t.store.delivery_failed(again[1].id, 1, failure(NOON, None)).await.unwrap();
    let queue = t.store.delivery_queue(&name("one")).await.unwrap();
    assert_eq!((queue.queued, queue.failed, queue.oldest), (20, 0, Some(NOON)));
}

pub async fn an_endpoint_fails_since_its_first_failure_after_a_success(t: &TestStore) {
    add(t, "one", &[]).await;
    let failing = async || t.store.webhooks().await.unwrap().remove(0).failing_since;
    for user in 1..=3 {
        happen(t, Some(user)).await;
    }
    let claimed = claim(t, "one", NOON, 9).await;
    let later = |n| NOON.after(seconds(n));
    for (delivery, n) in claimed.iter().zip([1, 2]) {
        t.store.delivery_failed(delivery.id, 1, failure(later(n), Some(later(9)))).await.unwrap();
        assert_eq!(failing().await, Some(later(1)));
    }
    let listed = t.store.deliveries(&name("one"), Some(DeliveryState::Queued), None, 9).await.unwrap();
    assert_eq!((listed.len(), listed[1].status), (3, Some(500)));
    assert_eq!(listed[1].error.as_deref(), Some("the response was 500"));
    t.store.delivered(claimed[2].id, 1, 200, later(3)).await.unwrap();
    assert_eq!(failing().await, None);
}

pub async fn a_paused_endpoint_keeps_what_happens_and_gets_it_when_it_is_enabled(t: &TestStore) {
    add(t, "one", &[]).await;
    happen(t, Some(1)).await;
    let claimed = claim(t, "one", NOON, 9).await;
    t.store
        .delivery_failed(claimed[0].id, 1, failure(NOON, Some(NOON.after(seconds(86_400)))))
        .await
        .unwrap();
    let switch = async |state, event| {
        let at = NOON.after(seconds(60));
        let effects = Effects::new(at, &Actor::System.into(), [event]);
        t.store.switch_webhook(&name("one"), state, Some("why"), at, effects).await.unwrap()
    };
    let (paused, enabled) = (
        || Event::WebhookPaused { webhook: "one".to_owned() },
        || Event::WebhookEnabled { webhook: "one".to_owned() },
    );
    assert!(switch(WebhookState::Paused, paused()).await);
    assert!(!switch(WebhookState::Paused, paused()).await, "once");
    let stored = t.store.webhooks().await.unwrap().remove(0);
    assert_eq!((stored.state, stored.reason.as_deref()), (WebhookState::Paused, Some("why")));
    happen(t, Some(2)).await;
    assert!(claim(t, "one", NOON.after(seconds(90_000)), 9).await.is_empty());
    assert!(switch(WebhookState::Enabled, enabled()).await);
    let stored = t.store.webhooks().await.unwrap().remove(0);
    assert_eq!((stored.state, stored.failing_since), (WebhookState::Enabled, None));
    let due = claim(t, "one", NOON.after(seconds(60)), 9).await;
    let kinds: Vec<_> = due.iter().map(|delivery| (delivery.kind.as_str(), delivery.attempts)).collect();
    assert_eq!(
        kinds,
        [("login_failed", 1), ("webhook_paused", 1), ("login_failed", 1), ("webhook_enabled", 1)],
        "with all their attempts"
    );
}

pub async fn a_redelivered_message_has_its_id_and_waits_for_nobody(t: &TestStore) {
    add(t, "one", &[]).await;
    for _ in 0..3 {
        happen(t, Some(1)).await;
    }
    let first = claim(t, "one", NOON, 9).await.remove(0);
    t.store.delivery_failed(first.id, 1, failure(NOON, None)).await.unwrap();
    let second = claim(t, "one", NOON, 9).await.remove(0);
    t.store.delivered(second.id, 1, 200, NOON).await.unwrap();
    let third = claim(t, "one", NOON, 9).await.remove(0);
    let redeliver = async |message| {
        let event = Event::DeliveriesRepeated { webhook: "one".to_owned(), count: 0 };
        let effects = Effects::new(NOON, &Actor::Operator.into(), [event]);
        t.store.redeliver(&name("one"), message, NOON, effects).await.unwrap()
    };
    assert_eq!(redeliver(None).await, 1, "only what failed");
    assert_eq!(redeliver(Some(second.message)).await, 1, "or what is named");
    let again = claim(t, "one", NOON, 9).await;
    let again: Vec<_> =
        again.iter().filter(|delivery| delivery.user.is_some()).map(|d| (d.id, d.message)).collect();
    assert_eq!(again, [(first.id, first.message), (second.id, second.message)], "{third:?} is in progress");
    let records = t.store.audit_records(None, 99).await.unwrap();
    let counts: Vec<_> =
        records.iter().filter(|r| r.kind == "deliveries_repeated").map(|r| r.data["count"].clone()).collect();
    assert_eq!(counts, [json!(1), json!(1)]);
}

pub async fn an_endpoint_is_added_changed_and_removed_once(t: &TestStore) {
    let event = |event: Event| Effects::new(NOON, &Actor::Operator.into(), [event]);
    let called = || "one".to_owned();
    let added = || event(Event::WebhookAdded { webhook: called() });
    assert!(t.store.add_webhook(webhook("one", &["user.created"]), added()).await.unwrap());
    assert!(!t.store.add_webhook(webhook("one", &[]), added()).await.unwrap());
    let stored = t.store.webhooks().await.unwrap().remove(0);
    assert_eq!(stored, webhook("one", &["user.created"]));
    let filter = EventTypes::of_types(["user.deleted", "user.created"]).unwrap();
    let change = async |declared| {
        let changed = event(Event::WebhookChanged { webhook: called() });
        let url = "https://new.example";
        t.store.change_webhook(&name("one"), url, &filter, declared, changed).await.unwrap()
    };
    assert!(change(true).await && !change(true).await && change(false).await);
    let stored = t.store.webhooks().await.unwrap().remove(0);
    assert_eq!((stored.url.as_str(), &stored.events), ("https://new.example", &filter));
    let until = NOON.after(seconds(60));
    let rotate = async |former: u8, new: u8| {
        let rotated = event(Event::WebhookSecretRotated { webhook: called() });
        t.store.rotate_webhook_secret(&name("one"), &[former; 60], &[new; 60], until, rotated).await.unwrap()
    };
    assert!(rotate(7, 8).await && !rotate(7, 9).await, "of two, one wins");
    let stored = t.store.webhooks().await.unwrap().remove(0);
    assert_eq!((stored.sealed.as_slice(), &stored.former), ([8; 60].as_slice(), &Some((vec![7; 60], until))));
    assert!(t.store.reseal_webhook(&stored, &[1; 60], Some(&[2; 60])).await.unwrap());
    assert!(!t.store.reseal_webhook(&stored, &[3; 60], Some(&[4; 60])).await.unwrap());
    let stored = t.store.webhooks().await.unwrap().remove(0);
    assert_eq!((stored.sealed, stored.former), (vec![1; 60], Some((vec![2; 60], until))));
    happen(t, Some(1)).await;
    let removed = || event(Event::WebhookRemoved { webhook: called() });
    assert!(t.store.remove_webhook(&name("one"), removed()).await.unwrap());
    assert!(!t.store.remove_webhook(&name("one"), removed()).await.unwrap());
    add(t, "one", &[]).await;
    assert!(
        t.store.deliveries(&name("one"), None, None, 9).await.unwrap().is_empty(),
        "nothing is left of it"
    );
    let records = t.store.audit_records(None, 99).await.unwrap();
    let kinds: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
    let expected =
        ["webhook_added", "webhook_changed", "webhook_changed", "webhook_secret_rotated", "login_failed"];
    assert_eq!(kinds, [expected.as_slice(), &["webhook_removed"]].concat());
}

pub async fn old_deliveries_are_purged_whatever_became_of_them(t: &TestStore) {
    add(t, "one", &[]).await;
    for user in 1..=3 {
        happen(t, Some(user)).await;
    }
    let claimed = claim(t, "one", NOON, 1).await;
    t.store.delivered(claimed[0].id, 1, 200, NOON).await.unwrap();
    assert_eq!(t.store.purge_deliveries(NOON, 9).await.unwrap(), 0);
    assert_eq!(t.store.purge_deliveries(NOON.after(seconds(1)), 2).await.unwrap(), 2);
    assert_eq!(t.store.purge_deliveries(NOON.after(seconds(1)), 9).await.unwrap(), 1);
}

pub async fn what_is_to_be_sent_outlives_its_user_and_says_who_it_was(t: &TestStore) {
    add(t, "one", &["user.deleted"]).await;
    let ada = t.user("ada").await.id;
    let effects = Effects::new(NOON, &Actor::User(ada).into(), [Event::UserDeleted { user: ada }]);
    assert!(t.store.delete_user(ada, effects).await.unwrap());
    let claimed = claim(t, "one", NOON, 9).await;
    assert_eq!((users(&claimed), &claimed[0].actor), (vec![ada.0], &Actor::User(ada)));
}
