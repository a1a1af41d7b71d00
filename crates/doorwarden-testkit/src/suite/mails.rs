use crate::suite::races::successes;
use crate::{NOON, TestStore, new_user, no_effects, seconds};
use doorwarden_core::audit::{Actor, Effects};
use doorwarden_core::event::Event;
use doorwarden_core::mail::{Locale, MailId, MailKind};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{MailState, NewMail};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;

fn id(n: u8) -> MailId {
    MailId(SessionId::new(NOON.after(seconds(n.into())), [n; 10]).0)
}

fn mail(n: u8, user: Option<UserId>) -> NewMail {
    NewMail {
        id: id(n),
        kind: MailKind::ResetPassword,
        to: format!("user{n}@example.com"),
        user,
        locale: Locale::German,
        sealed: vec![n; 40],
        created_at: NOON,
        expires_at: NOON.after(seconds(3600)),
        is_decoy: false,
    }
}

async fn queue(t: &TestStore, mails: impl IntoIterator<Item = NewMail>) {
    let effects = mails.into_iter().fold(Effects::new(NOON, &Actor::System.into(), []), Effects::mailing);
    t.store.record(effects).await.unwrap();
}

pub async fn a_mail_is_claimed_once_and_first_attempts_apart_from_others(t: &TestStore) {
    queue(t, (1..=3).map(|n| mail(n, None))).await;
    let until = NOON.after(seconds(300));
    let claim = async |after, first, limit| {
        let now = NOON.after(seconds(after));
        let claimed = t.store.claim_mails(now, until.after(seconds(after)), first, limit).await.unwrap();
        claimed.into_iter().map(|mail| (mail.id, mail.attempt)).collect::<Vec<_>>()
    };
    assert_eq!(claim(0, false, 9).await, []);
    assert_eq!(claim(0, true, 2).await, [(id(1), 1), (id(2), 1)]);
    assert_eq!(claim(0, true, 9).await, [(id(3), 1)]);
    assert_eq!(claim(299, true, 9).await, []);
    assert_eq!(claim(299, false, 9).await, [], "whoever claimed them may still be at work");
    assert_eq!(claim(300, true, 9).await, []);
    assert_eq!(claim(300, false, 9).await, [(id(1), 2), (id(2), 2), (id(3), 2)]);
}

pub async fn a_claimed_mail_is_as_it_was_queued(t: &TestStore) {
    let user = t.user("ada").await.id;
    queue(t, [mail(1, Some(user))]).await;
    let claimed = t.store.claim_mails(NOON, NOON.after(seconds(1)), true, 1).await.unwrap().remove(0);
    let queued = mail(1, None);
    assert_eq!((claimed.id, claimed.kind, claimed.to), (queued.id, queued.kind, queued.to));
    assert_eq!((claimed.locale, claimed.sealed), (queued.locale, queued.sealed));
    assert_eq!((claimed.created_at, claimed.expires_at), (queued.created_at, queued.expires_at));
    let record = t.store.mail(id(1)).await.unwrap().unwrap();
    assert_eq!((record.user, record.state, record.attempts), (Some(user), MailState::Queued, 1));
}

pub async fn a_mail_that_was_sent_is_not_sent_again_and_says_nothing_more(t: &TestStore) {
    queue(t, [mail(1, None)]).await;
    t.store.claim_mails(NOON, NOON.after(seconds(1)), true, 1).await.unwrap();
    t.store.mail_sent(id(1), NOON.after(seconds(2))).await.unwrap();
    let record = t.store.mail(id(1)).await.unwrap().unwrap();
    assert_eq!((record.state, record.due_at), (MailState::Sent, NOON.after(seconds(2))));
    assert!(t.store.claim_mails(NOON.after(seconds(9)), NOON, false, 9).await.unwrap().is_empty());
    assert_eq!(t.store.retry_mails(Some(id(1)), NOON, no_effects()).await.unwrap(), 0);
    t.store.mail_failed(id(1), NOON, "late", None).await.unwrap();
    assert_eq!(t.store.mail(id(1)).await.unwrap().unwrap().state, MailState::Sent);
    if t.store.kind() == "postgres" {
        let check = "DO $$ BEGIN IF EXISTS (SELECT FROM doorwarden_outbox WHERE octet_length(sealed) > 0) \
                     THEN RAISE 'there is content'; END IF; END $$";
        t.by_hand(check).await;
    } else {
        t.by_hand(
            "CREATE TEMP TABLE none (n INTEGER CHECK (n = 0)); \
                   INSERT INTO none SELECT count(*) FROM doorwarden_outbox WHERE length(sealed) > 0",
        )
        .await;
    }
}

pub async fn a_failed_attempt_is_repeated_when_it_is_due_or_given_up(t: &TestStore) {
    queue(t, (1..=2).map(|n| mail(n, None))).await;
    t.store.claim_mails(NOON, NOON.after(seconds(300)), true, 9).await.unwrap();
    let (at, due) = (NOON.after(seconds(1)), NOON.after(seconds(31)));
    t.store.mail_failed(id(1), at, "450 try again", Some(due)).await.unwrap();
    t.store.mail_failed(id(2), at, "550 no such user", None).await.unwrap();
    let record = t.store.mail(id(1)).await.unwrap().unwrap();
    assert_eq!((record.state, record.error.as_deref()), (MailState::Queued, Some("450 try again")));
    let queue = t.store.mail_queue(due).await.unwrap();
    assert_eq!((queue.queued, queue.failed, queue.due_since), (1, 1, Some(due)));
    let due_ids = async |at| {
        let claimed = t.store.claim_mails(at, at, false, 9).await.unwrap();
        claimed.into_iter().map(|mail| mail.id).collect::<Vec<_>>()
    };
    assert_eq!(due_ids(NOON.after(seconds(30))).await, []);
    assert_eq!(due_ids(due).await, [id(1)]);
    assert_eq!(t.store.mails(Some(MailState::Failed), None, 9).await.unwrap()[0].id, id(2));
    queue_again(t, due).await;
}

/// Two mails that failed are made due by one write, which is recorded once.
async fn queue_again(t: &TestStore, due: Timestamp) {
    queue(t, [mail(3, None)]).await;
    t.store.mail_failed(id(3), due, "550 no such user", None).await.unwrap();
    let retry = async || {
        let effects = Effects::new(due, &Actor::Operator.into(), [Event::MailsRetried { count: 0 }]);
        t.store.retry_mails(None, due, effects).await.unwrap()
    };
    assert_eq!((retry().await, retry().await), (2, 0));
    assert_eq!(t.store.mail(id(2)).await.unwrap().unwrap().state, MailState::Queued);
    let records = t.store.audit_records(None, 9).await.unwrap();
    let said: Vec<_> = records.iter().map(|record| (record.kind.as_str(), &record.data["count"])).collect();
    assert_eq!(said, [("mails_retried", &serde_json::json!(2))]);
}

pub async fn of_many_claims_at_once_each_mail_goes_to_one(t: &TestStore) {
    queue(t, (1..=20).map(|n| mail(n, None))).await;
    let calls = (0..40).map(|_| {
        let store = t.store.clone();
        async move { !store.claim_mails(NOON, NOON.after(seconds(9)), true, 1).await.unwrap().is_empty() }
    });
    // A claim may find the row of another one locked and go without: nobody gets a mail twice.
    assert!(successes(calls).await <= 20);
    while !t.store.claim_mails(NOON, NOON.after(seconds(9)), true, 1).await.unwrap().is_empty() {}
    let records = t.store.mails(None, None, 99).await.unwrap();
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|record| record.attempts == 1), "{records:?}");
}

pub async fn a_decoy_is_never_sent_nor_shown_and_goes_with_the_old_ones(t: &TestStore) {
    queue(t, [NewMail { is_decoy: true, ..mail(1, None) }, mail(2, None)]).await;
    assert_eq!(t.store.mails(None, None, 9).await.unwrap().len(), 1);
    let claimed = t.store.claim_mails(NOON, NOON.after(seconds(1)), true, 9).await.unwrap();
    assert_eq!(claimed.iter().map(|mail| mail.id).collect::<Vec<_>>(), [id(2)]);
    t.store.mail_sent(id(2), NOON).await.unwrap();
    assert_eq!(t.store.purge_mails(NOON, 9).await.unwrap(), 0);
    assert_eq!(t.store.purge_mails(NOON.after(seconds(1)), 9).await.unwrap(), 2);
}

pub async fn mails_go_with_their_user_and_one_of_a_new_user_has_its_id(t: &TestStore) {
    let effects = Effects::new(NOON, &Actor::System.into(), [Event::UserCreated { user: UserId::NEW }])
        .mailing(mail(1, Some(UserId::NEW)));
    let ada = t.store.create_user(new_user("ada"), effects).await.unwrap();
    assert_eq!(t.store.mail(id(1)).await.unwrap().unwrap().user, Some(ada.id));
    assert!(t.store.delete_user(ada.id, no_effects()).await.unwrap());
    assert_eq!(t.store.mail(id(1)).await.unwrap(), None);
}
