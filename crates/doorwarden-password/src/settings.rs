/// The cost of new hashes: Argon2id, version 19, a salt of 16 bytes and a tag of 32.
///
/// The default is OWASP's: 19456 KiB, two passes, one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSettings {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

/// The maximum cost of verifying a stored hash. A hash above it is refused without computing it, so that an
/// imported or planted string cannot exhaust the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ceilings {
    /// Memory of Argon2, in KiB.
    pub argon2_memory_kib: u32,
    /// Passes of Argon2.
    pub argon2_iterations: u32,
    /// Rounds of PBKDF2.
    pub pbkdf2_iterations: u32,
    /// The logarithm of bcrypt's rounds.
    pub bcrypt_cost: u32,
    /// Memory of scrypt (128 bytes · r · (N + p)), in KiB.
    pub scrypt_memory_kib: u32,
    /// scrypt's p: how often its memory is filled.
    pub scrypt_parallelism: u32,
}

/// The cost of new hashes is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashSettingsError {
    /// The cost is weaker than each of the alternatives that OWASP recommends.
    #[error(
        "{memory_kib} KiB of memory with {iterations} iterations is too weak for passwords: with {iterations} iterations \
         at least {floor_kib} KiB are needed"
    )]
    TooWeak {
        /// What was asked for, in KiB.
        memory_kib: u32,
        /// What was asked for.
        iterations: u32,
        /// The minimum memory for these iterations, in KiB.
        floor_kib: u32,
    },
    /// There must be at least one iteration.
    #[error("the iterations of a password hash must be at least 1")]
    NoIterations,
    /// Argon2 needs between one lane and one for each 8 KiB.
    #[error("the parallelism of a password hash must be between 1 and {most}, not {parallelism}")]
    Parallelism {
        /// What was asked for.
        parallelism: u32,
        /// The maximum for this memory.
        most: u32,
    },
    /// New hashes would be refused when they are verified.
    #[error(
        "new password hashes of {memory_kib} KiB and {iterations} iterations lie above the ceilings of what is verified \
         ({} KiB, {} iterations): raise the ceilings or lower the cost",
        ceilings.argon2_memory_kib,
        ceilings.argon2_iterations
    )]
    AboveCeilings {
        /// What was asked for, in KiB.
        memory_kib: u32,
        /// What was asked for.
        iterations: u32,
        /// The maximum cost of verifying.
        ceilings: Ceilings,
    },
}

impl HashSettings {
    /// OWASP's alternatives of equal strength: passes, and the minimum memory for them in KiB. More passes
    /// than the last need no less memory.
    /// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id>
    pub const FLOORS: [(u32, u32); 5] = [(1, 47_104), (2, 19_456), (3, 12_288), (4, 9_216), (5, 7_168)];

    /// A custom cost: memory in KiB, passes over it, and lanes.
    ///
    /// # Errors
    /// If the cost is below [`FLOORS`](Self::FLOORS) or not valid for Argon2.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, HashSettingsError> {
        let (_, floor_kib) = Self::FLOORS
            .into_iter()
            .rfind(|(passes, _)| *passes <= iterations)
            .ok_or(HashSettingsError::NoIterations)?;
        if memory_kib < floor_kib {
            return Err(HashSettingsError::TooWeak { memory_kib, iterations, floor_kib });
        }
        let most = (memory_kib / 8).min(argon2::Params::MAX_P_COST);
        if !(1..=most).contains(&parallelism) {
            return Err(HashSettingsError::Parallelism { parallelism, most });
        }
        Ok(Self { memory_kib, iterations, parallelism })
    }

    /// The cheapest possible hash. For tests only: such hashes protect no better than plain text.
    #[doc(hidden)]
    pub const fn insecure_for_tests() -> Self {
        Self { memory_kib: 8, iterations: 1, parallelism: 1 }
    }

    /// Memory in KiB.
    pub const fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Lanes. They are computed one after the other: a hash never takes more than one core.
    pub const fn parallelism(&self) -> u32 {
        self.parallelism
    }
}

impl Default for HashSettings {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            argon2_memory_kib: 262_144,
            argon2_iterations: 16,
            pbkdf2_iterations: 10_000_000,
            bcrypt_cost: 16,
            scrypt_memory_kib: 262_144,
            scrypt_parallelism: 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owasp_alternatives_are_the_floor() {
        for (iterations, floor_kib) in HashSettings::FLOORS {
            assert!(HashSettings::new(floor_kib, iterations, 1).is_ok());
            let memory_kib = floor_kib - 1;
            assert_eq!(
                HashSettings::new(memory_kib, iterations, 1),
                Err(HashSettingsError::TooWeak { memory_kib, iterations, floor_kib })
            );
        }
        assert!(HashSettings::new(7_168, 30, 1).is_ok());
        assert!(HashSettings::new(7_167, 30, 1).is_err());
        assert_eq!(HashSettings::new(19_456, 0, 1), Err(HashSettingsError::NoIterations));
        assert_eq!(HashSettings::new(19_456, 2, 1), Ok(HashSettings::default()));
    }

    #[test]
    fn lanes_fit_into_the_memory() {
        assert!(HashSettings::new(19_456, 2, 2_432).is_ok());
        for parallelism in [0, 2_433, u32::MAX] {
            assert_eq!(
                HashSettings::new(19_456, 2, parallelism),
                Err(HashSettingsError::Parallelism { parallelism, most: 2_432 })
            );
        }
    }
}
