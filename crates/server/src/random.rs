//! Numbers that nobody outside can guess; on a thread that simulates, those of its seed.

use data_encoding::BASE64URL_NOPAD;
use rand::distr::{Distribution, StandardUniform};

/// Letters of names and ids.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Random bytes of a nonce. The official figure.
const NONCE_BYTES: usize = 11;

/// Something to sign.
pub(crate) fn nonce() -> String {
    BASE64URL_NOPAD.encode(&random::<[u8; NONCE_BYTES]>())
}

/// A name of so many letters and digits.
pub(crate) fn name(letters: usize) -> String {
    let letter = |_| char::from(LETTERS[random::<u32>() as usize % LETTERS.len()]);
    (0..letters).map(letter).collect()
}

/// Any number.
#[cfg(not(any(test, fuzzing)))]
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    rand::random()
}

/// Any number.
#[cfg(any(test, fuzzing))]
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    use rand::Rng as _;
    SIMULATED.with_borrow_mut(|simulated| match simulated {
        Some(numbers) => numbers.random(),
        None => rand::random(),
    })
}

#[cfg(any(test, fuzzing))]
thread_local! {
    static SIMULATED: std::cell::RefCell<Option<rand::rngs::SmallRng>> = const { std::cell::RefCell::new(None) };
}

/// Has all numbers of this thread come from a seed; `None`: from the system.
#[cfg(any(test, fuzzing))]
pub(crate) fn simulate(seed: Option<u64>) {
    use rand::SeedableRng as _;
    SIMULATED.set(seed.map(rand::rngs::SmallRng::seed_from_u64));
}
