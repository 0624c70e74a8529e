//! Request paths, as every look-alike reads them.

/// The parts between the slashes; a trailing slash makes none.
#[must_use]
pub fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}
