//! The cluster's name, and whose counts when two servers disagree.

/// A cluster's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterName {
    pub text: String,
    /// Whether it was made up.
    pub dynamic: bool,
}

impl ClusterName {
    /// Whether this server takes the name of the other one instead of its own: names that were given win over those that were made up, and
    /// among the latter the greater one. As official servers do, so that both ends decide alike.
    pub fn yields_to(&self, other: &Self) -> bool {
        self.dynamic && (!other.dynamic || self.text < other.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ours: (&str, bool), theirs: (&str, bool), expected: bool) {
        let name = |(text, dynamic): (&str, bool)| ClusterName { text: text.into(), dynamic };
        assert_eq!(name(ours).yields_to(&name(theirs)), expected, "{ours:?} {theirs:?}");
    }

    #[test]
    fn a_name_that_was_made_up_yields_to_a_given_one_and_to_a_greater_one() {
        check(("z", true), ("a", false), true);
        check(("a", true), ("b", true), true);
        check(("b", true), ("a", true), false);
        check(("a", false), ("b", false), false);
        check(("a", false), ("b", true), false);
    }
}
