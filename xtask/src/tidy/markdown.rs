//! Rules for `.md` files: one title each, and relative links that lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::Complaint;

/// Complaints about one document. `exists` answers for paths from the root of the repository.
pub(crate) fn check(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Complaint> {
    let prose = prose(text);
    let mut complaints: Vec<_> = one_title(path, &prose).into_iter().collect();
    for (index, line) in &prose {
        for link in links(line).filter(|it| is_relative(it)) {
            if !resolve(path, link).is_some_and(|it| exists(&it)) {
                complaints.push(Complaint::at(path, *index, format!("`{link}` leads nowhere")));
            }
        }
    }
    complaints
}

/// The lines outside fenced code, with their indices.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut prose = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        if is_fence {
            in_code = !in_code;
        } else if !in_code {
            prose.push((index, line));
        }
    }
    prose
}

fn one_title(path: &str, prose: &[(usize, &str)]) -> Option<Complaint> {
    let n_titles = prose.iter().filter(|(_, it)| it.starts_with("# ")).count();
    (n_titles != 1).then(|| Complaint::whole(path, format!("{n_titles} titles (`# …`), needs 1")))
}

/// Targets of `[text](target)` and `![text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1);
    targets.filter_map(|it| it.split_once(')')).map(|(target, _)| target)
}

fn is_relative(link: &str) -> bool {
    !link.starts_with('#') && !link.contains("://") && !link.starts_with("mailto:")
}

/// The path from the root of the repository that `link` in the document `path` means; `None` when
/// it leaves the repository.
fn resolve(path: &str, link: &str) -> Option<String> {
    let file = link.split('#').next().unwrap_or_default();
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut resolved = PathBuf::new();
    for component in folder.join(file).components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    resolved.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(text: &str) -> Vec<String> {
        let exists = |it: &str| ["README.md", "docs/method.md", "docs"].contains(&it);
        check("docs/a.md", text, exists).into_iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "# A\n[m](method.md#load) and [r](../README.md), [d](./), [w](https://x.y/z)\n\
                    [here](#a)";
        assert_eq!(whats(text), Vec::<String>::new());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found_with_its_line() {
        assert_eq!(whats("# A\n\nsee [b](b.md)"), ["docs/a.md:3: `b.md` leads nowhere"]);
        assert_eq!(whats("# A\n![p](plots/x.png)"), ["docs/a.md:2: `plots/x.png` leads nowhere"]);
        assert_eq!(whats("# A\n[x](../../x)"), ["docs/a.md:2: `../../x` leads nowhere"]);
    }

    #[test]
    fn a_document_has_one_title_and_code_is_no_title() {
        assert_eq!(whats("text"), ["docs/a.md: 0 titles (`# …`), needs 1"]);
        assert_eq!(whats("# A\n# B"), ["docs/a.md: 2 titles (`# …`), needs 1"]);
        assert!(whats("# A\n```\n# a comment\n[x](y)\n```\n## B").is_empty());
    }
}
