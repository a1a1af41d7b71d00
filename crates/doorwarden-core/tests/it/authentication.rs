use doorwarden_core::authentication::{
    Amr, AuthContext, FactorProof, Need, Next, PasswordProof, Proof, Purpose, Standing, next,
};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::time::Timestamp;

const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

fn password() -> Proof {
    Proof::Password(PasswordProof::of_new(PasswordHash::unusable([0; 40])))
}

/// What comes next for an account in this standing: what is needed, or how the session is authenticated.
fn of(purpose: Purpose, standing: Standing, proofs: &[Proof]) -> Result<Option<String>, Need> {
    match next(purpose, standing, proofs.to_vec(), NOON) {
        Next::Done(completed) => Ok(completed.auth().map(|auth| auth.methods.to_string())),
        Next::Needs(need) => Err(need),
    }
}

#[test]
fn a_login_and_a_new_password_need_a_proof_and_say_which_was_given() {
    for purpose in [Purpose::LogIn, Purpose::NewPassword] {
        assert_eq!(of(purpose, Standing::default(), &[]), Err(Need::FirstFactor), "{purpose:?}");
        let Next::Done(completed) = next(purpose, Standing::default(), vec![password()], NOON) else {
            panic!("{purpose:?} is complete");
        };
        let auth = AuthContext { methods: Amr::PASSWORD, assurance_level: 1, auth_time: NOON };
        assert_eq!((completed.purpose(), completed.auth()), (purpose, Some(auth)));
        assert_eq!(auth.methods.to_string(), "pwd");
    }
}

#[test]
fn to_issue_needs_no_proof_and_claims_none() {
    let worst = Standing {
        is_unverified: true,
        needs_verified_email: true,
        must_change_password: true,
        is_to_be_deleted: true,
        has_factor: true,
        must_have_factor: true,
    };
    for standing in [Standing::default(), worst] {
        let Next::Done(completed) = next(Purpose::Issue, standing, Vec::new(), NOON) else {
            panic!("nothing is needed")
        };
        assert_eq!(completed.auth(), None);
        assert!(completed.password().is_none() && !completed.proves_email());
    }
}

/// Every standing of an account with every set of proofs.
#[test]
fn what_a_login_needs_follows_from_the_account_and_the_proofs() {
    let good = Standing::default();
    let unverified = Standing { is_unverified: true, ..good };
    let required = Standing { needs_verified_email: true, ..unverified };
    let must_change = Standing { must_change_password: true, ..good };
    let deleting = Standing { is_to_be_deleted: true, ..must_change };
    let done = |methods: &str| Ok(Some(methods.to_owned()));
    let rows = [
        (good, done("pwd"), done("email"), done("pwd email")),
        // Whoever answers the mail may not be the one who set the password.
        (unverified, done("pwd"), Err(Need::ChangePassword), done("pwd email")),
        (required, Err(Need::VerifyEmail), Err(Need::ChangePassword), done("pwd email")),
        (must_change, Err(Need::ChangePassword), Err(Need::ChangePassword), Err(Need::ChangePassword)),
        (deleting, Err(Need::CancelDeletion), Err(Need::CancelDeletion), Err(Need::CancelDeletion)),
    ];
    for (standing, by_password, by_mail, by_both) in rows {
        assert_eq!(of(Purpose::LogIn, standing, &[]), Err(Need::FirstFactor), "{standing:?}");
        assert_eq!(of(Purpose::LogIn, standing, &[password()]), by_password, "{standing:?}");
        assert_eq!(of(Purpose::LogIn, standing, &[Proof::Email]), by_mail, "{standing:?}");
        assert_eq!(of(Purpose::LogIn, standing, &[password(), Proof::Email]), by_both, "{standing:?}");
        assert_eq!(of(Purpose::LogIn, standing, &[Proof::Email, password()]), by_both, "{standing:?}");
    }
    assert_eq!(of(Purpose::NewPassword, required, &[password()]), Err(Need::VerifyEmail));
    assert_eq!(of(Purpose::NewPassword, must_change, &[password()]), done("pwd"));
    assert_eq!(of(Purpose::NewPassword, good, &[Proof::Email]), Err(Need::FirstFactor));
}

/// A leaked password is as good as any other until everything else is done.
#[test]
fn a_leaked_password_is_changed_at_a_login_after_everything_else() {
    let leaked = || {
        let hash = PasswordHash::unusable([0; 40]);
        Proof::Password(PasswordProof { is_leaked: true, ..PasswordProof::of_new(hash) })
    };
    let good = Standing::default();
    let with_factor = Standing { has_factor: true, ..good };
    let totp = Proof::Factor(FactorProof::Totp);
    assert_eq!(of(Purpose::LogIn, good, &[leaked()]), Err(Need::ChangePassword));
    assert_eq!(of(Purpose::LogIn, good, &[leaked(), Proof::Email]), Err(Need::ChangePassword));
    assert_eq!(of(Purpose::LogIn, with_factor, &[leaked()]), Err(Need::SecondFactor));
    assert_eq!(of(Purpose::LogIn, with_factor, &[leaked(), totp]), Err(Need::ChangePassword));
    assert_eq!(of(Purpose::Reauthenticate, good, &[leaked()]), Ok(Some("pwd".to_owned())));
}

fn passkey(is_user_verified: bool) -> Proof {
    Proof::Factor(FactorProof::Passkey { is_user_verified, is_backup_eligible: true })
}

/// Two factors are a passkey that has verified its user, or a first factor with another beside it.
#[test]
fn an_account_with_a_factor_needs_two_whatever_it_is_for() {
    let totp = || Proof::Factor(FactorProof::Totp);
    let recovery = || Proof::Factor(FactorProof::RecoveryCode);
    let standing = Standing { has_factor: true, ..Standing::default() };
    let done = |methods: &str| Ok(Some(methods.to_owned()));
    let rows = [
        (vec![password()], Err(Need::SecondFactor)),
        (vec![Proof::Email], Err(Need::SecondFactor)),
        (vec![password(), Proof::Email], Err(Need::SecondFactor)),
        (vec![totp()], Err(Need::FirstFactor)),
        (vec![recovery()], Err(Need::FirstFactor)),
        (vec![passkey(false)], Err(Need::FirstFactor)),
        (vec![passkey(true)], done("mfa swk user")),
        (vec![password(), totp()], done("mfa otp pwd")),
        (vec![Proof::Email, totp()], done("mfa otp email")),
        (vec![password(), recovery()], done("mfa pwd recovery")),
        (vec![password(), passkey(false)], done("mfa pwd swk")),
    ];
    for purpose in [Purpose::LogIn, Purpose::Reauthenticate] {
        for (proofs, expected) in &rows {
            assert_eq!(of(purpose, standing, proofs), *expected, "{purpose:?} {proofs:?}");
        }
    }
    assert_eq!(of(Purpose::ResetPassword, standing, &[Proof::Email]), Err(Need::SecondFactor));
    assert_eq!(of(Purpose::ResetPassword, standing, &[passkey(true)]), Err(Need::FirstFactor));
    assert_eq!(of(Purpose::NewPassword, standing, &[password()]), Err(Need::SecondFactor));
    assert_eq!(of(Purpose::NewPassword, standing, &[passkey(true)]), Err(Need::FirstFactor));
}

#[test]
fn whoever_must_have_a_factor_sets_it_up_before_anything_else_but_the_address() {
    let standing = Standing { must_have_factor: true, ..Standing::default() };
    let worse = Standing { must_change_password: true, is_to_be_deleted: true, ..standing };
    for purpose in [Purpose::LogIn, Purpose::NewPassword] {
        assert_eq!(of(purpose, standing, &[password()]), Err(Need::EnrollFactor));
        assert_eq!(of(purpose, worse, &[password(), Proof::Email]), Err(Need::EnrollFactor));
    }
    let unverified = Standing { is_unverified: true, needs_verified_email: true, ..standing };
    assert_eq!(of(Purpose::LogIn, unverified, &[password()]), Err(Need::VerifyEmail));
    // A second factor is given before the deletion is taken back and before a new password is chosen.
    let leaving = Standing { has_factor: true, ..worse };
    assert_eq!(of(Purpose::LogIn, leaving, &[password()]), Err(Need::SecondFactor));
    assert_eq!(of(Purpose::LogIn, leaving, &[passkey(true)]), Err(Need::CancelDeletion));
}
