//! What two ends agree on: each says in INFO what it wants, and then compresses what it sends at its own level.

use super::Level;
use std::time::Duration;

/// What an end wants, as `compression` of INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It knows no compression, as servers before 2.10: the field is absent.
    NotSupported,
    /// `off`: none.
    Off,
    /// `accept`: what the other end wants.
    Accept,
    /// `s2_auto`: by the round-trip time.
    Auto,
    /// `s2_uncompressed`, `s2_fast`, `s2_better`, `s2_best`.
    At(Level),
}

/// What an end does after it has learnt what the other one wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// It goes on without S2, since one end knows none.
    NotSupported,
    /// It goes on without S2, since one end does not want it, or neither.
    Off,
    /// Both go on in S2, this end by the round-trip time.
    Auto,
    /// Both go on in S2, this end at this level.
    At(Level),
}

/// A mode that is not known. The text is sent to the other end, which is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported route compression mode {}", crate::quoted(.0.as_bytes()))]
pub struct UnknownMode(pub String);

const TEXTS: [(&str, Mode); 8] = [
    ("", Mode::NotSupported),
    ("off", Mode::Off),
    ("accept", Mode::Accept),
    ("s2_auto", Mode::Auto),
    ("s2_uncompressed", Mode::At(Level::Uncompressed)),
    ("s2_fast", Mode::At(Level::Fast)),
    ("s2_better", Mode::At(Level::Better)),
    ("s2_best", Mode::At(Level::Best)),
];

impl Mode {
    /// By the text of INFO.
    ///
    /// # Errors
    /// [`UnknownMode`].
    pub fn from_text(text: &str) -> Result<Self, UnknownMode> {
        match TEXTS.iter().find(|(known, _)| *known == text) {
            Some(&(_, mode)) => Ok(mode),
            // As official servers configured so call it.
            None if text == "not supported" => Ok(Self::NotSupported),
            None => Err(UnknownMode(text.chars().take(64).collect())),
        }
    }

    /// The text of INFO.
    pub fn text(self) -> &'static str {
        TEXTS.iter().find(|(_, mode)| *mode == self).map_or("", |(text, _)| text)
    }

    /// What this end does where it wants this and the other one `theirs`.
    pub fn agree(self, theirs: Self) -> Agreed {
        match (self, theirs) {
            (Self::NotSupported, _) | (_, Self::NotSupported) => Agreed::NotSupported,
            (Self::Off, _) | (_, Self::Off) | (Self::Accept, Self::Accept) => Agreed::Off,
            // Who only accepts does not measure.
            (Self::Accept, Self::Auto) => Agreed::At(Level::Fast),
            (Self::Accept, Self::At(level)) | (Self::At(level), _) => Agreed::At(level),
            (Self::Auto, _) => Agreed::Auto,
        }
    }
}

impl Agreed {
    /// What an end says in the INFO by which it answers, and in `/routez`: the outcome.
    pub fn mode(self) -> Mode {
        match self {
            Self::NotSupported => Mode::NotSupported,
            Self::Off => Mode::Off,
            Self::Auto => Mode::Auto,
            Self::At(level) => Mode::At(level),
        }
    }
}

impl Level {
    /// By the round-trip time of a connection. `thresholds` are times up to which each level is used, in the order of the levels; one that
    /// is 0 has its level left out. Beyond all, the last that has one is used, or [`Level::Best`] if there are three or more.
    pub fn by_rtt(rtt: Duration, thresholds: &[Duration]) -> Self {
        const LEVELS: [Level; 4] = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best];
        let within = thresholds.iter().position(|&most| !most.is_zero() && rtt <= most);
        let index = match (within, thresholds.len()) {
            (Some(index), _) => index,
            (None, 1) => 0,
            (None, 2) => 1,
            (None, _) => 3,
        };
        LEVELS.get(index).copied().unwrap_or(Self::Best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_their_texts() {
        for (text, mode) in TEXTS {
            assert_eq!(Mode::from_text(text), Ok(mode));
            assert_eq!(mode.text(), text);
        }
        assert_eq!(Mode::from_text("not supported"), Ok(Mode::NotSupported));
        let unknown = Mode::from_text("zstd").expect_err("unknown");
        assert_eq!(unknown.to_string(), r#"unsupported route compression mode "zstd""#);
    }

    /// As official servers agree, whoever of them dials.
    #[test]
    fn both_ends_agree_whether_they_compress() {
        for (ours, theirs, expected) in [
            ("accept", "accept", "off"),
            ("s2_fast", "off", "off"),
            ("off", "s2_fast", "off"),
            ("s2_fast", "", ""),
            ("", "s2_best", ""),
            ("accept", "s2_fast", "s2_fast"),
            ("s2_fast", "accept", "s2_fast"),
            ("s2_fast", "s2_best", "s2_fast"),
            ("s2_best", "s2_fast", "s2_best"),
            ("accept", "s2_auto", "s2_fast"),
            ("s2_auto", "accept", "s2_auto"),
            ("s2_auto", "s2_best", "s2_auto"),
            ("accept", "s2_uncompressed", "s2_uncompressed"),
        ] {
            let mode = |text| Mode::from_text(text).expect("known");
            assert_eq!(mode(ours).agree(mode(theirs)).mode().text(), expected, "{ours} and {theirs}");
        }
        let compresses = |agreed| matches!(agreed, Agreed::Auto | Agreed::At(_));
        for (_, ours) in TEXTS {
            for (_, theirs) in TEXTS {
                assert_eq!(
                    compresses(ours.agree(theirs)),
                    compresses(theirs.agree(ours)),
                    "{ours:?} {theirs:?}"
                );
            }
        }
    }

    #[test]
    fn levels_follow_the_round_trip_time() {
        let level = |rtt, thresholds: &[u64]| {
            let thresholds: Vec<_> = thresholds.iter().map(|&ms| Duration::from_millis(ms)).collect();
            Level::by_rtt(Duration::from_millis(rtt), &thresholds)
        };
        for (rtt, expected) in [
            (0, Level::Uncompressed),
            (10, Level::Uncompressed),
            (11, Level::Fast),
            (50, Level::Fast),
            (51, Level::Better),
            (100, Level::Better),
            (101, Level::Best),
            (10_000, Level::Best),
        ] {
            assert_eq!(level(rtt, &[10, 50, 100]), expected, "{rtt} ms");
        }
        assert_eq!(level(1, &[0, 0, 20, 30]), Level::Better);
        assert_eq!(level(25, &[0, 0, 20, 30]), Level::Best);
        assert_eq!(level(99, &[0, 0, 20, 30]), Level::Best);
        assert_eq!(level(99, &[5]), Level::Uncompressed);
        assert_eq!(level(99, &[5, 10]), Level::Fast);
        assert_eq!(level(0, &[0, 10]), Level::Fast);
        assert_eq!(level(0, &[]), Level::Best);
    }
}
