use crate::{
    NOON, Recorder, TestStore, drill, hash, new_session, new_user, no_effects, opening, presented, renewal,
    seconds, with,
};
use doorwarden_core::authentication::Purpose;
use doorwarden_core::session::{EndReason, Session, SessionCursor, SessionId};
use doorwarden_core::store::{Change, Opened, PasswordChange, Revocations, Rotation, SignedOut};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{UserChange, UserId};
use std::time::{Duration, Instant};

/// In a drill, so many sessions that an operation on each of them exceeds the time limit of a request.
fn very_many() -> usize {
    drill().rounds(20_000, 60_000)
}

/// The time limit for an operation that does not visit sessions one by one; on an idle machine it takes
/// milliseconds.
const QUICK: Duration = Duration::from_secs(1);

/// Opens sessions by SQL, each with a refresh token if `pairs`.
async fn open_many(t: &TestStore, user: UserId, generation: i64, many: usize, pairs: bool) {
    let counter = if pairs { "0" } else { "NULL" };
    let (id, at, later) = match t.store.kind() {
        "sqlite" => ("randomblob(16)", "1795435200000000", "1801435200000000"),
        _ => ("gen_random_uuid()", "to_timestamp(1795435200)", "to_timestamp(1801435200)"),
    };
    t.by_hand(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) \
         INSERT INTO doorwarden_sessions (id, user_id, generation, created_at, last_seen_at, expires_at, auth_time, \
         assurance_level, amr, refresh_counter) \
         SELECT {id}, {user}, {generation}, {at}, {at}, {later}, {at}, 1, 'pwd', {counter} FROM n"
    ))
    .await;
}

async fn quick<T>(what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = call.await;
    let took = begun.elapsed();
    assert!(took < QUICK, "{what} took {took:?}");
    done
}

fn is_active(active: bool) -> UserChange {
    UserChange { is_active: Some(active), ..UserChange::default() }
}

async fn lives(t: &TestStore, session: SessionId) -> bool {
    t.read_session(session).await.ended.is_none()
}

pub async fn drill_ending_all_sessions_takes_constant_time(t: &TestStore) {
    let ada = t.user("ada").await;
    let (id, at) = (ada.id, NOON.after(seconds(1)));
    let generation = async || t.read(id).await.sessions_generation;
    open_many(t, id, 0, very_many(), true).await;
    let kept = t.session(id, NOON).await.id;

    let others = t.store.end_sessions_of(id, Some(kept), EndReason::LoggedOut, at, no_effects());
    assert_eq!(quick("to end the others", others).await.unwrap(), Some(1001));
    assert!(lives(t, kept).await);
    let rest = t.store.sessions_of(id, at, None, 5).await.unwrap();
    assert_eq!(rest.iter().map(|session| session.id).collect::<Vec<_>>(), [kept]);

    let login = new_session(id, at);
    assert!(quick("a login", t.log_in(login.clone(), "ada", None)).await);

    open_many(t, id, generation().await, very_many(), true).await;
    let change = PasswordChange {
        password: hash("new"),
        expected: None,
        at,
        keep_session: Some(kept),
        reason: EndReason::PasswordChanged,
        proves_email: false,
        keep_earlier: 0,
    };
    assert!(quick("a new password", t.store.change_password(id, change, no_effects())).await.unwrap());
    assert!(lives(t, kept).await && !lives(t, login.id).await);

    open_many(t, id, generation().await, very_many(), true).await;
    let out = t.store.sign_out_user(id, EndReason::SignedOut, at, no_effects());
    assert_eq!(quick("to sign out", out).await.unwrap(), Some(1001));
    assert!(!lives(t, kept).await);

    open_many(t, id, generation().await, very_many(), true).await;
    quick("to deactivate", t.store.update_user(id, is_active(false), no_effects())).await.unwrap();
    t.store.update_user(id, is_active(true), no_effects()).await.unwrap();
    assert_eq!(t.store.sessions_of(id, at, None, 5).await.unwrap(), []);

    open_many(t, id, generation().await, very_many(), true).await;
    assert!(quick("to delete", t.store.delete_user(id, no_effects())).await.unwrap());

    let revoked = quick("what was revoked", t.store.revocations(Timestamp::default())).await.unwrap();
    assert!(revoked.sessions.len() < 10, "{} entries", revoked.sessions.len());
    assert_eq!(revoked.all_of.len(), 5);
    assert!(revoked.all_of.iter().all(|(user, _, _)| *user == id));
    assert_eq!(revoked.all_of.iter().filter(|(_, _, but)| *but == Some(kept)).count(), 2);
}

pub async fn a_session_that_ended_with_the_others_is_refused_everywhere(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await;
    let at = NOON.after(seconds(5));
    t.store.sign_out_user(ada, EndReason::LoggedOut, at, no_effects()).await.unwrap();
    let ended = Some((at, EndReason::LoggedOut));
    assert_eq!(t.read_session(session.id).await, with(session.clone(), |s| s.ended = ended));
    assert_eq!(t.store.sessions_of(ada, NOON, None, 10).await.unwrap(), []);
    assert_eq!(
        t.store.rotate_refresh(presented(session.id, 0, at), no_effects()).await.unwrap(),
        Rotation::Refused
    );
    assert_eq!(t.store.renew_refresh(session.id, renewal(at), no_effects()).await.unwrap(), None);
    assert!(!t.store.end_session(session.id, ada, EndReason::Revoked, at, no_effects()).await.unwrap());
    let others = t.store.end_sessions_of(ada, Some(session.id), EndReason::Revoked, at, no_effects());
    assert_eq!(others.await.unwrap(), None, "it cannot end the others any more");
    assert_eq!(t.read_session(session.id).await.ended, ended);
    // A session opened afterwards is active.
    let next = t.session(ada, at).await;
    assert_eq!(t.store.sessions_of(ada, at, None, 10).await.unwrap(), [next]);
}

pub async fn one_of_two_sessions_that_end_the_others_concurrently_continues(t: &TestStore) {
    let ada = t.user("ada").await.id;
    for round in 0..10 {
        let (a, b) = (t.session(ada, NOON).await.id, t.session(ada, NOON).await.id);
        let end = |kept| t.store.end_sessions_of(ada, Some(kept), EndReason::LoggedOut, NOON, no_effects());
        let (first, second) = tokio::join!(end(a), end(b));
        let ended = [first.unwrap(), second.unwrap()];
        assert_eq!(ended.iter().filter(|ended| ended.is_some()).count(), 1, "round {round}");
        let left = t.store.sessions_of(ada, NOON, None, 10).await.unwrap();
        assert_eq!(left.len(), 1, "round {round}");
        assert_eq!(left[0].id, if ended[0].is_some() { a } else { b }, "round {round}");
    }
}

pub async fn sql_by_hand_ends_all_sessions_by_the_generation(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await.id;
    let (heard, since) = (Recorder::new(), Timestamp::default());
    t.store.follow(heard.clone());
    heard.until_connected().await;
    t.by_hand("UPDATE users SET sessions_generation = sessions_generation + 1").await;
    heard.until_heard(Change::User(ada)).await;
    assert_eq!(t.read_session(session).await.ended.unwrap().1, EndReason::SignedOut);
    let revoked = t.store.revocations(since).await.unwrap();
    assert_eq!(revoked.sessions.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [session]);
    // A program that writes back an old row does not revive sessions.
    t.by_hand("UPDATE users SET sessions_generation = 0").await;
    assert_eq!(t.read(ada).await.sessions_generation, 1);
    assert!(!lives(t, session).await);
}

pub async fn a_session_whose_address_is_none_is_read_without_it(t: &TestStore) {
    let session = t.session(t.user("ada").await.id, NOON).await.id;
    for (stored, read) in [("2001:DB8::7", "2001:db8::7".parse().ok()), ("the office", None), ("", None)] {
        t.by_hand(&format!("UPDATE doorwarden_sessions SET address = '{stored}'")).await;
        assert_eq!(t.read_session(session).await.client.address, read, "{stored:?}");
    }
}

pub async fn a_reinserted_user_does_not_regain_sessions(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await.id;
    let insert = format!(
        "INSERT INTO users (id, username, email, password) VALUES ({ada}, 'ada', 'ada@example.com', '!')"
    );
    t.by_hand("DELETE FROM users").await;
    t.by_hand(&insert).await;
    assert!(!lives(t, session).await);
    assert_eq!(
        t.store.rotate_refresh(presented(session, 0, NOON), no_effects()).await.unwrap(),
        Rotation::Refused
    );
    // Nor when its rows are settled, which is not reported to caches.
    t.by_hand("DELETE FROM users").await;
    let far = NOON.after(seconds(3600));
    while t.store.settle_ends(far.after(seconds(86400)), 10).await.unwrap() {}
    t.by_hand(&insert).await;
    assert_ne!(t.read(ada).await.sessions_generation, 0);
    // And when its id is given to another user.
    let next = t.session(ada, NOON).await.id;
    t.by_hand("UPDATE users SET id = 77").await;
    assert_eq!(t.read_session(next).await.ended.unwrap().1, EndReason::UserDeleted);
    t.by_hand(&format!("UPDATE users SET id = {ada}")).await;
    assert!(!lives(t, next).await);
}

pub async fn rows_of_ended_sessions_are_settled_in_batches_without_notification(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let marker = t.user("marker").await.id;
    open_many(t, ada, 0, 25, true).await;
    let kept = t.session(ada, NOON).await.id;
    let at = NOON.after(seconds(5));
    t.store.end_sessions_of(ada, Some(kept), EndReason::LoggedOut, at, no_effects()).await.unwrap();
    let before = t.store.revocations(at).await.unwrap();
    assert_eq!(before.sessions.len(), 25);
    let heard = Recorder::new();
    t.store.follow(heard.clone());
    heard.until_connected().await;

    assert!(!t.store.settle_ends(NOON, 10).await.unwrap(), "it is too early");
    let mut portions = 1;
    while t.store.settle_ends(at, 10).await.unwrap() {
        portions += 1;
    }
    assert_eq!(portions, 3);
    assert!(!t.store.settle_ends(at, 10).await.unwrap());
    assert_eq!(t.store.revocations(at).await.unwrap(), before, "the statement stays as it is");
    assert!(lives(t, kept).await);
    for (id, ..) in before.sessions {
        assert_eq!(t.read_session(id).await.ended, Some((at, EndReason::LoggedOut)));
    }
    let staff = UserChange { is_staff: Some(true), ..UserChange::default() };
    t.store.update_user(marker, staff, no_effects()).await.unwrap();
    heard.until_heard(Change::User(marker)).await;
    assert_eq!(heard.heard(), [Change::User(marker)]);
    // These rows are purged like others.
    assert_eq!(t.store.purge_sessions(at.after(seconds(1)), 100).await.unwrap(), 25);
}

pub async fn only_sessions_with_refresh_tokens_are_listed_as_revocations(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let without = |user| with(new_session(user, NOON), |s| s.refresh_counter = None);
    let (plain, pair) = (t.open(without(ada)).await.id, t.session(ada, NOON).await.id);
    let (other_plain, other_pair) = (t.open(without(ada)).await.id, t.session(ada, NOON).await.id);
    let at = NOON.after(seconds(5));
    for id in [plain, pair] {
        assert!(t.store.end_session(id, ada, EndReason::Revoked, NOON, no_effects()).await.unwrap());
    }
    t.store.end_sessions_of(ada, None, EndReason::SignedOut, at, no_effects()).await.unwrap();
    assert!(!lives(t, other_plain).await);
    assert_eq!(t.store.revocations(NOON).await.unwrap().sessions, [(pair, NOON, ada), (other_pair, at, ada)]);

    let bob = t.user("bob").await.id;
    open_many(t, bob, 0, 1000, true).await;
    t.store.end_sessions_of(bob, None, EndReason::SignedOut, at, no_effects()).await.unwrap();
    let Revocations { sessions, all_of, before, .. } = t.store.revocations(at).await.unwrap();
    assert_eq!((sessions.len(), all_of, before), (1001, vec![], None), "a thousand are listed one by one");
    open_many(t, bob, 1, 1001, true).await;
    let kept = t.session(bob, NOON).await.id;
    let later = at.after(seconds(1));
    t.store.end_sessions_of(bob, Some(kept), EndReason::SignedOut, later, no_effects()).await.unwrap();
    let Revocations { sessions, all_of, .. } = t.store.revocations(later).await.unwrap();
    assert_eq!((sessions, all_of), (vec![], vec![(bob, later, Some(kept))]));
    // The session that continued is reported when it ends.
    t.store.end_session(kept, bob, EndReason::LoggedOut, later, no_effects()).await.unwrap();
    assert_eq!(t.store.revocations(later).await.unwrap().sessions, [(kept, later, bob)]);
}

pub async fn older_revocations_beyond_the_list_limit_become_a_time(t: &TestStore) {
    let most = Revocations::MOST;
    for (list, begin, insert) in [
        (0, 0, "INSERT INTO doorwarden_deleted_sessions (id, user_id, ended_at) SELECT :id, 1, :at"),
        (
            1,
            200_000,
            "INSERT INTO users (username, email, password, tokens_valid_after) \
             SELECT 'u' || i, 'u' || i || '@example.com', '!', :text",
        ),
        (
            2,
            400_000,
            "INSERT INTO doorwarden_session_ends (user_id, former, generation, ended_at, reason, many, expires_at) \
             SELECT 1, i, i + 1, :at, 'signed_out', TRUE, :at",
        ),
    ] {
        // Two more than a list may have, a second apart, and later than those of the previous list.
        let second = format!("{} + i", 1_795_435_200 + begin);
        let (id, at, text) = match t.store.kind() {
            "sqlite" => (
                "randomblob(16)",
                format!("({second}) * 1000000"),
                format!("strftime('%Y-%m-%dT%H:%M:%S.000000Z', {second}, 'unixepoch')"),
            ),
            _ => ("gen_random_uuid()", format!("to_timestamp({second})"), format!("to_timestamp({second})")),
        };
        let rows = insert.replace(":id", id).replace(":at", &at).replace(":text", &text);
        let sql = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most} + 2) {rows} FROM n"
        );
        t.by_hand(&sql).await;
        let place = |number: u64| NOON.after(seconds(begin + number));
        let revoked = t.store.revocations(place(0)).await.unwrap();
        let lengths = [revoked.sessions.len(), revoked.users.len(), revoked.all_of.len()];
        assert_eq!(lengths[list], most as usize, "list {list}");
        assert_eq!(revoked.before, Some(place(2)), "list {list}");
        let listed = t.store.revocations(place(3)).await.unwrap();
        assert_eq!(listed, Revocations { before: None, ..revoked }, "list {list} may have so many");
    }
}

pub async fn everybody_is_signed_out_in_batches(t: &TestStore) {
    let mut users = Vec::new();
    for name in ["ada", "bob", "cleo"] {
        users.push(t.user(name).await.id);
    }
    let (a, b) = (t.session(users[0], NOON).await.id, t.session(users[2], NOON).await.id);
    let at = NOON.after(seconds(5));
    let first = t.store.sign_out_users(None, 2, EndReason::SignedOut, at, no_effects()).await.unwrap();
    assert_eq!(first, Some(SignedOut { last: Some(users[1]), users: 2, sessions: 1 }));
    assert!(!lives(t, a).await && lives(t, b).await);
    let second =
        t.store.sign_out_users(Some(users[1]), 2, EndReason::SignedOut, at, no_effects()).await.unwrap();
    assert_eq!(second, Some(SignedOut { last: Some(users[2]), users: 1, sessions: 1 }));
    assert_eq!(
        t.store.sign_out_users(Some(users[2]), 2, EndReason::SignedOut, at, no_effects()).await.unwrap(),
        None
    );
    assert_eq!(t.read_session(b).await.ended, Some((at, EndReason::SignedOut)));
    for id in users {
        assert_eq!(t.read(id).await.tokens_valid_after, Some(at));
    }
}

/// Opens a session with a limit of `most`.
async fn open(t: &TestStore, session: &Session, most: u32) -> Opened {
    let open = opening(session.clone(), Purpose::Issue, None, Some(most));
    t.store.open_session(open, no_effects()).await.unwrap().unwrap()
}

pub async fn exceeding_the_session_limit_ends_the_least_recently_used(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let bob = t.session(t.user("bob").await.id, NOON).await.id;
    let ended = t.session(ada, NOON).await.id;
    t.store.end_session(ended, ada, EndReason::LoggedOut, NOON, no_effects()).await.unwrap();
    let former = t.session(ada, NOON).await.id;
    t.store.sign_out_user(ada, EndReason::SignedOut, NOON, no_effects()).await.unwrap();
    let expired = t.open(with(new_session(ada, NOON), |s| s.expires_at = NOON.after(seconds(1)))).await;
    let mut sessions = Vec::new();
    for n in 0..3 {
        sessions.push(t.session(ada, NOON.after(seconds(10 + n))).await.id);
    }
    t.store.touch_sessions(&[(sessions[0], NOON.after(seconds(30)))]).await.unwrap();

    let at = NOON.after(seconds(60));
    assert_eq!(open(t, &new_session(ada, at), 4).await.ended, [], "what has ended or expired does not count");
    let next = new_session(ada, at);
    assert_eq!(open(t, &next, 4).await.ended, [sessions[1]]);
    assert_eq!(t.read_session(sessions[1]).await.ended, Some((at, EndReason::Limit)));
    assert!(lives(t, sessions[0]).await && lives(t, next.id).await && lives(t, bob).await);
    assert_eq!(t.read_session(former).await.ended.unwrap().1, EndReason::SignedOut);
    assert!(lives(t, expired.id).await, "it has expired by itself");
    // On an instance whose clock is slow, the new session itself never ends.
    let late = new_session(ada, NOON.after(seconds(2)));
    open(t, &late, 1).await;
    assert!(lives(t, late.id).await);
    assert_eq!(t.store.sessions_of(ada, at, None, 10).await.unwrap().len(), 1);
}

pub async fn opening_a_session_ends_at_most_ten_and_the_rest_later(t: &TestStore) {
    let ada = t.user("ada").await.id;
    open_many(t, ada, 0, 40, false).await;
    let new = new_session(ada, NOON.after(seconds(1)));
    let at = NOON.after(seconds(60));
    assert_eq!(open(t, &new, 5).await.ended.len(), 10);
    assert_eq!(t.store.limit_sessions(ada, 5, at, 20, no_effects()).await.unwrap().len(), 20);
    assert_eq!(t.store.limit_sessions(ada, 5, at, 20, no_effects()).await.unwrap().len(), 6);
    assert_eq!(t.store.limit_sessions(ada, 5, at, 20, no_effects()).await.unwrap(), []);
    assert_eq!(t.store.sessions_of(ada, at, None, 100).await.unwrap().len(), 5);
    assert!(lives(t, new.id).await, "it was used last");
    assert_eq!(t.store.limit_sessions(UserId(ada.0 + 1), 5, at, 20, no_effects()).await.unwrap(), []);
}

pub async fn concurrent_logins_keep_the_session_limit(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let calls = (0..12).map(|_| {
        let store = t.store.clone();
        tokio::spawn(async move {
            let open = opening(new_session(ada, NOON), Purpose::Issue, None, Some(3));
            store.open_session(open, no_effects()).await.unwrap().unwrap().ended.len()
        })
    });
    let mut ended = 0;
    for call in calls.collect::<Vec<_>>() {
        ended += call.await.unwrap();
    }
    assert_eq!(ended, 9);
    assert_eq!(t.store.sessions_of(ada, NOON, None, 100).await.unwrap().len(), 3);
}

pub async fn the_list_of_sessions_continues_after_a_cursor(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let mut opened = Vec::new();
    // Some at the same time.
    for n in 0..7 {
        opened.push(t.session(ada, NOON.after(seconds(n / 3))).await);
    }
    let all = t.store.sessions_of(ada, NOON, None, 100).await.unwrap();
    assert_eq!(all.len(), 7);
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = t.store.sessions_of(ada, NOON, after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(SessionCursor::after(last).to_string().parse().unwrap());
        // Sessions that end or are opened meanwhile cause no gap.
        t.store.end_session(last.id, ada, EndReason::LoggedOut, NOON, no_effects()).await.unwrap();
        t.session(ada, NOON.after(seconds(60))).await;
        pages.extend(page);
    }
    assert_eq!(pages, all);
}

pub async fn expiry_before_1970_and_never_are_read_correctly(t: &TestStore) {
    let ada = t.user("ada").await.id;
    let session = t.session(ada, NOON).await.id;
    let (long_ago, never) = match t.store.kind() {
        "sqlite" => ("-1", "9223372036854775807"),
        _ => ("'-infinity'", "'infinity'"),
    };
    t.by_hand(&format!("UPDATE doorwarden_sessions SET expires_at = {long_ago}")).await;
    assert_eq!(t.store.sessions_of(ada, NOON, None, 5).await.unwrap(), []);
    assert!(t.read_session(session).await.expires_at < Timestamp::default());
    t.by_hand(&format!("UPDATE doorwarden_sessions SET expires_at = {never}")).await;
    assert_eq!(t.store.sessions_of(ada, NOON, None, 5).await.unwrap().len(), 1);
    assert!(t.read_session(session).await.expires_at > NOON);
}

pub async fn the_change_log_is_purged_in_batches(t: &TestStore) {
    let (epoch, now) = match t.store.kind() {
        "sqlite" => ("0", "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"),
        _ => ("'epoch'", "now()"),
    };
    t.by_hand(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
         INSERT INTO doorwarden_changes (kind, at) SELECT 'keys', {epoch} FROM n"
    ))
    .await;
    t.by_hand(&format!("INSERT INTO doorwarden_changes (kind, at) VALUES ('keys', {now})")).await;
    let far = NOON.after(seconds(1 << 33));
    assert_eq!(t.store.purge_sessions(far, 100).await.unwrap(), 0);
    let mut purged = Vec::new();
    for _ in 0..4 {
        purged.push(t.store.purge_changes(far, 500).await.unwrap());
    }
    assert_eq!(purged, [500, 500, 200, 0], "and what is new stays");
    let user = t.store.create_user(new_user("ada"), no_effects()).await.unwrap();
    assert_eq!(t.read(user.id).await, user);
}
