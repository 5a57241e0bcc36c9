//! The lab's binaries: building them, becoming one, and asking one.
//!
//! Every build selects the whole workspace and then names the binaries it wants. Cargo unites the
//! features of what is selected, so `doctor` and `bench` share each compiled dependency: a verb
//! that needs only `lab` builds only `lab`, and nothing is built twice. All of them use the release
//! profile, because the first thing after `doctor` is `bench`; `ci` alone uses dev binaries, those
//! that its tests have built anyway.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    generated::Generated,
    workspace::{Workspace, describe, succeed},
};

/// A binary of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// The harness.
    Lab,
    /// The target service.
    Storefront,
    /// The load generator.
    Load,
    /// The analysis.
    Report,
}

impl Tool {
    /// All of them: what a campaign needs.
    pub(crate) const ALL: [Self; 4] = [Self::Lab, Self::Storefront, Self::Load, Self::Report];

    /// The name of the binary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Storefront => "storefront",
            Self::Load => "lab-load",
            Self::Report => "lab-report",
        }
    }
}

/// The lab's binaries in one profile.
#[derive(Debug)]
pub(crate) struct Lab<'a> {
    pub(crate) workspace: &'a Workspace,
    profile: Profile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    Release,
    Dev,
}

impl<'a> Lab<'a> {
    /// The binaries that measure.
    pub(crate) fn release(workspace: &'a Workspace) -> Self {
        Self { workspace, profile: Profile::Release }
    }

    /// The binaries that the tests built.
    pub(crate) fn dev(workspace: &'a Workspace) -> Self {
        Self { workspace, profile: Profile::Dev }
    }

    /// Builds `tools` in the release profile; quick when they are up to date.
    pub(crate) fn build(&self, tools: &[Tool]) -> Result<()> {
        let mut command = self.workspace.cargo(&["build", "--release", "--workspace"]);
        for tool in tools {
            command.args(["--bin", tool.name()]);
        }
        succeed(&mut command)
    }

    /// A command that runs `tool` in the folder the user stands in.
    pub(crate) fn tool(&self, tool: Tool) -> Command {
        Command::new(self.path(tool))
    }

    /// Replaces this process by `tool`, so that signals and the exit code are the tool's own.
    /// Comes back only with the error that kept it from starting.
    pub(crate) fn become_tool(
        &self,
        tool: Tool,
        verb: &str,
        args: &[OsString],
    ) -> Result<ExitCode> {
        let error = self.tool(tool).arg(verb).args(args).exec();
        Err(anyhow!(error).context(format!("start {}", self.path(tool).display())))
    }

    /// Rebuilds or checks each campaign and gives the worst exit code of them.
    pub(crate) fn report_campaigns(
        &self,
        campaigns: &[PathBuf],
        generated: Generated,
    ) -> Result<ExitCode> {
        if campaigns.is_empty() {
            eprintln!("no results yet: `cargo xtask bench` makes some");
        }
        let mut worst = 0;
        for campaign in campaigns {
            let mut command = self.tool(Tool::Report);
            command.arg("campaign").arg(campaign);
            if generated == Generated::Check {
                command.arg("--check");
            }
            let status = command.status().with_context(|| format!("start {command:?}"))?;
            let code =
                status.code().with_context(|| format!("{} was killed", describe(&command)))?;
            worst = worst.max(u8::try_from(code).unwrap_or(u8::MAX));
        }
        Ok(ExitCode::from(worst))
    }

    /// The table of a campaign as README shows it.
    pub(crate) fn readme_table(&self, campaign: &Path) -> Result<String> {
        let mut command = self.tool(Tool::Report);
        Self::said(command.arg("readme-table").arg(campaign))
    }

    /// What the results of `campaigns` say of each row of the strategy.
    pub(crate) fn playbook(&self, campaigns: &[PathBuf]) -> Result<String> {
        let mut command = self.tool(Tool::Report);
        Self::said(command.arg("playbook").args(campaigns))
    }

    /// What gates said of known changes.
    pub(crate) fn known_gates(&self) -> Result<String> {
        let mut command = self.tool(Tool::Report);
        Self::said(command.arg("known-table").arg(&self.workspace.root))
    }

    /// What comparisons with a stored result said of known changes.
    pub(crate) fn known_results(&self) -> Result<String> {
        let mut command = self.tool(Tool::Report);
        Self::said(command.arg("known-results-table").arg(&self.workspace.root))
    }

    /// What `command` prints. **Errors**: it fails; in its own words.
    fn said(command: &mut Command) -> Result<String> {
        let output = command.output().with_context(|| format!("start {command:?}"))?;
        ensure!(
            output.status.success(),
            "{}: {}",
            describe(command),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        String::from_utf8(output.stdout).context("read its output as UTF-8")
    }

    fn path(&self, tool: Tool) -> PathBuf {
        let profile = match self.profile {
            Profile::Release => "release",
            Profile::Dev => "debug",
        };
        self.workspace.target_dir.join(profile).join(tool.name())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace whose `lab-report` is a shell script.
    ///
    /// Another process writes the script. Were it open for writing here, a test that starts a
    /// process at that moment would hand the open file on to it, and the kernel starts no program
    /// that somebody can still write to (`ETXTBSY`).
    fn workspace_with_report(dir: &Path, script: &str) -> Workspace {
        let path = dir.join("debug/lab-report");
        fs::create_dir_all(dir.join("debug")).unwrap();
        let status = Command::new("sh")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#, "sh"])
            .args([path.as_os_str(), script.as_ref()])
            .status()
            .unwrap();
        assert!(status.success());
        Workspace { root: dir.into(), target_dir: dir.into(), packages: Vec::new() }
    }

    #[test]
    fn the_worst_exit_code_of_several_campaigns_is_the_answer() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = workspace_with_report(dir.path(), r#"[ "$2" = good ] || exit 3"#);
        let code = |campaigns: &[&str]| {
            let campaigns: Vec<_> = campaigns.iter().map(PathBuf::from).collect();
            Lab::dev(&workspace).report_campaigns(&campaigns, Generated::Write).unwrap()
        };
        assert_eq!(code(&["good", "good"]), ExitCode::SUCCESS);
        assert_eq!(code(&["good", "bad", "good"]), ExitCode::from(3));
        assert_eq!(code(&[]), ExitCode::SUCCESS);
    }

    #[test]
    fn checking_is_asked_for_by_a_flag() {
        let dir = tempfile::tempdir().unwrap();
        let workspace =
            workspace_with_report(dir.path(), r#"[ "$3" = --check ] && exit 1; exit 0"#);
        let code =
            |generated| Lab::dev(&workspace).report_campaigns(&["x".into()], generated).unwrap();
        assert_eq!(code(Generated::Check), ExitCode::from(1));
        assert_eq!(code(Generated::Write), ExitCode::SUCCESS);
    }

    #[test]
    fn a_table_that_cannot_be_made_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = workspace_with_report(dir.path(), "echo no summary >&2; exit 4");
        let error = Lab::dev(&workspace).readme_table(Path::new("x")).unwrap_err().to_string();
        assert_eq!(error, "lab-report readme-table x: no summary");
    }
}
