//! Reading JSON as Go's `encoding/json` does: names of any case, null, unknown fields, strict mode.
