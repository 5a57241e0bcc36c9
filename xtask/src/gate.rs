//! `cargo xtask gate`: builds what is to be compared and becomes `lab gate`.
//!
//! What is judged, and how, is the lab's. Of `--against` only the git reference is understood here,
//! because another version has to be checked out and built before the lab can start it.

use std::{
    ffi::{OsStr, OsString},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    asks_for_help,
    lab::{Lab, Tool},
    other_version::{OtherVersion, Refused},
    workspace::Workspace,
};

/// Builds and becomes the lab. **Errors**: the other version cannot be had ([`Refused`]), or this one
/// cannot be built.
pub(crate) fn run(workspace: &Workspace, lab: &Lab<'_>, args: &[OsString]) -> Result<ExitCode> {
    if asks_for_help(args) {
        lab.build(&[Tool::Lab])?;
        return lab.become_tool(Tool::Lab, "gate", args);
    }
    let Some(reference) = against(args) else {
        lab.build(&Tool::ALL)?;
        return lab.become_tool(Tool::Lab, "gate", args);
    };
    let other = OtherVersion::find(workspace, reference)?;
    lab.build(&Tool::ALL)?;
    if args.iter().any(|it| it == "--plan") {
        return lab.become_tool(Tool::Lab, "gate", args);
    }
    if let Some(refused) = refused(lab, args)? {
        return Ok(refused);
    }
    let storefront = other.build()?;
    let told = [
        "--against-storefront".into(),
        storefront.into_os_string(),
        "--against-commit".into(),
        other.short_commit().into(),
    ];
    let args: Vec<OsString> = args.iter().cloned().chain(told).collect();
    lab.become_tool(Tool::Lab, "gate", &args)
}

/// How the lab ends when it refuses these arguments. It does so at once, where a build that nobody
/// needs takes minutes.
fn refused(lab: &Lab<'_>, args: &[OsString]) -> Result<Option<ExitCode>> {
    let mut command = lab.tool(Tool::Lab);
    command.arg("gate").args(args).arg("--plan").stdout(Stdio::null());
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    let code = status.code().and_then(|it| u8::try_from(it).ok()).unwrap_or(crate::NOT_STARTED);
    Ok((!status.success()).then(|| ExitCode::from(code)))
}

/// The git reference of `--against`. `None` without one, and beside `--baseline`, which the lab
/// refuses.
fn against(args: &[OsString]) -> Option<&OsStr> {
    let is_flag = |it: &OsStr, flag: &str| {
        it == flag || it.to_str().is_some_and(|it| it.starts_with(&format!("{flag}=")))
    };
    if args.iter().any(|it| is_flag(it, "--baseline") || is_flag(it, "--known")) {
        return None;
    }
    let place = args.iter().position(|it| is_flag(it, "--against"))?;
    match args[place].to_str().and_then(|it| it.strip_prefix("--against=")) {
        Some(reference) => Some(OsStr::new(reference)),
        None => args.get(place + 1).map(OsString::as_os_str),
    }
}

/// The exit code of an error that has one of its own.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    error.downcast_ref().map(Refused::exit_code)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::Command};

    use super::*;

    fn found(args: &[&str]) -> Option<String> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        against(&args).map(|it| it.to_string_lossy().into_owned())
    }

    #[test]
    fn the_reference_is_found_in_both_spellings() {
        assert_eq!(found(&["--against", "main", "--seed", "1"]).as_deref(), Some("main"));
        assert_eq!(found(&["--seed", "1", "--against=v1.2"]).as_deref(), Some("v1.2"));
    }

    #[test]
    fn what_the_lab_refuses_or_does_alone_is_left_to_it() {
        assert_eq!(found(&["--baseline", "summary.json"]), None);
        assert_eq!(found(&["--against", "main", "--baseline=x"]), None);
        assert_eq!(found(&["--known", "breaker-off"]), None);
        assert_eq!(found(&["--against"]), None, "without a value");
    }

    // What the power of the gate is measured with must not rot while the service changes.
    #[test]
    fn the_known_changes_apply_to_the_service_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for change in ["slower-pages", "breaker-off", "local-cache-off"] {
            let patch = format!("docs/gate/{change}.patch");
            let mut apply = Command::new("git");
            apply.args(["apply", "--check", &patch]).current_dir(&root);
            let output = apply.output().unwrap();
            assert!(output.status.success(), "{patch}: {output:?}");
        }
    }
}
