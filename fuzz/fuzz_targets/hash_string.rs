//! Any string may be in the password column. Verifying it costs no more than the ceilings allow, and only one
//! password matches.
#![no_main]

use doorwarden_fuzz::text_or_edited;
use doorwarden_password::{
    Algorithm, Arena, Ceilings, HashSettings, Hasher, Password, PasswordHash, Verdict,
};
use libfuzzer_sys::fuzz_target;

/// What Django makes of `lètmein`, as cheap as each algorithm allows.
const SAMPLES: [&str; 10] = [
    "argon2$argon2id$v=19$m=8,t=1,p=1$c2Vhc2FsdHNlYXNhbHQ$pT53P8oH5KUQh4wa2iSRQMh1hJ3EAKgl7CpjldflNIs",
    "argon2$argon2i$v=16$m=8,t=1,p=1$c29tZXNhbHQ$NwtWKQNeD4/6ksiIUbcN5w",
    "pbkdf2_sha256$1$seasalt$mJQ8D8xVBAKQGCo0t0n+NSPS2a0gQhVtjuC9LdL9WiM=",
    "pbkdf2_sha1$1$seasalt$Js6PaO2+yMCmW0z2IpYzlluffPg=",
    "bcrypt_sha256$$2b$04$2XluvSPXoUqu9txYlVVvouvv8sGvdQbJbndDvnkKAzpZEfazdKg22",
    "bcrypt$$2b$04$PKyDf8IchSYln50tUae9f.so3.eESwEgcCumLAQ14vsaDnT5Z1J2e",
    "scrypt$2$seasalt$1$1$Uw1Hm8zmAK0Esyhyx/KeJ18fu641RfDIlhZzAivW4HWTnbiET8+SlAfQN4tEzYBvQElQgeRyhw8tbv5g+WK2uA==",
    "md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3",
    "sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8",
    "88a434c88cca4e900f7874cd98123f43",
];

fn ceilings() -> Ceilings {
    let mut ceilings = Ceilings::default();
    ceilings.argon2_memory_kib = 64;
    ceilings.argon2_iterations = 2;
    ceilings.pbkdf2_iterations = 64;
    ceilings.bcrypt_cost = 4;
    ceilings.scrypt_memory_kib = 64;
    ceilings.scrypt_parallelism = 2;
    ceilings
}

fuzz_target!(|data: &[u8]| {
    let Some(text) = text_or_edited(data, &SAMPLES) else { return };
    let hasher = Hasher::new(HashSettings::insecure_for_tests(), ceilings())
        .expect("the cheapest is below the ceilings");
    let mut arena = Arena::new();
    let hash = PasswordHash::from_stored(text.clone());
    assert_eq!(hash.as_str(), text);
    assert_eq!(hash.is_usable(), !text.starts_with('!'));
    assert_eq!(hash.is_usable(), hash.algorithm() != Algorithm::Unusable);

    let verdict = hasher.verify(&Password::new("lètmein"), &hash, &mut arena);
    assert!(
        !SAMPLES.contains(&text.as_str()) || matches!(verdict, Verdict::Match { .. }),
        "{text}: {verdict:?}"
    );
    match verdict {
        Verdict::Match { needs_rehash } => {
            assert_eq!(needs_rehash, !hasher.is_current(&hash));
            let other = hasher.verify(&Password::new("letmein"), &hash, &mut arena);
            assert_eq!(other, Verdict::NoMatch, "another password fits, too: {text:?}");
        }
        Verdict::Unusable => assert!(!hash.is_usable()),
        Verdict::NoMatch | Verdict::TooExpensive => {
            assert!(!matches!(hash.algorithm(), Algorithm::Unusable | Algorithm::Unknown), "{text:?}");
        }
        Verdict::Unreadable => assert!(hash.is_usable()),
    }

    let typed = Password::new(text);
    let made = hasher.hash(&typed, [data.len() as u8; 16], &mut arena);
    assert!(hasher.is_current(&made));
    assert_eq!(hasher.verify(&typed, &made, &mut arena), Verdict::Match { needs_rehash: false });
});
