use doorwarden_core::authentication::{Amr, AuthContext, Factor, Next, PasswordProof, Proof, Purpose, next};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::time::Timestamp;

const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

#[test]
fn a_login_and_a_new_password_need_a_proof_and_say_which_was_given() {
    for purpose in [Purpose::LogIn, Purpose::NewPassword] {
        assert!(matches!(next(purpose, Vec::new(), NOON), Next::Needs(Factor::Password)), "{purpose:?}");
        let password = PasswordProof::of_new(PasswordHash::unusable([0; 40]));
        let Next::Done(completed) = next(purpose, vec![Proof::Password(password)], NOON) else {
            panic!("{purpose:?} is complete");
        };
        let auth = AuthContext { methods: Amr::PASSWORD, assurance_level: 1, auth_time: NOON };
        assert_eq!((completed.purpose(), completed.auth()), (purpose, Some(auth)));
        assert_eq!(auth.methods.to_string(), "pwd");
    }
}

#[test]
fn to_issue_needs_no_proof_and_claims_none() {
    let Next::Done(completed) = next(Purpose::Issue, Vec::new(), NOON) else { panic!("nothing is needed") };
    assert_eq!(completed.auth(), None);
    assert!(completed.password().is_none());
}
