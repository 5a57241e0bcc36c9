//! Which crate may use which: the arrows of ARCHITECTURE.md, checked against `cargo metadata`.

use serde_json::Value;

use super::Complaint;

/// Every crate with the crates of this workspace that it may use. The harness links neither the
/// service nor the generator: a kill or an out-of-memory in one must not change the other.
const ARROWS: [(&str, &[&str]); 8] = [
    ("lab-core", &[]),
    ("lab-mitigation", &["lab-core"]),
    ("storefront", &["lab-core", "lab-mitigation"]),
    ("lab-load", &["lab-core"]),
    ("lab-report", &["lab-core"]),
    ("lab-harness", &["lab-core"]),
    ("lab-testkit", &["lab-core"]),
    ("xtask", &[]),
];

/// What every crate may use in its tests.
const FOR_TESTS: &str = "lab-testkit";

/// Complaints about the crates as `cargo metadata` lists them.
pub(crate) fn check(packages: &[Value]) -> Vec<Complaint> {
    let name = |it: &Value| it["name"].as_str().unwrap_or_default().to_owned();
    let mut complaints = Vec::new();
    for package in packages {
        let user = name(package);
        let Some((_, allowed)) = ARROWS.iter().find(|(it, _)| *it == user) else {
            complaints.push(Complaint::whole(&user, "a crate without a line in crate_arrows.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = name(dependency);
            let is_ours = ARROWS.iter().any(|(it, _)| *it == used);
            let in_tests = dependency["kind"] == "dev" && used == FOR_TESTS;
            if is_ours && !in_tests && !allowed.contains(&used.as_str()) {
                let what = format!("must not use {used} (see the arrows in ARCHITECTURE.md)");
                complaints.push(Complaint::whole(&user, what));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whats(name: &str, used: &str, kind: Option<&str>) -> Vec<String> {
        let dependency = json!({ "name": used, "kind": kind });
        let package = json!({ "name": name, "dependencies": [dependency] });
        check(&[package]).into_iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn the_arrows_that_are_drawn_are_fine() {
        assert!(whats("storefront", "lab-mitigation", None).is_empty());
        assert!(whats("lab-harness", "tokio", None).is_empty());
        assert!(whats("lab-load", "lab-testkit", Some("dev")).is_empty());
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_found() {
        let found = whats("lab-harness", "storefront", None);
        assert!(found[0].starts_with("lab-harness: must not use storefront"), "{found:?}");
        assert_eq!(whats("lab-report", "lab-load", None).len(), 1);
        assert_eq!(whats("lab-load", "lab-testkit", None).len(), 1);
        assert_eq!(whats("xtask", "lab-core", Some("dev")).len(), 1);
        assert_eq!(whats("newcomer", "lab-core", None).len(), 1);
    }
}
