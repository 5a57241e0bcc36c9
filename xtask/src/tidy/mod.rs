//! `cargo xtask tidy`: the repository's own rules, each a small function from text to complaints.

mod crate_arrows;
mod markdown;
mod results;
mod rust_source;
mod sources;
mod words;

use anyhow::{Result, ensure};

use crate::workspace::Workspace;

/// Something to mend: where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Complaint {
    /// Path from the root, or the name of a crate.
    place: String,
    /// Line, from 1; `None` when the whole file is meant.
    line: Option<usize>,
    /// What is wrong and what to do.
    what: String,
}

impl Complaint {
    /// About a whole file or crate.
    fn whole(place: &str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: None, what: what.into() }
    }

    /// About one line, counted from 0 as iterators do.
    fn at(place: &str, index: usize, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: Some(index + 1), what: what.into() }
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.place, self.what),
            None => write!(f, "{}: {}", self.place, self.what),
        }
    }
}

/// Checks every rule and prints what is to be mended. **Errors**: there is something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let complaints = complaints(workspace)?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    ensure!(complaints.is_empty(), "{} places to tidy", complaints.len());
    Ok(())
}

fn complaints(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let paths = sources::paths(&workspace.root)?;
    let mut complaints = crate_arrows::check(&workspace.packages);
    for path in &paths {
        let Some(text) = sources::text(&workspace.root.join(path)) else { continue };
        complaints.extend(words::check(path, &text));
        match path.rsplit_once('.') {
            Some((_, "rs")) => complaints.extend(rust_source::check(path, &text)),
            Some((_, "md")) => {
                let exists = |link: &str| workspace.root.join(link).exists();
                complaints.extend(markdown::check(path, &text, exists));
            }
            _ => {}
        }
    }
    complaints.extend(results::check(&sources::tracked(&workspace.root)));
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let complaints = complaints(&Workspace::find().unwrap()).unwrap();
        let lines: Vec<_> = complaints.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
