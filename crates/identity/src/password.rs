//! Passwords and tokens: plain or bcrypt.

use dialtone_config::Secret;

/// Whether checking takes long, a tenth of a second for bcrypt, and so must not be done by an event loop.
pub fn is_slow(stored: &Secret) -> bool {
    is_bcrypt(stored.expose())
}

/// Whether `given` is what was stored.
pub fn verify(stored: &Secret, given: &Secret) -> bool {
    if is_bcrypt(stored.expose()) {
        // A hash that cannot be read lets nobody in.
        bcrypt::verify(given.expose(), stored.expose()).unwrap_or(false)
    } else {
        stored == given
    }
}

fn is_bcrypt(text: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_hashed() {
        let hash = Secret::new(bcrypt::hash("pw", 4).expect("hash"));
        for stored in [Secret::new("pw"), hash] {
            assert!(verify(&stored, &Secret::new("pw")));
            assert!(!verify(&stored, &Secret::new("px")));
            assert!(!verify(&stored, &Secret::new("")));
        }
        assert!(!verify(&Secret::new("$2a$nonsense"), &Secret::new("$2a$nonsense")));
    }
}
