//! The protocol of refresh tokens as a small pure model, and the store driven beside it.

use super::property::{at_once, for_all};
use crate::{NOON, TestStore, drill, new_session, new_user, seconds};
use doorwarden_core::session::{EndReason, Session, SessionId};
use doorwarden_core::store::{OpenSession, Rotation, Store};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{UserChange, UserId};
use proptest::prelude::*;
use std::sync::Arc;
use tokio::task::JoinSet;

const IDLE: u64 = 3600;
const PAUSE: u64 = 2400;
const LIFETIME: u64 = 14 * 24 * 3600;

/// What may happen to a session and its refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The newest token is presented.
    Newest,
    /// The one before it is: its answer was lost.
    Previous,
    /// The one before that is: somebody has a copy.
    Older,
    /// One that was never given is.
    Never,
    /// The newest is presented so many times at once.
    AtOnce(usize),
    /// 40 minutes pass; the session may be idle for an hour.
    Pause,
    /// The time passes until the session expires.
    Expire,
    /// The user logs out.
    End,
    /// The user is switched off.
    Deactivate,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Rotated(i64),
    Repeated(i64),
    Reused,
    Refused,
}

#[derive(Debug, Clone, Default)]
struct Model {
    newest: i64,
    now: u64,
    seen: u64,
    ended: Option<EndReason>,
}

impl Model {
    fn is_dead(&self) -> bool {
        self.ended.is_some() || self.now >= LIFETIME || self.now - self.seen > IDLE
    }

    fn present(&mut self, counter: i64) -> Answer {
        if self.is_dead() || counter > self.newest {
            Answer::Refused
        } else if counter == self.newest {
            self.newest += 1;
            self.seen = self.now;
            Answer::Rotated(self.newest)
        } else if counter == self.newest - 1 {
            Answer::Repeated(self.newest)
        } else {
            self.ended = Some(EndReason::RefreshReused);
            Answer::Reused
        }
    }

    /// The counters that a step presents.
    fn counters(&self, step: Step) -> Vec<i64> {
        match step {
            Step::Newest => vec![self.newest],
            Step::Previous => vec![self.newest - 1],
            Step::Older => vec![self.newest - 2],
            Step::Never => vec![self.newest + 1],
            Step::AtOnce(times) => vec![self.newest; times],
            Step::Pause | Step::Expire | Step::End | Step::Deactivate => vec![],
        }
    }

    /// Takes a step: the answers to what was presented, sorted. `None` if the step is impossible: no token is that old.
    fn take(&mut self, step: Step) -> Option<Vec<Answer>> {
        let counters = self.counters(step);
        if counters.iter().any(|c| *c < 0) {
            return None;
        }
        match step {
            Step::Pause => self.now += PAUSE,
            Step::Expire => self.now = self.now.max(LIFETIME),
            Step::End => self.ended = self.ended.or(Some(EndReason::LoggedOut)),
            Step::Deactivate => self.ended = self.ended.or(Some(EndReason::Deactivated)),
            _ => {}
        }
        let mut answers: Vec<_> = counters.into_iter().map(|c| self.present(c)).collect();
        answers.sort();
        Some(answers)
    }
}

fn instant(after: u64) -> Timestamp {
    NOON.after(seconds(after))
}

/// The store, one user and one session of his, which take the same steps as the model.
struct Driven {
    store: Arc<dyn Store>,
    user: UserId,
    session: SessionId,
}

impl Driven {
    async fn new(store: Arc<dyn Store>) -> Self {
        let session = new_session(UserId(0), NOON);
        let id = session.id;
        let user = store.create_user(new_user(&id.to_string())).await.unwrap().id;
        let idle_seconds = Some(i64::try_from(IDLE).unwrap());
        let session = Session { user, idle_seconds, expires_at: instant(LIFETIME), ..session };
        assert!(
            store.open_session(OpenSession { session, login: None, most: None }).await.unwrap().is_some()
        );
        Self { store, user, session: id }
    }

    async fn take(&self, step: Step, counters: Vec<i64>, now: Timestamp) -> Vec<Answer> {
        match step {
            Step::End => {
                self.store.end_session(self.session, self.user, EndReason::LoggedOut, now).await.unwrap();
            }
            Step::Deactivate => {
                let off = UserChange { is_active: Some(false), ..UserChange::default() };
                self.store.update_user(self.user, off).await.unwrap();
            }
            _ => {}
        }
        let id = self.session;
        let calls = counters.into_iter().map(|counter| {
            let store = self.store.clone();
            async move { store.rotate_refresh(id, counter, now).await.unwrap() }
        });
        let mut answers: Vec<_> = at_once(calls).await.into_iter().map(answer).collect();
        answers.sort();
        answers
    }
}

fn answer(rotation: Rotation) -> Answer {
    match rotation {
        Rotation::Rotated(s) => Answer::Rotated(s.refresh_counter.unwrap()),
        Rotation::Repeated(s) => Answer::Repeated(s.refresh_counter.unwrap()),
        Rotation::Reused(_) => Answer::Reused,
        Rotation::Refused => Answer::Refused,
        Rotation::Unknown => panic!("the session exists"),
    }
}

/// Takes the steps in both worlds; the answers and what is stored must be the same after each.
async fn compare(store: Arc<dyn Store>, steps: Vec<Step>) {
    let driven = Driven::new(store).await;
    let mut model = Model::default();
    for (n, &step) in steps.iter().enumerate() {
        let counters = model.counters(step);
        let Some(expected) = model.take(step) else { continue };
        let answers = driven.take(step, counters, instant(model.now)).await;
        assert_eq!(answers, expected, "step {n} of {steps:?}");
        let stored = driven.store.session(driven.session).await.unwrap().unwrap();
        assert_eq!(stored.refresh_counter, Some(model.newest), "step {n} of {steps:?}");
        assert_eq!(stored.last_seen_at, instant(model.seen), "step {n} of {steps:?}");
        assert_eq!(stored.ended.map(|(_, reason)| reason), model.ended, "step {n} of {steps:?}");
    }
}

/// Every sequence of so many steps that are possible; once a session is dead, two more steps are enough.
fn sequences(length: usize) -> Vec<Vec<Step>> {
    const STEPS: [Step; 9] = [
        Step::Newest,
        Step::Previous,
        Step::Older,
        Step::Never,
        Step::AtOnce(2),
        Step::Pause,
        Step::Expire,
        Step::End,
        Step::Deactivate,
    ];
    let mut done = Vec::new();
    let mut open = vec![(Vec::new(), Model::default(), 0)];
    while let Some((steps, model, dead_steps)) = open.pop() {
        if steps.len() == length || dead_steps == 2 {
            done.push(steps);
            continue;
        }
        for step in STEPS {
            let mut model = model.clone();
            let dead_steps = dead_steps + usize::from(model.is_dead());
            if model.take(step).is_some() {
                let steps = steps.iter().copied().chain([step]).collect();
                open.push((steps, model, dead_steps));
            }
        }
    }
    done
}

pub async fn drill_every_short_story_of_a_session_ends_as_the_protocol_says(t: &TestStore) {
    let sequences = sequences(drill().rounds(3, 5));
    for chunk in sequences.chunks(64) {
        let mut running = JoinSet::new();
        for steps in chunk {
            running.spawn(compare(t.store.clone(), steps.clone()));
        }
        running.join_all().await;
    }
}

pub async fn drill_random_stories_of_a_session_end_as_the_protocol_says(t: &TestStore) {
    let step = prop_oneof![
        8 => Just(Step::Newest),
        6 => Just(Step::Previous),
        4 => (2..12_usize).prop_map(Step::AtOnce),
        3 => Just(Step::Pause),
        1 => Just(Step::Older),
        1 => Just(Step::Never),
        1 => prop_oneof![Just(Step::Expire), Just(Step::End), Just(Step::Deactivate)],
    ];
    let cases = drill().rounds(24, 2000);
    for_all(cases, prop::collection::vec(step, 1..20), async |steps| compare(t.store.clone(), steps).await)
        .await;
}
