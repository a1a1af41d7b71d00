//! Django's validators.

use doorwarden_password::{Password, PasswordPolicy, Weakness};
use proptest::prelude::*;
use serde_json::Value;

/// A policy without any rule but what `change` sets.
fn policy(change: impl FnOnce(&mut PasswordPolicy)) -> PasswordPolicy {
    let mut policy = PasswordPolicy::default();
    (policy.min_length, policy.max_length) = (0, usize::MAX);
    (policy.similarity, policy.common, policy.numeric) = (false, false, false);
    policy.leaked = false;
    change(&mut policy);
    policy
}

fn check(policy: &PasswordPolicy, password: &str, attributes: &[(&str, &str)]) -> Vec<Weakness> {
    policy.check(&Password::new(password), attributes).err().unwrap_or_default()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/django_password_validators.json")).unwrap()
}

#[test]
fn djangos_cases() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 43);
    for case in cases {
        let options = &case["options"];
        let policy = match case["validator"].as_str().unwrap() {
            "MinimumLengthValidator" => {
                let min_length = options["min_length"].as_u64().unwrap().try_into().unwrap();
                policy(|policy| policy.min_length = min_length)
            }
            "NumericPasswordValidator" => policy(|policy| policy.numeric = true),
            "CommonPasswordValidator" => policy(|policy| policy.common = true),
            "UserAttributeSimilarityValidator" => {
                let max_similarity = options["max_similarity"].as_f64().unwrap();
                policy(|policy| (policy.similarity, policy.max_similarity) = (true, max_similarity))
            }
            other => panic!("{other}"),
        };
        let of_interest = |field: &str| match options["user_attributes"].as_array() {
            Some(fields) => fields.iter().any(|wanted| wanted == field),
            None => true,
        };
        let attributes: Vec<_> = [
            ("username", "username"),
            ("first_name", "first name"),
            ("last_name", "last name"),
            ("email", "email address"),
        ]
        .into_iter()
        .filter(|(field, _)| of_interest(field))
        .filter_map(|(field, name)| Some((name, case["user"][field].as_str()?)))
        .collect();
        let found = check(&policy, case["password"].as_str().unwrap(), &attributes);
        if case["valid"].as_bool().unwrap() {
            assert_eq!(found, [], "{case}");
        } else {
            assert_eq!(found.len(), 1, "{case}");
            assert_eq!(found[0].code(), case["code"].as_str().unwrap());
            assert_eq!(found[0].to_string(), case["message"].as_str().unwrap());
        }
    }
}

#[test]
fn samples_of_the_list_are_common() {
    let vectors = vectors();
    let policy = policy(|policy| policy.common = true);
    for sample in vectors["common_password_samples"].as_array().unwrap() {
        assert_eq!(check(&policy, sample.as_str().unwrap(), &[]), [Weakness::TooCommon]);
    }
}

#[test]
fn all_broken_rules_are_returned_in_djangos_order() {
    let user = [("username", "1234567"), ("email", "a@b.example")];
    assert_eq!(
        check(&PasswordPolicy::default(), "1234567", &user),
        [
            Weakness::TooSimilar { attribute: "username".to_owned() },
            Weakness::TooShort { min: 8 },
            Weakness::TooCommon,
            Weakness::EntirelyNumeric,
        ]
    );
    assert_eq!(
        check(&PasswordPolicy::default(), "\0", &[]),
        [Weakness::TooShort { min: 8 }, Weakness::ContainsNul]
    );
    assert_eq!(check(&PasswordPolicy::default(), "", &user), [Weakness::TooShort { min: 8 }]);
    let plain = policy(|policy| policy.min_length = 1);
    assert_eq!(
        check(&plain, "", &[])[0].to_string(),
        "This password is too short. It must contain at least 1 character."
    );
}

#[test]
fn lengths_count_characters() {
    let policy = PasswordPolicy::default();
    for length in [8, 64, 128] {
        for text in ["ž", "👍", "a b", "Zq"] {
            let password: String = text.chars().cycle().take(length).collect();
            assert_eq!(check(&policy, &password, &[]), [], "{length} of {text}");
        }
    }
    assert_eq!(check(&policy, &"ž".repeat(7), &[]), [Weakness::TooShort { min: 8 }]);
    let long = "a".repeat(129);
    // Nothing else is checked.
    assert_eq!(check(&policy, &long, &[("username", &long)]), [Weakness::TooLong { max: 128 }]);
    assert_eq!(
        Weakness::TooLong { max: 128 }.to_string(),
        "This password is too long. It must contain at most 128 characters."
    );
}

#[test]
fn good_passwords_are_accepted() {
    let user = [("username", "jane.doe42"), ("email", "jane.doe+news@example-corp.co.uk")];
    for password in [
        "abcdefghijklmnopqrst",
        "    a    b    ",
        "correct horse battery staple",
        "пароль-длинный",
        "1234567x",
        "½½½½½½½½",
    ] {
        assert_eq!(check(&PasswordPolicy::default(), password, &user), [], "{password}");
    }
}

#[test]
fn digits_are_those_of_python() {
    let policy = policy(|policy| policy.numeric = true);
    for password in ["0", "١٢٣٤", "²³¹", "①②", "𝟘𝟙", "1²٣", "\u{10a40}"] {
        assert_eq!(check(&policy, password, &[]), [Weakness::EntirelyNumeric], "{password}");
    }
    for password in ["", "½", "Ⅷ", "一二三", "1 2", "12.", "⑩"] {
        assert_eq!(check(&policy, password, &[]), [], "{password}");
    }
}

#[test]
fn words_end_where_python_ends_them() {
    let policy = policy(|policy| policy.similarity = true);
    let similar = |password: &str, value: &str| !check(&policy, password, &[("name", value)]).is_empty();
    // An underscore and digits of any kind belong to the word, combining marks and symbols do not.
    assert!(similar("secret", "long-long-long-secret-name"));
    assert!(!similar("secret", "long_long_long_secret_name"));
    assert!(!similar("secret", "xxxxxxxxⅧsecretⅧxxxxxxxx"));
    assert!(similar("secret", "xxxxxxxx\u{93f}secret\u{93f}xxxxxxxx"));
    assert!(similar("secret", "xxxxxxxxⒶSECRETⒶxxxxxxxx"));
    // The final sigma, as both languages lower it.
    assert!(similar("ὈΔΥΣΣΕΎΣ", "ὀδυσσεύς"));
}

proptest! {
    #[test]
    fn any_password_can_be_checked(password: String, name: String, value: String) {
        let policy = PasswordPolicy::default();
        let found = check(&policy, &password, &[(&name, &value), ("email", &password)]);
        let length = password.chars().count();
        prop_assert_eq!(found.contains(&Weakness::TooShort { min: 8 }), length < 8);
        prop_assert_eq!(found.contains(&Weakness::ContainsNul), password.contains('\0') && length <= 128);
        prop_assert!(password.is_empty() || !found.is_empty(), "its own value is not similar");
    }
}

#[test]
fn a_leaked_password_is_refused_if_it_breaks_no_other_rule() {
    let policy = PasswordPolicy::default();
    for (password, expected) in [
        ("trombone12", vec![]),
        ("sasha_007", vec![Weakness::Leaked]),
        ("SASHA_007", vec![]),
        ("password", vec![Weakness::TooCommon]),
        ("12345678", vec![Weakness::TooCommon, Weakness::EntirelyNumeric]),
    ] {
        assert_eq!(check(&policy, password, &[]), expected, "{password}");
    }
    assert_eq!(
        check(&policy, "sasha_007", &[("username", "sasha_00")]),
        [Weakness::TooSimilar { attribute: "username".to_owned() }]
    );
    let mut off = policy;
    off.leaked = false;
    assert_eq!(check(&off, "sasha_007", &[]), []);
    assert_eq!(Weakness::Leaked.code(), "password_leaked");
}
