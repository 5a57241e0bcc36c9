//! Words that must not stand anywhere: those of the glossary's last column that have no innocent
//! meaning, and folders of somebody's machine.

use super::Complaint;

/// Files that must name what they forbid.
const EXEMPT: [&str; 2] = ["docs/glossary.md", "xtask/src/tidy/words.rs"];

/// A forbidden word, and what to say instead. Matched as a whole word, case counts.
const WORDS: [(&str, &str); 7] = [
    ("RPS", "say which: arrival rate, offered, achieved, throughput or goodput, per second"),
    ("SLA", "an SLO is a target; nobody signed a contract with the lab"),
    ("MTTR", "one trial has a time to recover; a mean over trials needs n and an interval"),
    ("coordinated-omission-free", "say what is recorded: the intended time of every request"),
    ("parallel retry", "hedge"),
    ("success rate", "success ratio, or goodput per second"),
    ("concurrency test", "say open-loop or closed-loop"),
];

/// Beginnings of paths that exist on one machine only, and what to write instead.
const MACHINE_PATHS: [&str; 3] = ["/root/", "/work/", "/home/"];

/// Complaints about one text file of any kind. Lock files hold other people's words.
pub(crate) fn check(path: &str, text: &str) -> Vec<Complaint> {
    if EXEMPT.contains(&path) || path.ends_with(".lock") || path.starts_with("LICENSE") {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (word, instead) in WORDS {
            if has_word(line, word) {
                complaints.push(Complaint::at(path, index, format!("`{word}`: {instead}")));
            }
        }
        for folder in MACHINE_PATHS {
            if has_path(line, folder) {
                let what = format!("`{folder}…` is a folder of one machine");
                complaints.push(Complaint::at(path, index, what));
            }
        }
    }
    complaints
}

/// Whether `word` stands in `line` with no letter or digit beside it.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// Whether an absolute path that begins with `folder` stands in `line`.
fn has_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = &line[..at];
        // A quote that closes a variable does not begin a path.
        let before = before.strip_suffix('"').unwrap_or(before);
        !before.ends_with(|it: char| it.is_ascii_alphanumeric() || "_-.}/~".contains(it))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_only_as_a_word() {
        for (word, _) in WORDS {
            let found = check("a.md", &format!("fine\nsay {word}, please"));
            assert_eq!(found.len(), 1, "{word}");
            assert_eq!(found[0].line, Some(2));
        }
        for line in ["TRANSLATE", "CRPS", "SLAB", "MTTRx", "my_SLA_x"] {
            assert!(check("a.md", line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_folder_of_one_machine_is_found() {
        assert_eq!(check("a.toml", "path = \"/root/x\"").len(), 1);
        assert_eq!(check("a.rs", "Path::new(\"/work/main\")").len(), 1);
    }

    #[test]
    fn paths_that_every_machine_has_are_fine() {
        for line in [
            "docs/work/x",
            "$DIR/root/bin",
            "${chroot}/root/x",
            "\"$DIR\"/root/x",
            "https://a.b/home/x",
        ] {
            assert!(check("a.sh", line).is_empty(), "{line}");
        }
    }

    #[test]
    fn the_glossary_may_name_what_it_forbids() {
        assert!(check("docs/glossary.md", "do not say SLA").is_empty());
    }
}
