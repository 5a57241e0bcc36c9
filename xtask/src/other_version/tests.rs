//! Versions of a temporary repository: a workspace of one small program called `storefront`.

use tempfile::TempDir;

use super::*;

/// A repository with a commit that builds (`good`), one that does not (`bad`), and a work tree that
/// stands on `bad`.
struct Repository {
    scratch: TempDir,
    workspace: Workspace,
}

impl Repository {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("repository");
        fs::create_dir_all(root.join("src")).unwrap();
        let manifest = "[workspace]\n[package]\nname = \"storefront\"\nedition = \"2024\"\n";
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        fs::write(root.join(".gitignore"), "target\n").unwrap();
        let target_dir = root.join("target");
        let workspace = Workspace { root, target_dir, packages: Vec::new() };
        let repository = Self { scratch, workspace };
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.commit("good", "fn main() { println!(\"good\"); }\n");
        repository.commit("bad", "fn main() { no such thing }\n");
        repository
    }

    fn git(&self, args: &[&str]) -> String {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"];
        let all: Vec<&str> = identity.iter().chain(args).copied().collect();
        let output = git(&self.workspace.root, &all).unwrap();
        assert!(output.status.success(), "{args:?}: {}", last_line(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn commit(&self, tag: &str, program: &str) {
        fs::write(self.workspace.root.join("src/main.rs"), program).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", tag]);
        self.git(&["tag", tag]);
    }

    fn build(&self, reference: &str) -> Result<PathBuf> {
        OtherVersion::find(&self.workspace, OsStr::new(reference))?.build()
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        assert!(!worktree_path(&self.workspace.target_dir).exists());
        let worktrees = self.git(&["worktree", "list"]);
        assert_eq!(worktrees.lines().count(), 1, "{worktrees}");
        assert_eq!(self.git(&["status", "--porcelain"]), "", "the work tree was touched");
    }
}

fn refused(error: &anyhow::Error) -> (u8, String) {
    let refused: &Refused = error.downcast_ref().unwrap_or_else(|| panic!("{error:#}"));
    (refused.exit_code(), refused.to_string())
}

#[test]
fn another_version_is_built_and_its_worktree_is_gone() {
    let repository = Repository::new();
    let storefront = repository.build("good").unwrap();
    let output = Command::new(storefront).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "good\n");
    repository.assert_nothing_is_left();
}

#[test]
fn a_version_that_does_not_build_is_one_line_and_leaves_no_worktree() {
    let repository = Repository::new();
    let (code, line) = refused(&repository.build("bad").unwrap_err());
    assert_eq!(code, 2);
    assert!(line.starts_with("--against bad: that version does not build: "), "{line}");
    assert!(!line.contains('\n'), "{line}");
    repository.assert_nothing_is_left();
}

#[test]
fn what_is_no_version_is_one_line() {
    let repository = Repository::new();
    for reference in ["no-such-branch", "", "--force", "HEAD:src"] {
        let (code, line) = refused(&repository.build(reference).unwrap_err());
        assert_eq!(code, 2, "{line}");
        assert!(line.starts_with(&format!("--against {reference}: no such commit: ")), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
    repository.assert_nothing_is_left();
}

#[test]
fn what_a_killed_gate_left_is_removed_by_the_next_one_and_by_clean() {
    let repository = Repository::new();
    let path = worktree_path(&repository.workspace.target_dir);
    let leave = || {
        let worktree = Worktree::add(&repository.workspace, "good").unwrap();
        std::mem::forget(worktree);
        assert!(path.join("src/main.rs").exists());
    };
    leave();
    remove_leftover(&repository.workspace).unwrap();
    repository.assert_nothing_is_left();
    // Its files alone are gone, or git's record alone.
    leave();
    fs::remove_dir_all(&path).unwrap();
    drop(Worktree::add(&repository.workspace, "bad").unwrap());
    repository.assert_nothing_is_left();
    fs::create_dir_all(path.join("src")).unwrap();
    drop(Worktree::add(&repository.workspace, "good").unwrap());
    repository.assert_nothing_is_left();
}

#[test]
fn two_gates_do_not_build_in_one_place() {
    let repository = Repository::new();
    fs::create_dir_all(&repository.workspace.target_dir).unwrap();
    let held = lock(&repository.workspace.target_dir).unwrap();
    let (code, line) = refused(&repository.build("good").unwrap_err());
    assert_eq!(code, 5);
    assert!(line.contains("another gate is building in "), "{line}");
    let path = worktree_path(&repository.workspace.target_dir);
    fs::create_dir_all(&path).unwrap();
    remove_leftover(&repository.workspace).unwrap();
    assert!(path.exists(), "it belongs to the one that builds");
    // What a child has of it that was forked a moment ago and has not begun its program yet.
    let _of_a_child = held.try_clone().unwrap();
    drop(held);
    remove_leftover(&repository.workspace).unwrap();
    repository.assert_nothing_is_left();
}

#[test]
fn too_little_room_is_one_line() {
    let repository = Repository::new();
    let error = require_room(repository.scratch.path(), u64::MAX).unwrap_err();
    let (code, line) = refused(&error);
    assert_eq!(code, 9);
    assert!(line.starts_with("only ") && line.contains("MiB are needed for --against"), "{line}");
    require_room(repository.scratch.path(), 1).unwrap();
}

// A signal drops the future of the build; so does this test, as soon as cargo was started.
#[tokio::test]
async fn a_build_that_is_interrupted_leaves_no_worktree() {
    let repository = Repository::new();
    let other = OtherVersion::find(&repository.workspace, OsStr::new("good")).unwrap();
    let target_dir = repository.workspace.target_dir.join("gate-build");
    fs::create_dir_all(&target_dir).unwrap();
    let mut build = Box::pin(other.build_in_worktree(&target_dir));
    // One poll adds the worktree and starts cargo; cargo cannot have ended before the next.
    let first = poll_once(build.as_mut()).await;
    assert!(first.is_none(), "{first:?}");
    assert!(worktree_path(&repository.workspace.target_dir).exists());
    drop(build);
    repository.assert_nothing_is_left();
}

/// Polls once; `None` when it is not ready.
async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
