//! Subjects that servers let each other have.

use serde::{Deserialize, Serialize};

/// Subjects that may pass, and that may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectRules {
    /// If there are any, only these may pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// These may not pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}
